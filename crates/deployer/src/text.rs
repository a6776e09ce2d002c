//! How lists and times are shown to people.

use comfy_table::{Table, presets};
use jiff::Timestamp;
use std::time::Duration;

/// A table with a heading, or the empty text if there is no row.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(heading);
    table.add_rows(rows);
    table.to_string()
}

/// The same with as many columns as the heading has.
pub(crate) fn wide_table(heading: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(heading);
    table.add_rows(rows);
    table.to_string()
}

/// How long ago `then` was, in its two largest units: `3 d 4 h`, `12 s`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    span(Duration::try_from(now.duration_since(then)).unwrap_or_default())
}

/// A span of time in its two largest units.
pub(crate) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min {} s", secs % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `1 call`, `2 calls`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// A text of at most so many characters, the last of which says that something is missing.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_plural() {
        let told = [0, 1, 2].map(|number| count(number, "dead letter"));
        assert_eq!(told, ["0 dead letters", "1 dead letter", "2 dead letters"]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }

    #[test]
    fn an_age_has_its_two_largest_units() {
        for (secs, told) in [
            (-5, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ] {
            let then = Timestamp::UNIX_EPOCH;
            assert_eq!(age(then, Timestamp::from_second(secs).unwrap()), told);
        }
    }
}
