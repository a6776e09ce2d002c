//! Values of queries, and how they compare.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

use crate::schema::Kind;

/// A value while a query runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Datum<'r> {
    Null,
    Number(f64),
    Text(Cow<'r, str>),
    /// A date, or a date and time, in ISO 8601: such texts sort by time.
    Day(Cow<'r, str>),
}

impl<'r> Datum<'r> {
    /// A field of a record. Booleans are `T` and `F`, references their internal ids.
    pub(super) fn of_field(value: Option<&'r Value>, kind: Option<Kind>) -> Self {
        match (value, kind) {
            (None | Some(Value::Null | Value::Array(_)), _) => Self::Null,
            (Some(Value::Bool(yes)), _) => Self::Text(Cow::Borrowed(if *yes { "T" } else { "F" })),
            (Some(Value::Number(number)), _) => number.as_f64().map_or(Self::Null, Self::Number),
            (Some(Value::String(text)), Some(Kind::Date | Kind::Moment)) => {
                Self::Day(Cow::Borrowed(text))
            }
            (Some(Value::String(text)), Some(Kind::Number | Kind::Reference)) => {
                text.parse().map_or(Self::Text(Cow::Borrowed(text)), Self::Number)
            }
            (Some(Value::String(text)), _) => Self::Text(Cow::Borrowed(text)),
            (Some(Value::Object(reference)), _) => {
                Self::of_field(reference.get("id"), Some(Kind::Reference))
            }
        }
    }

    /// A bound parameter.
    pub(super) fn of_param(value: Value) -> Option<Datum<'static>> {
        match value {
            Value::Null => Some(Datum::Null),
            Value::Bool(yes) => Some(Datum::Text(Cow::Borrowed(if yes { "T" } else { "F" }))),
            Value::Number(number) => number.as_f64().map(Datum::Number),
            Value::String(text) => Some(Datum::Text(Cow::Owned(text))),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// How an answer shows it; a date in the format of the United States, as a new account has it.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone().into_owned()),
            Self::Day(text) => match (text.get(0..4), text.get(5..7), text.get(8..10)) {
                (Some(year), Some(month), Some(day)) => Some(format!("{month}/{day}/{year}")),
                _ => Some(text.clone().into_owned()),
            },
        }
    }

    /// The order of two values; nothing if one is null or they are of kinds that do not compare.
    pub(super) fn compare(&self, other: &Datum<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, _) | (_, Datum::Null) => None,
            (Self::Number(left), Datum::Number(right)) => left.partial_cmp(right),
            (Self::Number(left), Datum::Text(right)) => {
                left.partial_cmp(&right.trim().parse().ok()?)
            }
            (Self::Text(_), Datum::Number(_)) | (Self::Text(_), Datum::Day(_)) => {
                other.compare(self).map(Ordering::reverse)
            }
            (Self::Text(left), Datum::Text(right)) => Some(left.cmp(right)),
            (Self::Day(left), Datum::Day(right)) => Some(left.cmp(right)),
            (Self::Day(left), Datum::Text(right)) => {
                Some(left.as_ref().cmp(iso_day(right)?.as_str()))
            }
            (Self::Number(_), Datum::Day(_)) | (Self::Day(_), Datum::Number(_)) => None,
        }
    }
}

/// `11/21/2026` or an ISO date as an ISO date.
fn iso_day(text: &str) -> Option<String> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [month, day, year] => Some(format!("{year}-{month:0>2}-{day:0>2}")),
        _ => text.get(0..10)?.parse::<jiff::civil::Date>().ok().map(|_| text.to_owned()),
    }
}

/// SQL's `LIKE`: `%` is any text, `_` one character.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern_rest.as_str();
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| like(&text[at..], rest))
        }
        Some(wanted) => {
            let mut text_rest = text.chars();
            let found = text_rest.next();
            found.is_some_and(|found| wanted == '_' || wanted == found)
                && like(text_rest.as_str(), pattern_rest.as_str())
        }
    }
}

/// A value to sort by: nulls come after all others.
#[derive(Debug, PartialEq)]
pub(super) struct SortKey<'r> {
    pub(super) datum: Datum<'r>,
    pub(super) descending: bool,
}

impl Eq for SortKey<'_> {}

impl PartialOrd for SortKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortKey<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let is_null = |key: &Self| key.datum == Datum::Null;
        let ascending = match (is_null(self), is_null(other)) {
            (false, false) => self.datum.compare(&other.datum).unwrap_or(Ordering::Equal),
            (left, right) => left.cmp(&right),
        };
        if self.descending { ascending.reverse() } else { ascending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_as_sql_does() {
        let table = [
            ("", "", true),
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("abc", "b%", false),
            ("über", "_ber", true),
            ("", "%", true),
            ("", "_", false),
        ];
        for (text, pattern, expected) in table {
            assert_eq!(like(text, pattern), expected, "{text} LIKE {pattern}");
        }
    }
}
