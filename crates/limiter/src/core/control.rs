//! The control record: what everybody who uses a limit has to know within a second.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::aimd::{Aimd, AimdRules};
use super::breaker::{Breaker, BreakerRules, FailureKind};
use super::left::Left;
use super::quota::Quota;
use super::rate::Rate;
use super::register::Register;
use crate::moment::Moment;
use crate::names::SlotId;

/// Changes by people that a record remembers.
const REMEMBERED: usize = 10;

/// The shortest hold because of what is left of a limit: within this everybody knows of it.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);

/// Holds that end within so long of each other are one, or each answer would move the end a little.
const HOLD_GRAIN: Duration = Duration::from_millis(250);

/// One record for each limit. Each change of it is conditional on the version that it was made
/// from. A limit that nobody has changed has none, and everything is as it was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Grows by one with every change. 0: there is no record yet.
    pub version: u64,
    /// Whether calls are made.
    #[serde(default)]
    pub mode: Mode,
    /// Until when nobody calls, because the API said so (Retry-After).
    #[serde(default)]
    pub held_until: Option<Moment>,
    /// What stands in place of what was configured.
    #[serde(default)]
    pub limits: Overrides,
    /// The breaker.
    #[serde(default)]
    pub breaker: Breaker,
    /// What the adaptive limit has found, where there is one.
    #[serde(default)]
    pub adaptive: Option<Aimd>,
    /// The last changes that people made, the newest last.
    #[serde(default)]
    pub changes: Vec<Noted>,
}

/// Whether calls are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// They are.
    #[default]
    Run,
    /// None, until somebody resumes, or until this moment.
    Paused {
        /// When it ends by itself.
        until: Option<Moment>,
        /// Who paused it, and why.
        by: Author,
    },
    /// What is at work ends, and nothing new begins: before a change that needs quiet.
    Draining {
        /// Who drains it, and why.
        by: Author,
    },
}

/// Who did something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// A person or a program.
    pub who: String,
    /// The reason that was given.
    pub why: String,
}

impl Author {
    /// This author, for this reason.
    pub fn new(who: impl Into<String>, why: impl Into<String>) -> Self {
        Self { who: who.into(), why: why.into() }
    }
}

/// Limits that were set live. `None` is what was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Slots at work at once. Never more than the ceiling that was configured.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// All rates.
    #[serde(default)]
    pub rates: Option<Vec<Rate>>,
    /// All quotas.
    #[serde(default)]
    pub quotas: Option<Vec<Quota>>,
    /// All rates that each tenant has for itself. Whoever keeps limits of tenants reads them here, for
    /// all tenants at once.
    #[serde(default)]
    pub tenant_rates: Option<Vec<Rate>>,
    /// All quotas that each tenant has for itself.
    #[serde(default)]
    pub tenant_quotas: Option<Vec<Quota>>,
}

/// A change, as a person makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Make no calls, until this moment or until somebody resumes.
    Pause {
        /// When it ends by itself.
        until: Option<Moment>,
    },
    /// Let what is at work end, and begin nothing new.
    Drain,
    /// Make calls again, after a pause or a drain, and whatever the breaker or a Retry-After says.
    Resume,
    /// Put these in place of what was configured; `None` is what was configured.
    SetLimits {
        /// The limits.
        limits: Overrides,
    },
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// When.
    pub at: Moment,
    /// By whom, and why.
    pub by: Author,
    /// What.
    pub change: Change,
}

/// What became of a call, as far as a limit is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The API answered, with a result or with a refusal of this one call.
    Answered {
        /// How long the call took.
        latency: Duration,
        /// Whether all permits were in use meanwhile: only then does it count for more of them.
        all_in_use: bool,
    },
    /// The API said that it is too much (429 and its like).
    Throttled {
        /// How long it asks to wait, if it says so.
        retry_after: Option<Duration>,
        /// How long the call took.
        latency: Duration,
    },
    /// The call failed in a way that says something of the API.
    Failed {
        /// In which.
        kind: FailureKind,
    },
    /// The API's own headers say what is left of a limit. They hold the fleet before the API refuses,
    /// or slow it.
    Remaining {
        /// What is left.
        left: Left,
        /// Units that the fleet may take before each of its processes has heard another answer.
        next: u64,
    },
    /// The probe found no call to make.
    NoProbe,
}

/// By which rules the record changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRules {
    /// The breaker; `None` is none.
    pub breaker: Option<BreakerRules>,
    /// Calls at once, where nobody has set another number; `None` is as many as the ceiling.
    pub concurrency: Option<u32>,
    /// The adaptive concurrency; `None` is none.
    pub adaptive: Option<AimdRules>,
    /// How long everybody waits when the API throttles and does not say for how long. With an
    /// adaptive concurrency nobody does: it makes room instead.
    pub pause_when_throttled: Duration,
    /// The longest that a Retry-After is believed.
    pub longest_hold: Duration,
    /// Of 1,000 units, so few are left when an adaptive limit steps down.
    pub low_water_permille: u64,
}

impl Default for ControlRules {
    /// The breaker's defaults, no concurrency below the ceiling, none that is adaptive, 1 s, a day,
    /// 50 of 1,000.
    fn default() -> Self {
        Self {
            breaker: Some(BreakerRules::default()),
            concurrency: None,
            adaptive: None,
            pause_when_throttled: Duration::from_secs(1),
            longest_hold: Duration::from_secs(24 * 60 * 60),
            low_water_permille: 50,
        }
    }
}

impl Control {
    /// The record after a person's change.
    #[must_use]
    pub fn changed(&self, now: Moment, change: &Change, by: &Author) -> Self {
        let mut next = self.next();
        match change {
            Change::Pause { until } => next.mode = Mode::Paused { until: *until, by: by.clone() },
            Change::Drain => next.mode = Mode::Draining { by: by.clone() },
            Change::Resume => {
                next.mode = Mode::Run;
                next.held_until = None;
                next.breaker = Breaker::default();
            }
            Change::SetLimits { limits } => next.limits = limits.clone(),
        }
        let noted = Noted { at: now, by: by.clone(), change: change.clone() };
        next.changes.push(noted);
        let old = next.changes.len().saturating_sub(REMEMBERED);
        next.changes.drain(..old);
        next
    }

    /// The record after a call of `slot`; `None` if that changes nothing, which is the usual case
    /// and costs no write.
    #[must_use]
    pub fn reported(
        &self,
        now: Moment,
        slot: &SlotId,
        call: &str,
        report: &Report,
        rules: &ControlRules,
    ) -> Option<Self> {
        let mut next = self.next();
        let breaker = rules.breaker.as_ref();
        match report {
            Report::Answered { latency, all_in_use } => {
                let answered = breaker.and_then(|_| self.breaker.on_answer(now, slot));
                next.breaker = answered.unwrap_or(next.breaker);
                next.adapt(rules, |found, rules| {
                    found.on_success(now, *latency, *all_in_use, rules)
                });
            }
            Report::Throttled { retry_after, latency } => {
                // The API is there: a probe that is throttled has found that out.
                let answered = breaker.and_then(|_| self.breaker.on_answer(now, slot));
                next.breaker = answered.unwrap_or(next.breaker);
                let pause = match (retry_after, &rules.adaptive) {
                    (Some(wait), _) => *wait,
                    (None, Some(_)) => Duration::ZERO,
                    (None, None) => rules.pause_when_throttled,
                };
                next.hold(now, pause.min(rules.longest_hold));
                next.adapt(rules, |found, rules| found.on_throttled(now, *latency, rules));
            }
            Report::Failed { kind } => {
                let failed =
                    breaker.and_then(|b| self.breaker.on_failure(now, slot, call, *kind, b));
                next.breaker = failed.unwrap_or(next.breaker);
            }
            Report::Remaining { left, next: taken_next } => {
                next.on_remaining(now, left, *taken_next, rules);
            }
            Report::NoProbe => {
                next.breaker = self.breaker.on_no_probe(now, slot).unwrap_or(next.breaker);
            }
        }
        let unchanged = Self { version: self.version, ..next.clone() } == *self;
        (!unchanged).then_some(next)
    }

    /// The record with `slot` as the breaker's probe, if one may be elected now.
    #[must_use]
    pub fn elected(&self, now: Moment, slot: &SlotId, rules: &BreakerRules) -> Option<Self> {
        let breaker = self.breaker.elect(now, slot, rules)?;
        Some(Self { breaker, ..self.next() })
    }

    /// Slots that may work at once: what was set live, or else configured, and what the adaptive limit
    /// has found, and never more than the ceiling.
    #[must_use]
    pub fn concurrency(&self, ceiling: u32, rules: &ControlRules) -> u32 {
        let set = self.limits.concurrency.or(rules.concurrency).unwrap_or(ceiling);
        let adaptive = rules.adaptive.as_ref().zip(self.adaptive.as_ref());
        let found = adaptive.map_or(ceiling, |(rules, found)| found.within(rules));
        set.min(found).min(ceiling)
    }

    fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    fn on_remaining(&mut self, now: Moment, left: &Left, next: u64, rules: &ControlRules) {
        if let Some(wait) = left.wait_for(next) {
            let wait = wait.max(SHORTEST_HOLD).min(rules.longest_hold);
            let holds_about_so_long =
                self.held_until.is_some_and(|until| until.plus(HOLD_GRAIN) >= now.plus(wait));
            if !holds_about_so_long {
                self.hold(now, wait);
            }
            return;
        }
        let is_low = |of: u64| {
            u128::from(left.units) * 1000 < u128::from(of) * u128::from(rules.low_water_permille)
        };
        if left.of.is_some_and(is_low) {
            self.adapt(rules, |found, rules| found.on_throttled(now, Duration::ZERO, rules));
        }
    }

    fn hold(&mut self, now: Moment, pause: Duration) {
        if !pause.is_zero() {
            self.held_until = self.held_until.max(Some(now.plus(pause)));
        }
    }

    fn adapt(
        &mut self,
        rules: &ControlRules,
        step: impl FnOnce(&Aimd, &AimdRules) -> Option<Aimd>,
    ) {
        if let Some(rules) = &rules.adaptive {
            let found = self.adaptive.clone().unwrap_or_else(|| Aimd::new(rules));
            self.adaptive = step(&found, rules).or(self.adaptive.take());
        }
    }
}

/// All that a store keeps of a limit beside its meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The control record.
    pub control: Control,
    /// The slots at work, where they are registered.
    pub register: Register,
}
