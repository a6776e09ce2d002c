//! Texts with gaps: `v1/charges/{id}`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::words::{described, read_as_text};

/// A text with named gaps in braces. A brace that stands for itself is written twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Gap(String),
}

/// A gap that nothing fills, or that must not be filled with what there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing to fill `{{{0}}}` with")]
pub(crate) struct Unfilled(pub String);

impl Template {
    /// The text with each gap filled by `value`.
    ///
    /// # Errors
    /// The first gap for which there is no value.
    pub(crate) fn fill<'a>(
        &self,
        mut value: impl FnMut(&str) -> Option<Cow<'a, str>>,
    ) -> Result<String, Unfilled> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled += text,
                Part::Gap(name) => filled += &value(name).ok_or_else(|| Unfilled(name.clone()))?,
            }
        }
        Ok(filled)
    }

    /// The names of its gaps.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Gap(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

/// All that stands in a URL for itself.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A value as a part of a URL. A quote or a backslash could end the text that a query language puts
/// around it, and a control character has no business there: such values are refused.
pub(crate) fn in_url(value: &str) -> Option<Cow<'_, str>> {
    let refused = |c: char| c.is_control() || matches!(c, '\'' | '"' | '\\' | '`');
    let fits = !value.is_empty() && !value.contains(refused);
    fits.then(|| utf8_percent_encode(value, UNRESERVED).into())
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain += &rest[..at];
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain += brace;
                rest = after;
                continue;
            }
            let name = rest
                .split_once('}')
                .filter(|(name, _)| brace == "{" && !name.is_empty() && !name.contains('{'));
            let (name, after) = name.ok_or_else(|| broken(text))?;
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Gap(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(plain + rest));
        Ok(Template(parts))
    }
}

/// A long text is told by its beginning.
fn broken(text: &str) -> String {
    const MOST_CHARS: usize = 60;
    let start: String = text.chars().take(MOST_CHARS).collect();
    let more = if start.len() < text.len() { "..." } else { "" };
    format!(
        "`{start}{more}` has a brace without its other; write `v1/charges/{{id}}`, or a brace twice for \
         itself"
    )
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
                }
                Part::Gap(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

read_as_text!(Template);

described! {
    Template: {
        "description": "A text with gaps in braces, such as v1/charges/{id}.",
        "type": "string",
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let template: Template = text.parse()?;
        assert_eq!(template.to_string(), text);
        template.fill(|name| Some(format!("<{name}>").into())).map_err(|error| error.to_string())
    }

    #[test]
    fn gaps_are_filled_and_doubled_braces_stand_for_themselves() {
        for (text, expected) in [
            ("", ""),
            ("v1/{a}/{b}", "v1/<a>/<b>"),
            ("{{\"n\": {a}}}", "{\"n\": <a>}"),
            ("{{{a}}}", "{<a>}"),
            ("}}{{", "}{"),
            ("ä{a}ö", "ä<a>ö"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["{", "}", "{}", "{a", "a}", "{{a}", "{a{b}}", "{a}}", "}a{"] {
            assert!(filled(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_long_text_is_told_by_its_beginning() {
        let error = format!("{}{{", "ä".repeat(200)).parse::<Template>().unwrap_err();
        assert!(error.starts_with(&format!("`{}...` has", "ä".repeat(60))), "{error}");
    }
}
