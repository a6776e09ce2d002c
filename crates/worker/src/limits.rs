//! The limit that all slots share: whether calls may be made, as its control record says.
//!
//! The record is one item of the guard's table, which people change and every slot reads: when
//! it is woken, beside the holding of its ring, and then once a second beside its running call.
//! What cannot be read stops no work: a view counts for some seconds, then as if nobody had
//! limited anything. Only what somebody was seen to shut stays shut.

use std::sync::Arc;
use std::time::Duration;

use slowlane_lambda::clock::Clock;
use slowlane_limiter::{ControlRules, DynamoDbStore, Limiter, Moment, Settings, SlotId, Waiting};
use slowlane_policy::slot::{self, rings_asleep_for};
use tokio::time::timeout;

use crate::config::Config;

pub use slowlane_limiter::Error;

/// How long a slot waits for the record. A read that is given up hides nothing, unlike a receive.
const LONGEST_READ: Duration = Duration::from_secs(1);

/// The limit, as one process of the worker sees it.
#[derive(Debug)]
pub(crate) struct Limits {
    limiter: Limiter<DynamoDbStore>,
    slot: SlotId,
}

impl Limits {
    /// # Errors
    /// Limits that contradict themselves.
    pub(crate) fn new(
        config: &Config,
        dynamodb: aws_sdk_dynamodb::Client,
        clock: &Clock,
        seed: u64,
    ) -> Result<Self, Error> {
        let slot = SlotId::from(seed);
        let store = DynamoDbStore::new(dynamodb, &config.idempotency_table);
        let clock = clock.clone();
        let settings = Settings {
            rules: ControlRules { breaker: None, ..ControlRules::default() },
            clock: Arc::new(move || clock.system_time()),
            ..Settings::default()
        };
        let limiter = Limiter::new(store, config.limit_key.clone(), slot.clone(), settings)?;
        Ok(Limits { limiter, slot })
    }

    /// Reads the record, unless that was done within the last second and nothing was shut then.
    pub(crate) async fn refresh(&self) {
        match self.shut() {
            // Whoever resumes rings, and that ring may be the one that woke this slot.
            Some(_) => self.look().await,
            None => self.within(self.limiter.refresh()).await,
        }
    }

    /// Reads the record.
    pub(crate) async fn look(&self) {
        self.within(self.limiter.look()).await;
    }

    async fn within(&self, read: impl Future<Output = ()>) {
        if timeout(LONGEST_READ, read).await.is_err() {
            tracing::warn!(limit = ?self.limiter, "the control record was not read in time");
        }
    }

    /// Why no call may be made, and until when at least.
    pub(crate) fn shut(&self) -> Option<Waiting> {
        match self.limiter.view().gate(self.limiter.now(), &self.slot) {
            slowlane_limiter::Gate::Shut(waiting) => Some(waiting),
            slowlane_limiter::Gate::Open | slowlane_limiter::Gate::Probe { .. } => None,
        }
    }

    /// How long until `waiting` is over, if that does not depend on a person.
    pub(crate) fn opens_in(&self, waiting: &Waiting) -> Option<Duration> {
        waiting.until.map(|until| self.limiter.until(until))
    }

    /// The gate as a slot is to be told of it that began `since` ago.
    pub(crate) fn gate(&self, since: Duration) -> slot::Gate {
        let Some(waiting) = self.shut() else { return slot::Gate::Open };
        let now = self.limiter.now().since(Moment(0));
        let asleep = rings_asleep_for(now, self.opens_in(&waiting));
        slot::Gate::Shut { rings_back_at: since + asleep }
    }
}
