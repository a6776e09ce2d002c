//! DynamoDB's attribute values and items, as they stand in its JSON.

use std::cmp::Ordering;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

/// An attribute value. Sets and binary are not modelled: reading one panics.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `S`.
    Text(Box<str>),
    /// `N`; whole numbers only, DynamoDB itself takes 38 digits.
    Number(i128),
    /// `BOOL`.
    Bool(bool),
    /// `NULL`.
    Null,
    /// `M`.
    Map(Item),
    /// `L`.
    List(Vec<Value>),
}

impl Value {
    /// Reads `{"S": "text"}` and its like.
    ///
    /// # Panics
    /// On a type that is not modelled, or on JSON that DynamoDB would refuse as well.
    pub fn read(json: Json) -> Value {
        let Json::Object(fields) = json else {
            panic!("DynamoDB: no attribute value: {json}");
        };
        match fields.into_iter().next() {
            Some((kind, Json::String(text))) if kind == "S" => Value::Text(text.into()),
            Some((kind, Json::String(text))) if kind == "N" => match text.parse() {
                Ok(number) => Value::Number(number),
                Err(_) => panic!("DynamoDB: the number {text} is not modelled"),
            },
            Some((kind, Json::Bool(value))) if kind == "BOOL" => Value::Bool(value),
            Some((kind, Json::Bool(true))) if kind == "NULL" => Value::Null,
            Some((kind, Json::Object(fields))) if kind == "M" => {
                Value::Map(Item::read(Json::Object(fields)))
            }
            Some((kind, Json::Array(values))) if kind == "L" => {
                Value::List(values.into_iter().map(Value::read).collect())
            }
            other => panic!("DynamoDB: an attribute value that is not modelled: {other:?}"),
        }
    }

    /// The order of two values of the same type that has one: text by bytes, numbers.
    pub fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Its size as DynamoDB counts it, near enough for write units (doc: text by its bytes, a
    /// number by half its digits, 1 for the rest, 3 for a container and 1 for each member).
    fn size(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Number(number) => 2 + number.unsigned_abs().max(1).ilog10() as usize / 2,
            Value::Bool(_) | Value::Null => 1,
            Value::Map(item) => 3 + item.0.len() + item.size(),
            Value::List(values) => 3 + values.iter().map(|value| 1 + value.size()).sum::<usize>(),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Value::Text(text) => map.serialize_entry("S", text)?,
            Value::Number(number) => map.serialize_entry("N", &number.to_string())?,
            Value::Bool(value) => map.serialize_entry("BOOL", value)?,
            Value::Null => map.serialize_entry("NULL", &true)?,
            Value::Map(item) => map.serialize_entry("M", item)?,
            Value::List(values) => map.serialize_entry("L", &Values(values))?,
        }
        map.end()
    }
}

struct Values<'a>(&'a [Value]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for value in self.0 {
            seq.serialize_element(value)?;
        }
        seq.end()
    }
}

/// An item, or a map inside one: a handful of attributes, so a list is the fastest map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item(Vec<(Box<str>, Value)>);

impl Item {
    /// Reads an object of attribute values.
    ///
    /// # Panics
    /// As [`Value::read`].
    pub fn read(json: Json) -> Item {
        let Json::Object(fields) = json else {
            panic!("DynamoDB: no map of attributes: {json}");
        };
        Item(fields.into_iter().map(|(name, value)| (name.into(), Value::read(value))).collect())
    }

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

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        Json::deserialize(deserializer).map(Item::read)
    }
}
