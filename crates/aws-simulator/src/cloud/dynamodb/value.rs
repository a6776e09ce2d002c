//! DynamoDB's attribute values and items, as they stand in its JSON.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_with::{As, DisplayFromStr, Map, Same};

/// An attribute value. Sets, binary and null are not modelled: reading one is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Text.
    #[serde(rename = "S")]
    Text(Box<str>),
    /// Whole numbers only; DynamoDB itself takes 38 digits.
    #[serde(rename = "N", with = "As::<DisplayFromStr>")]
    Number(i128),
    /// True or false.
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// Attributes in an attribute.
    #[serde(rename = "M")]
    Map(Item),
    /// Values without names.
    #[serde(rename = "L")]
    List(Vec<Value>),
}

impl Value {
    /// The order of two values of the same type that has one: text by bytes, numbers.
    pub fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Its size as DynamoDB counts it, near enough for write units. By the documentation, text
    /// counts by its bytes, a number by half its digits, a container 3 and 1 for each member, the
    /// rest 1.
    fn size(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Number(number) => 2 + number.unsigned_abs().max(1).ilog10() as usize / 2,
            Value::Bool(_) => 1,
            Value::Map(item) => 3 + item.0.len() + item.size(),
            Value::List(values) => 3 + values.iter().map(|value| 1 + value.size()).sum::<usize>(),
        }
    }
}

/// An item, or a map inside one: a handful of attributes, so a list is the fastest map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Item(#[serde(with = "As::<Map<Same, Same>>")] Vec<(Box<str>, Value)>);

impl Item {
    /// The attribute of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(known, _)| &**known == name)?;
        Some(value)
    }

    /// The attribute of this name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let (_, value) = self.0.iter_mut().find(|(known, _)| &**known == name)?;
        Some(value)
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.get_mut(name) {
            Some(old) => *old = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| &**known != name);
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Its size in bytes: names and values (doc).
    pub fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.size()).sum()
    }
}
