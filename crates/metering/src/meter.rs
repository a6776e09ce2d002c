//! One process's part in counting: what it has to add, and what it knows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use futures::lock::Mutex as Turns;
use jiff::{SignedDuration, Timestamp};

use crate::budget::{Budgets, Every, Exceeded};
use crate::period::Period;
use crate::prices::Prices;
use crate::table::{Account, Error, UsageTable, WriterId};
use crate::used::{Tally, Tokens, Used};

/// For so long a write is repeated of which no answer came. After that nobody would know any more that
/// it was made before.
const REPEATED_FOR_MS: i64 = 30 * 60_000;

/// For so long after a day it is known what was written last: clocks may be set back meanwhile.
const KEPT_AFTER_END: SignedDuration = SignedDuration::from_hours(24);

/// The longest name of a model that is kept.
const MODEL_MAX_CHARS: usize = 100;

/// Counts what calls use, once each, and holds tenants to their budgets.
///
/// What is [recorded](Meter::record) is written by [`flush`](Meter::flush). A write that fails, or
/// whose answer is lost, is made again by the next one, and counts once all the same. What has not been
/// written when the process ends is lost.
#[derive(Debug)]
pub struct Meter {
    table: UsageTable,
    writer: WriterId,
    prices: Option<Prices>,
    budgets: Budgets,
    accounts: Mutex<BTreeMap<Account, Entry>>,
    /// Writes are made one after another.
    turns: Turns<()>,
}

/// What is to be added to an account.
#[derive(Debug, Default)]
struct Entry {
    unsent: Tally,
    /// A write whose answer is not known.
    sent: Option<Write>,
    last_ms: i64,
    forgotten: Vec<String>,
}

#[derive(Clone, Debug)]
struct Write {
    at_ms: i64,
    tally: Tally,
}

impl Meter {
    /// A meter that adds to `table` as `writer`.
    #[must_use]
    pub fn new(
        table: UsageTable,
        writer: WriterId,
        prices: Option<Prices>,
        budgets: Budgets,
    ) -> Self {
        let (accounts, turns) = (Mutex::default(), Turns::default());
        Self { table, writer, prices, budgets, accounts, turns }
    }

    /// Notes what a call of a tenant has used of a model; answers it with its cost. `""` is no tenant.
    pub fn record(&self, tenant: &str, model: &str, tokens: Tokens, now: Timestamp) -> Used {
        let model: String = model.chars().take(MODEL_MAX_CHARS).collect();
        let cost = self.prices.as_ref().and_then(|prices| prices.cost(&model, tokens));
        let used = Used::by_call(tokens, cost);
        let mut accounts = self.accounts();
        for period in self.periods(now) {
            let account = Account { period, tenant: tenant.to_owned() };
            accounts.entry(account).or_default().unsent.add(&model, used);
        }
        used
    }

    /// Each call counts in its day, and in its month where a budget asks for it.
    fn periods(&self, now: Timestamp) -> impl Iterator<Item = Period> {
        let month = self.budgets.count(Every::Month).then(|| Period::month_of(now));
        [Period::day_of(now)].into_iter().chain(month)
    }

    /// Writes what was recorded. `now` is asked for each write.
    ///
    /// # Errors
    /// A write that was not answered. It is made again by the next flush.
    pub async fn flush(&self, now: impl Fn() -> Timestamp) -> Result<(), Error> {
        let _turn = self.turns.lock().await;
        loop {
            let due = self.due(now());
            if due.is_empty() {
                return Ok(());
            }
            let writes = due.iter().map(|due| self.write(due, now()));
            join_all(writes).await.into_iter().collect::<Result<Vec<()>, Error>>()?;
        }
    }

    /// Whether something is still to be written.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        let is_unwritten = |entry: &Entry| entry.sent.is_some() || !entry.unsent.is_empty();
        self.accounts().values().any(is_unwritten)
    }

    /// The next write of each account that needs one.
    fn due(&self, now: Timestamp) -> Vec<(Account, Write, Vec<String>)> {
        let mut accounts = self.accounts();
        // Days that are long over need no more room, once all of them is written.
        accounts.retain(|account, entry| {
            let is_over = now.duration_since(account.period.ends()) > KEPT_AFTER_END;
            !is_over || entry.sent.is_some() || !entry.unsent.is_empty()
        });
        let due = accounts.iter_mut().filter_map(|(account, entry)| {
            entry.give_up_what_is_old(account, now);
            if entry.sent.is_none() && !entry.unsent.is_empty() {
                // Later than the write before, also if the clock was set back.
                let at_ms = now.as_millisecond().max(entry.last_ms + 1);
                let tally = std::mem::take(&mut entry.unsent);
                entry.sent = Some(Write { at_ms, tally });
            }
            Some((account.clone(), entry.sent.clone()?, entry.forgotten.clone()))
        });
        due.collect()
    }

    async fn write(
        &self,
        (account, write, forgotten): &(Account, Write, Vec<String>),
        now: Timestamp,
    ) -> Result<(), Error> {
        let Write { at_ms, tally } = write;
        let read = self.table.add(account, tally, (&self.writer, *at_ms), forgotten).await?;
        if let Some(entry) = self.accounts().get_mut(account) {
            entry.sent = None;
            entry.last_ms = *at_ms;
            entry.forgotten = read.forgotten(now.as_millisecond());
        }
        Ok(())
    }

    /// The first budget of a tenant that is used up, as far as is written, or known to this process.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn exceeded(&self, tenant: &str, now: Timestamp) -> Result<Option<Exceeded>, Error> {
        // What this process is about to write counts as well.
        let _turn = self.turns.lock().await;
        let spans = [Every::Day, Every::Month].into_iter();
        let spans = spans.filter(|every| self.budgets.count(*every));
        let read = join_all(spans.map(async |every| {
            let account = Account { period: every.period(now), tenant: tenant.to_owned() };
            Ok((every, self.used(&account).await?))
        }));
        let read = read.await.into_iter().collect::<Result<Vec<_>, Error>>()?;
        Ok(self.budgets.iter().find_map(|budget| {
            let (_, used) = *read.iter().find(|(every, _)| *every == budget.every)?;
            let until = budget.every.period(now).ends();
            budget.is_used_up(&used).then_some(Exceeded { budget: *budget, used, until })
        }))
    }

    async fn used(&self, account: &Account) -> Result<Used, Error> {
        let mut read = self.table.read(account).await?;
        if let Some(entry) = self.accounts().get(account) {
            read.add_all(&entry.unsent);
            // It may stand in the table already, if its answer was lost.
            entry.sent.iter().for_each(|write| read.add_all(&write.tally));
        }
        Ok(read.total())
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<Account, Entry>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn give_up_what_is_old(&mut self, account: &Account, now: Timestamp) {
        let is_old = |write: &mut Write| now.as_millisecond() - write.at_ms > REPEATED_FOR_MS;
        if let Some(Write { at_ms, tally }) = self.sent.take_if(is_old) {
            let Used { calls, input, output, .. } = tally.total();
            self.last_ms = at_ms;
            tracing::error!(
                account = account.to_string(),
                calls,
                input,
                output,
                "usage may not have been counted: its write was not answered for half an hour"
            );
        }
    }
}
