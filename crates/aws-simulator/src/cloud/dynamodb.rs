//! DynamoDB: single-item reads and conditional writes.

mod expression;
mod value;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

pub use expression::{Bindings, Condition, Update};
pub use value::{Item, Value};

use super::parameters::{Parameters, Unconfirmed};
use crate::time::Moment;

/// Largest item, in bytes (doc).
pub const LARGEST_ITEM: usize = 409_600;

/// What a table is created with.
#[derive(Clone, Debug)]
pub struct TableSettings {
    /// Its name.
    pub name: String,
    /// The partition key's attribute, text; there is no sort key.
    pub key: String,
    /// The TTL attribute: epoch seconds.
    pub ttl: Option<String>,
}

impl TableSettings {
    /// A table whose items do not expire.
    pub fn new(name: &str, key: &str) -> TableSettings {
        TableSettings { name: name.to_owned(), key: key.to_owned(), ttl: None }
    }
}

/// A write of one item.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// The partition key.
    pub key: Box<str>,
    /// What to do.
    pub change: Change<'a>,
    /// The condition, in DynamoDB's words.
    pub condition: Option<&'a str>,
    /// What the expressions refer to.
    pub bindings: Bindings<'a>,
    /// What to answer.
    pub returns: Returns,
}

/// What a write does to its item.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// PutItem: replaces it.
    Put(Item),
    /// UpdateItem, in DynamoDB's words.
    Update(&'a str),
    /// DeleteItem.
    Delete,
}

/// What a write answers (`ReturnValues`; its `UPDATED_OLD` is not modelled).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// No item.
    Nothing,
    /// The item before.
    AllOld,
    /// The item after.
    AllNew,
    /// Of the item after, the attributes that the update expression named.
    UpdatedNew,
}

/// Why a write was refused (model).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The condition did not hold. A failed condition still bills a write (doc).
    #[error("The conditional request failed")]
    ConditionalCheckFailed(Option<Item>),
    /// The item would be larger than [`LARGEST_ITEM`].
    #[error("Item size has exceeded the maximum allowed size")]
    ItemTooLarge,
    /// There is no such table.
    #[error("Requested resource not found")]
    ResourceNotFound,
}

/// The units that requests have used, for the price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Write request units: one for each KiB.
    pub write: u64,
    /// Half read request units: one for each 4 KiB of an eventually consistent read, two of a
    /// consistent one.
    pub half_reads: u64,
}

/// Requests for some items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// GetItem.
    pub reads: u64,
    /// All others, those whose condition did not hold included.
    pub writes: u64,
}

/// The tables of an account.
#[derive(Debug, Default)]
pub struct Dynamo {
    tables: Vec<Table>,
    expressions: Expressions,
    units: Units,
    /// By the part of the key before its first `#`.
    asked: HashMap<Box<str>, Asked>,
}

#[derive(Debug)]
struct Table {
    settings: TableSettings,
    items: HashMap<Box<str>, Item>,
    /// When each expiring item may be deleted; entries of items that moved on are skipped.
    expiring: BinaryHeap<Reverse<(u64, Box<str>)>>,
}

/// Expressions parsed once: programs send the same few texts over and over.
#[derive(Debug, Default)]
struct Expressions {
    conditions: HashMap<Box<str>, Arc<Condition>>,
    updates: HashMap<Box<str>, Arc<Update>>,
}

impl Dynamo {
    /// Creates a table.
    pub fn create(&mut self, settings: TableSettings) {
        self.tables.push(Table { settings, items: HashMap::new(), expiring: BinaryHeap::new() });
    }

    /// The partition key's attribute of a table.
    ///
    /// # Errors
    /// There is no such table.
    pub fn key_of(&self, table: &str) -> Result<&str, Error> {
        let table = self.tables.iter().find(|t| t.settings.name == table);
        Ok(&table.ok_or(Error::ResourceNotFound)?.settings.key)
    }

    /// Carries out one conditional write. Answers the item that `write.returns` asks for.
    ///
    /// # Errors
    /// The condition does not hold, the item gets too large, or there is no such table.
    pub fn write(
        &mut self,
        table: &str,
        write: Write<'_>,
        now: Moment,
        parameters: &Parameters,
    ) -> Result<Option<Item>, Error> {
        let table = self.tables.iter_mut().find(|t| t.settings.name == table);
        let table = table.ok_or(Error::ResourceNotFound)?;
        asked_of(&mut self.asked, &write.key).writes += 1;
        table.expire(now, parameters);
        let old = table.items.get(&write.key);
        if let Some(text) = write.condition {
            let condition = self.expressions.condition(text);
            if !condition.holds(old, &write.bindings) {
                self.units.write += old.map_or(1, |item| item.size().div_ceil(1024) as u64);
                return Err(Error::ConditionalCheckFailed(old.cloned()));
            }
        }
        let mut updated = None;
        let new = match write.change {
            Change::Delete => None,
            Change::Put(item) => Some(item),
            Change::Update(text) => {
                let mut item = old.cloned().unwrap_or_default();
                let key = Value::Text(write.key.clone());
                item.set(&table.settings.key, key);
                let update = self.expressions.update(text);
                update.apply(&mut item, &write.bindings);
                if write.returns == Returns::UpdatedNew {
                    updated = Some(update.touched(&item, &write.bindings));
                }
                Some(item)
            }
        };
        let new_size = new.as_ref().map_or(0, Item::size);
        if new_size > LARGEST_ITEM {
            return Err(Error::ItemTooLarge);
        }
        let larger = old.map_or(0, Item::size).max(new_size).max(1);
        self.units.write += larger.div_ceil(1024) as u64;
        let answer = match write.returns {
            Returns::Nothing => None,
            Returns::AllOld => old.cloned(),
            Returns::AllNew => new.clone(),
            Returns::UpdatedNew => updated,
        };
        table.store(write.key, new);
        Ok(answer)
    }

    /// Reads one item. Expired items stay readable until they are deleted (doc).
    ///
    /// # Errors
    /// There is no such table.
    pub fn read(
        &mut self,
        table: &str,
        key: &str,
        consistent: bool,
        now: Moment,
        parameters: &Parameters,
    ) -> Result<Option<Item>, Error> {
        let table = self.tables.iter_mut().find(|t| t.settings.name == table);
        let table = table.ok_or(Error::ResourceNotFound)?;
        asked_of(&mut self.asked, key).reads += 1;
        table.expire(now, parameters);
        let item = table.items.get(key).cloned();
        let size = item.as_ref().map_or(1, Item::size).max(1);
        self.units.half_reads += size.div_ceil(4096) as u64 * (1 + u64::from(consistent));
        Ok(item)
    }

    /// Drops an item that no request will name again, so that a long run needs memory for what is
    /// in flight only. The real table keeps it until it expires.
    pub fn forget(&mut self, table: &str, key: &str) {
        let table = self.tables.iter_mut().find(|t| t.settings.name == table);
        if let Some(table) = table {
            table.items.remove(key);
            table.compact();
        }
    }

    /// How many items a table holds.
    ///
    /// # Errors
    /// There is no such table.
    pub fn len(&self, table: &str) -> Result<usize, Error> {
        let table = self.tables.iter().find(|t| t.settings.name == table);
        Ok(table.ok_or(Error::ResourceNotFound)?.items.len())
    }

    /// The items that a table holds, each with its key, in no order.
    ///
    /// # Errors
    /// There is no such table.
    pub fn items(&self, table: &str) -> Result<impl Iterator<Item = (&str, &Item)>, Error> {
        let table = self.tables.iter().find(|t| t.settings.name == table);
        let items = &table.ok_or(Error::ResourceNotFound)?.items;
        Ok(items.iter().map(|(key, item)| (&**key, item)))
    }

    /// The requests so far for items whose keys begin with `kind` and `#`, in all tables. Programs
    /// that keep items of several kinds in one table tell them apart so.
    pub fn asked_of(&self, kind: &str) -> Asked {
        self.asked.get(kind).copied().unwrap_or_default()
    }

    /// The units used so far.
    pub fn units(&self) -> Units {
        self.units
    }
}

/// Keys without `#` are of one kind together.
fn asked_of<'a>(asked: &'a mut HashMap<Box<str>, Asked>, key: &str) -> &'a mut Asked {
    let kind = key.split_once('#').map_or("", |(kind, _)| kind);
    asked.entry(kind.into()).or_default()
}

impl Table {
    fn store(&mut self, key: Box<str>, item: Option<Item>) {
        let Some(item) = item else {
            self.items.remove(&key);
            return;
        };
        if let Some(expiry) = self.expiry(&item) {
            let known = self.items.get(&key).and_then(|old| self.expiry(old));
            if known != Some(expiry) {
                self.expiring.push(Reverse((expiry, key.clone())));
            }
        }
        self.items.insert(key, item);
    }

    /// Drops the entries of items that moved on or are gone, before they outnumber the others. One
    /// entry an item is left, so that this is not due again with the next item.
    fn compact(&mut self) {
        if self.expiring.len() > 1_024 + 2 * self.items.len() {
            let mut expiring = std::mem::take(&mut self.expiring);
            expiring.retain(|Reverse((expiry, key))| {
                self.items.get(key).and_then(|item| self.expiry(item)) == Some(*expiry)
            });
            self.expiring = expiring;
        }
    }

    fn expiry(&self, item: &Item) -> Option<u64> {
        match item.get(self.settings.ttl.as_deref()?)? {
            Value::Number(secs) => u64::try_from(*secs).ok(),
            _ => None,
        }
    }

    /// Deletes what expired long enough ago.
    fn expire(&mut self, now: Moment, parameters: &Parameters) {
        let lag = parameters.duration(Unconfirmed::TtlLag).as_secs();
        while let Some(Reverse((expiry, _))) = self.expiring.peek() {
            if expiry + lag > now.epoch_secs() {
                return;
            }
            if let Some(Reverse((expiry, key))) = self.expiring.pop() {
                let current = self.items.get(&key).and_then(|item| self.expiry(item));
                if current == Some(expiry) {
                    self.items.remove(&key);
                }
            }
        }
    }
}

impl Expressions {
    fn condition(&mut self, text: &str) -> Arc<Condition> {
        if let Some(known) = self.conditions.get(text) {
            return known.clone();
        }
        let parsed = Arc::new(Condition::parse(text));
        self.conditions.insert(text.into(), parsed.clone());
        parsed
    }

    fn update(&mut self, text: &str) -> Arc<Update> {
        if let Some(known) = self.updates.get(text) {
            return known.clone();
        }
        let parsed = Arc::new(Update::parse(text));
        self.updates.insert(text.into(), parsed.clone());
        parsed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dynamo() -> Dynamo {
        let mut dynamo = Dynamo::default();
        dynamo.create(TableSettings {
            name: "guard".to_owned(),
            key: "id".to_owned(),
            ttl: Some("expires_at".to_owned()),
        });
        dynamo
    }

    fn claim(owner: &str, expires_at: u64) -> Write<'static> {
        let item = json!({
            "id": {"S": "k"}, "owner": {"S": owner}, "expires_at": {"N": expires_at.to_string()},
        });
        Write {
            key: "k".into(),
            change: Change::Put(serde_json::from_value(item).unwrap()),
            condition: Some("attribute_not_exists(id)"),
            bindings: Bindings::default(),
            returns: Returns::AllOld,
        }
    }

    #[test]
    fn a_conditional_put_lets_one_win_and_shows_the_winner() {
        let (mut dynamo, parameters) = (dynamo(), Parameters::default());
        let won = dynamo.write("guard", claim("a", 4_000_000_000), Moment::START, &parameters);
        assert_eq!(won.unwrap(), None);
        let lost = dynamo.write("guard", claim("b", 4_000_000_000), Moment::START, &parameters);
        let Err(Error::ConditionalCheckFailed(Some(seen))) = lost else {
            panic!("{lost:?}");
        };
        assert_eq!(seen.get("owner"), Some(&Value::Text("a".into())));
        // The failed condition was billed as well.
        assert_eq!(dynamo.units().write, 2);
    }

    #[test]
    fn an_expired_item_stays_readable_until_it_is_deleted() {
        let (mut dynamo, parameters) = (dynamo(), Parameters::default());
        let expires_at = Moment::from_millis(10_000).epoch_secs();
        dynamo.write("guard", claim("a", expires_at), Moment::START, &parameters).unwrap();
        let mut exists = |millis| {
            let now = Moment::from_millis(millis);
            let item = dynamo.read("guard", "k", true, now, &parameters);
            item.unwrap().is_some()
        };
        assert!(exists(20_000));
        assert!(!exists(10_000 + 600_000));
    }

    #[test]
    fn a_table_that_was_not_created_is_an_error() {
        let (mut dynamo, parameters) = (dynamo(), Parameters::default());
        let read = dynamo.read("other", "k", true, Moment::START, &parameters);
        assert_eq!(read, Err(Error::ResourceNotFound));
    }
}
