//! When a call goes whose tenant has a limit of its own.
//!
//! Each tenant has a *meter*, which gives exact moments, and for each priority a *line*, in which
//! its calls have appointments one interval apart. A call that is received and whose tenant has no
//! moment free soon gets an appointment at the end of its line. It is hidden until then, and holds
//! nothing: no slot, no grant, no attempt. So it blocks nobody, and is received twice instead of
//! again and again.
//!
//! ```text
//!            a moment is free           asks the meter         there is one
//! received ───────────────────────────────────▶──────────────────────────▶ goes
//!     │ none is free soon                     │ there is none    ▲
//!     ▼                                       ▼                  │
//!   joins the line ◀──────────────────────────┘       asks the meter, its appointment come
//!     └── hidden until its appointment ──────────────────────────┘
//! ```
//!
//! # An urgent call overtakes
//!
//! With exact moments alone a tenant's HIGH call would wait behind all of its batch. Here it has a
//! line of its own, which is empty, and asks the meter at once. The meter's next moment is at most
//! about one interval ahead, since a BATCH call takes one only shortly before it comes. A more
//! urgent call takes it from further ahead ([`Patience::within`]), so it gets the next one. The
//! BATCH call whose appointment that was finds no moment, and pays: it joins its line again. No
//! moment is lost, and no window passed. A call that has paid is as urgent as the next priority,
//! and so on: none pays for ever.
//!
//! # What a quiet tenant waits
//!
//! Before a call of a quiet tenant, all calls of a noisy one may have to be received once. Each
//! takes its slot the time of a put-off, not of a call ([`longest_quiet_wait`]). A queue that
//! serves quiet tenants first leaves nothing of that.
//!
//! # A line has an end
//!
//! Nobody has an appointment after its deadline. A call for which its line has no room until then
//! takes none: it is hidden until its deadline, or joins when it comes back before that. So calls
//! that fail by their deadlines keep no others waiting.
//!
//! A call whose workflow was stopped keeps its appointment, and does not come to it. Then the meter is
//! idle although the line is long. Whoever sees that has the line begin anew ([`is_deserted`]), and
//! those who still wait in it share their moments with newcomers: each may miss an appointment.
//!
//! # SQS's bounds
//!
//! A message is hidden for whole seconds. So the request is sent at such a fraction of a second
//! that it is visible when it should be ([`Hidden`]). It is hidden for twelve hours at most, so a call
//! with a longer wait comes back meanwhile ([`hidden_at_once`]). A queue may have 120,000 messages
//! hidden; that is not counted here. Beyond it SQS gives no more of them out until some are visible
//! again.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use slowlane_message::Priority;

/// A call is hidden for no longer at once. SQS hides a message for 12 hours from its receipt.
const LONGEST_HIDDEN: Duration = Duration::from_secs(11 * 3_600);

/// How long before its appointment a call is visible again: it must be received and claimed first.
pub const VISIBLE_EARLIER: Duration = Duration::from_millis(50);

/// A call whose appointment is further ahead than this goes back until then.
const RECEIVED_EARLY: Duration = Duration::from_secs(1);

/// How far ahead a BATCH call takes a moment of its tenant's: the time of its last requests.
const JUST_AHEAD: Duration = Duration::from_millis(60);

/// How long a call is held by a slot that waits for its tenant's moment, beside half an interval.
const IN_HAND: Duration = Duration::from_millis(250);

/// By how much of an interval at most a step of urgency takes a moment from further ahead.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// A meter that is idle for so many intervals, and for so long, says that nobody comes to the
/// appointments in its lines. The requests of a call, or slots that are busy, take less.
const DESERTED: (u32, Duration) = (3, Duration::from_secs(5));

/// From so many steps on a call is not more urgent any more.
const MOST_STEPS: u32 = 4;

/// The moment for which a call waits in its tenant's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// When it comes.
    pub at: Timestamp,
    /// How often the call has come to an appointment and found no moment.
    pub missed: u32,
}

const COMES_AT: &str = "its tenant's turn comes at ";
const MISSED: &str = ", missed before: ";

impl fmt::Display for Appointment {
    /// As it is left in the call's record, where people read it too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Appointment { at, missed } = self;
        write!(f, "{COMES_AT}{at:.3}{MISSED}{missed}")
    }
}

/// What is left in the record of a call without one: until its deadline its line has no room.
pub const NO_ROOM: &str = "its tenant's line is full until its deadline";

/// It is no appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no appointment")]
pub struct NoAppointment;

impl FromStr for Appointment {
    type Err = NoAppointment;

    fn from_str(text: &str) -> Result<Self, NoAppointment> {
        let read = || {
            let (at, missed) = text.strip_prefix(COMES_AT)?.split_once(MISSED)?;
            Some(Appointment { at: at.parse().ok()?, missed: missed.parse().ok()? })
        };
        read().ok_or(NoAppointment)
    }
}

/// What a call does that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It asks for its tenant's next moment when a slot is free for it.
    Goes,
    /// It came before its appointment and waits for it.
    Waits(Appointment),
    /// Its tenant has none soon: it joins its line.
    Joins,
}

/// What a call does that was received at `now`. Its tenant has the next moment `free_at`, if anybody
/// knows, and `soon` is within this time.
pub fn received(
    now: Timestamp,
    appointment: Option<Appointment>,
    free_at: Option<Timestamp>,
    soon: Duration,
) -> Received {
    let is_later = |at: Timestamp, by: Duration| ahead(now, at) > by;
    match appointment {
        Some(appointment) if is_later(appointment.at, RECEIVED_EARLY) => {
            Received::Waits(appointment)
        }
        Some(_) => Received::Goes,
        None if free_at.is_some_and(|free| is_later(free, soon)) => Received::Joins,
        None => Received::Goes,
    }
}

/// For how long a call would wait for its tenant's moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// So far ahead it takes a moment. The more urgent, the further: then it gets the next one.
    pub within: Duration,
    /// So long a slot holds it for a moment, its appointment having come. It joins its line if that
    /// is not enough.
    pub in_hand: Duration,
}

impl Patience {
    /// How soon a moment must be free for a call without an appointment. Where the target has rates as
    /// well, its grant would be lost while a slot holds the call: only for urgent calls that is done.
    pub fn soon(&self, priority: Priority, target_has_rates: bool) -> Duration {
        match target_has_rates && priority != Priority::High {
            true => JUST_AHEAD,
            false => self.within,
        }
    }
}

/// The patience of a call that has missed so many appointments, where its tenant's calls are `apart`.
pub fn patience(priority: Priority, missed: u32, apart: Duration) -> Patience {
    let urgency = match priority {
        Priority::High => 2,
        Priority::Normal => 1,
        Priority::Batch => 0,
    };
    let steps = missed.saturating_add(urgency).min(MOST_STEPS);
    let within = JUST_AHEAD + apart.min(LONGEST_STEP) * steps;
    Patience { within, in_hand: within + (apart / 2).min(LONGEST_STEP / 2) + IN_HAND }
}

/// How a message is hidden so that it is visible at a moment, although SQS counts whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// When the request is to be sent: in so long, less than a second.
    pub after: Duration,
    /// For how long it then hides the message, in whole seconds, one at least.
    pub seconds: Duration,
}

impl Hidden {
    /// So that a call is visible shortly before the moment that is `ahead`, or after a second.
    pub fn until(ahead: Duration) -> Self {
        let ahead = hidden_at_once(ahead.saturating_sub(VISIBLE_EARLIER));
        match ahead.as_secs() {
            0 => Hidden { after: Duration::ZERO, seconds: Duration::from_secs(1) },
            seconds => {
                let seconds = Duration::from_secs(seconds);
                Hidden { after: ahead - seconds, seconds }
            }
        }
    }
}

/// For how long a call is hidden at once that is to come so far ahead: longer waits are parted evenly. So
/// calls that were put off together do not come back together, before their time.
pub fn hidden_at_once(ahead: Duration) -> Duration {
    let parts = ahead.as_nanos().div_ceil(LONGEST_HIDDEN.as_nanos()).max(1);
    ahead / u32::try_from(parts).unwrap_or(u32::MAX)
}

/// Whether nobody comes to the appointments in a tenant's lines: its meter is idle for so long, and
/// calls are `apart`.
pub fn is_deserted(idle_for: Duration, apart: Duration) -> bool {
    let (intervals, least) = DESERTED;
    // A quota alone has no line to speak of: all come when it begins anew.
    !apart.is_zero() && idle_for > apart.saturating_mul(intervals).max(least)
}

/// How long from `now` to `at`; zero if that is past.
pub fn ahead(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// Who else is there when a quiet tenant's call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Slots at work.
    pub slots: NonZeroU32,
    /// Calls of noisy tenants that are served before it: all that were not yet put off, or none
    /// where the queue serves quiet tenants first.
    pub ahead: u32,
    /// How long a slot is busy with a call that it puts off.
    pub put_off: Duration,
    /// How many noisy tenants there are.
    pub noisy: u32,
    /// How far apart the calls of one of them are that go.
    pub apart: Duration,
    /// How long a slot is busy with a call that goes, the wait for its moment included.
    pub service: Duration,
}

/// The longest that a call waits for a slot whose own tenant has a moment free, on the queue of its
/// priority.
///
/// In a wait W the slots put off the calls `ahead`, and make those of the noisy tenants that come to
/// their appointments, W / apart + 1 of each. So slots · W is at most
/// ahead · `put_off` + noisy · (W / apart + 1) · service + slots · the longer of both.
///
/// `None` if the noisy tenants' calls alone may keep all slots busy: then no wait is bounded.
pub fn longest_quiet_wait(beside: &Beside) -> Option<Duration> {
    let Beside { slots, ahead, put_off, noisy, apart, service } = *beside;
    let (slots, noisy) = (f64::from(slots.get()), f64::from(noisy));
    let (put_off, service) = (put_off.as_secs_f64(), service.as_secs_f64());
    let kept_busy = if noisy > 0.0 { noisy * service / apart.as_secs_f64() } else { 0.0 };
    let left = slots - kept_busy;
    let work = f64::from(ahead) * put_off + noisy * service + slots * service.max(put_off);
    (left > 0.0).then(|| Duration::try_from_secs_f64(work / left).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests;
