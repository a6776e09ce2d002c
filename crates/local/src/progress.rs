//! What happens now: by priority on a terminal, or as one line a second elsewhere.

use std::convert::Infallible;
use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use slowlane_message::Priority;
use tokio::time::MissedTickBehavior;

use crate::outage::Outage;
use crate::rate::Rate;
use crate::run::Started;
use crate::sandbox::{ApiCall, Stats};
use crate::stack::{self, Stack};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a line is not repeated while nothing changes.
const SAME_EVERY: Duration = Duration::from_secs(15);

/// What there is to see of a run.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// The executions of each priority, most urgent first.
    pub totals: [usize; 3],
    /// Calls that the API takes at once.
    pub limit: u32,
    /// The rate, if it has one.
    pub rate: Option<&'a Rate>,
    /// The outage, if there is one.
    pub outage: Option<&'a Outage>,
}

/// The state of a run at one moment.
#[derive(Clone, Debug, PartialEq)]
struct Moment {
    since_start: Duration,
    limit: u32,
    stats: Stats,
    /// Requests a second since the moment before, beside the rate.
    rate: Option<(f64, String)>,
    /// How much is left of an outage.
    outage: Option<Duration>,
    /// Most urgent first, as [`Priority::ALL`].
    lanes: [Lane; 3],
}

/// The orders of one priority that have been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lane {
    /// On the way to their queue, or in it.
    waiting: usize,
    /// Received from their queue and not yet deleted: in a slot's hands.
    running: usize,
    /// Written by the API.
    done: usize,
}

/// Shows a run on standard error until the returned future is dropped.
///
/// It asks the sandbox, which is quick, and the local AWS only for the depths of three queues. That
/// server is the bottleneck of a run, and must not spend its time on being watched.
pub async fn watch(stack: &Stack, watched: &Watched<'_>, started: &Started) -> Infallible {
    let mut view = View::new(watched.totals);
    let start = Instant::now();
    let mut pace = Pace { requests: 0, at: start };
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // A question without an answer is asked again a second later: whether a run can go on
        // is not for its display to say.
        if let Ok((stats, lanes)) = look(stack, started).await {
            let pace = pace.since_last(stats.requests, Instant::now());
            view.show(Moment {
                since_start: start.elapsed(),
                limit: watched.limit,
                rate: watched.rate.map(|rate| (pace, rate.to_string())),
                outage: watched.outage.and_then(Outage::left),
                stats,
                lanes,
            });
        }
    }
}

/// Counts requests from look to look.
struct Pace {
    requests: u64,
    at: Instant,
}

impl Pace {
    /// Requests a second since the last question.
    #[expect(clippy::cast_precision_loss, reason = "counts of a demo are small")]
    fn since_last(&mut self, requests: u64, now: Instant) -> f64 {
        let new = requests.saturating_sub(self.requests) as f64;
        let secs = now.duration_since(self.at).as_secs_f64();
        *self = Self { requests, at: now };
        if secs > 0.0 { new / secs } else { 0.0 }
    }
}

async fn look(stack: &Stack, started: &Started) -> Result<(Stats, [Lane; 3]), stack::Error> {
    let stats = stack.sandbox().stats().await?;
    let calls = stack.sandbox().report().await?.calls;
    let outputs = stack.outputs();
    let lane = async |priority, queue_url| {
        let in_flight = stack.depth(queue_url).await?.in_flight;
        Ok::<_, stack::Error>(Lane::new(started.of(priority), done(&calls, priority), in_flight))
    };
    let lanes = [
        lane(Priority::High, &outputs.high_queue_url).await?,
        lane(Priority::Normal, &outputs.normal_queue_url).await?,
        lane(Priority::Batch, &outputs.batch_queue_url).await?,
    ];
    Ok((stats, lanes))
}

fn done(calls: &[ApiCall], priority: Priority) -> usize {
    let is_one =
        |call: &&ApiCall| call.has_effect() && call.priority.as_deref() == Some(priority.as_str());
    calls.iter().filter(is_one).count()
}

impl Lane {
    fn new(started: usize, done: usize, in_flight: u64) -> Self {
        // The questions were asked one after another: a call may be counted as written and as
        // not yet deleted, but none is counted that does not exist.
        let done = done.min(started);
        let running = usize::try_from(in_flight).unwrap_or(usize::MAX).min(started - done);
        Self { waiting: started - done - running, running, done }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting, {} running, {} done", self.waiting, self.running, self.done)
    }
}

impl Moment {
    fn is_news_after(&self, earlier: &Self) -> bool {
        let is_same = self.lanes == earlier.lanes
            && self.stats == earlier.stats
            && self.outage.is_some() == earlier.outage.is_some();
        !is_same || self.since_start >= earlier.since_start + SAME_EVERY
    }

    fn api(&self) -> String {
        let Stats { in_flight, http_429, .. } = self.stats;
        let mut told =
            format!("{in_flight} of {} slots in use, {http_429} answered 429", self.limit);
        if let Some((pace, rate)) = &self.rate {
            told.push_str(&format!(", {pace:.1} calls a second ({rate})"));
        }
        if let Some(left) = self.outage {
            told.push_str(&format!(", DOWN for {:.0} s more", left.as_secs_f64().ceil()));
        }
        told
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6.1} s", self.since_start.as_secs_f64())?;
        for (priority, lane) in Priority::ALL.into_iter().zip(self.lanes) {
            write!(f, " | {priority} {lane}")?;
        }
        write!(f, " | {}", self.api())
    }
}

enum View {
    Bars { lanes: [ProgressBar; 3], api: ProgressBar, _together: MultiProgress },
    Lines { last: Option<Moment> },
}

impl View {
    fn new(totals: [usize; 3]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last: None };
        }
        let together = MultiProgress::new();
        let bar = |priority: Priority| {
            let bar = ProgressBar::new(totals[priority as usize] as u64)
                .with_prefix(priority.as_str())
                .with_style(style("{prefix:>6} {bar:40} {pos:>5}/{len} {msg}"));
            together.add(bar)
        };
        let lanes = Priority::ALL.map(bar);
        let api = together.add(ProgressBar::no_length().with_style(style("   API {msg}")));
        Self::Bars { lanes, api, _together: together }
    }

    fn show(&mut self, moment: Moment) {
        match self {
            Self::Lines { last } => {
                if last.as_ref().is_none_or(|last| moment.is_news_after(last)) {
                    eprintln!("{moment}");
                    *last = Some(moment);
                }
            }
            Self::Bars { lanes, api, .. } => {
                for (bar, lane) in lanes.iter().zip(moment.lanes) {
                    bar.set_position(lane.done as u64);
                    bar.set_message(format!("{} waiting, {} running", lane.waiting, lane.running));
                }
                api.set_message(format!(
                    "{}, {:.0} s",
                    moment.api(),
                    moment.since_start.as_secs_f64()
                ));
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Self::Bars { lanes, api, .. } = self {
            for bar in lanes.iter().chain([&*api]) {
                bar.finish_and_clear();
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_never_counts_more_than_was_started() {
        assert_eq!(Lane::new(10, 4, 5), Lane { waiting: 1, running: 5, done: 4 });
        assert_eq!(Lane::new(10, 8, 5), Lane { waiting: 0, running: 2, done: 8 });
        assert_eq!(Lane::new(3, 4, 1), Lane { waiting: 0, running: 0, done: 3 });
    }

    fn moment() -> Moment {
        Moment {
            since_start: Duration::from_millis(12_340),
            limit: 5,
            stats: Stats { in_flight: 4, http_429: 2, ..Stats::default() },
            rate: None,
            outage: None,
            lanes: [Lane::new(6, 5, 1), Lane::new(60, 0, 0), Lane::new(240, 100, 4)],
        }
    }

    #[test]
    fn a_line_is_repeated_only_after_a_while() {
        let after = |secs, waiting: usize| Moment {
            since_start: moment().since_start + Duration::from_secs(secs),
            lanes: [Lane::new(6 + waiting, 5, 1), Lane::new(60, 0, 0), Lane::new(240, 100, 4)],
            ..moment()
        };
        assert!(!after(1, 0).is_news_after(&moment()));
        assert!(after(1, 1).is_news_after(&moment()));
        assert!(after(15, 0).is_news_after(&moment()));
    }

    #[test]
    fn a_moment_is_one_line() {
        assert_eq!(
            moment().to_string(),
            "  12.3 s | HIGH 0 waiting, 1 running, 5 done | NORMAL 60 waiting, 0 running, 0 done \
             | BATCH 136 waiting, 4 running, 100 done | 4 of 5 slots in use, 2 answered 429"
        );
    }

    #[test]
    fn a_rate_and_an_outage_are_told_beside_the_slots() {
        let rate = Some((19.84, "20/s".to_owned()));
        let outage = Some(Duration::from_millis(11_200));
        let told = Moment { rate, outage, ..moment() }.api();
        assert_eq!(
            told,
            "4 of 5 slots in use, 2 answered 429, 19.8 calls a second (20/s), DOWN for 12 s more"
        );
        assert!(moment().is_news_after(&Moment { outage, ..moment() }), "it is over");
    }

    #[test]
    fn a_pace_is_counted_from_look_to_look() {
        let start = Instant::now();
        let mut pace = Pace { requests: 0, at: start };
        let at = |secs| start + Duration::from_secs(secs);
        assert!((pace.since_last(40, at(2)) - 20.0).abs() < 1e-9);
        assert!((pace.since_last(40, at(3)) - 0.0).abs() < 1e-9);
        assert!((pace.since_last(45, at(4)) - 5.0).abs() < 1e-9);
    }
}
