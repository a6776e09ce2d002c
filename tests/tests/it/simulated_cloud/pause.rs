//! A limit that an operator pauses: no call is made, hardly anything is asked of AWS, and all slots
//! are back at once when it is over. The real worker runs on the simulated AWS.

use anyhow::Context;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Caller, Event, Watch};
use slowlane_message::Priority;
use slowlane_simulator::api::API_STARTS;
use slowlane_simulator::scenario::{Api, Dispatch, Load, Pause, Scenario};

use super::watched;

/// What was seen of a pause.
#[derive(Debug, Default)]
struct Seen {
    paused_at: Option<Moment>,
    resumed_at: Option<Moment>,
    /// The latest call that was made after it had begun.
    last_call_after: Option<Moment>,
    /// The calls that were made after its end, each by its moment.
    calls_after_end: Vec<Moment>,
    /// Requests of slots meanwhile.
    requests: u64,
}

impl Seen {
    /// How long after the pause had begun a call was still made.
    fn heeded_after_ms(&self) -> anyhow::Result<u128> {
        let paused_at = self.paused_at.context("it began")?;
        Ok(self.last_call_after.map_or(0, |last| last.since(paused_at).as_millis()))
    }
}

impl Watch for Seen {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        let (paused, over) = (self.paused_at.is_some(), self.resumed_at.is_some());
        match event {
            Event::Run("limit changed", ..) if paused => self.resumed_at = Some(now),
            Event::Run("limit changed", ..) => self.paused_at = Some(now),
            Event::Run(API_STARTS, ..) if over => self.calls_after_end.push(now),
            Event::Run(API_STARTS, ..) if paused => self.last_call_after = Some(now),
            Event::Request { caller: Caller::Environment(..), .. } if paused && !over => {
                self.requests += 1;
            }
            _ => {}
        }
    }
}

/// All that a pause promises, whatever waits and whatever comes.
fn is_kept(scenario: &Scenario, most_requests: u64) -> anyhow::Result<()> {
    let seen = watched::<Seen>(scenario)?;
    let lag = seen.heeded_after_ms()?;
    let resumed_at = seen.resumed_at.context("it ended")?;
    let slots = usize::try_from(scenario.limit)?;
    let [first, all] =
        [0, slots - 1].map(|call| seen.calls_after_end[call].since(resumed_at).as_millis());
    assert!(lag <= 1_200, "a call was made {lag} ms after the pause had begun");
    assert!(seen.requests <= most_requests, "{} requests", seen.requests);
    assert!(first <= 2_000, "{first} ms until the first call");
    assert!(all <= 4_000, "{all} ms until every slot had one");
    Ok(())
}

#[test]
fn an_hour_of_it_costs_little_however_many_calls_wait() -> anyhow::Result<()> {
    let scenario = Scenario {
        limit: 10,
        api: Api::fixed(100.0),
        load: vec![Load::new(Priority::Batch, 2_800, 0.0)],
        pauses: vec![Pause { from_secs: 10, for_secs: 3_600 }],
        ..Scenario::default()
    };
    // The slots take the rings of all that waits off the doorbell, ten with two requests. Then a few
    // look every five minutes. With ten thousand calls waiting it is 4,800.
    is_kept(&scenario, 4_000)
}

#[test]
fn calls_that_come_meanwhile_wait_too() -> anyhow::Result<()> {
    let coming = Load { random: true, ..Load::new(Priority::High, 200, 5_000.0) };
    let scenario = Scenario {
        limit: 6,
        load: vec![Load::new(Priority::Batch, 1_000, 0.0), coming],
        pauses: vec![Pause { from_secs: 10, for_secs: 1_000 }],
        ..Scenario::default()
    };
    is_kept(&scenario, 4_000)
}

#[test]
fn the_deferral_wiring_heeds_it_too() -> anyhow::Result<()> {
    let scenario = Scenario {
        limit: 3,
        dispatch: Dispatch::DeferralSwap,
        load: vec![Load::new(Priority::Batch, 60, 0.0)],
        pauses: vec![Pause { from_secs: 2, for_secs: 600 }],
        ..Scenario::default()
    };
    let seen = watched::<Seen>(&scenario)?;
    let lag = seen.heeded_after_ms()?;
    assert!(lag <= 1_200, "a call was made {lag} ms after the pause had begun");
    assert!(!seen.calls_after_end.is_empty());
    Ok(())
}
