//! A call: what it asks of a table or of a row.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    error::{bad_query, exists_already, missing, no_entity, no_such_place, not_allowed, refused},
    table::{Key, Table, VERSION, new_id},
};
use crate::{
    asked::Asked,
    records::{Records, merge},
    service::Said,
};

const ACTION: &str = "Microsoft.Dynamics.CRM.";

/// The columns of an alternate key, and the table that has it.
pub(super) type AlternateKey = (String, Vec<String>);

/// A call below the service's address.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) asked: &'a Asked,
    /// What stands below that address.
    pub(super) path: &'a [String],
    pub(super) root: &'a str,
}

impl Call<'_> {
    /// Answers it, and takes a note of the keys by which rows are asked for.
    pub(super) fn answer(&self, keys: &mut BTreeSet<AlternateKey>, records: &mut Records) -> Said {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let method = &self.asked.method;
        match (method, &path[..]) {
            (&Method::GET, []) => Said::new(200, &json!({ "value": [] })),
            (&Method::POST, ["$batch"]) => self.batch(keys, records),
            (&Method::GET, ["WhoAmI" | "WhoAmI()"]) => Said::new(200, &self.who_am_i()),
            (&Method::GET, [table, rest @ ..]) if table.starts_with("EntityDefinitions") => {
                self.definitions(table, rest, records)
            }
            (&Method::POST, [set, action]) if action.starts_with(ACTION) => {
                self.act_on_several(Table { set }, &action[ACTION.len()..], records)
            }
            (_, [segment, rest @ ..]) if rest.len() < 2 => {
                let (set, key) = match segment.split_once('(') {
                    Some((set, key)) => (set, Some(key.trim_end_matches(')'))),
                    None => (*segment, None),
                };
                let table = Table { set };
                let Some(text) = key else { return self.on_table(table, keys, records) };
                let Some(key) = Key::parse(text, table) else {
                    return bad_query("Syntax error in the key of the URL.");
                };
                if let Key::Alternate(columns) = &key {
                    let names = columns.iter().map(|(name, _)| name.clone()).collect();
                    keys.insert((set.to_owned(), names));
                }
                self.on_row(table, &key, rest.first().copied(), records)
            }
            _ => no_such_place(),
        }
    }

    fn on_table(
        &self,
        table: Table<'_>,
        keys: &BTreeSet<AlternateKey>,
        records: &mut Records,
    ) -> Said {
        match self.asked.method {
            Method::GET => self.list(table, records),
            Method::POST => {
                let Some(columns) = self.asked.body.as_object() else { return no_entity() };
                let own = keys.iter().filter(|(set, _)| set == table.set);
                let taken = own.into_iter().any(|(_, names)| {
                    let value = |name: &String| Some((name.clone(), columns.get(name)?.clone()));
                    let key = names.iter().map(value).collect::<Option<Vec<_>>>();
                    key.is_some_and(|key| Key::Alternate(key).find(table, records).is_some())
                });
                match taken {
                    true => exists_already(),
                    false => self.create(table, columns.clone(), records),
                }
            }
            _ => not_allowed(),
        }
    }

    fn on_row(
        &self,
        table: Table<'_>,
        key: &Key,
        property: Option<&str>,
        records: &mut Records,
    ) -> Said {
        let found = key.find(table, records);
        if let Some(unmet) = self.unmet(table, found.as_deref(), records) {
            return unmet;
        }
        match (&self.asked.method, found, property) {
            (&Method::GET, Some(id), None) => self.shown(table, &id, records, 200),
            (&Method::GET, Some(id), Some(name)) => match records.get(table.set, &id) {
                Some(row) if !row[name].is_null() => Said::new(200, &json!({ "value": row[name] })),
                _ => Said::empty(204),
            },
            (&Method::DELETE, Some(id), None) => {
                records.remove(table.set, &id);
                Said::empty(204)
            }
            (&Method::PATCH, Some(id), None) => match self.asked.body.as_object() {
                Some(columns) => self.change(table, &id, columns.clone(), records),
                None => no_entity(),
            },
            (&Method::PUT, Some(id), Some(name)) => {
                let column = (name.to_owned(), self.asked.body["value"].clone());
                self.change(table, &id, Map::from_iter([column]), records)
            }
            (&Method::PATCH, None, None) if self.asked.header("if-match").is_none() => {
                let Some(columns) = self.asked.body.as_object() else { return no_entity() };
                let mut columns = columns.clone();
                columns.extend(key.columns(table));
                self.create(table, columns, records)
            }
            (_, None, _) => missing(table, key),
            _ => not_allowed(),
        }
    }

    /// The answer to a call whose condition does not hold.
    fn unmet(&self, table: Table<'_>, found: Option<&str>, records: &Records) -> Option<Said> {
        let row = records.get(table.set, found?)?;
        let etag = etag(row);
        let is_read = self.asked.method == Method::GET;
        match (self.asked.header("if-match"), self.asked.header("if-none-match")) {
            (Some(wanted), _) if wanted != "*" && wanted != etag => {
                let message = "The version of the existing record doesn't match the RowVersion \
                               property provided.";
                Some(refused(412, "0x80060882", message))
            }
            (_, Some("*")) if !is_read => Some(exists_already()),
            (_, Some(known)) if is_read && known == etag => Some(Said::empty(304)),
            _ => None,
        }
    }

    pub(super) fn create(
        &self,
        table: Table<'_>,
        mut columns: Map<String, Value>,
        records: &mut Records,
    ) -> Said {
        let id_column = table.id_column();
        let id = match columns.get(&id_column).and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => new_id(records),
        };
        if records.get(table.set, &id).is_some() {
            return refused(412, "0x80040237", "Cannot insert duplicate key.");
        }
        columns.insert(id_column, id.as_str().into());
        columns.insert(VERSION.to_owned(), records.number().into());
        records.put(table.set, &id, columns.into());
        self.written(table, &id, records, 201).created(table.set)
    }

    pub(super) fn change(
        &self,
        table: Table<'_>,
        id: &str,
        mut columns: Map<String, Value>,
        records: &mut Records,
    ) -> Said {
        columns.insert(VERSION.to_owned(), records.number().into());
        if let Some(row) = records.get_mut(table.set, id) {
            merge(row, &columns.into());
        }
        self.written(table, id, records, 200)
    }

    /// The answer to a write: nothing but the row's address, or the row if the call prefers that.
    fn written(&self, table: Table<'_>, id: &str, records: &Records, status: u16) -> Said {
        let prefers = self.asked.header("prefer").unwrap_or_default();
        let said = match prefers.contains("return=representation") {
            true => self
                .shown(table, id, records, status)
                .header("preference-applied", "return=representation"),
            false => Said::empty(204),
        };
        said.header("odata-entityid", &format!("{}/{}({id})", self.root, table.set))
    }

    fn shown(&self, table: Table<'_>, id: &str, records: &Records, status: u16) -> Said {
        let Some(row) = records.get(table.set, id) else { return Said::empty(204) };
        let context = format!("{}/$metadata#{}/$entity", self.root, table.set);
        let mut shown = json!({ "@odata.context": context });
        merge(&mut shown, &self.plain(table, row));
        Said::new(status, &shown).header("etag", &etag(row))
    }

    /// A row with the columns that are asked for.
    pub(super) fn plain(&self, table: Table<'_>, row: &Value) -> Value {
        let select = self.asked.query("$select").map(|names| names.split(',').collect::<Vec<_>>());
        let id_column = table.id_column();
        let is_shown = |name: &str| {
            let is_asked = |names: &Vec<&str>| names.contains(&name) || name == id_column;
            name != VERSION && select.as_ref().is_none_or(is_asked)
        };
        let columns = row.as_object().into_iter().flatten();
        let shown = columns.filter(|(name, _)| is_shown(name));
        let shown = shown.map(|(name, value)| (name.clone(), value.clone()));
        let etag = ("@odata.etag".to_owned(), Value::from(etag(row)));
        [etag].into_iter().chain(shown).collect::<Map<_, _>>().into()
    }
}

fn etag(row: &Value) -> String {
    format!("W/\"{}\"", row[VERSION])
}
