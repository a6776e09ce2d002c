//! What a sandbox holds.

use std::collections::BTreeMap;

use serde_json::Value;

/// Records by type and id, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    types: BTreeMap<String, Vec<(String, Value)>>,
    made: u64,
}

impl Records {
    /// A number that no record has yet.
    pub(crate) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Puts a record in the place of the one with its id, if there is one. Says whether it is new.
    pub(crate) fn put(&mut self, record_type: &str, id: &str, record: Value) -> bool {
        if let Some(old) = self.get_mut(record_type, id) {
            *old = record;
            return false;
        }
        self.types.entry(record_type.to_owned()).or_default().push((id.to_owned(), record));
        true
    }

    pub(crate) fn get(&self, record_type: &str, id: &str) -> Option<&Value> {
        self.all(record_type).find_map(|(key, record)| (key == id).then_some(record))
    }

    pub(crate) fn get_mut(&mut self, record_type: &str, id: &str) -> Option<&mut Value> {
        let records = self.types.get_mut(record_type)?;
        records.iter_mut().find_map(|(key, record)| (key == id).then_some(record))
    }

    pub(crate) fn remove(&mut self, record_type: &str, id: &str) -> Option<Value> {
        let records = self.types.get_mut(record_type)?;
        let index = records.iter().position(|(key, _)| key == id)?;
        Some(records.remove(index).1)
    }

    pub(crate) fn all(&self, record_type: &str) -> impl Iterator<Item = (&str, &Value)> {
        let records = self.types.get(record_type).map(Vec::as_slice).unwrap_or_default();
        records.iter().map(|(id, record)| (id.as_str(), record))
    }

    /// The ids of the records with this value at a pointer.
    pub(crate) fn with(&self, record_type: &str, pointer: &str, value: &str) -> Vec<String> {
        let has = |record: &Value| record.pointer(pointer).is_some_and(|had| reads(had, value));
        self.all(record_type)
            .filter(|(_, record)| has(record))
            .map(|(id, _)| id.to_owned())
            .collect()
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let counts = self.types.iter().map(|(name, all)| (name.clone(), all.len() as u64));
        counts.filter(|(_, number)| *number > 0).collect()
    }
}

/// Puts the members of one object over those of another.
pub(crate) fn merge(record: &mut Value, changes: &Value) {
    if let (Value::Object(record), Value::Object(changes)) = (record, changes) {
        record.extend(changes.clone());
    }
}

/// Whether a value is written so: a text, a number or a truth value.
pub(crate) fn reads(value: &Value, text: &str) -> bool {
    match value {
        Value::String(had) => had == text,
        Value::Number(had) => had.to_string() == text,
        Value::Bool(had) => had.to_string() == text,
        _ => false,
    }
}
