//! The limiter: what a program holds and asks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, SharedCorrection, SystemClock};
use crate::core::aimd::Aimd;
use crate::core::control::{Author, Change, Control, ControlRules, Overrides, Record, Report};
use crate::core::horizon::Horizon;
use crate::core::meter::Meter;
use crate::core::quota::{self, Quota};
use crate::core::rate::{self, Margin, Rate};
use crate::core::units::Units;
use crate::core::view::{Gate, Place, View, ViewSettings};
use crate::memory::MemoryStore;
use crate::moment::Moment;
use crate::names::{LimitKey, SlotId};
use crate::store::{self, Store};

/// Writes of one change, each from the record as it was then.
const ATTEMPTS: u32 = 8;

/// A limit that a fleet shares, as one process of it sees it. Clones are the same process.
///
/// It never sleeps and starts nothing in the background: it says when, and the caller waits.
pub struct Limiter<S> {
    pub(crate) inner: Arc<Inner<S>>,
}

pub(crate) struct Inner<S> {
    pub(crate) store: S,
    pub(crate) limit: LimitKey,
    pub(crate) slot: SlotId,
    pub(crate) settings: Settings,
    /// What stands in for a store that is down.
    pub(crate) local: MemoryStore,
    /// Whether the latest reservation did not reach the store.
    pub(crate) store_is_down: AtomicBool,
    /// The moment of the latest grant that this process knows of.
    pub(crate) granted_until: AtomicU64,
    view: Mutex<View>,
    stats: Counters,
}

/// How a limit is kept. Each field has a default.
#[derive(Clone)]
pub struct Settings {
    /// Rates that the API sets, all of which are kept.
    pub rates: Vec<Rate>,
    /// Quotas that the API sets.
    pub quotas: Vec<Quota>,
    /// Calls at once, of the whole fleet: what [`enter`](Limiter::enter) keeps, and the most that a
    /// live change can set.
    pub ceiling: u32,
    /// What may pass between a grant and its call.
    pub margin: Margin,
    /// How far ahead a moment may be reserved. With tokens 2 s serve better than the default.
    pub horizon: Horizon,
    /// How long a slot's entry in the register counts without being renewed.
    pub lease: Duration,
    /// From one read of the control record to the next.
    pub read_every: Duration,
    /// How long what was read counts in full when the record cannot be read.
    pub trusted_for: Duration,
    /// Breaker, adaptive concurrency, and what a 429 does.
    pub rules: ControlRules,
    /// What is done when the store cannot be reached.
    pub fallback: Fallback,
    /// The time, before its correction.
    pub clock: Arc<dyn Clock>,
    /// How wrong that clock is. A [`DateListener`](crate::DateListener) tells it.
    pub correction: SharedCorrection,
}

/// What is done when the store cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Each process keeps one of so many parts of each rate and quota: as many as there may be
    /// processes. Calls go on, within the limit.
    Split(u32),
    /// Nothing is granted.
    Refuse,
}

impl Default for Settings {
    /// No rate and no quota, and 10 calls at once. A lease is 10 s; the record is read once a
    /// second and trusted for 10 s; the caller is one of as many parts as the ceiling has.
    fn default() -> Self {
        Self {
            rates: Vec::new(),
            quotas: Vec::new(),
            ceiling: 10,
            margin: Margin::default(),
            horizon: Horizon::default(),
            lease: Duration::from_secs(10),
            read_every: Duration::from_secs(1),
            trusted_for: Duration::from_secs(10),
            rules: ControlRules::default(),
            fallback: Fallback::Split(10),
            clock: Arc::new(SystemClock),
            correction: SharedCorrection::new(),
        }
    }
}

/// Why a limit cannot be kept as it is set, or a call not be granted whatever its turn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rate contradicts itself, or the call is larger than it allows.
    #[error("the rate {rate}")]
    Rate {
        /// The rate.
        rate: String,
        /// What is wrong.
        source: rate::Error,
    },
    /// A quota's reset cannot be told.
    #[error("a quota")]
    Quota(#[from] quota::Error),
    /// The store failed, where nothing can stand in for it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] crate::names::Error),
}

impl Error {
    /// The call is larger than the limit ever allows: no waiting would help.
    #[must_use]
    pub fn is_call_too_large(&self) -> bool {
        matches!(
            self,
            Self::Rate { source: rate::Error::CallTooLarge { .. }, .. }
                | Self::Quota(quota::Error::CallTooLarge { .. })
        )
    }
}

/// What a limiter has done, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Grants, the fallback's included.
    pub grants: u64,
    /// Questions that were answered with a wait.
    pub refusals: u64,
    /// Grants that the fallback gave: set an alarm on it.
    pub fallback_grants: u64,
    /// Requests that the store did not answer: set an alarm on it.
    pub store_failures: u64,
}

#[derive(Debug, Default)]
struct Counters {
    grants: AtomicU64,
    refusals: AtomicU64,
    fallback_grants: AtomicU64,
    store_failures: AtomicU64,
}

/// How a limit stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standings {
    /// The control record and the register.
    pub record: Record,
    /// What was granted.
    pub meter: Meter,
    /// Calls at once, as it is in effect.
    pub concurrency: u32,
    /// Rates in effect.
    pub rates: Vec<Rate>,
    /// Quotas in effect.
    pub quotas: Vec<Quota>,
}

impl<S> Clone for Limiter<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S> fmt::Debug for Limiter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        f.debug_struct("Limiter").field("limit", &inner.limit).field("slot", &inner.slot).finish()
    }
}

impl<S: Store> Limiter<S> {
    /// A limiter of `limit` for the process or invocation `slot`.
    ///
    /// # Errors
    /// A rate or a quota contradicts itself.
    pub fn new(store: S, limit: LimitKey, slot: SlotId, settings: Settings) -> Result<Self, Error> {
        check(&settings.rates, &settings.quotas, &settings.margin)?;
        let view = View::new(ViewSettings {
            ceiling: settings.ceiling,
            every: settings.read_every,
            trusted_for: settings.trusted_for,
            rules: settings.rules.clone(),
        });
        let inner = Inner {
            store,
            limit,
            slot,
            settings,
            local: MemoryStore::new(),
            store_is_down: AtomicBool::new(false),
            granted_until: AtomicU64::new(0),
            view: Mutex::new(view),
            stats: Counters::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The fleet's time.
    #[must_use]
    pub fn now(&self) -> Moment {
        let Settings { clock, correction, .. } = &self.inner.settings;
        correction.correct(clock.now())
    }

    /// How long until `moment`; zero if it is past.
    #[must_use]
    pub fn until(&self, moment: Moment) -> Duration {
        moment.since(self.now())
    }

    /// What this process knows of the control record.
    #[must_use]
    pub fn view(&self) -> View {
        self.lock_view().clone()
    }

    /// Whether this process may call now, as far as it knows. No request.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.lock_view().gate(self.now(), &self.inner.slot)
    }

    /// How this process stands among the slots at work, as far as it knows, with a place of its own or
    /// as one that asks for one; `None` where slots need no places. No request.
    #[must_use]
    pub fn place(&self, is_in: bool) -> Option<Place> {
        let (now, view) = (self.now(), self.lock_view());
        view.needs_places(now).then(|| view.place(now, &self.inner.slot, is_in))
    }

    /// What the adaptive concurrency has found so far, as far as this process knows.
    #[must_use]
    pub fn adaptive(&self) -> Option<Aimd> {
        self.lock_view().record().and_then(|record| record.control.adaptive.clone())
    }

    /// What this limiter has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Counters { grants, refusals, fallback_grants, store_failures } = &self.inner.stats;
        Stats {
            grants: grants.load(Ordering::Relaxed),
            refusals: refusals.load(Ordering::Relaxed),
            fallback_grants: fallback_grants.load(Ordering::Relaxed),
            store_failures: store_failures.load(Ordering::Relaxed),
        }
    }

    /// Reads the control record if its time has come: one request at most in
    /// [`read_every`](Settings::read_every). Call it beside a running call; `grant` and
    /// `enter` do so themselves where it is due. A store that is down is counted and warned of.
    pub async fn refresh(&self) {
        let due_at = self.lock_view().read_due_at();
        if due_at <= self.now() {
            self.look().await;
        }
    }

    /// Reads the control record now, whether or not its time has come: for whoever has reason to
    /// believe that somebody has just changed it. One request, as in [`refresh`](Self::refresh).
    pub async fn look(&self) {
        let began = self.now();
        self.lock_view().reads(began);
        match self.inner.store.record(&self.inner.limit).await {
            Ok(record) => self.lock_view().learns(began, record),
            Err(error) => self.store_failed(&error, "read the control record"),
        }
    }

    /// Tells everybody what became of a call, where that is news to them: most answers are not, and
    /// cost no request. `call` is any name that tells it from other calls. A store that is down is
    /// counted and warned of: the call has been made, and nothing is to be done about it. Answers
    /// whether this report has changed the record.
    pub async fn report(&self, call: &str, report: &Report) -> bool {
        let Inner { slot, settings, .. } = &*self.inner;
        if matches!(report, Report::Throttled { retry_after: None, .. }) {
            self.lock_view().stands_back(self.now());
        }
        let next =
            |control: &Control| control.reported(self.now(), slot, call, report, &settings.rules);
        match self.rewrite(next).await {
            Ok((_, stored)) => stored,
            Err(error) => {
                self.store_failed(&error, "take a report");
                false
            }
        }
    }

    /// Tells that a call went well: [`report`](Self::report) with what this process knows of the
    /// permits in use. It counts for more calls at once where that is adaptive.
    pub async fn answered(&self, call: &str, latency: Duration) {
        let now = self.now();
        let all_in_use = {
            let view = self.lock_view();
            let live = view.record().map_or(0, |record| record.register.live(now));
            live >= view.concurrency(now)
        };
        self.report(call, &Report::Answered { latency, all_in_use }).await;
    }

    /// Changes the limit for everybody, from within a second on: pause, drain, resume, other
    /// limits. The record keeps who did it and why.
    ///
    /// # Errors
    /// Limits that contradict themselves; the store failed, or too many others changed the record.
    pub async fn change(&self, change: &Change, by: &Author) -> Result<Control, Error> {
        if let Change::SetLimits { limits } = change {
            self.check(limits)?;
        }
        // A person's change is made to the record as it is, not to what was seen of it.
        let began = self.now();
        let record = self.inner.store.record(&self.inner.limit).await?;
        self.lock_view().learns(began, record);
        let next = |control: &Control| Some(control.changed(self.now(), change, by));
        Ok(self.rewrite(next).await?.0)
    }

    /// Sets limits for everybody, from within a second on. `set` makes what is to be set of what was
    /// set before; it may be asked several times, where others change the record at once. Answers
    /// with what was set before and the record as it is now.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub async fn set_limits(
        &self,
        set: impl Fn(&Overrides) -> Overrides,
        by: &Author,
    ) -> Result<(Overrides, Control), Error> {
        let began = self.now();
        let record = self.inner.store.record(&self.inner.limit).await?;
        self.check(&set(&record.control.limits))?;
        self.lock_view().learns(began, record);
        let before = Mutex::new(Overrides::default());
        let next = |control: &Control| {
            before.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&control.limits);
            let change = Change::SetLimits { limits: set(&control.limits) };
            Some(control.changed(self.now(), &change, by))
        };
        let (control, _) = self.rewrite(next).await?;
        Ok((before.into_inner().unwrap_or_else(PoisonError::into_inner), control))
    }

    /// How the limit stands, for people: two requests.
    ///
    /// # Errors
    /// The store failed.
    pub async fn standings(&self) -> Result<Standings, store::Error> {
        let began = self.now();
        let record = self.inner.store.record(&self.inner.limit).await?;
        self.lock_view().learns(began, record.clone());
        let meter = self.meter().await?;
        let (rates, quotas) = self.limits();
        let concurrency = self.lock_view().concurrency(began);
        Ok(Standings { record, meter, concurrency, rates, quotas })
    }

    async fn meter(&self) -> Result<Meter, store::Error> {
        let Inner { store, limit, .. } = &*self.inner;
        if !self.counts_units() {
            return store.meter(limit).await;
        }
        let ledger = store.ledger(limit).await?;
        let due = ledger.rates.iter().map(|account| account.due).collect();
        let latest = ledger.latest();
        Ok(Meter { due, spent: ledger.quotas, latest })
    }

    fn check(&self, limits: &Overrides) -> Result<(), Error> {
        let Overrides { rates, quotas, tenant_rates, tenant_quotas, .. } = limits;
        for (rates, quotas) in [(rates, quotas), (tenant_rates, tenant_quotas)] {
            let (rates, quotas) = (rates.as_deref(), quotas.as_deref());
            let margin = &self.inner.settings.margin;
            check(rates.unwrap_or_default(), quotas.unwrap_or_default(), margin)?;
        }
        Ok(())
    }

    /// Stores what `next` makes of the control record, and again of the newer one if somebody else
    /// was faster. `None` is nothing to store. Answers with the record, and whether it was stored.
    pub(crate) async fn rewrite(
        &self,
        next: impl Fn(&Control) -> Option<Control>,
    ) -> Result<(Control, bool), store::Error> {
        let Inner { store, limit, .. } = &*self.inner;
        let mut record = self.lock_view().record().cloned().unwrap_or_default();
        for _ in 0..ATTEMPTS {
            let Some(control) = next(&record.control) else {
                return Ok((record.control, false));
            };
            if store.control(limit, &control).await? {
                let record = Record { control: control.clone(), ..record };
                self.lock_view().learns(self.now(), record);
                return Ok((control, true));
            }
            let began = self.now();
            record = store.record(limit).await?;
            self.lock_view().learns(began, record.clone());
        }
        Err(store::Error::Contended { attempts: ATTEMPTS })
    }

    /// Rates and quotas in effect: what was set live, else what was configured.
    #[must_use]
    pub fn limits(&self) -> (Vec<Rate>, Vec<Quota>) {
        let Overrides { rates, quotas, .. } = self.set_live();
        let configured = &self.inner.settings;
        let rates = rates.unwrap_or_else(|| configured.rates.clone());
        (rates, quotas.unwrap_or_else(|| configured.quotas.clone()))
    }

    /// What was set live, as far as this process knows it well enough.
    #[must_use]
    pub fn set_live(&self) -> Overrides {
        let now = self.now();
        let view = self.lock_view();
        let trusted = view.record().filter(|_| view.is_trusted(now));
        trusted.map(|record| record.control.limits.clone()).unwrap_or_default()
    }

    pub(crate) fn lock_view(&self) -> MutexGuard<'_, View> {
        self.inner.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn store_failed(&self, error: &store::Error, what: &str) {
        self.inner.stats.store_failures.fetch_add(1, Ordering::Relaxed);
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, limit = %self.inner.limit, "the limiter's store did not {what}");
    }

    pub(crate) fn count_grants(&self, grants: u64, by_fallback: bool) {
        let stats = &self.inner.stats;
        stats.grants.fetch_add(grants, Ordering::Relaxed);
        if by_fallback {
            stats.fallback_grants.fetch_add(grants, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_refusal(&self) {
        self.inner.stats.refusals.fetch_add(1, Ordering::Relaxed);
    }
}

fn check(rates: &[Rate], quotas: &[Quota], margin: &Margin) -> Result<(), Error> {
    for rate in rates {
        let take = rate.take(Units::LARGEST, margin);
        take.map_err(|source| Error::Rate { rate: rate.to_string(), source })?;
    }
    for quota in quotas {
        quota.resets_at(Moment::from(SystemTime::UNIX_EPOCH))?;
    }
    Ok(())
}
