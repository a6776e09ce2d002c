//! The cases, and what each promises.

use crate::figures::Receives;
use crate::report::Row;
use crate::scenario::{Error, Kept, Scenario};

/// A scenario, and the bars that it must meet.
#[derive(Debug)]
pub struct Case {
    text: &'static str,
    /// What must be kept beside what the scenario tells.
    pub needs: &'static [Kept],
    /// What is promised.
    pub bars: &'static [Bar],
}

/// One promise.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// What the figure is.
    pub promise: &'static str,
    /// What it may not pass.
    pub bound: f64,
    /// Whether it may not be less, instead of more.
    pub at_least: bool,
    /// Whether the bar is lower where half of the short polls miss.
    pub waits_for_polls: bool,
    /// The figure of a run, where it has one.
    pub figure: fn(&Row) -> Option<f64>,
    /// Why a world as hard as this one misses it, where that is known.
    pub missed_because: Option<&'static str>,
}

impl Case {
    /// Its scenario.
    ///
    /// # Errors
    /// The text is no scenario.
    pub fn scenario(&self) -> Result<Scenario, Error> {
        Scenario::parse(self.text)
    }
}

const fn at_least(promise: &'static str, bound: f64, figure: fn(&Row) -> Option<f64>) -> Bar {
    Bar { promise, bound, at_least: true, waits_for_polls: false, figure, missed_because: None }
}

const fn at_most(promise: &'static str, bound: f64, figure: fn(&Row) -> Option<f64>) -> Bar {
    Bar { promise, bound, at_least: false, waits_for_polls: false, figure, missed_because: None }
}

/// A bar that these worlds miss, and why.
const fn missed(bar: Bar, because: &'static str) -> Bar {
    Bar { missed_because: Some(because), ..bar }
}

const fn used(bound: f64) -> Bar {
    at_least("used of what is permitted", bound, |row| row.permitted_used)
}

const fn high_wait(bound: f64) -> Bar {
    let bar = at_most("HIGH wait p99, s", bound, |row| Some(row.wait_ms.high.p99 as f64 / 1e3));
    Bar { waits_for_polls: true, ..bar }
}

const fn writes(bound: f64) -> Bar {
    at_most("limiter writes a call", bound, |row| Some(row.limiter_writes_per_call))
}

const NO_429: Bar = at_most("429 of our doing", 0.0, |row| Some(row.own_429 as f64));
const NOTHING_FAILS: Bar = at_most("workflows that failed", 0.0, |row| Some(row.failed as f64));

/// Answers 429 for every 1,000 calls, whoever caused them.
fn refused_of_1_000(row: &Row) -> Option<f64> {
    Some(row.http_429 as f64 * 1e3 / row.calls as f64)
}

/// How often a call was received, where there is a queue.
fn received(row: &Row) -> Option<Receives> {
    Some(row.receives_per_call).filter(|receives| receives.max > 0)
}

/// Ceiling and the breaker's probes.
const OUTAGE: &[Bar] = &[
    NOTHING_FAILS,
    at_most("calls at the API in the outage", 80.0, |row| Some(row.outage?.api_calls as f64)),
    missed(
        at_most("AWS requests in the outage", 5_000.0, |row| Some(row.outage?.requests as f64)),
        "all requests of the half hour count here, also those that no breaker can spare. The 1,800 \
         calls that come meanwhile are enqueued with two each, 3,600 in all, and Lambda polls the \
         queue of rings all the while. Each new ring wakes a slot, which reads the control record \
         and lets the ring sleep: two more for each new call.",
    ),
    // 30 s between probes, a time-out of 30 s, and 6 s for the slots to come back.
    at_most("full use after, s", 66.0, |row| row.outage?.full_use_after_secs),
];

/// Windows of 10 s: a call each 102.34 ms, and a HIGH call waits for two at most.
const TEN_SECONDS: &[Bar] = &[used(0.97), NO_429, high_wait(2.0 * 0.10234 + 0.15), writes(1.2)];

macro_rules! case {
    ($file:literal, $needs:expr, $bars:expr) => {
        Case {
            text: include_str!(concat!("../../../scenarios/limits/", $file, ".toml")),
            needs: $needs,
            bars: $bars,
        }
    };
}

/// All of them.
pub const CASES: [Case; 14] = [
    case!("fixed-10s", &[], TEN_SECONDS),
    case!("sliding-10s", &[], TEN_SECONDS),
    case!("wrong-clocks", &[], TEN_SECONDS),
    case!("sliding-1s", &[], &[used(0.80), NO_429, high_wait(2.0 * 0.1234 + 0.15), writes(1.2)]),
    case!("bucket", &[], &[used(0.99), NO_429, high_wait(2.0 * 0.1 + 0.15), writes(1.2)]),
    case!(
        "not-binding",
        &[],
        &[
            NO_429,
            writes(1.7),
            // 0.969 is used at worst without a limiter (bars.md).
            at_least("slots used", 0.959, |row| Some(row.utilisation)),
        ]
    ),
    case!("tokens", &[], &[used(0.88), NO_429]),
    case!(
        "falling",
        &[],
        &[
            used(0.92),
            at_most("429 for 1,000 calls", 5.0, refused_of_1_000),
            at_most("full use after the rise, s", 30.0, |row| row.full_use_after_rise_secs),
        ]
    ),
    case!("shared", &[], &[used(0.80), at_most("429 for 1,000 calls", 12.0, refused_of_1_000)]),
    case!("refused-credentials", &[Kept::Breaker], OUTAGE),
    case!("silence", &[Kept::Breaker], OUTAGE),
    case!(
        "tenants",
        &[],
        &[
            at_most("receives a call, mean", 2.05, |row| received(row).map(|calls| calls.mean)),
            missed(
                at_most("receives a call, most", 4.0, |row| received(row)
                    .map(|calls| calls.max.into())),
                "a call that a slot gives back to a more urgent one is received once more, and ten \
                 NORMAL calls come each second. Calls whose appointments have come stand in the same \
                 queue behind those that were never received, and then come together.",
            ),
            at_most("quiet tenants' longest wait, s", 12.0, |row| {
                Some(row.tenants?.quiet_wait_ms.max as f64 / 1e3)
            }),
            missed(
                at_most("noisy tenant's HIGH wait p99, s", 0.5, |row| {
                    Some(row.tenants?.noisy_high_wait_ms.p99 as f64 / 1e3)
                }),
                "two calls in any second, with the margin, are a call each 0.617 s, and its batch \
                 takes each of these moments. So an urgent call waits for up to 0.617 s for the next \
                 one, and as long again for each urgent call before it.",
            ),
        ]
    ),
    case!(
        "pause",
        &[],
        &[
            NOTHING_FAILS,
            at_most("AWS requests in the pause", 20_000.0, |row| Some(row.pause_requests as f64)),
        ]
    ),
    case!(
        "none",
        &[],
        &[
            at_most("limiter writes a call", 0.0, |row| Some(row.limiter_writes_per_call)),
            // 12.9 before there was a limiter (bars.md), and 0.3 more.
            at_most("AWS requests a call", 13.2, |row| Some(row.aws_requests_per_call)),
            at_least("slots used", 0.959, |row| Some(row.utilisation)),
        ]
    ),
];
