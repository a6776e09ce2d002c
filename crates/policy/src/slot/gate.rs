//! The gate, and what a slot knows of the control record that says how it stands.

use std::time::Duration;

use super::moment::Moment;
use crate::timing::RING_LEAD;

/// How often a slot at work reads the control record.
pub const READ_EVERY: Duration = Duration::from_secs(1);

/// How often sleeping rings look whether a gate is open that nobody has said to open by itself.
/// They do so at the full five minutes, all at once: the first slots that they wake put the
/// others to sleep again by tens.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// Whether calls may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// They may.
    Open,
    /// None may, and nothing is received.
    Shut {
        /// When sleeping rings are to come back.
        rings_back_at: Moment,
    },
    /// One may, to find out whether the API can answer again. None is fetched beside it, and after
    /// it the gate is shut until it is said to be open.
    Probe {
        /// As in [`Gate::Shut`], once the call is made.
        rings_back_at: Moment,
    },
}

/// For how long rings sleep in front of a gate that is shut at `now`, and opens by itself in
/// `opens_in`, if it does. `now` is since the epoch, by a clock that the slots share nearly enough.
///
/// All rings come back at one of few moments: those which are not needed can then be put to sleep
/// again together. None comes back sooner than half of the usual time.
pub fn rings_asleep_for(now: Duration, opens_in: Option<Duration>) -> Duration {
    let until_look = until_look(now, LOOK_EVERY);
    opens_in.map_or(until_look, |opens_in| opens_in.min(until_look))
}

/// Until all sleeping rings look again together: half of the usual time at least.
pub(super) fn until_look(now: Duration, every: Duration) -> Duration {
    let period = every.as_secs();
    let next_look = (now + every / 2).as_secs() / period * period + period;
    Duration::from_secs(next_look).saturating_sub(now)
}

/// What a slot knows of the control record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Control {
    pub(super) gate: Gate,
    /// When it is to be read next.
    pub(super) read_at: Moment,
    /// Reads under way.
    pub(super) reads: u32,
}

impl Control {
    pub(super) fn new(now: Moment, gate: Gate) -> Self {
        Self { gate, read_at: now + READ_EVERY, reads: 0 }
    }

    /// Whether a call may be looked for.
    pub(super) fn is_open(self) -> bool {
        !matches!(self.gate, Gate::Shut { .. })
    }

    /// A call is made: a probe is the only one.
    pub(super) fn on_launch(&mut self) {
        if let Gate::Probe { rings_back_at } = self.gate {
            self.gate = Gate::Shut { rings_back_at };
        }
    }
}

/// For how long the ring of a slot sleeps that sleeps until then: not shorter than a call is
/// `hidden`.
pub(super) fn ring_back_after(now: Moment, until: Moment, hidden: Duration) -> Duration {
    let asleep = until.saturating_sub(now);
    if hidden.is_zero() { asleep } else { asleep.max(hidden + RING_LEAD) }
}
