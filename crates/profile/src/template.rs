//! Texts with gaps: `v1/charges/{id}`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::words::{described, read_as_text};

/// A text with named gaps in braces.
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
        let broken =
            || format!("`{text}` has a brace without its other; write `v1/charges/{{id}}`");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(broken)?;
            if before.contains('}') || name.contains('{') || name.is_empty() {
                return Err(broken());
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Gap(name.to_owned()));
            rest = after;
        }
        if rest.contains('}') {
            return Err(broken());
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template(parts))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
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
