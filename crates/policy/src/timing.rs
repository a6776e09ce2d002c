//! Every time-out and receive count of a deployment, derived from the few that are chosen.
//!
//! CloudFormation cannot calculate, so its template holds these numbers in tables, which a test
//! compares with this module. That is why the inputs are few and discrete: the API's time-out
//! ([`API_TIMEOUTS_SECS`]), `max_deferrals` and `max_attempts`.
//!
//! | Number | Formula | At an API time-out of 30 s |
//! |---|---|---|
//! | `call_visibility` | 2 · api_timeout + [`SETTLE_MARGIN`] | 90 s |
//! | `work_window` | [`WORK_WINDOW`] | 180 s |
//! | `function_timeout` | work_window + call_visibility | 270 s |
//! | `ring_visibility` | function_timeout + call_visibility | 360 s |
//! | `deferral_visibility` | 6 · function_timeout | 1,620 s |
//!
//! These are the same in every deployment:
//!
//! | Number | Formula | |
//! |---|---|---|
//! | [`LONGEST_DEADLINE`] | chosen | 10 days |
//! | [`CALL_RETENTION`] | LONGEST_DEADLINE + [`OVERDUE_MARGIN`] | 10.5 days |
//! | [`DEAD_LETTER_RETENTION`] | SQS's most | 14 days |
//! | [`RECORD_EXPIRY`] | CALL_RETENTION + DEAD_LETTER_RETENTION + CALL_RETENTION | 35 days |
//! | [`ENQUEUER_TIMEOUT`] | 2 · [`ENQUEUER_REQUEST_TIMEOUT`] + 10 s | 30 s |
//!
//! # Why these
//!
//! **`call_visibility`** is how long a slot of the doorbell wiring may have a call in its hands.
//! First the call may wait for a whole time-out: it was fetched early and the running call is slow,
//! or it must be reconciled with the API. Then comes its own time at the API, and the AWS requests
//! before and after. If the worker dies, the call comes back within that time, much sooner than the
//! function's time-out.
//!
//! **`work_window`** is how long after its start an invocation may still take a call. A call
//! taken at its end has its whole visibility time before Lambda kills the invocation. A long
//! window spreads the start of an invocation over many calls.
//!
//! **`ring_hold`** ([`ring_hold`]) is how long a slot hides its ring, at its start and again every
//! [`RING_RENEWAL`]. If the slot is killed, the ring comes back [`RING_LEAD`] after the last call
//! that the slot may have taken is visible again.
//!
//! **`ring_visibility`** is how long the doorbell's queue hides a ring until a slot begins to hold
//! it. SQS requires at least the function's time-out. It keeps the doorbell's invariant: for every
//! unfinished call there is a ring that arrives after that call is visible. The last call is taken
//! at the end of the window, and is visible again by `function_timeout` after the invocation's
//! start. A ring that comes back at `ring_visibility` comes `call_visibility` later. By that much
//! the delivery of the ring may be late, counted from when the mapping received it.
//!
//! **`deferral_visibility`** is for the queues of calls when mappings read them. SQS requires the
//! function's time-out. AWS advises six times that, because throttled deliveries are retried that
//! long.
//!
//! **`CALL_RETENTION`** is how long SQS keeps a call before it drops it without a word. A call may
//! wait until its deadline. After that a worker must still receive it, to fail its workflow by
//! name. `OVERDUE_MARGIN` is the time for that. SQS hides a message for 12 hours at most, so a call
//! that was hidden at its deadline is visible again before the margin ends. The doorbell keeps
//! rings as long as the queues keep calls, because a ring is sent right after its call.
//!
//! **`DEAD_LETTER_RETENTION`** counts from when the call was first sent if SQS moved it, because a
//! message keeps its age. So a call that is moved at its deadline is kept for four more days. One
//! that is moved at the last moment is kept for three and a half. A letter that the worker sends is
//! new, and stays for 14 days.
//!
//! **`RECORD_EXPIRY`** is how long the guard keeps a record after its last write. A record must
//! outlive every message under its key that was on its way at that write. Otherwise such a message
//! would find nothing, as if its call had never been made. It is received after `CALL_RETENTION` at
//! the latest. The worker may then send a dead letter, which stays for `DEAD_LETTER_RETENTION`. On
//! its last day somebody may restart the letter, and the call waits for its turn anew. So a call
//! that is sent within 24.5 days of the end of an earlier one under its key finds that one's
//! record, however long it then waits.

mod settings;

use std::time::Duration;

pub use settings::{Contradiction, WorkerSettings};

/// The API time-outs that a deployment can choose, in seconds.
pub const API_TIMEOUTS_SECS: [u64; 5] = [10, 30, 60, 120, 300];

/// How long an invocation takes calls.
pub const WORK_WINDOW: Duration = Duration::from_secs(180);

/// Time for the AWS requests of one call before and after the API. It is enough for two or three
/// of them to time out after some seconds and be retried.
pub const SETTLE_MARGIN: Duration = Duration::from_secs(30);

/// The longest that a call may wait for its turn. A call with a later deadline is refused.
pub const LONGEST_DEADLINE: Duration = Duration::from_secs(10 * DAY_SECS);

/// How much later than [`LONGEST_DEADLINE`] a deadline may seem to the enqueuer: the machine that
/// calculated it has a clock of its own.
pub const DEADLINE_TOLERANCE: Duration = Duration::from_secs(60);

/// How long a call can still be received and failed by name after its deadline: SQS's longest
/// visibility time-out.
pub const OVERDUE_MARGIN: Duration = MAX_VISIBILITY;

/// How long the queues of calls and the doorbell keep a message.
pub const CALL_RETENTION: Duration = LONGEST_DEADLINE.saturating_add(OVERDUE_MARGIN);

/// How long the dead-letter queue keeps a message: the most that SQS allows.
pub const DEAD_LETTER_RETENTION: Duration = Duration::from_secs(14 * DAY_SECS);

/// How long the guard keeps a record after its last write.
pub const RECORD_EXPIRY: Duration =
    CALL_RETENTION.saturating_add(DEAD_LETTER_RETENTION).saturating_add(CALL_RETENTION);

/// The enqueuer's longest wait for one request to SQS, the SDK's own retries included. It sends two:
/// the call and its ring.
pub const ENQUEUER_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The time-out of the enqueuer's function. Beside the two requests there is time for its start. So
/// it ends by an error of its own rather than by a kill, which has no name.
pub const ENQUEUER_TIMEOUT: Duration =
    ENQUEUER_REQUEST_TIMEOUT.saturating_mul(2).saturating_add(Duration::from_secs(10));

const DAY_SECS: u64 = 86_400;

/// SQS hides a message for 12 hours at most.
const MAX_VISIBILITY: Duration = Duration::from_secs(43_200);

/// The queues of calls hide what a mapping reads for the function's time-out times this factor (AWS
/// advises six).
pub const DEFERRAL_VISIBILITY_FACTOR: u32 = 6;

/// How often a slot that works holds its ring anew.
pub const RING_RENEWAL: Duration = Duration::from_secs(15);

/// How much later than its calls the ring of a killed slot comes back.
pub const RING_LEAD: Duration = Duration::from_secs(10);

/// How long a slot hides its ring each time. The calls that it takes before the next renewal are
/// visible again before the ring is. So the calls of a killed slot run again within
/// `call_visibility` and half a minute, even if nobody else rings. It costs a slot at work one
/// request to SQS every [`RING_RENEWAL`].
pub fn ring_hold(call_visibility: Duration) -> Duration {
    call_visibility.saturating_add(RING_RENEWAL + RING_LEAD)
}

/// How long the ring of a slot is hidden that may not receive. The time doubles whenever the ring is
/// handed out, up to five minutes. So a mistake in a policy costs each waiting ring about three
/// hundred invocations a day, and calls run within five minutes of its mend. It is not shorter than
/// [`ring_hold`], because a receive that failed may have hidden a call. Whole seconds if
/// `call_visibility` is.
pub fn ring_backoff(call_visibility: Duration, receive_count: u32) -> Duration {
    let doublings = receive_count.saturating_sub(1).min(8);
    let hold = ring_hold(call_visibility);
    hold.saturating_mul(1 << doublings).min(LONGEST_RING_BACKOFF.max(hold))
}

/// The longest that [`ring_backoff`] is for an API that may take a minute.
pub const LONGEST_RING_BACKOFF: Duration = Duration::from_secs(300);

/// How often a ring that says so rings again ([`slowlane_message::Ring`]) while calls may become
/// visible that nobody has rung for.
pub const RING_AGAIN: Duration = Duration::from_secs(60);

/// How many throttled receives a call has within `max_wait`, at most:
/// [`RetrySettings::for_max_wait`](crate::settle::RetrySettings::for_max_wait) spaces them so.
pub const MAX_THROTTLES: u32 = 400;

/// Receives that nobody plans: throttled deliveries of a mapping, crashes before a claim, and calls
/// that were fetched early and given back.
pub const UNPLANNED_RECEIVES: u32 = 16;

/// The last receives of a call, in which the worker only ends it by name. There are several, since
/// Step Functions may be out of reach at one of them.
pub const ENDING_RECEIVES: u32 = 5;

/// Lambda runs a function for 900 s at most.
const MAX_FUNCTION_TIMEOUT: Duration = Duration::from_secs(900);

/// The greatest `maxReceiveCount` of SQS.
const MAX_RECEIVE_COUNT: u32 = 1_000;

/// The durations of one deployment, all in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long the API may take to answer one call.
    pub api_timeout: Duration,
    /// How long a received call stays hidden from other slots.
    pub call_visibility: Duration,
    /// How long after its start an invocation may still take a call.
    pub work_window: Duration,
    /// The time-out of the worker function.
    pub function_timeout: Duration,
    /// How long a received ring stays hidden.
    pub ring_visibility: Duration,
    /// The visibility time-out of the queues of calls when event source mappings read them.
    pub deferral_visibility: Duration,
}

/// An API time-out that no worker can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an API time-out of {secs} s does not fit: it must be 1 s at least, and the function's \
     time-out that follows from it {} s at most",
    MAX_FUNCTION_TIMEOUT.as_secs()
)]
pub struct BadApiTimeout {
    /// The time-out asked for, in seconds.
    pub secs: u64,
}

impl Timing {
    /// Derives everything from the time that the API may take to answer one call.
    ///
    /// # Errors
    /// [`BadApiTimeout`] for 0, and beyond 345 s, where two calls and a window of work do not fit
    /// into Lambda's 900 s.
    pub fn for_api_timeout(secs: u64) -> Result<Timing, BadApiTimeout> {
        let api_timeout = Duration::from_secs(secs);
        let call_visibility = api_timeout.saturating_mul(2).saturating_add(SETTLE_MARGIN);
        let function_timeout = call_visibility.saturating_add(WORK_WINDOW);
        if secs == 0 || function_timeout > MAX_FUNCTION_TIMEOUT {
            return Err(BadApiTimeout { secs });
        }
        Ok(Timing {
            api_timeout,
            call_visibility,
            work_window: WORK_WINDOW,
            function_timeout,
            ring_visibility: function_timeout + call_visibility,
            deferral_visibility: function_timeout * DEFERRAL_VISIBILITY_FACTOR,
        })
    }
}

/// The `maxReceiveCount` of the queues of calls: no call that is only unlucky may reach the
/// dead-letter queue.
///
/// ```text
/// max_deferrals                      deferral wiring: it made room for others
/// + max_attempts + 1                 attempts, and one reconciliation after the last
/// + MAX_THROTTLES                    the API was at its limit, for up to max_wait
/// + UNPLANNED_RECEIVES               everything else
/// + ENDING_RECEIVES                  the worker itself ends the call
/// ```
///
/// clamped to SQS's 1,000. It is large because something else stops a bad call: the worker moves a
/// malformed one at once, and a crashing one runs out of attempts.
pub fn max_receive_count(max_deferrals: u32, max_attempts: u32) -> u32 {
    max_deferrals
        .saturating_add(max_attempts)
        .saturating_add(1 + MAX_THROTTLES + UNPLANNED_RECEIVES + ENDING_RECEIVES)
        .min(MAX_RECEIVE_COUNT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_of_each_choice() {
        let table: Vec<[u64; 6]> = API_TIMEOUTS_SECS
            .into_iter()
            .map(|secs| {
                let timing = Timing::for_api_timeout(secs).unwrap();
                [
                    timing.api_timeout,
                    timing.call_visibility,
                    timing.work_window,
                    timing.function_timeout,
                    timing.ring_visibility,
                    timing.deferral_visibility,
                ]
                .map(|duration| duration.as_secs())
            })
            .collect();
        assert_eq!(
            table,
            [
                [10, 50, 180, 230, 280, 1_380],
                [30, 90, 180, 270, 360, 1_620],
                [60, 150, 180, 330, 480, 1_980],
                [120, 270, 180, 450, 720, 2_700],
                [300, 630, 180, 810, 1_440, 4_860],
            ]
        );
    }

    #[test]
    fn what_lambda_cannot_run_is_refused() {
        for (secs, fits) in [(0, false), (1, true), (345, true), (346, false), (u64::MAX, false)] {
            let timing = Timing::for_api_timeout(secs);
            assert_eq!(timing.is_ok(), fits, "{secs}");
        }
        let error = Timing::for_api_timeout(346).unwrap_err().to_string();
        assert!(error.contains("346 s") && error.contains("900 s"), "{error}");
    }

    #[test]
    fn the_numbers_of_every_deployment() {
        let days = |duration: Duration| duration.as_secs_f64() / 86_400.0;
        assert_eq!(days(LONGEST_DEADLINE), 10.0);
        assert_eq!(days(CALL_RETENTION), 10.5);
        assert_eq!(days(DEAD_LETTER_RETENTION), 14.0);
        assert_eq!(days(RECORD_EXPIRY), 35.0);
        assert_eq!(ENQUEUER_TIMEOUT.as_secs(), 30);
    }

    /// A message is followed through its longest life from the moment at which the record under its
    /// key was last written, which is after it was sent.
    #[test]
    fn a_record_outlives_every_message_and_dead_letter_under_its_key() {
        let sent = Duration::ZERO;
        for record_written in [sent, LONGEST_DEADLINE, CALL_RETENTION] {
            let record_ends = record_written + RECORD_EXPIRY;
            let moved_by_sqs = sent + DEAD_LETTER_RETENTION;
            let received_last = sent + CALL_RETENTION;
            let sent_by_the_worker = received_last + DEAD_LETTER_RETENTION;
            let restarted_on_its_last_day = sent_by_the_worker + CALL_RETENTION;
            for end in [moved_by_sqs, sent_by_the_worker, restarted_on_its_last_day] {
                assert!(end <= record_ends, "{end:?} after {record_ends:?}");
            }
        }
    }

    #[test]
    fn an_overdue_call_is_received_before_sqs_drops_it() {
        for secs in API_TIMEOUTS_SECS {
            let timing = Timing::for_api_timeout(secs).unwrap();
            let hidden = timing.call_visibility.max(timing.deferral_visibility);
            let received = LONGEST_DEADLINE + DEADLINE_TOLERANCE + hidden;
            assert!(received < CALL_RETENTION, "{secs}");
            assert!(timing.ring_visibility < OVERDUE_MARGIN, "{secs}");
        }
        // What SQS moves at the deadline is kept for four days.
        assert_eq!(DEAD_LETTER_RETENTION - LONGEST_DEADLINE, Duration::from_secs(4 * DAY_SECS));
    }

    #[test]
    fn a_ring_that_finds_no_permission_comes_ever_less_often() {
        let secs = |receives| ring_backoff(Duration::from_secs(50), receives).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 400].map(secs), [75, 75, 150, 300, 300, 300, 300]);
        let slow = Duration::from_secs(1_000);
        assert_eq!(ring_backoff(slow, 9), ring_hold(slow));
        let day: u64 = (1..)
            .map(secs)
            .scan(0, |sum, secs| {
                *sum += secs;
                (*sum <= 86_400).then_some(1)
            })
            .sum();
        assert_eq!(day, 289, "invocations on the first day");
    }

    #[test]
    fn receive_counts() {
        assert_eq!(max_receive_count(0, 1), 423);
        assert_eq!(max_receive_count(10, 5), 437);
        assert_eq!(max_receive_count(u32::MAX, u32::MAX), 1_000);
    }

    proptest! {
        #[test]
        fn the_invariants_hold_for_every_api_timeout(secs in 1_u64..=345) {
            let timing = Timing::for_api_timeout(secs).unwrap();
            // A call taken at the last moment ends, or is visible again, before the kill.
            prop_assert!(timing.work_window + timing.call_visibility <= timing.function_timeout);
            prop_assert!(timing.call_visibility > 2 * timing.api_timeout);
            // The ring comes back after every call that its invocation could have hidden.
            prop_assert!(
                timing.ring_visibility >= timing.function_timeout + timing.call_visibility
            );
            // What AWS checks or advises: Lambda's 900 s, SQS's 43,200 s, six times.
            prop_assert!(timing.function_timeout.as_secs() <= 900);
            prop_assert!(timing.deferral_visibility >= timing.function_timeout * 6);
            prop_assert!(timing.deferral_visibility <= MAX_VISIBILITY);
            // A killed worker's call comes back well before its function would have ended.
            prop_assert!(timing.call_visibility < timing.function_timeout);
        }
    }
}
