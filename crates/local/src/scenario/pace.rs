//! The same load by a Map that is paced by hand and through a rate limit, each alone and beside another.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::{Value, json};
use slowlane_local::Rate;
use slowlane_local::report::broken_at_api;
use slowlane_local::run::{self, Ending, Item, Started};
use slowlane_message::Priority;

use super::door::{Door, unprioritised};
use super::scene::{Scene, Shown, order};

/// What the API takes: five a second in the mean, in windows that begin whenever they like.
pub(super) const RATE: &str = "50/10s";
/// The pace that a careful hand gives a Map for that: five calls, a second's pause.
const AT_ONCE: usize = 5;
const PAUSE_SECS: u32 = 1;

/// A way that calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    PacedMap,
    RateLimit,
}

/// One load.
#[derive(Debug, Serialize)]
struct Run {
    way: Way,
    /// Workflows that load a share of it each, at the same time; none knows of another.
    loads: usize,
    calls: usize,
    failed: usize,
    http_429: u64,
    /// From the start of the first workflow to the end of the last, in seconds.
    seconds: f64,
    /// The share of the rate that was used from the first call to the last.
    used: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    rate: String,
    latency_ms: u64,
    runs: Vec<Run>,
    max_concurrency: u32,
    written_twice: u64,
    #[serde(skip)]
    limit: u32,
}

pub(super) async fn run(scene: &Scene<'_>, calls: usize) -> anyhow::Result<Shown> {
    eprintln!("deploying a caller that goes straight to the API");
    let door = Door::open(scene).await?;
    let rate: Rate = RATE.parse()?;
    let paced = scene.example("paced-map", &door.caller).await?;
    let limited = scene.stack.outputs().throttled_call_arn.clone();
    let mut runs = Vec::new();
    for (way, machine) in [(Way::PacedMap, &paced), (Way::RateLimit, &limited)] {
        for loads in [1, 2] {
            eprintln!("{calls} calls {}", way.told(loads));
            runs.push(load(scene, &rate, way, machine, loads, calls).await?);
            // What this run has used counts no more for the next one.
            tokio::time::sleep(Duration::from_secs_f64(rate.per_secs())).await;
        }
    }
    let seen = scene.stack.sandbox().report().await?;
    let report = Report {
        rate: rate.to_string(),
        latency_ms: scene.latency_ms,
        runs,
        max_concurrency: seen.max_concurrency,
        written_twice: seen.duplicate_effects,
        limit: scene.limit,
    };
    Ok(report.shown())
}

async fn load(
    scene: &Scene<'_>,
    rate: &Rate,
    way: Way,
    machine: &str,
    loads: usize,
    calls: usize,
) -> anyhow::Result<Run> {
    let each = (0..loads).map(|load| {
        let keys = (load..calls).step_by(loads);
        let keys: Vec<_> = keys.map(|n| format!("{}-{loads}-{n:03}", way.key())).collect();
        async move {
            match way {
                Way::PacedMap => by_hand(scene, machine, &keys).await,
                Way::RateLimit => by_queues(scene, machine, &keys).await,
            }
        }
    });
    let step = async {
        let start = Instant::now();
        let failed: Vec<usize> = try_join_all(each).await?;
        Ok((failed, start.elapsed().as_secs_f64()))
    };
    let ((failed, seconds), at_api) = scene.measured(way.told(loads), calls, step).await?;
    Ok(Run {
        way,
        loads,
        calls,
        failed: failed.iter().sum(),
        http_429: at_api.http_429,
        seconds,
        used: rate.used_by(&at_api.calls).used,
    })
}

/// Answers how many failed.
async fn by_hand(scene: &Scene<'_>, machine: &str, keys: &[String]) -> anyhow::Result<usize> {
    let calls: Vec<Value> = keys.iter().map(|key| unprioritised(key)).collect();
    let input = json!({ "calls": calls, "at_once": AT_ONCE, "pause_secs": PAUSE_SECS });
    let ended = scene.execute(machine, &input).await?;
    ensure!(ended.succeeded, "the paced Map failed with {}", ended.error);
    Ok(ended.output["failed"].as_array().map_or(0, Vec::len))
}

/// Answers how many failed.
async fn by_queues(scene: &Scene<'_>, machine: &str, keys: &[String]) -> anyhow::Result<usize> {
    let item = |key: &String| Item {
        name: key.clone(),
        priority: Priority::Normal,
        input: order(key, "NORMAL", true).to_string(),
    };
    let items: Vec<Item> = keys.iter().map(item).collect();
    let started = Started::default();
    let ended = run::run_items(scene.stack, machine, &items, Duration::ZERO, &started).await?;
    Ok(ended.iter().filter(|execution| execution.ending != Ending::Succeeded).count())
}

impl Way {
    fn told(self, loads: usize) -> &'static str {
        match (self, loads) {
            (Self::PacedMap, 1) => "by a paced Map",
            (Self::PacedMap, _) => "by two paced Maps at once",
            (Self::RateLimit, 1) => "through a rate limit",
            (Self::RateLimit, _) => "through it, two loads at once",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::PacedMap => "paced",
            Self::RateLimit => "limited",
        }
    }
}

impl Report {
    fn shown(&self) -> Shown {
        let mut table = format!(
            "\nthe API takes {}, {} ms a call\n\n{:<32}{:>6}{:>8}{:>14}{:>9}{:>14}\n",
            self.rate,
            self.latency_ms,
            "",
            "calls",
            "failed",
            "answered 429",
            "seconds",
            "rate used"
        );
        for run in &self.runs {
            let _ = writeln!(
                table,
                "{:<32}{:>6}{:>8}{:>14}{:>9.1}{:>12.1} %",
                run.way.told(run.loads),
                run.calls,
                run.failed,
                run.http_429,
                run.seconds,
                run.used * 100.0
            );
        }
        let _ = writeln!(
            table,
            "\nmost at once {} (limit {}), written twice {}",
            self.max_concurrency, self.limit, self.written_twice
        );
        let report = serde_json::to_value(self).unwrap_or_default();
        Shown { table, report, broken_promises: self.broken_promises() }
    }

    /// A Map that is paced by hand promises nothing; the rate limit does.
    fn broken_promises(&self) -> Vec<String> {
        let limited = self.runs.iter().filter(|run| run.way == Way::RateLimit);
        let broken = limited.filter(|run| run.failed > 0 || run.http_429 > 0).map(|run| {
            let Run { failed, http_429, .. } = run;
            format!("{}: {failed} failed, {http_429} answered 429", run.way.told(run.loads))
        });
        let mut broken: Vec<_> = broken.collect();
        broken.extend(broken_at_api(self.written_twice, self.max_concurrency, self.limit));
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(way: Way, failed: usize) -> Run {
        Run { way, loads: 2, calls: 100, failed, http_429: 0, seconds: 20.0, used: 0.97 }
    }

    #[test]
    fn only_the_rate_limit_promises_that_no_call_fails() {
        let report = |runs| Report {
            rate: RATE.to_owned(),
            latency_ms: 200,
            runs,
            max_concurrency: 5,
            written_twice: 0,
            limit: 5,
        };
        let kept = report(vec![run(Way::PacedMap, 40), run(Way::RateLimit, 0)]).shown();
        assert_eq!(kept.broken_promises, Vec::<String>::new());
        let broken = report(vec![run(Way::RateLimit, 1)]).shown().broken_promises;
        assert_eq!(broken, ["through it, two loads at once: 1 failed, 0 answered 429"]);
    }
}
