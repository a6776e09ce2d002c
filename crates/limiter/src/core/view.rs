//! What one process knows of the control record, and what that lets it do.
//!
//! Sans-IO: it says when to read, is told what was read, and answers questions. A slot asks it in
//! a call's way; reading goes on beside the running call.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::breaker::{BreakerGate, FailureKind};
use super::control::{Author, Control, ControlRules, Mode, Record};
use super::register::Standing;
use crate::moment::Moment;
use crate::names::SlotId;

/// What a process knows of the control record.
#[derive(Clone, Debug)]
pub struct View {
    settings: ViewSettings,
    seen: Option<Seen>,
    tried_at: Option<Moment>,
    stands_back_until: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Seen {
    record: Record,
    as_of: Moment,
}

/// How a process looks at the control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewSettings {
    /// The concurrency that nothing can pass.
    pub ceiling: u32,
    /// From one read to the next.
    pub every: Duration,
    /// How long the last view counts in full when the record cannot be read. Then the ceiling
    /// counts, and only what somebody closed stays closed.
    pub trusted_for: Duration,
    /// The rules of what the record holds.
    pub rules: ControlRules,
}

/// Why a call waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// As many slots are at work as may be.
    NoSlot {
        /// Slots at work.
        live: u32,
        /// As many as there may be.
        limit: u32,
    },
    /// A rate has no moment free that is near enough.
    NoGrant {
        /// The limit.
        limit: String,
    },
    /// A quota is spent.
    QuotaSpent {
        /// The limit.
        limit: String,
    },
    /// Somebody paused it.
    Paused {
        /// Who, and why.
        by: Author,
    },
    /// Somebody drains it.
    Draining {
        /// Who, and why.
        by: Author,
    },
    /// The API asked everybody to wait.
    RetryAfter,
    /// The breaker is open, or somebody else probes.
    BreakerOpen {
        /// How calls fail.
        kind: FailureKind,
    },
    /// The breaker has closed, and the slots come back one by one.
    SlowStart {
        /// As many as may work now.
        at_most: u32,
    },
    /// More urgent calls are before it. The limiter never says this: it is for a queue, which then
    /// has one list of reasons.
    Turn {
        /// How many, if known.
        ahead: Option<u64>,
    },
    /// The store could not be reached, and a limit without it was not wanted.
    StoreDown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlot { live, limit } => write!(f, "{live} slots are at work of {limit}"),
            Self::NoGrant { limit } => write!(f, "{limit} has no moment free yet"),
            Self::QuotaSpent { limit } => write!(f, "{limit} is spent until its reset"),
            Self::Paused { by } => write!(f, "paused by {}: {}", by.who, by.why),
            Self::Draining { by } => write!(f, "drained by {}: {}", by.who, by.why),
            Self::RetryAfter => write!(f, "the API asked everybody to wait"),
            Self::BreakerOpen { kind } => {
                let how = match kind {
                    FailureKind::Credentials => "the API refuses the credentials",
                    FailureKind::Connection => "the API cannot be reached",
                    FailureKind::Server => "the API answers with errors",
                };
                write!(f, "the breaker is open: {how}")
            }
            Self::SlowStart { at_most } => {
                write!(f, "after an outage {at_most} slots work for now")
            }
            Self::Turn { ahead: Some(ahead) } => {
                write!(f, "{ahead} more urgent calls are before it")
            }
            Self::Turn { ahead: None } => write!(f, "more urgent calls are before it"),
            Self::StoreDown => write!(f, "the limiter's store cannot be reached"),
        }
    }
}

/// A call that may not go, why, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Why.
    pub reason: Reason,
    /// Until when at least; `None` if that depends on a person.
    pub until: Option<Moment>,
}

/// How a slot stands among those at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether it may work.
    pub standing: Standing,
    /// Other slots at work.
    pub others: u32,
    /// Of them, those that have been at work for longer.
    pub older: u32,
    /// As many as there may be.
    pub limit: u32,
}

impl Place {
    /// Places that nobody has, this slot's own not among them.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.limit.saturating_sub(self.others.saturating_add(1))
    }
}

/// Whether calls may be made, as far as the control record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They may.
    Open,
    /// One may, as the breaker's probe. The slot has to be elected first.
    Probe {
        /// How calls failed: with refused credentials the secret is read anew first.
        kind: FailureKind,
    },
    /// None may.
    Shut(Waiting),
}

impl View {
    /// A view that has seen nothing yet.
    #[must_use]
    pub fn new(settings: ViewSettings) -> Self {
        Self { settings, seen: None, tried_at: None, stands_back_until: None }
    }

    /// When the record is to be read next: at once if it never was, and then once in
    /// [`every`](ViewSettings::every), whether reading succeeds or not.
    #[must_use]
    pub fn read_due_at(&self) -> Moment {
        self.tried_at.map_or(Moment(0), |at| at.plus(self.settings.every))
    }

    /// Whether reading belongs in the call's way: nothing was read yet, or nothing since this
    /// process was frozen, as Lambda does between two invocations.
    #[must_use]
    pub fn must_read_first(&self, now: Moment) -> bool {
        self.tried_at.is_none_or(|at| now.since(at) > self.settings.every.saturating_mul(2))
    }

    /// A read has begun.
    pub fn reads(&mut self, now: Moment) {
        self.tried_at = Some(now);
    }

    /// The record was read, by a read that began at `as_of`, or written, by a write that ended
    /// then. What is older than what was seen is dropped: answers can pass each other.
    pub fn learns(&mut self, as_of: Moment, record: Record) {
        let newer = |seen: &Seen| {
            record.control.version >= seen.record.control.version || as_of > seen.as_of
        };
        if self.seen.as_ref().is_none_or(newer) {
            self.seen = Some(Seen { record, as_of });
        }
        self.tried_at = self.tried_at.max(Some(as_of));
    }

    /// The API throttled this process's call, and did not say for how long: it stands back itself,
    /// whatever the others do.
    pub fn stands_back(&mut self, now: Moment) {
        let pause = self.settings.rules.pause_when_throttled;
        self.stands_back_until = Some(now.plus(pause));
    }

    /// The record as it was seen last.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.seen.as_ref().map(|seen| &seen.record)
    }

    /// Whether the record is known well enough to count in full.
    #[must_use]
    pub fn is_trusted(&self, now: Moment) -> bool {
        self.seen.as_ref().is_some_and(|seen| now.since(seen.as_of) <= self.settings.trusted_for)
    }

    /// How the record is looked at.
    #[must_use]
    pub fn settings(&self) -> &ViewSettings {
        &self.settings
    }

    /// Slots that may work at once.
    #[must_use]
    pub fn concurrency(&self, now: Moment) -> u32 {
        let ViewSettings { ceiling, rules, .. } = &self.settings;
        let trusted = self.seen.as_ref().filter(|_| self.is_trusted(now));
        trusted.map_or(*ceiling, |seen| seen.record.control.concurrency(*ceiling, rules))
    }

    /// Whether slots need places: fewer may be at work than the ceiling, or as many as the API turns
    /// out to take.
    #[must_use]
    pub fn needs_places(&self, now: Moment) -> bool {
        let ViewSettings { ceiling, rules, .. } = &self.settings;
        rules.adaptive.is_some() || self.concurrency(now) < *ceiling
    }

    /// How `slot` stands among those at work, as far as is known: one that `is_in` by its rank, and
    /// one that is not as if it came now.
    #[must_use]
    pub fn place(&self, now: Moment, slot: &SlotId, is_in: bool) -> Place {
        let limit = self.concurrency(now);
        let Some(seen) = self.seen.as_ref().filter(|_| self.is_trusted(now)) else {
            // Within the ceiling, which the platform keeps.
            return Place { standing: Standing::Stays, others: 0, older: 0, limit };
        };
        let register = &seen.record.register;
        let others = register.others(slot, now);
        // One whose entry was tidied away enters itself anew when it renews it.
        let older = register.rank(slot, now).filter(|_| is_in);
        let standing = match older {
            Some(_) => register.standing(slot, now, limit),
            None if is_in => Standing::Stays,
            None => register.admits(slot, now, limit),
        };
        Place { standing, others, older: older.unwrap_or(others), limit }
    }

    /// When what is known of the record was read, or written.
    #[must_use]
    pub fn as_of(&self) -> Option<Moment> {
        self.seen.as_ref().map(|seen| seen.as_of)
    }

    /// Whether `slot` may call now.
    ///
    /// A pause that was seen stays, however long ago that was: only who reads the record can learn
    /// that it was lifted. An open breaker and a Retry-After count until their time.
    #[must_use]
    pub fn gate(&self, now: Moment, slot: &SlotId) -> Gate {
        let control = self.record().map(|record| &record.control);
        if let Some(waiting) = control.and_then(|control| closed_by_somebody(control, now)) {
            return Gate::Shut(waiting);
        }
        let held_until = control.and_then(|control| control.held_until);
        if let Some(until) = held_until.max(self.stands_back_until).filter(|until| *until > now) {
            return Gate::Shut(Waiting { reason: Reason::RetryAfter, until: Some(until) });
        }
        let Some((rules, control)) = self.settings.rules.breaker.as_ref().zip(control) else {
            return Gate::Open;
        };
        match control.breaker.gate(now, slot, rules) {
            BreakerGate::Open { kind, until } => {
                let reason = Reason::BreakerOpen { kind };
                Gate::Shut(Waiting { reason, until: Some(until) })
            }
            // Nobody can be elected where the record cannot be written.
            BreakerGate::Probe { kind } if self.is_trusted(now) => Gate::Probe { kind },
            BreakerGate::SlowStart { at_most, until } if self.whereabouts(slot, now) >= at_most => {
                let reason = Reason::SlowStart { at_most };
                Gate::Shut(Waiting { reason, until: Some(until) })
            }
            _ => Gate::Open,
        }
    }

    /// Whereabouts in the fleet a slot stands, from 0: by the register, or by its name where slots
    /// are not registered.
    fn whereabouts(&self, slot: &SlotId, now: Moment) -> u32 {
        let rank = self.record().and_then(|record| record.register.rank(slot, now));
        rank.unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            slot.hash(&mut hasher);
            let place = hasher.finish() % u64::from(self.settings.ceiling.max(1));
            u32::try_from(place).unwrap_or(0)
        })
    }

    /// Whether a slot at work goes on: after each call, and before the next.
    #[must_use]
    pub fn standing(&self, now: Moment, slot: &SlotId) -> Standing {
        match &self.seen {
            Some(seen) if self.is_trusted(now) => {
                seen.record.register.standing(slot, now, self.concurrency(now))
            }
            // Within the ceiling, which the platform keeps.
            _ => Standing::Stays,
        }
    }
}

fn closed_by_somebody(control: &Control, now: Moment) -> Option<Waiting> {
    match &control.mode {
        Mode::Run => None,
        Mode::Paused { until: Some(until), .. } if *until <= now => None,
        Mode::Paused { until, by } => {
            Some(Waiting { reason: Reason::Paused { by: by.clone() }, until: *until })
        }
        Mode::Draining { by } => {
            Some(Waiting { reason: Reason::Draining { by: by.clone() }, until: None })
        }
    }
}
