//! What the sandbox saw.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{Effect, FaultKind, LateEffect, Subject};

/// Everything that was counted, and every call that got a permit: `GET /_sandbox/report`.
///
/// Token requests and `/_sandbox/` itself are not counted anywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The size of the permit pool.
    pub limit: u32,
    /// The most calls that held a permit at one time.
    pub max_concurrency: u32,
    /// All requests to the API, those refused with 401 or 429 among them.
    pub requests: u64,
    /// Requests that were refused for a limit: no permit was left, a rate was used up, or a
    /// `429-burst` struck. Most APIs do so with 429.
    pub http_429: u64,
    /// Requests that came sooner than an earlier refusal had asked for.
    #[serde(default)]
    pub came_early: u64,
    /// Records that calls created (seeded ones do not count).
    pub records_created: u64,
    /// Effects beyond the first.
    ///
    /// A call *has an effect* if it created a record or added to one that was there. Effects are
    /// counted by the call's idempotency key (header `x-slowlane-idempotency-key`, else
    /// [`Api::IDEMPOTENCY_HEADER`](crate::Api::IDEMPOTENCY_HEADER)); a call without a key has only
    /// its creation counted, by record type and external id. This is the sum, over all keys, of
    /// the effects after the first.
    pub duplicate_effects: u64,
    /// Records held now, by type.
    pub records: BTreeMap<String, u64>,
    /// What is attached to what now, in the API's words.
    #[serde(default)]
    pub attachments: Vec<String>,
    /// The calls that have ended, in the order in which they ended.
    pub calls: Vec<CallReport>,
}

/// The report without its calls, and with the calls that run now: `GET /_sandbox/stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// See [`Report::limit`].
    pub limit: u32,
    /// Calls that hold a permit now.
    pub in_flight: u32,
    /// See [`Report::max_concurrency`].
    pub max_concurrency: u32,
    /// See [`Report::requests`].
    pub requests: u64,
    /// See [`Report::http_429`].
    pub http_429: u64,
    /// See [`Report::came_early`].
    #[serde(default)]
    pub came_early: u64,
    /// See [`Report::records_created`].
    pub records_created: u64,
    /// See [`Report::duplicate_effects`].
    pub duplicate_effects: u64,
    /// See [`Report::records`].
    pub records: BTreeMap<String, u64>,
}

/// One call that got a permit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// The HTTP method.
    pub method: String,
    /// The resource, as the API names it: its path by default.
    pub resource: String,
    /// The external id in the path or of the record that was created.
    pub external_id: Option<String>,
    /// The status of the answer, even where a fault kept the answer from the caller.
    pub status: u16,
    /// When the call got its permit, in milliseconds since the Unix epoch.
    pub start_ms: f64,
    /// When its permit was given back and its answer was ready, in the same unit.
    pub end_ms: f64,
    /// The header `x-slowlane-enqueued-at`, in the same unit.
    pub enqueued_at_ms: Option<f64>,
    /// The header `x-slowlane-priority`.
    pub priority: Option<String>,
    /// The header `x-slowlane-idempotency-key`, else the API's own.
    pub idempotency_key: Option<String>,
    /// The fault that befell it.
    pub fault: Option<String>,
}

/// What is known of a call when it gets its permit.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    resource: String,
    external_id: Option<String>,
    started_at: Duration,
    enqueued_at_ms: Option<f64>,
    priority: Option<String>,
    idempotency_key: Option<String>,
}

impl Call {
    pub(crate) fn new(
        request: &crate::Request,
        subject: Subject,
        idempotency_header: &str,
        now: Duration,
    ) -> Self {
        let headers = request.headers();
        Self {
            method: request.method().clone(),
            resource: subject.resource,
            external_id: subject.external_id,
            started_at: now,
            enqueued_at_ms: text_header(headers, "x-slowlane-enqueued-at")
                .and_then(|text| text.parse::<jiff::Timestamp>().ok())
                .map(|at| at.as_duration().as_secs_f64() * 1000.0),
            priority: text_header(headers, "x-slowlane-priority"),
            idempotency_key: text_header(headers, "x-slowlane-idempotency-key")
                .or_else(|| text_header(headers, idempotency_header)),
        }
    }
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The counters behind [`Report`] and [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) max_concurrency: u32,
    pub(crate) requests: u64,
    pub(crate) http_429: u64,
    pub(crate) came_early: u64,
    records_created: u64,
    effects_by_key: HashMap<String, u64>,
    calls: Vec<CallReport>,
}

impl Ledger {
    /// Empty books, opened while this many calls run.
    pub(crate) fn new(in_flight: u32) -> Self {
        Self { max_concurrency: in_flight, ..Self::default() }
    }

    /// Writes down a call that has ended.
    pub(crate) fn record(
        &mut self,
        call: Call,
        status: StatusCode,
        fault: Option<FaultKind>,
        effect: &Effect,
        now: Duration,
    ) {
        self.count(call.idempotency_key.as_deref(), effect);
        let created = || effect.created.iter().find_map(|created| created.external_id.clone());
        let millis = |at: Duration| at.as_secs_f64() * 1000.0;
        self.calls.push(CallReport {
            method: call.method.to_string(),
            resource: call.resource,
            external_id: call.external_id.or_else(created),
            status: status.as_u16(),
            start_ms: millis(call.started_at),
            end_ms: millis(now),
            enqueued_at_ms: call.enqueued_at_ms,
            priority: call.priority,
            idempotency_key: call.idempotency_key,
            fault: fault.map(|kind| kind.name().to_owned()),
        });
    }

    /// Writes down what was done after its call had ended.
    pub(crate) fn record_late(&mut self, LateEffect { key, effect }: &LateEffect) {
        self.count(key.as_deref(), effect);
    }

    fn count(&mut self, key: Option<&str>, effect: &Effect) {
        self.records_created += effect.created.len() as u64;
        let mut count = |effect: String| *self.effects_by_key.entry(effect).or_default() += 1;
        match key {
            Some(key) if !effect.is_none() => count(format!("key {key}")),
            Some(_) => {}
            None => {
                for created in &effect.created {
                    if let Some(id) = &created.external_id {
                        count(format!("record {}/{id}", created.record_type));
                    }
                }
            }
        }
    }

    fn duplicate_effects(&self) -> u64 {
        self.effects_by_key.values().map(|effects| effects - 1).sum()
    }

    pub(crate) fn report(
        &self,
        limit: u32,
        records: BTreeMap<String, u64>,
        attachments: Vec<String>,
    ) -> Report {
        Report {
            limit,
            max_concurrency: self.max_concurrency,
            requests: self.requests,
            http_429: self.http_429,
            came_early: self.came_early,
            records_created: self.records_created,
            duplicate_effects: self.duplicate_effects(),
            records,
            attachments,
            calls: self.calls.clone(),
        }
    }

    pub(crate) fn stats(
        &self,
        limit: u32,
        in_flight: u32,
        records: BTreeMap<String, u64>,
    ) -> Stats {
        Stats {
            limit,
            in_flight,
            max_concurrency: self.max_concurrency,
            requests: self.requests,
            http_429: self.http_429,
            came_early: self.came_early,
            records_created: self.records_created,
            duplicate_effects: self.duplicate_effects(),
            records,
        }
    }
}
