//! Many records at once, for load tests: `POST /_sandbox/seed`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Store;
use crate::schema::{self, Field, Kind};

/// How many records of which type to make.
///
/// Each record has its required fields, the first plain fields of its type, and an external id
/// `seed-{type}-{n}`; `n` counts from 1. Where a sublist is required, it has one line. A text in
/// `fields` may hold `{n}` as well.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The record type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// How many; at most a million at a time.
    pub count: u32,
    /// Fields to set besides or in place of the generated ones.
    #[serde(default)]
    pub fields: Map<String, Value>,
}

/// Plain fields beside the required ones that a seeded record gets.
const PLAIN_FIELDS: usize = 7;
const MAX_COUNT: u32 = 1_000_000;

impl Store {
    /// Makes the records; says why not. They do not count as created by calls.
    pub(crate) fn seed(&mut self, seed: &Seed, now: Duration) -> Result<(), String> {
        let (record_type, type_name) = schema::find(&seed.record_type)
            .ok_or_else(|| format!("there is no record type '{}'", seed.record_type))?;
        if seed.count > MAX_COUNT {
            return Err(format!("{} records are more than {MAX_COUNT}", seed.count));
        }
        let before = self.tables.get(&type_name).map_or(0, |table| table.records.len());
        for n in before + 1..=before + seed.count as usize {
            let mut record = generated(record_type.fields, n);
            for sublist in record_type.sublists.iter().filter(|sublist| sublist.required) {
                let mut line = generated(sublist.fields, n);
                if let Some(key) = sublist.key {
                    line.insert(key.to_owned(), Value::from(1));
                }
                record.insert(sublist.name.to_owned(), json!({"items": [line]}));
            }
            record.insert("externalId".to_owned(), Value::from(format!("seed-{type_name}-{n}")));
            for (name, value) in &seed.fields {
                record.insert(name.clone(), numbered(value, n));
            }
            self.insert(record_type, &type_name, record, now)
                .map_err(|problem| format!("record {n}: {problem:?}"))?;
        }
        Ok(())
    }
}

fn generated(fields: &[Field], n: usize) -> Map<String, Value> {
    let required = fields.iter().filter(|field| field.required);
    let plain =
        fields.iter().filter(|field| !field.required && is_plain(field.kind)).take(PLAIN_FIELDS);
    required.chain(plain).map(|field| (field.name.to_owned(), value(field, n))).collect()
}

fn is_plain(kind: Kind) -> bool {
    !matches!(kind, Kind::Reference | Kind::Object)
}

/// A value that differs from record to record, and is the same for the same `n`.
fn value(field: &Field, n: usize) -> Value {
    match field.kind {
        Kind::Text if field.name == "email" => Value::from(format!("person{n}@example.com")),
        Kind::Text | Kind::Moment => Value::from(format!("{} {n}", field.name)),
        Kind::Number | Kind::Positive => Value::from(n % 1000 + 1),
        Kind::Boolean => Value::from(n.is_multiple_of(10)),
        Kind::Date => Value::from(format!("2026-{:02}-{:02}", n % 12 + 1, n % 28 + 1)),
        Kind::Reference => json!({"id": (n % 100 + 1).to_string()}),
        Kind::Object => json!({}),
    }
}

fn numbered(value: &Value, n: usize) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace("{n}", &n.to_string())),
        other => other.clone(),
    }
}
