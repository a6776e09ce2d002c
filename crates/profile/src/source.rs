//! Where a value stands in an answer.

use std::borrow::Cow;

use http::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Seen;
use crate::pointer::Pointer;
use crate::words::read_as_fields;

/// A place in an answer: a header, or a JSON pointer into its body.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "Fields")]
pub(crate) struct Source {
    place: Place,
    after: Option<String>,
    take: Take,
}

#[derive(Debug, Clone)]
enum Place {
    Header(HeaderName),
    Body(Pointer),
}

/// Which part of the text is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Take {
    /// All of it. Behind `after`: up to the next white space, comma, semicolon or bracket.
    #[default]
    All,
    /// The last segment of a URL's path: `https://api.example/orders/17` says `17`.
    LastSegment,
    /// OData's key: `.../Orders(17)`, `.../Orders('17')` and `.../Orders(ID='17')` say `17`. A key
    /// of several fields is left as it is written.
    #[serde(rename = "odata_key")]
    ODataKey,
}

/// A place in an answer. It has `header` or `body`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    /// A header's name.
    header: Option<String>,
    /// A JSON pointer into the body.
    body: Option<Pointer>,
    /// The value begins behind this text.
    after: Option<String>,
    /// Which part of the text is meant.
    #[serde(default)]
    take: Take,
}

read_as_fields!(Source: Fields);

impl TryFrom<Fields> for Source {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { header, body, after, take } = fields;
        Ok(Source { place: Place::of(header, body)?, after, take })
    }
}

impl Place {
    fn of(header: Option<String>, body: Option<Pointer>) -> Result<Self, String> {
        match (header, body) {
            (Some(name), None) => header_name(&name).map(Place::Header),
            (None, Some(pointer)) => Ok(Place::Body(pointer)),
            _ => Err("a place is in a header or in the body; write either `header = \"...\"` or \
                      `body = \"/...\"`"
                .to_owned()),
        }
    }
}

/// Reads a header's name.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("`{name}` is no name of a header; write `x-request-id`"))
}

impl Source {
    pub(crate) fn of(
        header: Option<String>,
        body: Option<Pointer>,
        after: Option<String>,
    ) -> Result<Self, String> {
        Ok(Source { place: Place::of(header, body)?, after, take: Take::All })
    }

    /// The value's text, if it is there and not empty: of several, the first.
    pub(crate) fn text<'a>(&self, seen: &'a Seen<'_>) -> Option<Cow<'a, str>> {
        let whole = match &self.place {
            Place::Header(name) => Cow::Borrowed(seen.header(name)?),
            Place::Body(pointer) => match pointer.raw(seen.body_bytes()) {
                Some(raw) => text_of_raw(raw.get())?,
                None => pointer.find(seen.body()?).into_iter().find_map(text_of)?,
            },
        };
        let whole = match &self.after {
            None => whole,
            Some(marker) => {
                let start = find_ignoring_case(&whole, marker)? + marker.len();
                let ends = |c: char| c.is_whitespace() || ",;()[]\"'".contains(c);
                let value = whole.get(start..)?.trim_start().split(ends).next()?;
                Cow::Owned(value.trim_end_matches('.').to_owned())
            }
        };
        let part = match self.take {
            Take::All => whole,
            Take::LastSegment => last_segment(&whole)?.into(),
            Take::ODataKey => odata_key(&whole)?.into(),
        };
        (!part.is_empty()).then_some(part)
    }
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// A number keeps each of its digits.
fn text_of_raw(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(raw.into()),
        _ => None,
    }
}

fn last_segment(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next()?;
    // A host is no segment.
    let path = match path.split_once("//") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => path,
    };
    let last = path.rsplit('/').find(|segment| !segment.is_empty())?;
    Some(percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned())
}

fn odata_key(url: &str) -> Option<String> {
    let (_, rest) = url.rsplit_once('(')?;
    let key = percent_encoding::percent_decode_str(rest.split_once(')')?.0).decode_utf8_lossy();
    let several = key.split_once(',').is_some_and(|(first, _)| first.contains('='));
    if several {
        return Some(key.into_owned());
    }
    let value = match key.split_once('=') {
        Some((name, value)) if !name.contains('\'') => value,
        _ => &key,
    };
    let unquoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
    // A quote in a text is written twice.
    Some(unquoted.map_or_else(|| value.to_owned(), |text| text.replace("''", "'")))
}

/// Where a text first holds another, if ASCII letters may differ in case.
pub(crate) fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    if wanted.is_empty() {
        return Some(0);
    }
    text.windows(wanted.len()).position(|part| part.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odata_key_is_its_value() {
        for (url, key) in [
            ("https://x.example/Orders(17)", Some("17")),
            ("Orders('17')", Some("17")),
            ("Orders(ID='17')", Some("17")),
            ("Orders('a%20b')", Some("a b")),
            ("Orders('a''b=c')", Some("a'b=c")),
            ("Items(Order='17',Item='10')", Some("Order='17',Item='10'")),
            (
                "accounts(7d577253-3ef0-4a0a-bb7f-8335c2596e70)",
                Some("7d577253-3ef0-4a0a-bb7f-8335c2596e70"),
            ),
            ("Orders", None),
            ("Orders(17", None),
        ] {
            assert_eq!(odata_key(url).as_deref(), key, "{url}");
        }
    }

    #[test]
    fn the_last_segment_is_of_the_path() {
        for (url, segment) in [
            ("https://x.example/orders/17", Some("17")),
            ("/orders/17/?x=1", Some("17")),
            ("orders/a%20b", Some("a b")),
            ("https://x.example/", None),
            ("https://x.example", None),
        ] {
            assert_eq!(last_segment(url).as_deref(), segment, "{url}");
        }
    }
}
