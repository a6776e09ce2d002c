//! The limit that all slots share: whether calls may be made, as its control record says.
//!
//! The record is one item of the guard's table. People change it, and every slot reads it: first
//! beside the holding of its ring, when it is woken, then once a second beside its running call.
//! A slot tells it what became of its call where that is news to the others: the API asked to
//! wait, or refuses everybody. Then the breaker is open and one slot, elected by a write, finds out by
//! its next call whether the API can answer again.
//!
//! Beside it stand the target's rates, with when calls may go under them ([`grants`]). So do the
//! places of the slots at work, where fewer may be than there are ([`concurrency`]). Each tenant may
//! have limits of its own ([`tenants`], [`lines`]). Where the API says how little is left of a limit that nobody
//! has told Slowlane, all slots wait ([`left`]).
//!
//! Limits that have a name are shared with other stacks: they are kept in a table of their own, and
//! the record there is read beside the other ([`shared`]).
//!
//! What cannot be read stops no work: a view counts for some seconds, then as if nobody had
//! limited anything. Only what somebody was seen to shut stays shut. A process that has seen nothing
//! yet reads twice before it works.

mod concurrency;
mod grants;
mod kept;
mod left;
mod lines;
mod own_place;
mod shared;
mod store;
mod tenants;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use slowlane_limiter::{
    self as limiter, AimdRules, Breaker, BreakerRules, ControlRules, DynamoDbStore, FailureKind,
    Fallback, Gate, Horizon, Limiter, Moment, Outage, Place, Reason, Report, Settings,
    SharedCorrection, SlotId, Waiting,
};
use slowlane_policy::settle::Outcome;
use slowlane_policy::slot::{self, rings_asleep_for};
use tokio::time::timeout;

use self::own_place::{LEASE, OwnPlace};
use self::shared::{AmongOwn, Shared};
use self::store::impatient;
use self::tenants::Tenants;
use crate::config::Config;

pub(crate) use self::grants::{Grant, Reserved, TOGETHER};
pub use self::kept::keeps;
pub(crate) use self::lines::{Asked, Joined};
pub(crate) use self::tenants::KEY_BYTES_OF_TENANTS;
pub use slowlane_limiter::Error;

/// How long a slot waits for the record. A read that is given up hides nothing, unlike a receive.
const LONGEST_READ: Duration = Duration::from_secs(1);

/// So many different calls that fail, none succeeding in between, open the breaker at most.
const MOST_SUSPECTS: u32 = 5;
/// The longest that a Retry-After is believed. An API that still refuses then says so again.
const LONGEST_HOLD: Duration = Duration::from_secs(900);
/// When a slot looks again where a probe is wanted and could not be elected.
const ELECTED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How far ahead a moment may be reserved. Whoever waits for a grant is a slot that is paid for. And the
/// fewer slots wait for units at once, the fewer less urgent calls they hold.
const HORIZON: Horizon = Horizon::TwoIntervals {
    least: Duration::from_millis(300),
    most: Duration::from_secs(2),
    of_turns: Duration::from_millis(500),
};
/// The limit, as one process of the worker sees it.
#[derive(Debug)]
pub(crate) struct Limits {
    limiter: Limiter<DynamoDbStore>,
    /// The limits that other stacks keep too, if there are some.
    shared: Option<Shared>,
    /// Grants of this process's own share that are counted already.
    of_own_share: Cell<u64>,
    /// Requests that the limits' tables did not answer, which are counted already.
    unreached: Cell<u64>,
    /// How many units calls have, as this process has seen them.
    usual_units: Cell<u64>,
    probing: Cell<Probing>,
    /// When the next probe is due, as the latest call of this process has left it that opened the
    /// breaker or failed as its probe.
    next_probe: Cell<Option<Moment>>,
    /// How often this process was woken.
    woken: Cell<u64>,
    /// The ring of this process that comes back for the next probe.
    for_probe: Cell<Option<ForProbe>>,
    /// This process's place among the slots at work.
    own: OwnPlace,
    /// Whether the concurrency is adaptive.
    adapts: bool,
    /// How many slots there may be.
    ceiling: u32,
    tenants: Tenants,
}

/// The one ring that comes back for a probe.
#[derive(Debug, Clone, Copy)]
struct ForProbe {
    back_at: Moment,
    /// Which of the process's invocations it woke.
    woken: u64,
}

/// This process's part in finding out whether the API can answer again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probing {
    No,
    /// It is the probe, and has not made its call.
    Elected,
    UnderWay,
}

/// What a report has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    No,
    /// The breaker has closed: every slot is wanted again.
    Closed,
    /// The adaptive concurrency has risen: one slot more is wanted.
    Raised,
}

impl Limits {
    /// # Errors
    /// Limits that contradict themselves.
    pub(crate) fn new(
        config: &Config,
        dynamodb: &aws_sdk_dynamodb::Client,
        clock: Arc<dyn limiter::Clock>,
        correction: SharedCorrection,
        seed: u64,
    ) -> Result<Self, Error> {
        let slot = SlotId::from(seed);
        let slots = config.slots().unwrap_or(MOST_SUSPECTS);
        let store = DynamoDbStore::new(impatient(dynamodb), &config.idempotency_table);
        let own = config.limits.own();
        let adapts = own.is_adaptive();
        let settings = Settings {
            rates: own.rates(),
            quotas: own.quotas(),
            horizon: HORIZON,
            fallback: Fallback::Split(slots),
            ceiling: slots,
            lease: LEASE,
            rules: ControlRules {
                breaker: Some(BreakerRules {
                    calls: slots.clamp(2, MOST_SUSPECTS) as usize,
                    probe_lease: config.call_visibility,
                    ..BreakerRules::default()
                }),
                concurrency: own.concurrency(),
                adaptive: adapts.then(|| AimdRules::up_to(slots)),
                // Only the call that was throttled waits, unless the API says for how long.
                pause_when_throttled: Duration::ZERO,
                longest_hold: LONGEST_HOLD,
                ..ControlRules::default()
            },
            clock,
            correction,
            ..Settings::default()
        };
        let key = &config.limit_key;
        let tenants = Tenants::new(&config.limits, &store, key, &slot, &settings)?;
        let shared = Shared::new(config, dynamodb, &settings, seed)?;
        let limiter = Limiter::new(store, key.clone(), slot, settings)?;
        Ok(Limits {
            limiter,
            shared,
            of_own_share: Cell::new(0),
            unreached: Cell::new(0),
            usual_units: Cell::new(1),
            probing: Cell::new(Probing::No),
            next_probe: Cell::new(None),
            woken: Cell::new(0),
            for_probe: Cell::new(None),
            own: OwnPlace::default(),
            adapts,
            ceiling: slots,
            tenants,
        })
    }

    /// A slot was woken: reads the record, unless that was done within the last second and nothing
    /// was shut then. Answers how calls failed if this slot has just become the probe.
    pub(crate) async fn refresh(&self) -> Option<FailureKind> {
        self.woken.set(self.woken.get() + 1);
        let own = async {
            match self.shut() {
                // Whoever resumes rings, and that ring may be the one that woke this slot.
                Some(_) => self.within(self.limiter.look()).await,
                None => self.within(self.limiter.refresh()).await,
            }
            if !self.limiter.view().is_trusted(self.now()) {
                // A process that has seen nothing for long does not know what somebody may have shut, nor
                // how many may call at once. One read that is lost must not let a call through.
                self.within(self.limiter.look()).await;
            }
        };
        join(own, self.refresh_shared()).await;
        self.elected().await
    }

    /// Reads the record. Answers as [`refresh`](Self::refresh).
    pub(crate) async fn look(&self) -> Option<FailureKind> {
        self.read_or_renew().await;
        self.elected().await
    }

    async fn within(&self, read: impl Future<Output = ()>) {
        if timeout(LONGEST_READ, read).await.is_err() {
            tracing::warn!(limit = ?self.limiter, "the control record was not read in time");
        }
    }

    async fn elected(&self) -> Option<FailureKind> {
        let Gate::Probe { kind } = self.limiter.gate() else {
            self.probing.set(Probing::No);
            return None;
        };
        if self.probing.get() != Probing::No || !self.limiter.is_elected().await {
            return None;
        }
        self.probing.set(Probing::Elected);
        Some(kind)
    }

    /// The fleet's time.
    pub(crate) fn now(&self) -> Moment {
        self.limiter.now()
    }

    /// Why no call may be made, and until when at least.
    pub(crate) fn shut(&self) -> Option<Waiting> {
        match (self.limiter.gate(), self.probing.get()) {
            (Gate::Open, _) | (Gate::Probe { .. }, Probing::Elected) => None,
            (Gate::Probe { kind }, _) => {
                let until = Some(self.limiter.now().plus(ELECTED_AGAIN_AFTER));
                Some(Waiting { reason: Reason::BreakerOpen { kind }, until })
            }
            (Gate::Shut(waiting), _) => Some(waiting),
        }
    }

    /// How long until `waiting` is over, if that is known. It is not known when a person will
    /// resume, or when the API will answer again: a probe that is due may fail as well.
    pub(crate) fn opens_in(&self, waiting: &Waiting) -> Option<Duration> {
        let is_known = !matches!(waiting.reason, Reason::BreakerOpen { .. });
        waiting.until.filter(|_| is_known).map(|until| self.limiter.until(until))
    }

    /// The gate as a slot is to be told of it that began `since` ago.
    pub(crate) fn gate(&self, since: Duration) -> slot::Gate {
        let now = self.limiter.now().since(Moment(0));
        let back_at = |opens_in| since + rings_asleep_for(now, opens_in);
        match self.shut() {
            Some(Waiting { until: Some(probe_at), .. }) if self.is_for_probe(probe_at) => {
                slot::Gate::Shut { rings_back_at: back_at(Some(self.limiter.until(probe_at))) }
            }
            Some(waiting) => slot::Gate::Shut { rings_back_at: back_at(self.opens_in(&waiting)) },
            None if self.probing.get() == Probing::Elected => {
                slot::Gate::Probe { rings_back_at: back_at(Some(ELECTED_AGAIN_AFTER)) }
            }
            None => slot::Gate::Open,
        }
    }

    /// Whether the ring that woke this slot comes back for the next probe. One does: of the process
    /// whose call was the last to find the API out of order, whichever ring wakes it first.
    fn is_for_probe(&self, probe_at: Moment) -> bool {
        let woken = self.woken.get();
        if !self.sees_to_probe() || self.promised().is_some_and(|ring| ring.woken != woken) {
            return false;
        }
        self.for_probe.set(Some(ForProbe { back_at: probe_at, woken }));
        true
    }

    fn promised(&self) -> Option<ForProbe> {
        self.for_probe.get().filter(|ring| ring.back_at > self.limiter.now())
    }

    /// Whether a ring of this process is to come back for the next probe, and none does yet.
    pub(crate) fn wants_ring_for_probe(&self) -> bool {
        self.sees_to_probe() && self.promised().is_none()
    }

    /// Whether it is for this process to let a ring come back for the next probe. It no longer is once
    /// another process has probed.
    fn sees_to_probe(&self) -> bool {
        self.next_probe.get().is_some_and(|own| self.outage().is_some_and(|due| due.until == own))
    }

    /// Why the breaker is not closed, if it is not.
    fn outage(&self) -> Option<Outage> {
        let view = self.limiter.view();
        match &view.record()?.control.breaker {
            Breaker::Open(outage) | Breaker::HalfOpen { outage, .. } => Some(outage.clone()),
            Breaker::Closed { .. } => None,
        }
    }

    /// Whether the API answers nobody, as far as is known. No attempt counts then.
    pub(crate) fn is_out_of_order(&self) -> bool {
        self.outage().is_some()
    }

    /// A call goes to the API. If this slot is the probe, it is the one.
    pub(crate) fn calls(&self) {
        if self.probing.get() == Probing::Elected {
            self.probing.set(Probing::UnderWay);
        }
    }

    /// A call was not made after all.
    pub(crate) fn did_not_call(&self) {
        if self.probing.get() == Probing::UnderWay {
            self.probing.set(Probing::Elected);
        }
    }

    /// Tells everybody what became of a call, where that is news to them: most answers are not.
    pub(crate) async fn report(&self, call: &str, report: &Report) -> Moved {
        let out = self.is_out_of_order();
        let before = self.concurrency();
        let is_news = self.limiter.report(call, &self.with_places(report)).await;
        let was_probe = self.probing.replace(Probing::No) == Probing::UnderWay;
        match (out, self.outage()) {
            (false, Some(outage)) => self.next_probe.set(Some(outage.until)),
            (true, Some(outage)) if was_probe => self.next_probe.set(Some(outage.until)),
            (true, None) => return Moved::Closed,
            _ => {}
        }
        match (before, self.concurrency()) {
            (Some(before), Some(now)) if is_news && now > before => Moved::Raised,
            _ => Moved::No,
        }
    }

    /// How many requests the limits' tables did not answer since this was last asked.
    pub(crate) fn take_unreached(&self) -> u32 {
        let shared = self.shared.as_ref().map(|shared| &shared.limiter);
        let limiters = std::iter::once(&self.limiter).chain(shared);
        let all = limiters.map(|limiter| limiter.stats().store_failures).sum();
        let since = all - self.unreached.replace(all);
        u32::try_from(since).unwrap_or(u32::MAX)
    }

    /// A slot ends. If it was the probe and there was no call, the next slot may probe at once.
    pub(crate) async fn leave(&self) {
        self.leave_place().await;
        if self.probing.get() == Probing::Elected {
            self.report("", &Report::NoProbe).await;
        }
    }
}

impl Limits {
    /// What says when calls may go.
    fn timed(&self) -> &Limiter<DynamoDbStore> {
        let shared = self.shared.as_ref().filter(|shared| shared.times);
        shared.map_or(&self.limiter, |shared| &shared.limiter)
    }

    /// What says how many calls are made at once.
    fn placed(&self) -> &Limiter<DynamoDbStore> {
        let shared = self.shared.as_ref().filter(|shared| shared.places);
        shared.map_or(&self.limiter, |shared| &shared.limiter)
    }

    /// Of the two, the one that is not read with the places.
    fn beside_places(&self) -> Option<&Limiter<DynamoDbStore>> {
        let shared = self.shared.as_ref()?;
        Some(if shared.places { &self.limiter } else { &shared.limiter })
    }

    /// Whether other stacks' calls take moments of the same rates.
    fn shares_times(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.times)
    }

    /// How the slot stands among those that serve the same queues.
    fn among_own(&self, place: &Place) -> AmongOwn {
        match self.shared.as_ref().filter(|shared| shared.places) {
            Some(shared) => shared.among_own(),
            None => AmongOwn { others: place.others, older: place.older },
        }
    }

    /// Reads the shared record, if there is one and that is due.
    async fn refresh_shared(&self) {
        let Some(Shared { limiter, .. }) = &self.shared else { return };
        self.within(limiter.refresh()).await;
        if !limiter.view().is_trusted(self.now()) {
            self.within(limiter.look()).await;
        }
    }
}

/// What everybody is to know of a call's outcome.
pub(crate) fn report_of<V>(outcome: &Outcome<V>, latency: Duration) -> Report {
    let answered = Report::Answered { latency, all_in_use: false };
    match outcome {
        Outcome::Succeeded(_)
        | Outcome::Rejected(_)
        | Outcome::AlreadyExists(_)
        | Outcome::InFlight { .. } => answered,
        Outcome::Throttled { retry_after } => {
            Report::Throttled { retry_after: *retry_after, latency }
        }
        Outcome::Unauthorized(_) => Report::Failed { kind: FailureKind::Credentials },
        Outcome::Transient(why) | Outcome::Unknown(why) => match why.status {
            None => Report::Failed { kind: FailureKind::Connection },
            Some(500..) => Report::Failed { kind: FailureKind::Server },
            Some(_) => answered,
        },
    }
}
