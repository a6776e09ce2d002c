//! What becomes of a call once the API answered, or did not.
//!
//! | Outcome | While attempts and time are left | Attempts used up | No time before the deadline |
//! |---|---|---|---|
//! | [`Succeeded`](Outcome::Succeeded) | complete | complete | complete |
//! | [`Rejected`](Outcome::Rejected) | fail Rejected | fail Rejected | fail Rejected |
//! | [`AlreadyExists`](Outcome::AlreadyExists), first attempt | fail Rejected | fail Rejected | fail Rejected |
//! | [`AlreadyExists`](Outcome::AlreadyExists), a later one | as `Unknown` | as `Unknown` | as `Unknown` |
//! | [`Unauthorized`](Outcome::Unauthorized) | retry | fail Unauthorized | fail Unauthorized |
//! | [`Throttled`](Outcome::Throttled) | retry | retry: no attempt was made | fail DeadlineExceeded |
//! | [`InFlight`](Outcome::InFlight) | retry | retry: no attempt was made | fail OutcomeUnknown |
//! | [`Transient`](Outcome::Transient) | retry | fail AttemptsExhausted | fail DeadlineExceeded |
//! | [`Unknown`](Outcome::Unknown), repeatable | retry | fail OutcomeUnknown | fail OutcomeUnknown |
//! | [`Unknown`](Outcome::Unknown), not repeatable | reconcile | reconcile once more, then fail NeedsPerson | fail NeedsPerson |
//!
//! Three rules stand behind the table. What is definite is final: a success counts however late it
//! comes. A call that may have had an effect never ends under a name that says it had none. If its
//! answer is lost and cannot be cleared up, a person must decide, or it is
//! [`OutcomeUnknown`](FailureName::OutcomeUnknown) where running it again does no harm. And that
//! holds for *all* attempts of a call, not only for the last. After a lost answer, a call that may
//! be repeated fails as `OutcomeUnknown` whatever became of its later attempts
//! ([`Attempts::maybe_executed`]).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::jitter::{secs_up, whole_secs};
use crate::timing::{ENDING_RECEIVES, UNPLANNED_RECEIVES};

/// What the target did with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<V> {
    /// It was executed, and this is the answer.
    Succeeded(V),
    /// It was refused for what it asks, and would be refused again.
    Rejected(Why),
    /// It was refused because the record that it would create exists already. At the first attempt
    /// somebody else has made it. At a later one an earlier attempt may have made it, whose answer
    /// was lost.
    AlreadyExists(Why),
    /// It was refused because of our credentials, even after they were renewed.
    Unauthorized(Why),
    /// It was not executed because the API is at its limit.
    Throttled {
        /// How long the API asked to wait, if it did.
        retry_after: Option<Duration>,
    },
    /// This attempt did nothing, because the API is still at work on an earlier request with the
    /// same idempotency key. That may be this call's own, so the call may yet be executed; since
    /// the key is known, trying again is safe.
    InFlight {
        /// How long the API asked to wait, if it did.
        retry_after: Option<Duration>,
        /// What it said.
        why: Why,
    },
    /// It was not executed. Another attempt may succeed.
    Transient(Why),
    /// It may have been executed. Nobody knows until the API has been asked.
    Unknown(Why),
}

/// The reason of an outcome, for the cause of a failed workflow.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Why {
    /// In words. It goes to the workflow and to logs.
    pub message: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The API's own error code, if it gave one.
    pub code: Option<String>,
}

impl From<String> for Why {
    fn from(message: String) -> Why {
        Why { message, ..Why::default() }
    }
}

impl From<&str> for Why {
    fn from(message: &str) -> Why {
        message.to_owned().into()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, " (status {status}, {code})"),
            (Some(status), None) => write!(f, " (status {status})"),
            (None, Some(code)) => write!(f, " ({code})"),
            (None, None) => Ok(()),
        }
    }
}

/// What the worker has to do with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement<V> {
    /// Store the answer and resume the workflow with it.
    Complete(V),
    /// Fail the workflow under this name.
    Fail {
        /// The error's name.
        name: FailureName,
        /// Its cause.
        why: Why,
    },
    /// Give the call back for this long, and ring for it then. Whole seconds, 1 to 900.
    RetryAfter(Duration),
    /// As [`Settlement::RetryAfter`]; but then, before anything else, ask the API whether the call
    /// was executed.
    Reconcile {
        /// Whole seconds, 1 to 900.
        after: Duration,
    },
}

/// The error names that a workflow can catch. `Display` writes them with the prefix `Slowlane.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureName {
    /// The API refused the call for what it asks. It was not executed.
    Rejected,
    /// The message on the queue was malformed.
    InvalidMessage,
    /// The deadline passed before the call could be executed. It was not executed.
    DeadlineExceeded,
    /// The last attempt failed as well. It was not executed.
    AttemptsExhausted,
    /// An attempt may have been executed, and no other succeeded. Running the call again is safe:
    /// twice has the same effect as once.
    OutcomeUnknown,
    /// The call may have been executed, and the API could not tell.
    NeedsPerson,
    /// The call is not safe to repeat, the API could not be asked whether it happened, and nobody
    /// asked for `at_most_once`. It was not sent.
    NotReconcilable,
    /// The call has more units than a limit ever lets through. It was not sent.
    ExceedsLimit,
    /// The call's tenant has used up a budget. It was not sent.
    BudgetExceeded,
    /// The idempotency key was used before with another payload.
    PayloadMismatch,
    /// The call was executed, but its answer does not fit into a workflow's state.
    ResultTooLarge,
    /// The API does not accept our credentials.
    Unauthorized,
}

impl FailureName {
    /// Every name.
    pub const ALL: [FailureName; 12] = [
        FailureName::Rejected,
        FailureName::InvalidMessage,
        FailureName::DeadlineExceeded,
        FailureName::AttemptsExhausted,
        FailureName::OutcomeUnknown,
        FailureName::NeedsPerson,
        FailureName::NotReconcilable,
        FailureName::ExceedsLimit,
        FailureName::BudgetExceeded,
        FailureName::PayloadMismatch,
        FailureName::ResultTooLarge,
        FailureName::Unauthorized,
    ];

    /// Whether the name says that the call was not executed.
    pub fn says_not_executed(self) -> bool {
        match self {
            FailureName::Rejected
            | FailureName::InvalidMessage
            | FailureName::DeadlineExceeded
            | FailureName::AttemptsExhausted
            | FailureName::NotReconcilable
            | FailureName::ExceedsLimit
            | FailureName::BudgetExceeded
            | FailureName::PayloadMismatch
            | FailureName::Unauthorized => true,
            FailureName::OutcomeUnknown
            | FailureName::NeedsPerson
            | FailureName::ResultTooLarge => false,
        }
    }

    /// This name, unless it would deny an attempt that may have been executed. Then it is
    /// [`OutcomeUnknown`](FailureName::OutcomeUnknown), as for any call that may be repeated.
    #[must_use]
    pub fn if_maybe_executed(self, maybe_executed: bool) -> FailureName {
        if maybe_executed && self.says_not_executed() { FailureName::OutcomeUnknown } else { self }
    }

    /// The whole name: `Slowlane.Rejected` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureName::Rejected => "Slowlane.Rejected",
            FailureName::InvalidMessage => "Slowlane.InvalidMessage",
            FailureName::DeadlineExceeded => "Slowlane.DeadlineExceeded",
            FailureName::AttemptsExhausted => "Slowlane.AttemptsExhausted",
            FailureName::OutcomeUnknown => "Slowlane.OutcomeUnknown",
            FailureName::NeedsPerson => "Slowlane.NeedsPerson",
            FailureName::NotReconcilable => "Slowlane.NotReconcilable",
            FailureName::ExceedsLimit => "Slowlane.ExceedsLimit",
            FailureName::BudgetExceeded => "Slowlane.BudgetExceeded",
            FailureName::PayloadMismatch => "Slowlane.PayloadMismatch",
            FailureName::ResultTooLarge => "Slowlane.ResultTooLarge",
            FailureName::Unauthorized => "Slowlane.Unauthorized",
        }
    }
}

impl fmt::Display for FailureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a call beside its latest outcome. It comes from the idempotency record, not
/// from SQS's receive count, which also counts deferrals and give-backs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts so far. The one being settled counts; those that were throttled do not.
    pub used: u32,
    /// The most attempts that the call may have.
    pub max: u32,
    /// Whether the one being settled is the very first under the call's key.
    pub first: bool,
    /// Whether making the call again after a lost answer does no harm. If it does, the API is
    /// asked what became of it.
    pub repeatable: bool,
    /// Whether an attempt *before* the one being settled may have been executed. This happens only
    /// to a call that may be repeated: any other is made again only if the first was not executed.
    pub maybe_executed: bool,
}

/// How long to wait before a call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// The longest delay after the first attempt; it doubles with each further one.
    pub base: Duration,
    /// The longest delay after any attempt.
    pub cap: Duration,
    /// The shortest delay after a throttled call.
    pub throttled: Duration,
}

impl RetrySettings {
    /// The settings for calls that may be throttled for up to `max_wait`. The delay after a
    /// throttled call is at least 2 s and at least `max_wait` /
    /// [`MAX_THROTTLES`](crate::timing::MAX_THROTTLES). So throttling costs no more receives than
    /// [`max_receive_count`](crate::timing::max_receive_count) allows for.
    pub fn for_max_wait(max_wait: Duration) -> RetrySettings {
        let share = secs_up(max_wait).div_ceil(u64::from(crate::timing::MAX_THROTTLES));
        RetrySettings {
            base: Duration::from_secs(2),
            cap: Duration::from_secs(60),
            throttled: Duration::from_secs(share.max(2)),
        }
    }
}

impl Default for RetrySettings {
    /// Delays of up to 2, 4, 8 ... 60 s after attempts, and of 2 s or more after throttled calls.
    /// [`RetrySettings::for_max_wait`] gives the same for any wait of up to 800 s.
    fn default() -> RetrySettings {
        RetrySettings::for_max_wait(Duration::ZERO)
    }
}

/// The longest delay: SQS delays a ring by 900 s at most (API model, `SendMessage`).
const MAX_DELAY_SECS: u64 = 900;

/// How long to wait before a call is tried again because AWS could not be reached, or because the
/// API could not say what became of it.
///
/// It is 5 s at first, doubles with every eighth receive up to a minute, and has up to a quarter of
/// jitter on top. So the receives of a call ([`max_receive_count`](crate::timing::max_receive_count))
/// last through an outage of six hours. A call that was handed out a few times for other reasons
/// does not wait long for one hiccup.
///
/// Whole seconds. `receive_count` is SQS's.
pub fn try_again_after(receive_count: u32, unit: f64) -> Duration {
    let secs = 5_u64 << (receive_count / 8).min(4);
    let secs = secs.min(60);
    whole_secs(secs, secs + secs / 4, unit)
}

/// How long a call waits at least that is given back unmade for want of a grant or of a place, so that its
/// receives last until its deadline. It was handed out `receives` times, of `most` that SQS allows, and
/// its deadline is `time_left` away.
///
/// Nothing is asked of a call that has half of its receives left: it is to go soon. Those receives
/// that nobody plans are left out. A ring comes after a quarter of an hour at the latest: so a call can
/// wait for two days in this way, and not for ten. Whole seconds.
pub fn lasting_delay(receives: u32, most: u32, time_left: Duration) -> Duration {
    if receives < most / 2 {
        return Duration::ZERO;
    }
    let left = most.saturating_sub(receives).saturating_sub(UNPLANNED_RECEIVES + ENDING_RECEIVES);
    Duration::from_secs((secs_up(time_left) / u64::from(left.max(1))).min(MAX_DELAY_SECS))
}

/// How long to wait before a call is tried again while the API answers nobody, or is asked again what
/// became of a call and says nothing. That has lasted for `waited` at most, and the call would otherwise
/// come back after `delay`.
///
/// A tenth of what it has waited so far, up to a quarter of an hour. An outage of seconds costs it
/// seconds. In one of days a call is not handed out so often that SQS gives it up
/// ([`max_receive_count`](crate::timing::max_receive_count)). Whole seconds, if `delay` has them.
pub fn outage_delay(delay: Duration, waited: Duration) -> Duration {
    delay.max(Duration::from_secs((waited.as_secs() / 10).min(MAX_DELAY_SECS)))
}

/// How long to wait before the API is asked (again) what became of a call. Its answer was lost
/// `lost_for` ago, and its effect may still show within `settles_in`.
///
/// "It is there" is believed at once, "it is not there" only when that time is over. So the first
/// questions come after seconds. Each later one waits for half of the time that has passed, but at
/// most two minutes, and the last comes when the time is over. A lost answer usually costs a
/// workflow seconds. If an API may work on for a quarter of an hour, it is asked about fifteen
/// times at most. Whole seconds, at least 1.
pub fn ask_again_after(lost_for: Duration, settles_in: Duration, unit: f64) -> Duration {
    let pause = (lost_for / 2).clamp(FIRST_QUESTION, LONGEST_QUESTION_PAUSE);
    let pause = whole_secs(secs_up(pause), secs_up(pause) + secs_up(pause) / 4, unit);
    // The time left after the last pause is not worth a question of its own.
    let last = Duration::from_secs(secs_up(settles_in).max(1));
    if pause + FIRST_QUESTION > last { last } else { pause }
}

/// The shortest time after a lost answer in which an effect usually shows.
const FIRST_QUESTION: Duration = Duration::from_secs(2);
/// The longest time between two questions.
const LONGEST_QUESTION_PAUSE: Duration = Duration::from_secs(120);

/// Decides what becomes of a call, by the table in the [module documentation](self).
pub fn settle<V>(
    outcome: Outcome<V>,
    attempts: &Attempts,
    now: Timestamp,
    deadline: Timestamp,
    settings: &RetrySettings,
    unit: f64,
) -> Settlement<V> {
    let time_left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
    let delay = retry_delay(attempts.used, settings.base, settings.cap, unit);
    let fail = |name: FailureName, why| Settlement::Fail {
        name: name.if_maybe_executed(attempts.maybe_executed),
        why,
    };
    match outcome {
        Outcome::Succeeded(value) => Settlement::Complete(value),
        Outcome::Rejected(why) => fail(FailureName::Rejected, why),
        Outcome::AlreadyExists(why) if attempts.first => fail(FailureName::Rejected, why),
        Outcome::Unauthorized(_) if attempts.used < attempts.max && delay < time_left => {
            Settlement::RetryAfter(delay)
        }
        Outcome::Unauthorized(why) => fail(FailureName::Unauthorized, why),
        Outcome::Throttled { retry_after } => {
            let delay = throttled_delay(retry_after, settings.throttled, unit);
            if delay < time_left {
                Settlement::RetryAfter(delay)
            } else {
                fail(FailureName::DeadlineExceeded, too_late("the API is at its limit".into()))
            }
        }
        Outcome::InFlight { retry_after, why } => {
            let delay = throttled_delay(retry_after, settings.throttled, unit);
            if delay < time_left {
                Settlement::RetryAfter(delay)
            } else {
                Settlement::Fail { name: FailureName::OutcomeUnknown, why: too_late(why) }
            }
        }
        Outcome::Transient(why) if attempts.used >= attempts.max => {
            fail(FailureName::AttemptsExhausted, why)
        }
        Outcome::Transient(_) if delay < time_left => Settlement::RetryAfter(delay),
        Outcome::Transient(why) => fail(FailureName::DeadlineExceeded, too_late(why)),
        Outcome::Unknown(why) | Outcome::AlreadyExists(why) => {
            lost(why, attempts, delay, time_left)
        }
    }
}

/// Decides about a call that may have been executed.
fn lost<V>(why: Why, attempts: &Attempts, delay: Duration, time_left: Duration) -> Settlement<V> {
    let in_time = delay < time_left;
    if attempts.repeatable {
        if attempts.used < attempts.max && in_time {
            return Settlement::RetryAfter(delay);
        }
        return Settlement::Fail { name: FailureName::OutcomeUnknown, why };
    }
    if attempts.used <= attempts.max && in_time {
        return Settlement::Reconcile { after: delay };
    }
    Settlement::Fail { name: FailureName::NeedsPerson, why }
}

fn too_late(last: Why) -> Why {
    let message = format!("no time for another attempt; the last one: {}", last.message);
    Why { message, ..last }
}

/// The delay after attempt number `attempt`, counted from 1. It has full jitter: any whole number
/// of seconds from 1 to `base` · 2^(`attempt` - 1), but at most `cap` and 900 s.
///
/// The floor of one second is SQS's unit. Without a floor some calls would come back at once, and
/// together.
pub fn retry_delay(attempt: u32, base: Duration, cap: Duration, unit: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let longest = secs_up(base.saturating_mul(1 << doublings).min(cap));
    whole_secs(1, longest.clamp(1, MAX_DELAY_SECS), unit)
}

/// At least what the API asked for and at least `floor`, with twice the floor of jitter on top. If
/// an API asks for more than 900 s, it is tried again sooner, since SQS delays no longer.
fn throttled_delay(retry_after: Option<Duration>, floor: Duration, unit: f64) -> Duration {
    let floor = secs_up(floor).clamp(1, MAX_DELAY_SECS / 3);
    let asked = secs_up(retry_after.unwrap_or_default());
    let least = asked.clamp(floor, MAX_DELAY_SECS - 2 * floor);
    whole_secs(least, least + 2 * floor, unit)
}

#[cfg(test)]
mod tests;
