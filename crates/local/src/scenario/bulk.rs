//! A dataset in S3, loaded twice by `bulk-load`, and the same calls each by an execution of its own.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use slowlane_local::report::broken_at_api;
use slowlane_local::sandbox::{ApiCall, SandboxReport};

use super::scene::{Scene, Shown, order};

const BUCKET: &str = "loads";
/// Every so many items NetSuite refuses.
const REFUSED_EVERY: usize = 100;
/// What a state transition of a STANDARD workflow costs in us-east-1, in dollars a million.
const TRANSITIONS_PER_MILLION: f64 = 25.0;
/// The machine's own.
const BATCH_SIZE: usize = 10;

#[derive(Debug, Serialize)]
struct Report {
    items: usize,
    first_run: Run,
    second_run: Run,
    one_by_one: Run,
    http_429: u64,
    max_concurrency: u32,
    written_twice: u64,
}

/// The same number of calls, made in one way.
#[derive(Debug, Serialize)]
struct Run {
    /// From the start of the first workflow to the end of the last, in seconds.
    seconds: f64,
    /// Records that this run has written.
    written: usize,
    /// Items or executions that failed by name.
    failed: usize,
    /// State transitions that AWS would bill.
    transitions: usize,
}

pub(super) async fn run(scene: &Scene<'_>, items: usize) -> anyhow::Result<Shown> {
    let machine = scene.example("bulk-load", "").await?;
    let s3 = scene.s3(BUCKET).await?;
    let lines = (0..items).map(|n| item("bulk", n).to_string()).collect::<Vec<_>>().join("\n");
    s3.put_object()
        .bucket(BUCKET)
        .key("items.jsonl")
        .body(lines.into_bytes().into())
        .send()
        .await?;
    let load = json!({
        "bucket": BUCKET,
        "key": "items.jsonl",
        "results": { "bucket": BUCKET, "prefix": "results" },
    });
    eprintln!("loading {items} items; NetSuite refuses every {REFUSED_EVERY}th");
    let first_run = load_once(scene, &s3, &machine, &load, items).await?;
    eprintln!("loading them again");
    let second_run = load_once(scene, &s3, &machine, &load, items).await?;
    eprintln!("making as many calls, each by an execution of its own");
    let one_by_one = one_by_one(scene, items).await?;
    let seen = scene.stack.sandbox().report().await?;
    let report = Report {
        items,
        first_run,
        second_run,
        one_by_one,
        http_429: seen.http_429,
        max_concurrency: seen.max_concurrency,
        written_twice: seen.duplicate_effects,
    };
    Ok(report.shown(scene.limit))
}

fn item(kind: &str, n: usize) -> Value {
    order(&format!("{kind}-{n:05}"), "BATCH", n % REFUSED_EVERY != REFUSED_EVERY - 1)
}

/// The records of this kind that were written so far.
fn written(report: &SandboxReport, kind: &str) -> usize {
    let is_one = |call: &&ApiCall| {
        let id = call.external_id.as_deref().unwrap_or_default();
        call.has_effect() && id.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-'))
    };
    report.calls.iter().filter(is_one).count()
}

async fn load_once(
    scene: &Scene<'_>,
    s3: &aws_sdk_s3::Client,
    machine: &str,
    load: &Value,
    items: usize,
) -> anyhow::Result<Run> {
    let before = written(&scene.stack.sandbox().report().await?, "bulk");
    let start = Instant::now();
    let ended = scene
        .with_progress("items written", items, |report| written(report, "bulk"), async {
            scene.execute(machine, load).await
        })
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    anyhow::ensure!(ended.succeeded, "the load failed with {}", ended.error);
    let failed = listed_as_failed(s3, &ended.output).await?;
    Ok(Run {
        seconds,
        written: written(&scene.stack.sandbox().report().await?, "bulk") - before,
        failed,
        transitions: transitions(items, failed),
    })
}

/// The items that the run's list of failed children names.
async fn listed_as_failed(s3: &aws_sdk_s3::Client, output: &Value) -> anyhow::Result<usize> {
    let manifest = output["ResultWriterDetails"]["Key"].as_str().context("a manifest")?;
    let manifest = object(s3, manifest).await?;
    let files = manifest["ResultFiles"]["FAILED"].as_array().into_iter().flatten();
    let mut failed = 0;
    for file in files {
        let children = object(s3, file["Key"].as_str().context("a key")?).await?;
        for child in children.as_array().into_iter().flatten() {
            let cause: Value = serde_json::from_str(child["Cause"].as_str().context("a cause")?)?;
            failed += cause["failed"].as_array().map_or(0, Vec::len);
        }
    }
    Ok(failed)
}

async fn object(s3: &aws_sdk_s3::Client, key: &str) -> anyhow::Result<Value> {
    let object = s3.get_object().bucket(BUCKET).key(key).send().await?;
    Ok(serde_json::from_slice(&object.body.collect().await?.into_bytes())?)
}

/// The state transitions of a load, which is what AWS bills: the local AWS keeps no history of a Map's
/// children. A test of `slowlane-asl` counts the same in what it sees of the machine.
fn transitions(items: usize, failed: usize) -> usize {
    let (load, each_child, each_item) = (1, 3, 2);
    load + each_child * items.div_ceil(BATCH_SIZE) + each_item * items + failed
}

async fn one_by_one(scene: &Scene<'_>, items: usize) -> anyhow::Result<Run> {
    let machine = &scene.stack.outputs().throttled_call_arn;
    let inputs: Vec<_> =
        (0..items).map(|n| (format!("single-{n:05}"), item("single", n))).collect();
    let start = Instant::now();
    let ends = scene
        .with_progress("calls made", items, |report| written(report, "single"), async {
            scene.start_all(machine, &inputs).await?;
            scene.ends(machine).await
        })
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Run {
        seconds,
        written: written(&scene.stack.sandbox().report().await?, "single"),
        failed: ends.values().filter(|ended| !ended.succeeded).count(),
        // `throttled-call` has one state.
        transitions: ends.len(),
    })
}

impl Report {
    fn shown(&self, limit: u32) -> Shown {
        let mut table = format!(
            "\n{} items\n\n{:<24}{:>9}{:>9}{:>10}{:>10}{:>13}{:>13}\n",
            self.items, "", "written", "failed", "seconds", "items/s", "transitions", "$ a million"
        );
        for (what, run) in [
            ("bulk load", &self.first_run),
            ("the same load again", &self.second_run),
            ("each by an execution", &self.one_by_one),
        ] {
            let each = as_f64(run.transitions) / as_f64(self.items);
            let _ = writeln!(
                table,
                "{what:<24}{:>9}{:>9}{:>10.1}{:>10.1}{each:>13.2}{:>13.2}",
                run.written,
                run.failed,
                run.seconds,
                as_f64(self.items) / run.seconds,
                each * TRANSITIONS_PER_MILLION,
            );
        }
        let _ = writeln!(
            table,
            "\nmost at once {} (limit {limit}), answered 429 {}, written twice {}",
            self.max_concurrency, self.http_429, self.written_twice
        );
        let report = serde_json::to_value(self).unwrap_or_default();
        Shown { table, report, broken_promises: self.broken_promises(limit) }
    }

    fn broken_promises(&self, limit: u32) -> Vec<String> {
        let mut broken = Vec::new();
        for (what, run, again) in [
            ("the load", &self.first_run, false),
            ("the load that was repeated", &self.second_run, true),
            ("the executions", &self.one_by_one, false),
        ] {
            let expected = if again { run.failed } else { run.failed + run.written };
            let of = if again { self.items / REFUSED_EVERY } else { self.items };
            if expected != of || (again && run.written > 0) {
                let Run { written, failed, .. } = run;
                broken.push(format!("{what}: {written} written, {failed} failed"));
            }
        }
        broken.extend(broken_at_api(self.written_twice, self.max_concurrency, limit));
        broken
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a demo are small")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(written: usize, failed: usize) -> Run {
        Run { seconds: 1.0, written, failed, transitions: transitions(100, failed) }
    }

    fn report(second_run: Run) -> Report {
        Report {
            items: 100,
            first_run: run(99, 1),
            second_run,
            one_by_one: run(99, 1),
            http_429: 0,
            max_concurrency: 5,
            written_twice: 0,
        }
    }

    #[test]
    fn an_item_that_is_neither_written_nor_listed_is_a_broken_promise() {
        assert!(report(run(0, 1)).broken_promises(5).is_empty());
        assert_eq!(report(run(1, 1)).broken_promises(5).len(), 1);
        let lost = Report { first_run: run(98, 1), ..report(run(0, 1)) };
        assert_eq!(lost.broken_promises(5), ["the load: 98 written, 1 failed"]);
    }

    #[test]
    fn the_table_says_what_an_item_costs() {
        let table = report(run(0, 1)).shown(5).table;
        assert!(table.contains("2.32        58.00"), "{table}");
    }
}
