//! Fewer calls at once than there are slots, set while they work and set back. Both hold within a second
//! and a running call. The real worker runs on the simulated AWS.

use anyhow::Context;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Event, Watch};
use slowlane_message::Priority;
use slowlane_simulator::api::{API_ENDS, API_STARTS};
use slowlane_simulator::scenario::{Api, Dispatch, Load, Lowered, Scenario};

use super::watched;

const CALL_MS: u64 = 200;

/// What was seen: when the limit changed, and how many calls were at the API from each moment on.
#[derive(Debug, Default)]
struct Seen {
    changed_at: Vec<Moment>,
    at_api: Vec<(Moment, u32)>,
}

impl Seen {
    fn counts(&mut self, now: Moment, difference: i32) {
        let before = self.at_api.last().map_or(0, |(_, calls)| *calls);
        self.at_api.push((now, before.saturating_add_signed(difference)));
    }

    /// The most calls at once from a moment to another.
    fn most(&self, from: Moment, to: Moment) -> u32 {
        let within = self.at_api.iter().filter(|(at, _)| from <= *at && *at < to);
        within.map(|(_, calls)| *calls).max().unwrap_or(0)
    }
}

impl Watch for Seen {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        match event {
            Event::Run("limit changed", ..) => self.changed_at.push(now),
            Event::Run(API_STARTS, ..) => self.counts(now, 1),
            Event::Run(API_ENDS, ..) => self.counts(now, -1),
            _ => {}
        }
    }
}

fn play(dispatch: Dispatch) -> anyhow::Result<Seen> {
    let scenario = Scenario {
        limit: 10,
        dispatch,
        api: Api::fixed(CALL_MS as f64),
        lowered: vec![Lowered {
            from_secs: 5,
            for_secs: 20,
            concurrency: Some(3),
            ..Lowered::default()
        }],
        load: vec![Load::new(Priority::Batch, 700, 0.0)],
        ..Scenario::default()
    };
    watched(&scenario)
}

fn after(moment: Moment, millis: u64) -> Moment {
    Moment::from_millis(moment.millis() + millis)
}

#[test]
fn a_lower_number_holds_within_a_second_and_a_call_and_a_higher_one_soon() -> anyhow::Result<()> {
    let seen = play(Dispatch::Doorbell)?;
    let [lowered, raised] = seen.changed_at[..] else { anyhow::bail!("{:?}", seen.changed_at) };
    assert_eq!(seen.most(after(lowered, 0), after(lowered, CALL_MS)), 10);
    // Two AWS requests beside the second and the call.
    let heeded = after(lowered, 1_000 + CALL_MS + 100);
    assert_eq!(seen.most(heeded, raised), 3);
    let full = seen.at_api.iter().find(|(at, calls)| *at > raised && *calls == 10);
    let full = full.context("all slots work again")?.0.since(raised);
    assert!(full.as_millis() < 2_500, "{full:?}");
    Ok(())
}

#[test]
fn the_deferral_wiring_heeds_it_too() -> anyhow::Result<()> {
    let seen = play(Dispatch::DeferralSwap)?;
    let [lowered, raised] = seen.changed_at[..] else { anyhow::bail!("{:?}", seen.changed_at) };
    assert_eq!(seen.most(after(lowered, 1_000 + CALL_MS + 100), raised), 3);
    Ok(())
}
