//! The small values that a profile is written in: methods, status ranges, spans of time, paths.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// The verb of a request, in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the HTTP verbs say it themselves")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As on the wire: `GET` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// HTTP statuses: `429`, `"500-599"`, or a list of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Whether the status is one of them.
    pub(crate) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// Whether every status of `other` is one of these.
    pub(crate) fn contain_all(&self, other: &Statuses) -> bool {
        other.0.iter().cloned().flatten().all(|status| self.contains(status))
    }
}

impl Default for Statuses {
    /// All of them.
    fn default() -> Self {
        Statuses(vec![100..=999])
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
    let fits = *range.start() >= 100 && *range.end() <= 999 && !range.is_empty();
    fits.then_some(range)
}

const NO_STATUS: &str = "is no HTTP status; write `429`, `\"500-599\"` or a list of these";

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<RangeInclusive<u16>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status, a range such as \"500-599\", or a list of these")
            }

            fn visit_i64<E: de::Error>(self, status: i64) -> Result<Self::Value, E> {
                self.visit_str(&status.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let range = range(text);
                range
                    .map(|range| vec![range])
                    .ok_or_else(|| E::custom(format!("`{text}` {NO_STATUS}")))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(Statuses(some)) = items.next_element()? {
                    all.extend(some);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Reader).map(Statuses)
    }
}

/// A span of time in words: `30s`, `15m`, `24h`, `30 days`. A day has 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text).map(Period).ok_or_else(|| {
            format!("`{text}` is no span of time; write `30s`, `15m`, `24h` or `30d`")
        })
    }
}

/// `6m0s`, `20ms`, `9.756s`: what [`jiff`] calls a friendly duration, if it is not negative.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// A moment as HTTP headers have it: `Sat, 28 Nov 2026 12:00:10 GMT`.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

/// A moment as vendors and people write the end of something: as in RFC 3339, with blanks in it and `UTC`
/// (`2027-01-31 05:00:00 UTC`, `2027-01-31 05:00:00 +0100`), or a day, whose beginning in UTC it is.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let in_utc = text.strip_suffix(" UTC").map(|text| format!("{text}Z"));
    let text = in_utc.unwrap_or_else(|| text.replacen(" +", "+", 1).replacen(" -", "-", 1));
    let day = || {
        let day: Date = text.parse().ok()?;
        day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp())
    };
    text.parse().ok().or_else(day)
}

/// A resource's path in segments: `crm/v3/objects/*/search`. `*` is any one segment, and `**` at
/// the end is any number of them. Slashes at its ends and the query do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern(Vec<String>);

impl PathPattern {
    /// Whether a resource is meant.
    pub(crate) fn matches(&self, resource: &str) -> bool {
        let path = resource.split('?').next().unwrap_or_default();
        let mut segments = path.trim_matches('/').split('/');
        for wanted in &self.0 {
            match (wanted.as_str(), segments.next()) {
                ("**", _) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let segments: Vec<String> = text.trim_matches('/').split('/').map(str::to_owned).collect();
        let inner = &segments[..segments.len() - 1];
        if text.contains(['?', '#']) || inner.iter().any(|segment| segment == "**") {
            let mend = "write `v1/customers/*`, and `**` only at the end";
            return Err(format!("`{text}` is no pattern of paths; {mend}"));
        }
        Ok(PathPattern(segments))
    }
}

/// Gives a type that is written as one text its way in. It parses inside the visitor, since only
/// there an error gets the place of the text.
macro_rules! read_as_text {
    ($($type:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl serde::de::Visitor<'_> for Reader {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a string")
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Reader)
            }
        }
    )+};
}
pub(crate) use read_as_text;

/// Gives a type that is made of the fields of a table its way in, for the same reason.
macro_rules! read_as_fields {
    ($($type:ty: $fields:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> serde::de::Visitor<'de> for Reader {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a map")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        let fields = serde::de::value::MapAccessDeserializer::new(map);
                        let fields: $fields = serde::Deserialize::deserialize(fields)?;
                        fields.try_into().map_err(serde::de::Error::custom)
                    }
                }
                deserializer.deserialize_map(Reader)
            }
        }
    )+};
}
pub(crate) use read_as_fields;

read_as_text!(Period, PathPattern, crate::pointer::Pointer);

/// Gives a type that is written by hand its place in the JSON Schema.
macro_rules! described {
    ($($type:ident: $schema:tt;)+) => {$(
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    )+};
}
pub(crate) use described;

use crate::pointer::Pointer;

described! {
    Statuses: {
        "description": "An HTTP status, a range of them, or a list of both.",
        "anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 999},
            {"type": "string", "pattern": "^[1-9][0-9]{2}(-[1-9][0-9]{2})?$"},
            {"type": "array", "items": {"anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 999},
                {"type": "string", "pattern": "^[1-9][0-9]{2}(-[1-9][0-9]{2})?$"},
            ]}},
        ],
    };
    Period: {
        "description": "A span of time: 30s, 15m, 24h, 30d.",
        "type": "string",
    };
    PathPattern: {
        "description": "A path in segments; `*` is any one segment, `**` at the end any number.",
        "type": "string",
    };
    Pointer: {
        "description": "A JSON pointer (RFC 6901); `*` is every member or item.",
        "type": "string",
        "pattern": "^(/.*)?$",
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_vendors_and_people_write_it() {
        for (text, moment_in_utc) in [
            ("2027-01-31T05:00:00Z", Some("2027-01-31T05:00:00Z")),
            ("2027-01-31T05:00:00.5+02:00", Some("2027-01-31T03:00:00.5Z")),
            (" 2027-01-31 05:00:00 UTC ", Some("2027-01-31T05:00:00Z")),
            ("2027-01-31 05:00:00 +0100", Some("2027-01-31T04:00:00Z")),
            ("2027-01-31 00:00:00 -0500", Some("2027-01-31T05:00:00Z")),
            ("2027-01-31", Some("2027-01-31T00:00:00Z")),
            ("31.1.2027", None),
            ("never", None),
            ("", None),
        ] {
            let expected = moment_in_utc.map(|text| text.parse().unwrap());
            assert_eq!(moment(text), expected, "{text}");
        }
    }

    #[test]
    fn spans_of_time_are_read_as_vendors_and_people_write_them() {
        for (text, millis) in [
            ("6m0s", Some(360_000)),
            ("20ms", Some(20)),
            ("9.756s", Some(9_756)),
            ("1h2m3s", Some(3_723_000)),
            ("30d", Some(2_592_000_000)),
            ("-1s", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn paths_match_by_segments() {
        let matches = |pattern: &str, path| pattern.parse::<PathPattern>().unwrap().matches(path);
        assert!(matches("v1/*/search", "/v1/customers/search?query=x"));
        assert!(!matches("v1/*/search", "v1/customers"));
        assert!(!matches("v1/*", "v1/customers/1"));
        assert!(matches("v1/**", "v1/customers/1"));
        assert!(matches("**", "anything/at/all"));
        assert!("a/**/b".parse::<PathPattern>().is_err());
    }
}
