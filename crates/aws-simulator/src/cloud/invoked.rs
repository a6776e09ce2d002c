//! Asynchronous invocations: Lambda takes an event, and runs the function when it can.

use std::time::Duration;

use serde_json::Value;

use super::functions::{Functions, Input};
use super::lambda::{Failure, FunctionId};
use super::parameters::Unconfirmed;
use crate::faults::Fault;
use crate::transcript::Event;

/// The first pause after a throttled try; it doubles (doc).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two tries (doc).
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl Functions {
    /// Runs what is invoked asynchronously, from now on.
    pub(super) async fn keep_running_events(self) {
        let bell = self.cloud().state().events.bell.clone();
        loop {
            let next = {
                let mut state = self.cloud().state();
                let next = state.events.taken.pop_front();
                // The queue of events is eventually consistent: one may run twice (doc).
                next.map(|event| (event, state.faults.strikes(Fault::Duplicate)))
            };
            let Some(((function, payload), twice)) = next else {
                bell.notified().await;
                continue;
            };
            let function = self.named(&function);
            for _ in 0..1 + u32::from(twice) {
                tokio::task::spawn_local(self.clone().run_event(function, payload.clone()));
            }
        }
    }

    /// Tries until the event has run or is too old. An event that was throttled again and again is
    /// dropped then. One whose function failed is dropped at once, as it has no tries left.
    async fn run_event(self, function: FunctionId, payload: Value) {
        let cloud = self.cloud();
        let too_old = cloud.now().plus(self.event_age(function));
        let delay = cloud.state().parameters().duration(Unconfirmed::EventDelay);
        tokio::time::sleep(delay).await;
        let mut pause = FIRST_PAUSE;
        while let Err(Failure::Throttled) =
            self.invoke(function, Input::Payload(payload.clone())).await
        {
            let now = cloud.now();
            if now.plus(pause) >= too_old {
                cloud.state().saw(now, Event::Dropped(function));
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
