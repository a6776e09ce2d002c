//! Limits that several stacks share by a name.
//!
//! They are kept in a table of their own, under that name, by the same limiter: its meter has the
//! moments of all stacks' calls, and its register the slots of all stacks. Whether calls are made at
//! all, a Retry-After and the breaker stay each stack's own.
//!
//! A slot leaves what its rings were sent for to others only if those are of its own stack: slots of
//! other stacks poll other queues. So where only others are at work, its rings sleep, and it looks
//! again after [`LOOKS_AGAIN`].

use std::time::Duration;

use slowlane_limiter::{
    ControlRules, DynamoDbStore, Entry, Error, Limiter, NO_CEILING, Settings, SlotId,
};

use super::store::impatient;
use crate::config::Config;

/// When a slot looks again for a place, or for a moment, that other stacks have.
pub(super) const LOOKS_AGAIN: Duration = Duration::from_secs(5);

/// The limits of a name, as one process of one stack sees them.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limiter: Limiter<DynamoDbStore>,
    /// Whether they say when calls may go.
    pub(super) times: bool,
    /// Whether they say how many calls are made at once.
    pub(super) places: bool,
    slot: SlotId,
    /// How the names of this stack's slots begin.
    stack: String,
}

/// How a slot stands among those of its own stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AmongOwn {
    pub(super) others: u32,
    pub(super) older: u32,
}

impl Shared {
    /// The shared limits of a worker, if it has some. They are kept as its own are: `own`.
    pub(super) fn new(
        config: &Config,
        dynamodb: &aws_sdk_dynamodb::Client,
        own: &Settings,
        seed: u64,
    ) -> Result<Option<Self>, Error> {
        let (Some((name, limits)), Some(table)) =
            (config.limits.shared(), &config.shared_limits_table)
        else {
            return Ok(None);
        };
        let settings = Settings {
            rates: limits.rates(),
            quotas: limits.quotas(),
            ceiling: NO_CEILING,
            rules: ControlRules {
                breaker: None,
                concurrency: limits.concurrency(),
                ..ControlRules::default()
            },
            ..own.clone()
        };
        let times = !settings.rates.is_empty() || !settings.quotas.is_empty();
        let stack = format!("{}/", config.limit_key);
        let slot = SlotId::new(format!("{stack}{seed:016x}"))?;
        let store = DynamoDbStore::new(impatient(dynamodb), table);
        let limiter = Limiter::new(store, name, slot.clone(), settings)?;
        let places = limits.concurrency().is_some();
        Ok(Some(Self { limiter, times, places, slot, stack }))
    }

    /// The slots at work of this process's own stack.
    pub(super) fn among_own(&self) -> AmongOwn {
        let (now, view) = (self.limiter.now(), self.limiter.view());
        let slots = view.record().map(|record| &record.register.slots);
        let live = |entry: &Entry| entry.lease_until > now;
        let own = slots.into_iter().flatten().filter(|(slot, entry)| {
            **slot != self.slot && slot.as_str().starts_with(&self.stack) && live(entry)
        });
        let since = slots.and_then(|slots| slots.get(&self.slot)).map(|entry| entry.entered_at);
        let is_older = |(slot, entry): &(&SlotId, &Entry)| {
            since.is_none_or(|since| (entry.entered_at, *slot) < (since, &self.slot))
        };
        let count = |slots: usize| u32::try_from(slots).unwrap_or(u32::MAX);
        let own: Vec<_> = own.collect();
        AmongOwn {
            others: count(own.len()),
            older: count(own.iter().filter(|slot| is_older(slot)).count()),
        }
    }
}
