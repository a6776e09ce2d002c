//! A limit that finds itself: up by one while it is used and goes well, down by three tenths when
//! the API says that it is too much.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// What has been found so far, of calls at once or of any other whole number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aimd {
    /// The limit in effect.
    pub value: u32,
    /// When it last changed.
    pub changed_at: Moment,
    /// When it last went down.
    pub lowered_at: Moment,
    /// The value at which the API last said that it was too much, until a greater one has held.
    pub too_much: Option<u32>,
    /// Until when that value is not tried again.
    pub held_until: Moment,
}

/// How it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AimdRules {
    /// It never goes below this, and this is at least 1.
    pub floor: u32,
    /// It never goes above this.
    pub ceiling: u32,
    /// What was too much is not tried again for so long. Without it an API that takes 6 would be
    /// asked for 7 every few seconds, and answer each time with a refusal.
    pub hold: Duration,
    /// The shortest time from one step to the next: until then what is seen is the old value's
    /// doing. A call's latency counts where it is longer.
    pub round: Duration,
}

impl AimdRules {
    /// From 1 to `ceiling`, holding for 10 s, in steps of a second: everybody sees a change of the
    /// control record within that.
    #[must_use]
    pub fn up_to(ceiling: u32) -> Self {
        Self { floor: 1, ceiling, hold: Duration::from_secs(10), round: Duration::from_secs(1) }
    }
}

impl Aimd {
    /// It begins at the ceiling.
    #[must_use]
    pub fn new(rules: &AimdRules) -> Self {
        Self {
            value: rules.ceiling.max(1),
            changed_at: Moment(0),
            lowered_at: Moment(0),
            too_much: None,
            held_until: Moment(0),
        }
    }

    /// The API said that it is too much, to a call that took `latency`. `None` if nothing changes.
    #[must_use]
    pub fn on_throttled(&self, now: Moment, latency: Duration, rules: &AimdRules) -> Option<Self> {
        // A call that left before the last step says nothing of the present value, and until
        // everybody has seen a step down, none does.
        let left_before = now.since(self.changed_at) < latency;
        if left_before || now.since(self.lowered_at) < rules.round {
            return None;
        }
        let floor = rules.floor.max(1);
        // Rounded to the nearest: otherwise a small number would fall by half, and take long to
        // come back.
        let less = u32::try_from((u64::from(self.value) * 7 + 5) / 10).unwrap_or(self.value);
        let value = less.min(self.value.saturating_sub(1)).max(floor);
        Some(Self {
            value,
            changed_at: now,
            lowered_at: now,
            too_much: Some(self.value),
            held_until: now.plus(rules.hold),
        })
    }

    /// A call that took `latency` went well. It counts for more only if all permits were in use.
    /// `None` if nothing changes.
    #[must_use]
    pub fn on_success(
        &self,
        now: Moment,
        latency: Duration,
        all_in_use: bool,
        rules: &AimdRules,
    ) -> Option<Self> {
        let settled = now.since(self.changed_at) >= rules.round.max(latency);
        if !all_in_use || !settled || self.value >= rules.ceiling {
            return None;
        }
        let value = self.value + 1;
        let reaches = self.too_much.is_some_and(|too_much| value >= too_much);
        if reaches && now < self.held_until {
            return None;
        }
        let too_much = self.too_much.filter(|_| !reaches);
        Some(Self { value, changed_at: now, too_much, ..self.clone() })
    }

    /// The limit under a ceiling that may have been lowered since.
    #[must_use]
    pub fn within(&self, rules: &AimdRules) -> u32 {
        self.value.clamp(rules.floor.max(1).min(rules.ceiling.max(1)), rules.ceiling.max(1))
    }
}
