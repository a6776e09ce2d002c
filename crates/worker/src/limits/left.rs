//! What the API's answers say is left of its limits: all slots wait for the reset before it refuses.
//!
//! A slot that has heard an answer knows that each of the others may make one more call before it
//! hears one of its own. So if fewer are left than there are slots, it writes into the control record
//! until when nobody calls, and the others stop at the same time, because of their own answers. An
//! answer that says that enough is left costs no request.
//!
//! Where Slowlane was told of such a limit, it counts by itself, and does not listen: what an
//! answer says is about a moment that is past.

use std::time::Duration;

use slowlane_limiter::{Left, Quota, Rate, Report};
use slowlane_message as message;
use slowlane_message::Counted;

use super::Limits;

impl Limits {
    /// Tells everybody to wait, if an answer says that less is left than the slots at work may take.
    pub(crate) async fn heed_left(&self, call: &str, said: &[message::Left]) {
        if said.is_empty() {
            return;
        }
        let told = self.timed().limits();
        let slots = self.concurrency().unwrap_or(self.ceiling);
        let longest = said
            .iter()
            .filter(|said| !is_told(said.counted, &told))
            .filter_map(|said| wait(said, slots))
            .max_by_key(|(wait, _)| *wait);
        if let Some((_, report)) = longest {
            self.limiter.report(call, &report).await;
        }
    }
}

/// Whether Slowlane keeps such a limit by itself.
fn is_told(counted: Counted, (rates, quotas): &(Vec<Rate>, Vec<Quota>)) -> bool {
    match counted {
        Counted::Calls => rates.iter().any(Rate::counts_calls),
        Counted::CallsOfDay => quotas.iter().any(|quota| quota.largest.is_none()),
        Counted::Units { .. } => {
            let by_rate = rates.iter().any(|rate| !rate.counts_calls());
            by_rate || quotas.iter().any(|quota| quota.largest.is_some())
        }
    }
}

/// How long so many slots have to wait, if they have to, and what to tell everybody then.
fn wait(said: &message::Left, slots: u32) -> Option<(Duration, Report)> {
    let of_call = match said.counted {
        Counted::Calls | Counted::CallsOfDay => 1,
        Counted::Units { of_call } => of_call,
    };
    let message::Left { left: units, of, resets_in, evenly, .. } = *said;
    let left = Left { units, of, resets_in, evenly };
    let next = u64::from(slots).saturating_mul(of_call.max(1));
    Some((left.wait_for(next)?, Report::Remaining { left, next }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Duration = Duration::from_secs(10);

    fn said(counted: Counted, left: u64) -> message::Left {
        message::Left { counted, left, of: Some(10_000), resets_in: RESET, evenly: false }
    }

    #[test]
    fn as_many_calls_are_kept_for_the_slots_as_there_are_and_units_for_each() {
        let tokens = Counted::Units { of_call: 300 };
        for (counted, left, waits) in [
            (Counted::Calls, 20, false),
            (Counted::Calls, 19, true),
            (Counted::CallsOfDay, 19, true),
            (Counted::Units { of_call: 0 }, 19, true),
            (tokens, 5_000, false),
            (tokens, 4_999, true),
        ] {
            let wait = wait(&said(counted, left), 20).map(|(wait, _)| wait);
            assert_eq!(wait, waits.then_some(RESET), "{counted:?}, {left} left");
        }
    }

    #[test]
    fn what_slowlane_was_told_of_it_counts_by_itself() {
        let calls = vec![Rate::new(100, RESET)];
        let units = vec![Rate::tokens(1_000, RESET, 50)];
        let tokens = Counted::Units { of_call: 1 };
        for (counted, rates, told) in [
            (Counted::Calls, &calls, true),
            (Counted::Calls, &units, false),
            (Counted::CallsOfDay, &calls, false),
            (tokens, &calls, false),
            (tokens, &units, true),
        ] {
            assert_eq!(is_told(counted, &(rates.clone(), Vec::new())), told, "{counted:?}");
        }
    }
}
