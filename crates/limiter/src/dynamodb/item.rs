//! Meters and records as items.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::core::control::{Control, Record};
use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, Spent};
use crate::core::register::{Entry, Register};
use crate::moment::Moment;
use crate::names::{LimitKey, SlotId};
use crate::store::Error;

/// Attributes of a meter and of a record.
pub(super) mod name {
    pub(in super::super) const LATEST: &str = "latest_us";
    pub(in super::super) const VERSION: &str = "version";
    pub(in super::super) const CONTROL: &str = "control";
    pub(in super::super) const LEDGER: &str = "ledger";
    pub(in super::super) const SLOT: &str = "slot:";
    pub(in super::super) const ENTERED_AT: &str = "entered_at_us";
    pub(in super::super) const LEASE_UNTIL: &str = "lease_until_us";
}

/// The attribute of a rate's due moment.
pub(super) fn due(rate: usize) -> String {
    format!("due{rate}_us")
}

/// The attribute of a quota's counter.
pub(super) fn spent(quota: usize) -> String {
    format!("spent{quota}")
}

/// The attribute of a quota's reset.
pub(super) fn resets(quota: usize) -> String {
    format!("resets{quota}_us")
}

type Item = HashMap<String, AttributeValue>;

/// Reads a meter; one that has never been written is empty.
pub(super) fn meter(limit: &LimitKey, item: &Item) -> Result<Meter, Error> {
    let what = || format!("meter of {limit}");
    let mut meter = Meter::default();
    while let Some(due) = number(item, &due(meter.due.len()), what)? {
        meter.due.push(Moment(due));
    }
    while let Some(units) = number(item, &spent(meter.spent.len()), what)? {
        let resets_at = number(item, &resets(meter.spent.len()), what)?.unwrap_or(0);
        meter.spent.push(Spent { units, resets_at: Moment(resets_at) });
    }
    // An earlier version did not write it: then nobody is known to have a call to make.
    meter.latest = Moment(number(item, name::LATEST, what)?.unwrap_or(0));
    Ok(meter)
}

/// Reads a ledger; one that has never been written is empty.
pub(super) fn ledger(limit: &LimitKey, item: &Item) -> Result<Ledger, Error> {
    let Some(stored) = item.get(name::LEDGER) else { return Ok(Ledger::default()) };
    let text = stored.as_s().map(String::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|error| Error::Unreadable {
        what: format!("ledger of {limit}"),
        problem: error.to_string(),
    })
}

/// Reads a record; one that has never been written is the default.
pub(super) fn record(limit: &LimitKey, item: &Item) -> Result<Record, Error> {
    let what = || format!("record of {limit}");
    let control = match item.get(name::CONTROL) {
        None => Control::default(),
        Some(stored) => {
            let text = stored.as_s().map(String::as_str).unwrap_or_default();
            let read = serde_json::from_str(text);
            read.map_err(|error| Error::Unreadable { what: what(), problem: error.to_string() })?
        }
    };
    let mut register = Register::default();
    for (attribute, value) in item {
        let Some(id) = attribute.strip_prefix(name::SLOT) else { continue };
        let (Ok(slot), Ok(entry)) = (SlotId::new(id), value.as_m()) else {
            let problem = format!("{attribute:?} is no slot's entry");
            return Err(Error::Unreadable { what: what(), problem });
        };
        let at = |name| Ok::<_, Error>(Moment(number(entry, name, what)?.unwrap_or(0)));
        let (entered_at, lease_until) = (at(name::ENTERED_AT)?, at(name::LEASE_UNTIL)?);
        register.slots.insert(slot, Entry { entered_at, lease_until });
    }
    Ok(Record { control, register })
}

fn number(
    item: &Item,
    attribute: &str,
    what: impl FnOnce() -> String,
) -> Result<Option<u64>, Error> {
    let Some(value) = item.get(attribute) else { return Ok(None) };
    let number = value.as_n().ok().and_then(|text| text.parse().ok());
    let problem = || format!("the attribute {attribute:?} is {value:?}");
    number.map(Some).ok_or_else(|| Error::Unreadable { what: what(), problem: problem() })
}
