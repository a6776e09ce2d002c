//! Sagas: two orders that belong together. Whatever becomes of the second, none is left half done.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use slowlane_local::report::broken_at_api;
use slowlane_local::sandbox::SandboxReport;

use super::scene::{Ended, Scene, Shown, order};

/// Every so many have a second order that NetSuite refuses.
const REFUSED_EVERY: usize = 4;

#[derive(Debug, Default, Serialize)]
struct Report {
    sagas: usize,
    /// Both orders are there.
    succeeded: usize,
    /// The second was refused, and neither is there.
    undone: usize,
    /// By the saga's own word nobody knows whether the second is there, so the first stands.
    nothing_undone: usize,
    /// By the saga's own word the first could not be undone.
    not_undone: usize,
    /// The first was refused already: there was nothing to undo.
    not_begun: usize,
    /// What is there is not what the saga said.
    half_done: Vec<String>,
    errors: BTreeMap<String, usize>,
    calls: usize,
    http_429: u64,
    max_concurrency: u32,
    written_twice: u64,
}

pub(super) async fn run(scene: &Scene<'_>, sagas: usize) -> anyhow::Result<Shown> {
    let machine = scene.example("saga", "").await?;
    let inputs: Vec<_> = (0..sagas).map(|n| (name(n), input(n))).collect();
    let orders =
        |report: &SandboxReport| report.calls.iter().filter(|call| call.has_effect()).count();
    eprintln!("starting {sagas} sagas; NetSuite refuses every {REFUSED_EVERY}th second order");
    // A saga has two effects either way: two orders, or one that is made and undone.
    let ends = scene
        .with_progress("orders written and undone", 2 * sagas, orders, async {
            scene.start_all(&machine, &inputs).await?;
            scene.ends(&machine).await
        })
        .await?;
    let seen = scene.stack.sandbox().report().await?;
    Ok(judge(&ends, &seen).shown(scene.limit))
}

fn name(n: usize) -> String {
    format!("saga-{n:03}")
}

fn input(n: usize) -> Value {
    let name = name(n);
    json!({
        "first": order(&format!("{name}-first"), "NORMAL", true),
        "second": order(&format!("{name}-second"), "NORMAL", n % REFUSED_EVERY != REFUSED_EVERY - 1),
        "undo": {
            "priority": "HIGH",
            "idempotency_key": format!("{name}-undo"),
            "request": { "method": "DELETE", "resource": format!("salesOrder/eid:{name}-first") },
        },
    })
}

fn judge(ends: &BTreeMap<String, Ended>, seen: &SandboxReport) -> Report {
    let there = records(seen);
    let mut report = Report {
        sagas: ends.len(),
        calls: seen.calls.len(),
        http_429: seen.http_429,
        max_concurrency: seen.max_concurrency,
        written_twice: seen.duplicate_effects,
        ..Report::default()
    };
    for (name, ended) in ends {
        let is_there = |which: &str| there.contains(&format!("{name}-{which}"));
        let (first, second) = (is_there("first"), is_there("second"));
        if !ended.succeeded {
            *report.errors.entry(ended.error.clone()).or_default() += 1;
        }
        // Only what the saga does not know itself may be either way.
        let (count, right) = match ended.error.as_str() {
            "" => (&mut report.succeeded, first && second),
            "Saga.NothingUndone" => (&mut report.nothing_undone, first),
            "Saga.NotUndone" => (&mut report.not_undone, !second),
            _ if !first && !was_undone(seen, name) => (&mut report.not_begun, !second),
            _ => (&mut report.undone, !first && !second),
        };
        *count += 1;
        if !right {
            report.half_done.push(format!("{name}: first {first}, second {second}"));
        }
    }
    report
}

fn was_undone(seen: &SandboxReport, name: &str) -> bool {
    let first = format!("{name}-first");
    seen.calls.iter().any(|call| {
        call.method == "DELETE" && call.has_effect() && call.external_id.as_deref() == Some(&first)
    })
}

/// The orders that are there at the end: those written and not deleted after it.
fn records(seen: &SandboxReport) -> HashSet<String> {
    let mut calls: Vec<_> = seen.calls.iter().filter(|call| call.has_effect()).collect();
    calls.sort_by(|one, other| one.end_ms.total_cmp(&other.end_ms));
    let mut there = HashSet::new();
    for call in calls {
        let Some(id) = &call.external_id else { continue };
        if call.method == "DELETE" {
            there.remove(id);
        } else {
            there.insert(id.clone());
        }
    }
    there
}

impl Report {
    fn shown(self, limit: u32) -> Shown {
        let mut table = format!("\n{} sagas\n\n", self.sagas);
        for (what, number) in [
            ("succeeded: both orders are there", self.succeeded),
            ("undone: neither order is there", self.undone),
            ("not begun: the first was refused", self.not_begun),
            ("nothing undone: nobody knows of the second", self.nothing_undone),
            ("not undone: the undoing failed", self.not_undone),
            ("half done, and nobody was told", self.half_done.len()),
        ] {
            let _ = writeln!(table, "{what:<44} {number:>5}");
        }
        table.push('\n');
        for (error, number) in &self.errors {
            let _ = writeln!(table, "failed with {error:<32} {number:>5}");
        }
        let _ = writeln!(
            table,
            "\ncalls at the API {}, most at once {} (limit {limit}), answered 429 {}, written twice {}",
            self.calls, self.max_concurrency, self.http_429, self.written_twice
        );
        let mut broken_promises: Vec<_> =
            self.half_done.iter().map(|half| format!("half done: {half}")).collect();
        broken_promises.extend(broken_at_api(self.written_twice, self.max_concurrency, limit));
        let report = serde_json::to_value(&self).unwrap_or_default();
        Shown { table, report, broken_promises }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_local::sandbox::ApiCall;

    fn call(method: &str, id: &str, status: u16, end_ms: f64) -> ApiCall {
        ApiCall {
            method: method.to_owned(),
            external_id: Some(id.to_owned()),
            status,
            start_ms: end_ms - 1.0,
            end_ms,
            enqueued_at_ms: None,
            priority: None,
            fault: None,
        }
    }

    fn ended(error: &str) -> Ended {
        Ended { succeeded: error.is_empty(), output: Value::Null, error: error.to_owned() }
    }

    fn judged(error: &str, calls: Vec<ApiCall>) -> Report {
        let ends = BTreeMap::from([("s".to_owned(), ended(error))]);
        judge(&ends, &SandboxReport { calls, ..SandboxReport::default() })
    }

    #[test]
    fn what_is_there_must_be_what_the_saga_said() {
        let first = || call("PUT", "s-first", 204, 1.0);
        let second = || call("PUT", "s-second", 204, 2.0);
        let undone = || call("DELETE", "s-first", 204, 3.0);
        assert_eq!(judged("", vec![first(), second()]).succeeded, 1);
        assert_eq!(judged("Slowlane.Rejected", vec![first(), undone()]).undone, 1);
        assert_eq!(judged("Slowlane.Rejected", vec![]).not_begun, 1);
        for (error, calls) in [
            ("", vec![first()]),
            ("Slowlane.Rejected", vec![first()]),
            ("Slowlane.Rejected", vec![first(), second(), undone()]),
        ] {
            let report = judged(error, calls);
            assert_eq!(report.half_done.len(), 1, "{report:?}");
        }
    }
}
