//! Calls over HTTP at three paces: tried at once by a cascade of three callers, and the same through
//! the queues. And as many by a Map that is paced by hand, alone and beside the queues.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::door::{Door, unprioritised};
use super::scene::{Scene, Shown, order};

const ASK_EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(600);

/// How fast calls come, beside what the API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Pace {
    HalfTheLimit,
    TheLimit,
    AllAtOnce,
    /// Of a Map: nobody else calls the API.
    Alone,
    /// Of a Map: as many calls go through the queues.
    BesideQueues,
}

/// The way that calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Now,
    Later,
    PacedMap,
}

/// Some calls at one pace, by one way.
#[derive(Debug, Serialize)]
struct Run {
    way: Way,
    pace: Pace,
    calls: usize,
    failed: usize,
    http_429: u64,
    /// Requests that the API saw, refused ones included.
    requests: u64,
    /// From the request to the final answer, in milliseconds; failed calls too. A Map has its answers
    /// together.
    p50_ms: Option<u128>,
    max_ms: u128,
}

#[derive(Serialize)]
struct Report {
    limit: u32,
    latency_ms: u64,
    runs: Vec<Run>,
    max_concurrency: u32,
    written_twice: u64,
}

pub(super) async fn run(scene: &Scene<'_>, calls: usize) -> anyhow::Result<Shown> {
    eprintln!("deploying the front door and its three callers");
    let door = Door::open(scene).await?;
    let mut runs = Vec::new();
    for way in [Way::Now, Way::Later] {
        for pace in [Pace::HalfTheLimit, Pace::TheLimit, Pace::AllAtOnce] {
            eprintln!("{calls} calls {}, {}", way.told(), pace.told());
            runs.push(door.run(scene, way, pace, calls).await?);
        }
    }
    let machine = scene.example("paced-map", &door.caller).await?;
    for pace in [Pace::Alone, Pace::BesideQueues] {
        eprintln!("{calls} calls {}, {}", Way::PacedMap.told(), pace.told());
        runs.push(paced(scene, &machine, pace, calls).await?);
    }
    let seen = scene.stack.sandbox().report().await?;
    let report = Report {
        limit: scene.limit,
        latency_ms: scene.latency_ms,
        runs,
        max_concurrency: seen.max_concurrency,
        written_twice: seen.duplicate_effects,
    };
    Ok(report.shown())
}

/// Makes the calls in groups as large as the limit, with a second between them.
async fn paced(scene: &Scene<'_>, machine: &str, pace: Pace, calls: usize) -> anyhow::Result<Run> {
    let key = |way: Way, n| format!("{}-{}-{n:03}", way.key(), pace.key());
    let own: Vec<_> = (0..calls).map(|n| unprioritised(&key(Way::PacedMap, n))).collect();
    let load = json!({ "calls": own, "at_once": scene.limit, "pause_secs": 1 });
    let others: Vec<_> = match pace {
        Pace::BesideQueues => (0..calls)
            .map(|n| (key(Way::Later, n), order(&key(Way::Later, n), "NORMAL", true)))
            .collect(),
        _ => Vec::new(),
    };
    let queues = &scene.stack.outputs().throttled_call_arn;
    let step = async {
        let start = Instant::now();
        scene.start_all(queues, &others).await?;
        let ended = scene.execute(machine, &load).await?;
        let took = start.elapsed();
        scene.ends(queues).await?;
        Ok((ended, took))
    };
    let ((ended, took), at_api) = scene.measured(pace.told(), calls + others.len(), step).await?;
    ensure!(ended.succeeded, "the paced Map failed with {}", ended.error);
    Ok(Run {
        way: Way::PacedMap,
        pace,
        calls,
        failed: ended.output["failed"].as_array().map_or(0, Vec::len),
        http_429: at_api.http_429,
        requests: at_api.requests,
        p50_ms: None,
        max_ms: took.as_millis(),
    })
}

impl Door {
    async fn run(
        &self,
        scene: &Scene<'_>,
        way: Way,
        pace: Pace,
        calls: usize,
    ) -> anyhow::Result<Run> {
        let interval = pace.interval(scene.limit, scene.latency_ms);
        let first = tokio::time::Instant::now();
        let made = (0_u32..).take(calls).map(|n| async move {
            tokio::time::sleep_until(first + interval * n).await;
            self.call(way, pace, n).await
        });
        let step = async { try_join_all(made).await };
        let (all, at_api) = scene.measured(way.told(), calls, step).await?;
        let mut waits: Vec<_> = all.iter().map(|(_, waited)| waited.as_millis()).collect();
        waits.sort_unstable();
        Ok(Run {
            way,
            pace,
            calls,
            failed: all.iter().filter(|(succeeded, _)| !succeeded).count(),
            http_429: at_api.http_429,
            requests: at_api.requests,
            p50_ms: Some(waits[waits.len() / 2]),
            max_ms: waits[waits.len() - 1],
        })
    }

    /// Makes a call and waits for its final answer. Answers whether it succeeded.
    async fn call(&self, way: Way, pace: Pace, n: u32) -> anyhow::Result<(bool, Duration)> {
        let key = format!("{}-{}-{n:03}", way.key(), pace.key());
        let start = Instant::now();
        match way {
            Way::Now => {
                let (status, _) = self.send("/now", &unprioritised(&key)).await?;
                Ok(((200..300).contains(&status), start.elapsed()))
            }
            Way::PacedMap => anyhow::bail!("a Map has no front door"),
            Way::Later => {
                let call = order(&key, "NORMAL", true);
                let (status, taken) = self.send("/later", &call).await?;
                ensure!(status == 202, "a call was not taken: {status} {taken}");
                let ask = format!("{}{}", self.url, taken["ask"].as_str().unwrap_or_default());
                loop {
                    let answer: Value = self.http.get(&ask).send().await?.json().await?;
                    if answer["state"] != "waiting" {
                        return Ok((answer["state"] == "succeeded", start.elapsed()));
                    }
                    ensure!(start.elapsed() < TIMEOUT, "the call {key} did not end");
                    tokio::time::sleep(ASK_EVERY).await;
                }
            }
        }
    }

    async fn send(&self, path: &str, call: &Value) -> anyhow::Result<(u16, Value)> {
        let answer = self.http.post(format!("{}{path}", self.url)).json(call).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or_else(|_| json!(text))))
    }
}

impl Pace {
    /// The time between two calls.
    fn interval(self, limit: u32, latency_ms: u64) -> Duration {
        let at_limit = Duration::from_millis(latency_ms) / limit;
        match self {
            Self::HalfTheLimit => 2 * at_limit,
            Self::TheLimit => at_limit,
            Self::AllAtOnce | Self::Alone | Self::BesideQueues => Duration::ZERO,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::HalfTheLimit => "at half of what the API takes",
            Self::TheLimit => "as fast as the API takes them",
            Self::AllAtOnce => "all at once",
            Self::Alone => "alone",
            Self::BesideQueues => "beside as many by the queues",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::HalfTheLimit => "half",
            Self::TheLimit => "full",
            Self::AllAtOnce => "burst",
            Self::Alone => "alone",
            Self::BesideQueues => "beside",
        }
    }
}

impl Way {
    fn told(self) -> &'static str {
        match self {
            Self::Now => "by the cascade",
            Self::Later => "by the queues",
            Self::PacedMap => "by a paced Map",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
            Self::PacedMap => "paced",
        }
    }
}

impl Report {
    fn shown(&self) -> Shown {
        let mut table = format!(
            "\nlimit {}, {} ms a call\n\n{:<16}{:<32}{:>6}{:>8}{:>14}{:>10}{:>9}{:>9}\n",
            self.limit,
            self.latency_ms,
            "",
            "",
            "calls",
            "failed",
            "answered 429",
            "requests",
            "p50 ms",
            "max ms"
        );
        for run in &self.runs {
            let _ = writeln!(
                table,
                "{:<16}{:<32}{:>6}{:>8}{:>14}{:>10}{:>9}{:>9}",
                run.way.told(),
                run.pace.told(),
                run.calls,
                run.failed,
                run.http_429,
                run.requests,
                run.p50_ms.map_or("-".to_owned(), |waited| waited.to_string()),
                run.max_ms
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

    /// A cascade and a Map promise nothing; the queues do.
    fn broken_promises(&self) -> Vec<String> {
        let later = self.runs.iter().filter(|run| run.way == Way::Later);
        later
            .filter(|run| run.failed > 0 || run.http_429 > 0)
            .map(|run| {
                let Run { failed, http_429, .. } = run;
                format!(
                    "by the queues, {}: {failed} failed, {http_429} answered 429",
                    run.pace.told()
                )
            })
            .collect()
    }
}
