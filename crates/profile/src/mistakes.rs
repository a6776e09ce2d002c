//! Reading a TOML file so that every mistake names its line, its field and its mend.
//!
//! serde stops at the first thing that it does not understand. So what was not understood is taken
//! out and the rest is read again, until nothing is left to complain about.

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// No file has more mistakes that anybody would read at once.
const MOST: usize = 100;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field as in `answers[2].outcome`; empty where the file is no TOML at all.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead, where that can be told.
    pub mend: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        match &self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}

/// All that is wrong with a file, in the order of its lines. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The mistakes, the first line first.
    pub fn list(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{mistake}")?;
        }
        Ok(())
    }
}

/// What a rule across fields found wrong, at a place in the file.
#[derive(Debug)]
pub struct Finding {
    /// Where, in bytes. Empty: it is wrong with the file as a whole.
    pub span: Range<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub mend: Option<String>,
}

/// Reads a TOML file. `check` says what is wrong across fields of a file whose fields are right one
/// by one.
///
/// # Errors
/// All mistakes that were found.
pub fn read<T: DeserializeOwned>(
    text: &str,
    check: impl FnOnce(&T) -> Vec<Finding>,
) -> Result<T, Mistakes> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let found = errors.into_iter().take(MOST).map(|error| finding(&error));
        return Err(mistakes(text, None, found.collect()));
    }
    let mut rest = table.clone();
    let mut found = Vec::new();
    let mut taken_out = Vec::new();
    while found.len() < MOST {
        match T::deserialize(Deserializer::from(rest.clone())) {
            Ok(value) => {
                // The rules across fields speak of the whole file, so only a file that is whole is
                // held to them.
                if found.is_empty() {
                    found = check(&value);
                    if found.is_empty() {
                        return Ok(value);
                    }
                }
                break;
            }
            Err(error) => {
                let next = finding(&error);
                let span = next.span.clone();
                if !of_our_making(&next, &found, &taken_out, table.get_ref()) {
                    found.push(next);
                }
                let taken = (!span.is_empty()).then(|| take_out(rest.get_mut(), &span)).flatten();
                match taken {
                    Some(name) => taken_out.push(name),
                    None => break,
                }
            }
        }
    }
    Err(mistakes(text, Some(table.get_ref()), found))
}

fn finding(error: &toml::de::Error) -> Finding {
    let (problem, mend) = in_plain_words(error.message());
    Finding { span: error.span().unwrap_or(0..0), problem, mend }
}

fn mistakes(text: &str, table: Option<&DeTable<'_>>, found: Vec<Finding>) -> Mistakes {
    let mut found = found;
    found.sort_by_key(|finding| finding.span.start);
    let told = found.into_iter().map(|Finding { span, problem, mend }| {
        let (line, column) = line_and_column(text, span.start);
        // What is missing at the top, or is wrong with the whole, has no place of its own.
        let placed = table.filter(|_| !span.is_empty());
        let field = placed.map(|table| path_to(table, &span)).unwrap_or_default();
        Mistake { line, column, field, problem, mend }
    });
    Mistakes(told.collect())
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The nearest of some names, if one is near enough to be what was meant.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |other: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), other);
    let limit = (name.chars().count() / 3).max(2);
    names.into_iter().min_by_key(near).filter(|other| near(other) <= limit)
}

/// The sentence "did you mean ...?", or what there is to choose from.
pub fn proposal<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(name, names.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let all: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    (!all.is_empty()).then(|| format!("there is {}", all.join(", ")))
}

/// serde's sentence about an unknown name has the name and those that it knows between backticks.
fn in_plain_words(message: &str) -> (String, Option<String>) {
    for what in ["unknown field", "unknown variant"] {
        if let Some(rest) = message.strip_prefix(what) {
            let quoted: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
            if let [name, known @ ..] = quoted.as_slice() {
                let what = if what == "unknown field" { "there is no field" } else { "unknown" };
                return (format!("{what} `{name}`"), proposal(name, known.iter().copied()));
            }
        }
    }
    if let Some(field) = missing(message) {
        return (message.to_owned(), Some(format!("write `{field} = ...`")));
    }
    if message.starts_with("invalid")
        && let Some((problem, expected)) = message.split_once(", expected ")
    {
        let kind = KINDS.iter().find(|(kind, _)| expected.starts_with(kind));
        let kind = kind.map_or(expected, |(_, words)| words);
        return (problem.to_owned(), Some(format!("write {kind}")));
    }
    match message.split_once("; ") {
        Some((problem, mend)) => (problem.to_owned(), Some(mend.to_owned())),
        None => (message.trim_end().to_owned(), None),
    }
}

/// Whether a mistake is there only because something was taken out. A field may be missing since
/// then, another may have meant it, or a table may make no sense without it.
fn of_our_making(
    next: &Finding,
    found: &[Finding],
    taken_out: &[String],
    table: &DeTable<'_>,
) -> bool {
    match missing(&next.problem) {
        Some(field) => taken_out.iter().any(|taken| taken == field) || is_meant(field, found),
        None => {
            let place = path_to(table, &next.span);
            let within = |finding: &Finding| {
                path_to(table, &finding.span)
                    .strip_prefix(place.as_str())
                    .is_some_and(|rest| rest.starts_with(['.', '[']))
            };
            found.iter().any(within)
        }
    }
}

fn is_meant(field: &str, found: &[Finding]) -> bool {
    let proposal = format!("did you mean `{field}`?");
    found.iter().any(|finding| finding.mend.as_ref() == Some(&proposal))
}

/// What serde calls a thing, and what to write.
const KINDS: [(&str, &str); 7] = [
    ("a sequence", "a list in square brackets"),
    ("a string", "a text in quotes"),
    ("a boolean", "`true` or `false`"),
    ("a map", "a table"),
    ("a nonzero", "a whole number, 1 or more"),
    ("u", "a whole number that is not too large"),
    ("struct", "a table"),
];

fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Takes out the innermost entry that holds a span, and names it.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let (name, of_key) = table.iter().find_map(|(key, value)| {
        let of_key = holds_span(&key.span(), span);
        (of_key || covers(value, span)).then(|| (key.clone(), of_key))
    })?;
    if !of_key
        && let Some(value) = table.get_mut(&name)
        && let Some(inner) = take_out_of(value.get_mut(), span)
    {
        return Some(inner);
    }
    table.remove(&name);
    Some(name.into_inner().into_owned())
}

fn take_out_of<'i>(value: &mut DeValue<'i>, span: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => take_out(table, span),
        DeValue::Array(items) => {
            let index = items.iter().position(|item| covers(item, span))?;
            if let Some(inner) = take_out_of(items.get_mut(index)?.get_mut(), span) {
                return Some(inner);
            }
            let all = std::mem::replace(items, std::iter::empty().collect());
            let kept = all.into_iter().enumerate();
            *items = kept.filter(|(at, _)| *at != index).map(|(_, item)| item).collect();
            Some(String::new())
        }
        _ => None,
    }
}

/// The names of the entries that hold a span, outermost first: `answers[2].outcome`.
fn path_to(table: &DeTable<'_>, span: &Range<usize>) -> String {
    let Some((key, value)) = table.iter().find(|(key, value)| holds(key, value, span)) else {
        return String::new();
    };
    let mut path = key.get_ref().to_string();
    let mut value = value.get_ref();
    loop {
        match value {
            DeValue::Array(items) => {
                let Some(index) = items.iter().position(|item| covers(item, span)) else { break };
                path += &format!("[{}]", index + 1);
                value = items[index].get_ref();
            }
            DeValue::Table(table) => {
                let inner = path_to(table, span);
                if !inner.is_empty() {
                    path = format!("{path}.{inner}");
                }
                break;
            }
            _ => break,
        }
    }
    path
}

fn holds(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    span: &Range<usize>,
) -> bool {
    holds_span(&key.span(), span) || covers(value, span)
}

/// Whether a value, or something below it, stands where the span is. The span of a table under a
/// header (`[a.b]`) is only its header.
fn covers(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    holds_span(&value.span(), span)
        || match value.get_ref() {
            DeValue::Table(table) => table.iter().any(|(key, value)| holds(key, value, span)),
            DeValue::Array(items) => items.iter().any(|item| covers(item, span)),
            _ => false,
        }
}

fn holds_span(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct File {
        name: String,
        size: u8,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Part {
        colour: Colour,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Green,
    }

    fn told(text: &str) -> Vec<String> {
        let mistakes = read::<File>(text, |_| Vec::new()).unwrap_err();
        mistakes.list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_mistakes_are_told_with_place_and_mend() {
        let text = "nam = \"ä\"\nsize = 300\n\n[[parts]]\ncolour = \"red\"\n[[parts]]\ncolour = \"gren\"\n";
        assert_eq!(
            told(text),
            [
                "1:1: nam: there is no field `nam`; did you mean `name`?",
                "2:8: size: invalid value: integer `300`; write a whole number that is not too large",
                "7:10: parts[2].colour: unknown `gren`; did you mean `green`?",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_told_by_its_place() {
        let text = "name = \"x\"\nsize = \n";
        let told = told(text);
        assert!(told[0].starts_with("2:"), "{told:?}");
    }

    #[test]
    fn only_near_names_are_proposed() {
        assert_eq!(nearest("ratte", ["rate", "quota"]), Some("rate"));
        assert_eq!(nearest("xyz", ["rate", "quota"]), None);
    }
}
