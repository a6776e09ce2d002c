//! Tables and keys of Dataverse, as its URLs name them.

use serde_json::{Map, Value, json};

use crate::records::Records;

/// The column in which a row keeps its version, which no answer shows.
pub(super) const VERSION: &str = "__version";

/// A table, by the name of its entity set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table<'a> {
    /// `accounts`.
    pub(super) set: &'a str,
}

impl Table<'_> {
    /// `account`.
    pub(super) fn logical_name(self) -> String {
        let set = self.set;
        for (ending, instead) in [("ies", "y"), ("ses", "s"), ("xes", "x"), ("ches", "ch")] {
            if let Some(stem) = set.strip_suffix(ending) {
                return format!("{stem}{instead}");
            }
        }
        set.strip_suffix('s').unwrap_or(set).to_owned()
    }

    /// The column that holds a row's id.
    pub(super) fn id_column(self) -> String {
        format!("{}id", self.logical_name())
    }

    /// What is told of the table itself.
    pub(super) fn definition(self) -> Value {
        let name = self.logical_name();
        json!({
            "MetadataId": guid(name.bytes().map(u64::from).sum()),
            "LogicalName": name,
            "SchemaName": name,
            "EntitySetName": self.set,
            "PrimaryIdAttribute": self.id_column(),
            "PrimaryNameAttribute": "name",
        })
    }
}

/// The name of an entity set whose rows are called so.
pub(super) fn set_of(logical_name: &str) -> String {
    let doubled = ["s", "x", "ch"].iter().any(|ending| logical_name.ends_with(ending));
    match logical_name.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if doubled => format!("{logical_name}es"),
        _ => format!("{logical_name}s"),
    }
}

/// An id that no row has yet.
pub(super) fn new_id(records: &mut Records) -> String {
    guid(records.number())
}

fn guid(number: u64) -> String {
    format!("{:08x}-0000-4000-8000-{:012x}", number & 0xffff_ffff, number)
}

/// Which row is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Id(String),
    /// Columns and their values, in the order of their names.
    Alternate(Vec<(String, Value)>),
}

impl Key {
    /// Reads what stands in the parentheses: an id, or `new_key='17',new_line=2`.
    pub(super) fn parse(text: &str, table: Table<'_>) -> Option<Self> {
        if !text.contains('=') {
            return (!text.is_empty()).then(|| Self::Id(unquoted(text)));
        }
        let mut columns = Vec::new();
        for field in split(text) {
            let (column, value) = field.split_once('=')?;
            columns.push((column.trim().to_owned(), literal(value.trim())?));
        }
        columns.sort_by(|one, other| one.0.cmp(&other.0));
        match &columns[..] {
            [(column, Value::String(id))] if *column == table.id_column() => {
                Some(Self::Id(id.clone()))
            }
            _ => Some(Self::Alternate(columns)),
        }
    }

    /// The id of the row, if it is there.
    pub(super) fn find(&self, table: Table<'_>, records: &Records) -> Option<String> {
        match self {
            Self::Id(id) => records.get(table.set, id).map(|_| id.clone()),
            Self::Alternate(columns) => {
                let fits = |record: &Value| columns.iter().all(|(name, it)| record[name] == *it);
                records.all(table.set).find(|(_, one)| fits(one)).map(|(id, _)| id.to_owned())
            }
        }
    }

    /// The columns that a row has by which it was asked for.
    pub(super) fn columns(&self, table: Table<'_>) -> Map<String, Value> {
        match self {
            Self::Id(id) => Map::from_iter([(table.id_column(), id.as_str().into())]),
            Self::Alternate(columns) => columns.iter().cloned().collect(),
        }
    }
}

/// A value as OData writes it in a URL: `'it''s'`, `2`, `true`, an id without quotes.
pub(super) fn literal(text: &str) -> Option<Value> {
    match text.starts_with('\'') {
        true => (text.len() > 1 && text.ends_with('\'')).then(|| unquoted(text).into()),
        false if text.is_empty() => None,
        false => Some(serde_json::from_str(text).unwrap_or_else(|_| text.into())),
    }
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    inner.unwrap_or(text).replace("''", "'")
}

/// The fields between commas that stand in no quotes.
fn split(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let fields = text.split(|c: char| {
        is_quoted ^= c == '\'';
        c == ',' && !is_quoted
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ids_or_columns() {
        let table = Table { set: "accounts" };
        let key = |text: &str| Key::parse(text, table);
        let alternate = |columns: &[(&str, Value)]| {
            let columns = columns.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            Some(Key::Alternate(columns.collect()))
        };
        assert_eq!(key("0a-1"), Some(Key::Id("0a-1".to_owned())));
        assert_eq!(key("accountid='0a-1'"), Some(Key::Id("0a-1".to_owned())));
        assert_eq!(key("b=2,a='x,''y'"), alternate(&[("a", "x,'y".into()), ("b", 2.into())]));
        assert_eq!(key("a=0a-1"), alternate(&[("a", "0a-1".into())]));
        for broken in ["", "a=", "a='x"] {
            assert_eq!(key(broken), None, "{broken}");
        }
    }

    #[test]
    fn an_entity_set_is_the_plural_of_its_rows() {
        for (set, name) in [
            ("accounts", "account"),
            ("opportunities", "opportunity"),
            ("new_boxes", "new_box"),
            ("surveys", "survey"),
            ("addresses", "address"),
        ] {
            assert_eq!(Table { set }.logical_name(), name);
            assert_eq!(set_of(name), set);
        }
    }
}
