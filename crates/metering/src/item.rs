//! Usage as an item: what was used of each model, and who has written last.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::money::Money;
use crate::used::{Tally, Used};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// How long usage is kept after its last write: thirteen months.
const KEPT_SECS: i64 = 400 * 86_400;

/// After so long no writer repeats a write, so nobody needs to know any more that it was made.
pub(crate) const FORGOTTEN_AFTER_MS: i64 = 2 * 3_600_000;

/// The writers that one write takes out at most. An update may have 4 KB.
const TAKEN_OUT_AT_ONCE: usize = 20;

const CALLS: &str = "calls:";
const INPUT: &str = "input:";
const CACHED: &str = "cached:";
const OUTPUT: &str = "output:";
const COST: &str = "cost:";
const UNPRICED: &str = "unpriced:";
const WRITER: &str = "writer:";
const EXPIRES: &str = "expires_at";

/// What an item says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) tally: Tally,
    /// Writers, and when each has written last, in milliseconds since 1970.
    pub(crate) writers: Vec<(String, i64)>,
}

/// An amount of one model.
fn used(prefix: &str, number: u64) -> Option<Used> {
    let none = Used::default();
    Some(match prefix {
        CALLS => Used { calls: number, ..none },
        INPUT => Used { input: number, ..none },
        CACHED => Used { cached: number, ..none },
        OUTPUT => Used { output: number, ..none },
        COST => Used { cost: Money::from_billionths(number), ..none },
        UNPRICED => Used { unpriced: number, ..none },
        _ => return None,
    })
}

/// Reads an item. What is no number is left out: nobody but this module writes here.
pub(crate) fn read(item: &Item) -> Read {
    let mut read = Read::default();
    for (attribute, value) in item {
        let Some(at) = attribute.find(':') else { continue };
        let (prefix, name) = attribute.split_at(at + 1);
        let Ok(number) = value.as_n() else { continue };
        if prefix == WRITER {
            read.writers.extend(number.parse().ok().map(|at| (name.to_owned(), at)));
        } else if let Some(used) = number.parse().ok().and_then(|number| used(prefix, number)) {
            read.tally.add(name, used);
        }
    }
    read.writers.sort();
    read
}

impl Read {
    /// Writers that nobody needs to know of any more.
    pub(crate) fn forgotten(&self, now_ms: i64) -> Vec<String> {
        let old = |(_, at): &&(String, i64)| now_ms - at > FORGOTTEN_AFTER_MS;
        let old = self.writers.iter().filter(old).take(TAKEN_OUT_AT_ONCE);
        old.map(|(writer, _)| writer.clone()).collect()
    }
}

/// An update that adds a tally once: it holds only if its writer has not made it, or a later one.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub(crate) expression: String,
    pub(crate) condition: String,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: Item,
}

impl Update {
    pub(crate) fn adding(tally: &Tally, writer: &str, at_ms: i64, forgotten: &[String]) -> Self {
        let mut update = Self::default();
        let mut add = Vec::new();
        for (model, used) in tally.models() {
            let Used { calls, input, cached, output, cost, unpriced } = *used;
            for (prefix, number) in [
                (CALLS, calls),
                (INPUT, input),
                (CACHED, cached),
                (OUTPUT, output),
                (COST, cost.billionths()),
                (UNPRICED, unpriced),
            ] {
                if number > 0 {
                    let name = update.name(format!("{prefix}{model}"));
                    add.push(format!("{name} {}", update.value(number)));
                }
            }
        }
        let (writes, at) = (update.name(format!("{WRITER}{writer}")), update.value(at_ms));
        let expires = update.name(EXPIRES.to_owned());
        let until = update.value(at_ms / 1_000 + KEPT_SECS);
        let others = forgotten.iter().filter(|one| *one != writer);
        let removed: Vec<String> =
            others.map(|one| update.name(format!("{WRITER}{one}"))).collect();
        let mut expression = format!("SET {writes} = {at}, {expires} = {until}");
        if !removed.is_empty() {
            expression += &format!(" REMOVE {}", removed.join(", "));
        }
        if !add.is_empty() {
            expression += &format!(" ADD {}", add.join(", "));
        }
        update.expression = expression;
        update.condition = format!("attribute_not_exists({writes}) OR {writes} < {at}");
        update
    }

    fn name(&mut self, attribute: String) -> String {
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), attribute);
        placeholder
    }

    fn value(&mut self, number: impl ToString) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), AttributeValue::N(number.to_string()));
        placeholder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::used::Tokens;

    #[test]
    fn an_update_adds_what_is_there_and_names_what_it_uses() {
        let mut tally = Tally::default();
        tally.add("small", Used::by_call(Tokens { input: 7, ..Tokens::default() }, None));
        let update = Update::adding(&tally, "w1", 5_000, &["w0".to_owned(), "w1".to_owned()]);
        let said = |text: &str| {
            let mut text = text.to_owned();
            for (placeholder, name) in &update.names {
                text = text.replace(&**placeholder, name);
            }
            for (placeholder, value) in &update.values {
                text = text.replace(&**placeholder, value.as_n().unwrap());
            }
            text
        };
        assert_eq!(
            said(&update.expression),
            "SET writer:w1 = 5000, expires_at = 34560005 REMOVE writer:w0 \
             ADD calls:small 1, input:small 7, unpriced:small 1"
        );
        let condition = "attribute_not_exists(writer:w1) OR writer:w1 < 5000";
        assert_eq!(said(&update.condition), condition);
    }

    #[test]
    fn an_item_is_read_by_model() {
        let number = |number: i64| AttributeValue::N(number.to_string());
        let item = HashMap::from([
            ("id".to_owned(), AttributeValue::S("2026-11-30#acme".to_owned())),
            ("expires_at".to_owned(), number(9)),
            ("calls:a:b".to_owned(), number(2)),
            ("cached:a:b".to_owned(), number(20)),
            ("output:a:b".to_owned(), number(30)),
            ("cost:a:b".to_owned(), number(1_500)),
            ("input:c".to_owned(), number(4)),
            ("writer:old".to_owned(), number(1)),
            ("writer:new".to_owned(), number(FORGOTTEN_AFTER_MS)),
        ]);
        let read = read(&item);
        let models: Vec<_> = read.tally.models().collect();
        let cost = Money::from_billionths(1_500);
        let first = Used { calls: 2, cached: 20, output: 30, cost, ..Used::default() };
        let second = Used { input: 4, ..Used::default() };
        assert_eq!(models, [("a:b", &first), ("c", &second)]);
        assert_eq!(read.forgotten(FORGOTTEN_AFTER_MS + 1), Vec::<String>::new());
        assert_eq!(read.forgotten(FORGOTTEN_AFTER_MS + 2), ["old"]);
    }
}
