//! What calls have used of models, where the deployment counts it.
//!
//! It is written when a call is answered, before the call's result is stored: a worker that is killed
//! after that has counted it. One that is killed before makes the call again where that may be done,
//! and then the API has been used twice. A write that fails is no reason to hold a call up. It is made
//! again after this process's next call, and at the end of its invocation.

use std::cell::Cell;
use std::time::Duration;

use slowlane_lambda::clock::Clock;
use slowlane_lambda::logs::chain;
use slowlane_message::{QueuedCall, Usage};
use slowlane_metering::{Budgets, Meter, Tokens, UsageTable, Used, WriterId};
use tokio::time::timeout;

use crate::config::Config;

/// How long a call waits for the table of usage at most.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Counts usage, and holds tenants to their budgets.
pub(crate) struct Metering {
    meter: Meter,
    budgets: Budgets,
    clock: Clock,
    /// Requests that the table did not answer, since they were last told.
    unreached: Cell<u32>,
}

/// What one call has used, as it was counted.
#[derive(Debug)]
pub(crate) struct Metered {
    pub(crate) model: String,
    pub(crate) used: Used,
}

impl Metering {
    /// `None` where nothing is counted. `seed` tells this process from others.
    pub(crate) fn new(
        config: &Config,
        dynamodb: &aws_sdk_dynamodb::Client,
        clock: &Clock,
        seed: u64,
    ) -> Option<Self> {
        let table = UsageTable::new(dynamodb.clone(), config.usage_table.as_deref()?);
        let (prices, budgets) = (config.prices.clone(), config.budgets.clone());
        let meter = Meter::new(table, WriterId::from(seed), prices, budgets.clone());
        Some(Self { meter, budgets, clock: clock.clone(), unreached: Cell::new(0) })
    }

    /// Counts what an answered call has used.
    pub(crate) async fn count(&self, call: &QueuedCall, usage: &Usage) -> Metered {
        let Usage { model, input, cached, cache_written, output } = usage;
        let tokens = Tokens {
            input: *input,
            cached: *cached,
            cache_written: *cache_written,
            output: *output,
        };
        let tenant = call.tenant.as_deref().unwrap_or_default();
        let used = self.meter.record(tenant, model, tokens, self.clock.now());
        self.write().await;
        Metered { model: model.clone(), used }
    }

    /// Writes what an earlier write has left.
    pub(crate) async fn write_rest(&self) {
        if self.meter.has_unwritten() {
            self.write().await;
        }
    }

    async fn write(&self) {
        self.in_time(self.meter.flush(|| self.clock.now())).await;
    }

    /// Which budget of the call's tenant is used up, in words. A call of no tenant has none. Where the
    /// table cannot be read, calls go on.
    pub(crate) async fn why_beyond_budget(&self, call: &QueuedCall) -> Option<String> {
        let tenant = call.tenant.as_deref().filter(|_| !self.budgets.is_empty())?;
        let exceeded = self.in_time(self.meter.exceeded(tenant, self.clock.now())).await?;
        exceeded.map(|exceeded| exceeded.to_string())
    }

    /// What the table answers, if it does so in time.
    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, slowlane_metering::Error>>,
    ) -> Option<T> {
        let why = match timeout(LONGEST_WAIT, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => chain(&error),
            Err(_) => "the table of usage has not answered in time".to_owned(),
        };
        self.unreached.set(self.unreached.get().saturating_add(1));
        tracing::warn!(why, "usage is not counted, or not looked at, for now");
        None
    }

    /// How many requests the table did not answer since this was last asked.
    pub(crate) fn take_unreached(&self) -> u32 {
        self.unreached.take()
    }
}
