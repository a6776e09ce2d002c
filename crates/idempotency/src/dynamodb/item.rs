//! A record as a DynamoDB item.
//!
//! Times of our own logic are epoch milliseconds and say so in their names; the time to
//! live attribute is epoch seconds, because DynamoDB reads it.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest, Sha256};

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::payload::PayloadHash;
use crate::record::{Holder, MaybeExecuted, Owner, Pointer, Record, Status, StoredResult};
use crate::store::Error;

/// Names of the attributes.
pub(super) mod name {
    pub(in super::super) const STATUS: &str = "status";
    pub(in super::super) const OWNER: &str = "owner";
    pub(in super::super) const ATTEMPT: &str = "attempt";
    pub(in super::super) const PAYLOAD_SHA256: &str = "payload_sha256";
    pub(in super::super) const REPEATABLE: &str = "repeatable";
    pub(in super::super) const CLAIMED_AT: &str = "claimed_at_ms";
    pub(in super::super) const LEASE_UNTIL: &str = "lease_until_ms";
    pub(in super::super) const DISPATCHED_AT: &str = "dispatched_at_ms";
    pub(in super::super) const UNKNOWN_SINCE: &str = "unknown_since_ms";
    pub(in super::super) const SETTLES_AT: &str = "settles_at_ms";
    pub(in super::super) const COMPLETED_AT: &str = "completed_at_ms";
    pub(in super::super) const KEPT_UNTIL: &str = "kept_until_ms";
    pub(in super::super) const UNTRIED: &str = "untried";
    pub(in super::super) const MAYBE_EXECUTED: &str = "maybe_executed";
    pub(in super::super) const UNRESOLVED: &str = "unresolved";
    pub(in super::super) const UNRESOLVED_FROM: &str = "unresolved_from_ms";
    pub(in super::super) const WHY: &str = "why";
    pub(in super::super) const RESULT: &str = "result";
    pub(in super::super) const RESULT_AT: &str = "result_at";
    pub(in super::super) const RESULT_SHA256: &str = "result_sha256";
    pub(in super::super) const RESULT_BYTES: &str = "result_bytes";
}

/// Time to live only tidies up, and it must not tidy away what still counts for a clock
/// that runs slow.
const TTL_AFTER_KEPT: Duration = Duration::from_secs(60 * 60);

/// What stands for [`MaybeExecuted::WithSeveral`].
const SEVERAL: &str = "several";

/// The attributes that a claim leaves as they are, since they are about earlier attempts.
pub(super) fn about_earlier_attempts(
    record: &Record,
) -> [(&'static str, Option<AttributeValue>); 2] {
    let untried = Some(record.untried).filter(|untried| *untried > 0);
    let maybe_executed = match record.maybe_executed_before {
        MaybeExecuted::No => None,
        MaybeExecuted::With(payload) => Some(payload.to_string()),
        MaybeExecuted::WithSeveral => Some(SEVERAL.to_owned()),
    };
    [
        (name::UNTRIED, untried.map(|untried| AttributeValue::N(untried.to_string()))),
        (name::MAYBE_EXECUTED, maybe_executed.map(AttributeValue::S)),
    ]
}

/// Partitions of the index of unresolved records: each takes about 1,000 writes a second,
/// and a call makes two.
pub(super) const SHARDS: u8 = 8;

/// The partition of a record in the index.
pub(super) fn shard(id: &RecordId) -> u8 {
    Sha256::digest(id.as_str())[0] % SHARDS
}

/// The attributes of a table that has an index of unresolved records.
pub(super) fn unresolved(record: &Record) -> [(&'static str, Option<AttributeValue>); 2] {
    let from = record.unresolved_from();
    let shard = from.map(|_| AttributeValue::S(shard(&record.id).to_string()));
    let from = from.map(|from| AttributeValue::N(from.as_millis().to_string()));
    [(name::UNRESOLVED, shard), (name::UNRESOLVED_FROM, from)]
}

/// Every other attribute a record can have, except the key, the attempt number and the time
/// to live: the value to set, or `None` to remove it.
pub(super) fn attributes(record: &Record) -> Vec<(&'static str, Option<AttributeValue>)> {
    let text = |value: String| Some(AttributeValue::S(value));
    let number = |value: u64| Some(AttributeValue::N(value.to_string()));
    let time = |value: Option<EpochMs>| value.and_then(|time| number(time.as_millis()));
    let (result, pointer) = match &record.result {
        Some(StoredResult::Inline(json)) => (Some(json), None),
        Some(StoredResult::Offloaded(pointer)) => (None, Some(pointer)),
        None => (None, None),
    };
    vec![
        (name::STATUS, text(record.status.to_string())),
        (name::OWNER, text(record.holder.owner.to_string())),
        (name::PAYLOAD_SHA256, text(record.payload.to_string())),
        (name::REPEATABLE, Some(AttributeValue::Bool(record.repeatable))),
        (name::CLAIMED_AT, time(Some(record.claimed_at))),
        (name::LEASE_UNTIL, time(Some(record.lease_until))),
        (name::DISPATCHED_AT, time(record.dispatched_at)),
        (name::UNKNOWN_SINCE, time(record.unknown_since)),
        (name::SETTLES_AT, time(record.settles_at)),
        (name::COMPLETED_AT, time(record.completed_at)),
        (name::KEPT_UNTIL, time(record.kept_until)),
        (name::WHY, record.why.clone().and_then(text)),
        (name::RESULT, result.cloned().and_then(text)),
        (name::RESULT_AT, pointer.and_then(|p| text(p.location.clone()))),
        (name::RESULT_SHA256, pointer.and_then(|p| text(p.sha256.clone()))),
        (name::RESULT_BYTES, pointer.and_then(|p| number(p.bytes))),
    ]
}

/// When DynamoDB may delete the item, in epoch seconds; never while it is unresolved.
pub(super) fn time_to_live(record: &Record) -> Option<AttributeValue> {
    let deleted_after = record.kept_until?.plus(TTL_AFTER_KEPT);
    let seconds = deleted_after.as_millis().div_ceil(1000);
    Some(AttributeValue::N(seconds.to_string()))
}

/// Reads an item. Attributes that this version does not know are left alone; a status
/// that it does not know is an error, since acting on it would be guessing.
pub(super) fn read(id: RecordId, item: &HashMap<String, AttributeValue>) -> Result<Record, Error> {
    let item = Item { id: &id, item };
    Ok(Record {
        status: item.parsed(name::STATUS, Status::parse)?,
        holder: Holder {
            owner: Owner(item.parsed(name::OWNER, |text| text.parse().ok())?),
            attempt: item.required(name::ATTEMPT, item.number(name::ATTEMPT)?)?,
        },
        payload: item.parsed(name::PAYLOAD_SHA256, PayloadHash::parse)?,
        repeatable: item.required(name::REPEATABLE, item.bool(name::REPEATABLE)?)?,
        claimed_at: item.required(name::CLAIMED_AT, item.time(name::CLAIMED_AT)?)?,
        lease_until: item.required(name::LEASE_UNTIL, item.time(name::LEASE_UNTIL)?)?,
        dispatched_at: item.time(name::DISPATCHED_AT)?,
        unknown_since: item.time(name::UNKNOWN_SINCE)?,
        settles_at: item.time(name::SETTLES_AT)?,
        completed_at: item.time(name::COMPLETED_AT)?,
        kept_until: item.time(name::KEPT_UNTIL)?,
        untried: item.number(name::UNTRIED)?.unwrap_or(0),
        // What this version cannot read is read as the careful answer.
        maybe_executed_before: match item.text(name::MAYBE_EXECUTED)? {
            None => MaybeExecuted::No,
            Some(text) => {
                PayloadHash::parse(text).map_or(MaybeExecuted::WithSeveral, MaybeExecuted::With)
            }
        },
        why: item.text(name::WHY)?.map(str::to_owned),
        result: item.result()?,
        id: id.clone(),
    })
}

struct Item<'a> {
    id: &'a RecordId,
    item: &'a HashMap<String, AttributeValue>,
}

impl<'a> Item<'a> {
    fn result(&self) -> Result<Option<StoredResult>, Error> {
        if let Some(json) = self.text(name::RESULT)? {
            return Ok(Some(StoredResult::Inline(json.to_owned())));
        }
        let Some(location) = self.text(name::RESULT_AT)? else {
            return Ok(None);
        };
        Ok(Some(StoredResult::Offloaded(Pointer {
            location: location.to_owned(),
            sha256: self.parsed(name::RESULT_SHA256, |text| Some(text.to_owned()))?,
            bytes: self.required(name::RESULT_BYTES, self.number(name::RESULT_BYTES)?)?,
        })))
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
        let text = self.required(name, self.text(name)?)?;
        parse(text).ok_or_else(|| self.unreadable(name, &format!("is {text:?}")))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.typed(name, |value| value.as_s().ok().map(String::as_str))
    }

    fn bool(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, |value| value.as_bool().ok().copied())
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        self.typed(name, |value| value.as_n().ok()?.parse().ok())
    }

    fn time(&self, name: &str) -> Result<Option<EpochMs>, Error> {
        Ok(self.number(name)?.map(EpochMs))
    }

    fn typed<T>(
        &self,
        name: &str,
        read: impl Fn(&'a AttributeValue) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.item.get(name) else {
            return Ok(None);
        };
        let read = read(value).ok_or_else(|| self.unreadable(name, &format!("is {value:?}")))?;
        Ok(Some(read))
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.unreadable(name, "is missing"))
    }

    fn unreadable(&self, name: &str, problem: &str) -> Error {
        Error::Unreadable(format!("{}: the attribute {name:?} {problem}", self.id))
    }
}
