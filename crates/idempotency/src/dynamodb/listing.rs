//! Finds the records whose outcome nobody knows: by a sparse index if there is one, by a scan of
//! the table if not.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};

use super::DynamoDbStore;
use super::item::{self, SHARDS, name};
use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::record::{Record, Status};
use crate::store::{Cursor, Error, Page, Store, boxed};

type Item = HashMap<String, AttributeValue>;

/// [`Record::unresolved`](crate::Record::unresolved) in DynamoDB's words.
const UNRESOLVED: &str = "attribute_exists(#payload_sha256) AND (#status = :needs_person \
    OR (#status = :dispatched AND #lease_until_ms < :lapsed_before) \
    OR (#status = :unknown AND #repeatable = :no) \
    OR (#repeatable = :yes AND NOT #kept_until_ms < :lapsed_before \
    AND (#status = :unknown OR (#status = :claimed AND #lease_until_ms < :lapsed_before))))";

/// How far a listing by index has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of this shard.
    Shard(u8),
    /// After this entry.
    Entry { id: RecordId, from: EpochMs },
}

impl Place {
    const BEGINNING: Self = Self::Shard(0);

    fn read(cursor: &Cursor) -> Result<Self, Error> {
        let parsed = match cursor.as_str().split_once(':') {
            Some(("shard", shard)) => shard.parse().ok().filter(|s| *s < SHARDS).map(Self::Shard),
            Some((from, id)) => RecordId::parse(id).zip(from.parse().ok()).map(|(id, from)| {
                let from = EpochMs(from);
                Self::Entry { id, from }
            }),
            None => None,
        };
        parsed.ok_or_else(|| Error::BadCursor(cursor.as_str().to_owned()))
    }

    fn cursor(&self) -> Cursor {
        match self {
            Self::Shard(shard) => Cursor::new(format!("shard:{shard}")),
            Self::Entry { id, from } => Cursor::new(format!("{}:{id}", from.as_millis())),
        }
    }

    fn shard(&self) -> u8 {
        match self {
            Self::Shard(shard) => *shard,
            Self::Entry { id, .. } => item::shard(id),
        }
    }

    fn next_shard(&self) -> Option<Self> {
        let next = self.shard() + 1;
        (next < SHARDS).then_some(Self::Shard(next))
    }
}

impl DynamoDbStore {
    /// One query, and one read for each entry it shows: the index has keys only, and what it
    /// shows may have changed since.
    pub(super) async fn list_by_index(
        &self,
        index: &str,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, Error> {
        let place = after.map_or(Ok(Place::BEGINNING), Place::read)?;
        let query = self
            .query(index, place.shard(), lapsed_before)
            .limit(i32::try_from(most.get()).unwrap_or(i32::MAX))
            .set_exclusive_start_key(self.entry(&place));
        let answer = boxed(query.send()).await.map_err(|error| self.error(error))?;
        let mut records = Vec::new();
        for item in answer.items() {
            if let Some(id) = self.id_of(item)
                && let Some(record) = self.read(&id).await?
                && record.unresolved(lapsed_before)
            {
                records.push(record);
            }
        }
        let next = answer.last_evaluated_key.and_then(|entry| self.place_of(&entry));
        let next = next.or_else(|| place.next_shard());
        Ok(Page { records, next: next.map(|place| place.cursor()) })
    }

    fn place_of(&self, entry: &Item) -> Option<Place> {
        let from = entry.get(name::UNRESOLVED_FROM)?.as_n().ok()?.parse().ok()?;
        Some(Place::Entry { id: self.id_of(entry)?, from: EpochMs(from) })
    }

    /// Counts entries without looking at their records: a repeatable call counts until it is
    /// deleted, some time after it has expired.
    pub(super) async fn count_by_index(
        &self,
        index: &str,
        lapsed_before: EpochMs,
    ) -> Result<u64, Error> {
        let mut count = 0;
        for shard in 0..SHARDS {
            let mut from = None;
            loop {
                let query = self.query(index, shard, lapsed_before).select(Select::Count);
                let query = query.set_exclusive_start_key(from);
                let page = boxed(query.send()).await.map_err(|error| self.error(error))?;
                count += u64::try_from(page.count()).unwrap_or(0);
                from = page.last_evaluated_key;
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(count)
    }

    fn query(&self, index: &str, shard: u8, lapsed_before: EpochMs) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .index_name(index)
            .key_condition_expression("#unresolved = :shard AND #from <= :lapsed_before")
            .expression_attribute_names("#unresolved", name::UNRESOLVED)
            .expression_attribute_names("#from", name::UNRESOLVED_FROM)
            .expression_attribute_values(":shard", AttributeValue::S(shard.to_string()))
            .expression_attribute_values(":lapsed_before", number(lapsed_before))
    }

    /// The key of an entry: the table's and the index's together.
    fn entry(&self, place: &Place) -> Option<Item> {
        let Place::Entry { id, from } = place else { return None };
        let mut key = self.key(id);
        let shard = AttributeValue::S(item::shard(id).to_string());
        key.insert(name::UNRESOLVED.to_owned(), shard);
        key.insert(name::UNRESOLVED_FROM.to_owned(), number(*from));
        Some(key)
    }

    pub(super) async fn list_by_scan(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, Error> {
        let after = after.map(|cursor| {
            let id = RecordId::parse(cursor.as_str());
            id.ok_or_else(|| Error::BadCursor(cursor.as_str().to_owned()))
        });
        let mut from = after.transpose()?.map(|id| self.key(&id));
        let mut records = Vec::new();
        loop {
            let scan = self.scan(lapsed_before).set_exclusive_start_key(from);
            let page = boxed(scan.send()).await.map_err(|error| self.error(error))?;
            for item in page.items() {
                // Another application's item in a shared table may have a status too.
                let Some(id) = self.id_of(item) else { continue };
                if records.len() == most.get() {
                    return Ok(ends_after_its_last(records));
                }
                records.push(item::read(id, item)?);
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(Page { records, next: None });
            }
            if records.len() == most.get() {
                return Ok(ends_after_its_last(records));
            }
        }
    }

    pub(super) async fn count_by_scan(&self, lapsed_before: EpochMs) -> Result<u64, Error> {
        let (mut count, mut from) = (0, None);
        loop {
            let scan = self.scan(lapsed_before).select(Select::Count);
            let scan = scan.set_exclusive_start_key(from);
            let page = boxed(scan.send()).await.map_err(|error| self.error(error))?;
            count += u64::try_from(page.count()).unwrap_or(0);
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(count);
            }
        }
    }

    fn scan(&self, lapsed_before: EpochMs) -> ScanFluentBuilder {
        let status = |status: Status| AttributeValue::S(status.to_string());
        self.client
            .scan()
            .table_name(&self.table)
            .filter_expression(UNRESOLVED)
            .expression_attribute_names("#status", name::STATUS)
            .expression_attribute_names("#payload_sha256", name::PAYLOAD_SHA256)
            .expression_attribute_names("#lease_until_ms", name::LEASE_UNTIL)
            .expression_attribute_names("#kept_until_ms", name::KEPT_UNTIL)
            .expression_attribute_names("#repeatable", name::REPEATABLE)
            .expression_attribute_values(":no", AttributeValue::Bool(false))
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":claimed", status(Status::Claimed))
            .expression_attribute_values(":dispatched", status(Status::Dispatched))
            .expression_attribute_values(":unknown", status(Status::Unknown))
            .expression_attribute_values(":needs_person", status(Status::NeedsPerson))
            .expression_attribute_values(":lapsed_before", number(lapsed_before))
    }

    fn id_of(&self, item: &Item) -> Option<RecordId> {
        RecordId::parse(item.get(self.id_attribute())?.as_s().ok()?)
    }
}

fn ends_after_its_last(records: Vec<Record>) -> Page {
    let next = records.last().map(|record| Cursor::new(record.id.as_str()));
    Page { records, next }
}

fn number(time: EpochMs) -> AttributeValue {
    AttributeValue::N(time.as_millis().to_string())
}
