//! The breaker: nothing is sent to an API that cannot answer, but for one probe at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::{Moment, as_micros, micros};
use crate::names::SlotId;

/// The breaker of a limit, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// Calls are made.
    Closed {
        /// Calls that failed since the last one that did not.
        #[serde(default)]
        suspects: Vec<Suspect>,
        /// The slow start, if it has been open before.
        #[serde(default)]
        slow_start: Option<SlowStart>,
    },
    /// No calls are made.
    Open(Outage),
    /// One slot makes one call.
    HalfOpen {
        /// The slot.
        probe: SlotId,
        /// If it has not said by then what became of its call, another slot probes.
        lease_until: Moment,
        /// What it is about.
        outage: Outage,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { suspects: Vec::new(), slow_start: None }
    }
}

/// How the slots come back after an outage: the probe goes on, then there are two, four, ...
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowStart {
    /// When the breaker closed.
    pub since: Moment,
    /// The slot whose probe closed it.
    pub first: SlotId,
}

/// A call that failed as calls do when the API cannot answer any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The call, by whatever name tells it from others.
    pub call: String,
    /// How it failed.
    pub kind: FailureKind,
    /// When.
    pub at: Moment,
}

/// Why the breaker is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// How calls fail.
    pub kind: FailureKind,
    /// Since when it is not closed.
    pub since: Moment,
    /// When the next probe may go.
    pub until: Moment,
    /// The wait that led to `until`: it doubles.
    #[serde(with = "as_micros", rename = "wait_us")]
    pub wait: Duration,
}

/// Ways to fail that say something of the API rather than of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It refuses the credentials. Whoever probes reads the secret anew first.
    Credentials,
    /// No connection, or no answer.
    Connection,
    /// A server error (5xx).
    Server,
}

/// When it opens and how it tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// It opens when so many different calls have failed and none has succeeded in between.
    pub calls: usize,
    /// Failures further apart than this are not seen together.
    pub within: Duration,
    /// From opening to the first probe.
    pub first_wait: Duration,
    /// The wait doubles with every probe that fails, up to this.
    pub longest_wait: Duration,
    /// A probe may take so long: a call's time-out and what is around it.
    pub probe_lease: Duration,
    /// After it has closed one slot works, then two, then four: each for so long.
    pub slow_start_step: Duration,
}

impl Default for BreakerRules {
    /// Two calls within 60 s; 5 s doubling to 30 s; a probe of 60 s; steps of a second.
    fn default() -> Self {
        Self {
            calls: 2,
            within: Duration::from_secs(60),
            first_wait: Duration::from_secs(5),
            longest_wait: Duration::from_secs(30),
            probe_lease: Duration::from_secs(60),
            slow_start_step: Duration::from_secs(1),
        }
    }
}

/// What the breaker lets a slot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerGate {
    /// Call.
    Closed,
    /// Call, if no more than so many slots do.
    SlowStart {
        /// The slots, at most.
        at_most: u32,
        /// When there may be more.
        until: Moment,
    },
    /// Call once, as the probe: [`Breaker::elect`] first, unless the probe is yours already.
    Probe {
        /// How calls failed.
        kind: FailureKind,
    },
    /// Wait.
    Open {
        /// How calls fail.
        kind: FailureKind,
        /// Until when at least.
        until: Moment,
    },
}

impl Breaker {
    /// What `slot` may do now.
    #[must_use]
    pub fn gate(&self, now: Moment, slot: &SlotId, rules: &BreakerRules) -> BreakerGate {
        match self {
            Self::Closed { slow_start: Some(start), .. } if start.first != *slot => {
                start.gate(now, rules)
            }
            Self::Closed { .. } => BreakerGate::Closed,
            Self::Open(outage) if outage.until <= now => BreakerGate::Probe { kind: outage.kind },
            Self::Open(outage) => BreakerGate::Open { kind: outage.kind, until: outage.until },
            Self::HalfOpen { probe, lease_until, outage }
                if probe == slot || *lease_until <= now =>
            {
                BreakerGate::Probe { kind: outage.kind }
            }
            Self::HalfOpen { lease_until, outage, .. } => {
                BreakerGate::Open { kind: outage.kind, until: *lease_until }
            }
        }
    }

    /// The breaker with `slot` as the probe, if one may be elected now. Whoever stores it first is
    /// the probe. Once a probe's lease has ended, any slot may be elected, the same one too: it may
    /// never have learned that it was.
    #[must_use]
    pub fn elect(&self, now: Moment, slot: &SlotId, rules: &BreakerRules) -> Option<Self> {
        let outage = match self {
            Self::Open(outage) if outage.until <= now => outage,
            Self::HalfOpen { lease_until, outage, .. } if *lease_until <= now => outage,
            _ => return None,
        };
        Some(Self::HalfOpen {
            probe: slot.clone(),
            lease_until: now.plus(rules.probe_lease),
            outage: outage.clone(),
        })
    }

    /// The breaker after a call failed; `None` if that changes nothing.
    #[must_use]
    pub fn on_failure(
        &self,
        now: Moment,
        slot: &SlotId,
        call: &str,
        kind: FailureKind,
        rules: &BreakerRules,
    ) -> Option<Self> {
        match self {
            Self::Closed { suspects, slow_start } => {
                let recent = |suspect: &&Suspect| now.since(suspect.at) <= rules.within;
                let mut recent: Vec<_> = suspects.iter().filter(recent).cloned().collect();
                if recent.iter().any(|suspect| suspect.call == call) {
                    return None;
                }
                recent.push(Suspect { call: call.to_owned(), kind, at: now });
                if recent.len() < rules.calls {
                    let slow_start = slow_start.clone();
                    return Some(Self::Closed { suspects: recent, slow_start });
                }
                let (until, wait) = (now.plus(rules.first_wait), rules.first_wait);
                Some(Self::Open(Outage { kind, since: now, until, wait }))
            }
            // A call that was on its way when the breaker opened says nothing new.
            Self::Open(_) => None,
            Self::HalfOpen { probe, outage, .. } if probe == slot => {
                let wait = outage.wait.saturating_mul(2).min(rules.longest_wait);
                let until = now.plus(wait);
                Some(Self::Open(Outage { kind, since: outage.since, until, wait }))
            }
            Self::HalfOpen { .. } => None,
        }
    }

    /// The breaker after the API answered a call; `None` if that changes nothing.
    #[must_use]
    pub fn on_answer(&self, now: Moment, slot: &SlotId) -> Option<Self> {
        match self {
            Self::Closed { suspects, slow_start } if !suspects.is_empty() => {
                Some(Self::Closed { suspects: Vec::new(), slow_start: slow_start.clone() })
            }
            Self::HalfOpen { probe, .. } if probe == slot => {
                let slow_start = Some(SlowStart { since: now, first: slot.clone() });
                Some(Self::Closed { suspects: Vec::new(), slow_start })
            }
            _ => None,
        }
    }

    /// The breaker after the probe found no call to make: the next slot may probe at once.
    #[must_use]
    pub fn on_no_probe(&self, now: Moment, slot: &SlotId) -> Option<Self> {
        match self {
            Self::HalfOpen { probe, outage, .. } if probe == slot => {
                Some(Self::Open(Outage { until: now, ..outage.clone() }))
            }
            _ => None,
        }
    }
}

impl SlowStart {
    /// 1, 2, 4, ... slots, until that is more than any fleet has.
    fn gate(&self, now: Moment, rules: &BreakerRules) -> BreakerGate {
        let step = micros(rules.slow_start_step);
        let steps = micros(now.since(self.since)).checked_div(step);
        let at_most = steps.and_then(|steps| 1_u32.checked_shl(u32::try_from(steps).ok()?));
        match (at_most, steps) {
            (Some(at_most), Some(steps)) if at_most < 1024 => {
                let until = self.since.plus_micros(step.saturating_mul(steps + 1));
                BreakerGate::SlowStart { at_most, until }
            }
            _ => BreakerGate::Closed,
        }
    }
}
