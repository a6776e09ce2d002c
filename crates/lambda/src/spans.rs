//! Spans for a collector that takes OTLP over HTTP, where a team names one.
//!
//! | Variable | Means |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | the collector, such as `http://localhost:4318`; without it there are no spans |
//! | `OTEL_SERVICE_NAME` | the name of the service; the function's own without it |
//!
//! Spans are sent while the Lambda works, in batches. At the end of an invocation, before Lambda may
//! freeze it, [`Exporter::flush`] sends the rest. It waits for a second at most: no call waits for a
//! collector, and what that does not take is lost, with a warning.
//!
//! Headers cannot be set (`OTEL_EXPORTER_OTLP_HEADERS`), since a Lambda's environment is no place for a
//! secret. A collector has its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Url, redirect};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use crate::env::{self, Env, Recorded};
use crate::logs::chain;

/// How many spans wait at most. Any more are lost.
const MOST_WAITING: usize = 2048;
/// How many are sent at once.
const BATCH: usize = 128;
/// How long one waits for others.
const GATHER: Duration = Duration::from_secs(5);
/// How long the collector has for a batch.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end of an invocation waits for it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The trace that a span is part of, in W3C's and OpenTelemetry's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The span that it is a child of: 16 hexadecimal digits.
    pub parent: Option<String>,
}

/// What a span is to the others of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work of our own.
    Internal,
    /// A request that is sent and answered.
    Client,
    /// A message that is sent, and taken later.
    Producer,
}

/// Something that took a time, as part of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    trace: Trace,
    name: String,
    kind: Kind,
    from: Timestamp,
    to: Timestamp,
    attributes: Vec<(&'static str, Value)>,
    error: Option<String>,
}

impl Span {
    /// A span of `trace` that went well so far. One that ends before it begins, by clocks that disagree,
    /// takes no time.
    pub fn new(
        trace: Trace,
        name: impl Into<String>,
        kind: Kind,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        let (attributes, error) = (Vec::new(), None);
        Span { trace, name: name.into(), kind, from, to: to.max(from), attributes, error }
    }

    /// With an attribute. It must hold neither a secret nor a body.
    #[must_use]
    pub fn attribute(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// As one that went wrong, with the reason.
    #[must_use]
    pub fn error(mut self, why: impl Into<String>) -> Self {
        self.error = Some(why.into());
        self
    }

    /// In OTLP's JSON, under an id of its own.
    fn to_json(&self, id: u64) -> Value {
        let mut span = json!({
            "traceId": self.trace.id,
            "spanId": format!("{id:016x}"),
            "name": self.name,
            "kind": match self.kind { Kind::Internal => 1, Kind::Client => 3, Kind::Producer => 4 },
            "startTimeUnixNano": self.from.as_nanosecond().to_string(),
            "endTimeUnixNano": self.to.as_nanosecond().to_string(),
            "attributes": attributes(&self.attributes),
        });
        if let Some(parent) = &self.trace.parent {
            span["parentSpanId"] = parent.as_str().into();
        }
        if let Some(why) = &self.error {
            span["status"] = json!({ "code": 2, "message": why });
        }
        span
    }
}

/// Sends spans to a collector.
#[derive(Debug, Clone)]
pub struct Exporter {
    to_sender: mpsc::Sender<Message>,
    /// How many did not go out, until that is said.
    lost: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Message {
    Span(Box<Span>),
    Flush(oneshot::Sender<()>),
}

/// Why no spans can be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable is ill-formed.
    #[error(transparent)]
    Environment(#[from] env::Error),
    /// There can be no HTTP client, which no setting of ours causes.
    #[error("spans cannot be sent")]
    Client(#[from] reqwest::Error),
}

/// Where spans go, and as whose.
#[derive(Debug)]
struct Settings {
    url: Url,
    service: String,
}

impl Settings {
    /// `None` if no collector is named.
    fn from_env(env: &mut Env<'_>) -> Result<Option<Self>, Recorded> {
        const EXPECTED: &str = "the URL of a collector, such as http://localhost:4318";
        let endpoint: Option<Url> = env.maybe("OTEL_EXPORTER_OTLP_ENDPOINT", EXPECTED)?;
        let service = env.maybe("OTEL_SERVICE_NAME", "a name")?;
        let function = env.maybe("AWS_LAMBDA_FUNCTION_NAME", "a name")?;
        let Some(mut url) = endpoint else { return Ok(None) };
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(env.refuse(format!("OTEL_EXPORTER_OTLP_ENDPOINT must be {EXPECTED}")));
        }
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let service = service.or(function).unwrap_or_else(|| "slowlane".to_owned());
        Ok(Some(Settings { url, service }))
    }
}

impl Exporter {
    /// Starts to send, on the runtime that it is called on. `None` if the variables, which `lookup` gives,
    /// name no collector.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let Some(settings) = env::read(lookup, Settings::from_env)? else { return Ok(None) };
        let client = Client::builder().timeout(SEND_TIMEOUT).redirect(redirect::Policy::none());
        let client = client.build()?;
        let (to_sender, receiver) = mpsc::channel(MOST_WAITING);
        let lost = Arc::new(AtomicUsize::new(0));
        let held = Vec::new();
        tokio::spawn(Sender { client, settings, receiver, held, lost: lost.clone() }.run());
        Ok(Some(Exporter { to_sender, lost }))
    }

    /// Takes a span, to be sent soon. Nothing waits for it.
    pub fn record(&self, span: Span) {
        if self.to_sender.try_send(Message::Span(Box::new(span))).is_err() {
            // The collector is too slow.
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what is held, and waits for that for a second at most.
    pub async fn flush(&self) {
        let (sent, all_sent) = oneshot::channel();
        let flushed = async {
            if self.to_sender.send(Message::Flush(sent)).await.is_ok() {
                // An error is the sender's end, and then there is nothing to wait for.
                let _ = all_sent.await;
            }
        };
        // What is late goes out when Lambda thaws this process again.
        let _ = timeout(FLUSH_TIMEOUT, flushed).await;
    }
}

/// The task that sends.
struct Sender {
    client: Client,
    settings: Settings,
    receiver: mpsc::Receiver<Message>,
    held: Vec<Value>,
    lost: Arc<AtomicUsize>,
}

impl Sender {
    async fn run(mut self) {
        while let Some(first) = self.receiver.recv().await {
            let flushed = self.gather(first).await;
            self.send().await;
            if let Some(flushed) = flushed {
                // Whoever asked may not wait any more.
                let _ = flushed.send(());
            }
        }
    }

    /// Holds spans until they are a batch, or somebody wants them sent.
    async fn gather(&mut self, first: Message) -> Option<oneshot::Sender<()>> {
        let end = tokio::time::Instant::now() + GATHER;
        let mut next = Some(first);
        loop {
            match next {
                Some(Message::Span(span)) => self.held.push(span.to_json(span_id())),
                Some(Message::Flush(flushed)) => return Some(flushed),
                None => return None,
            }
            if self.held.len() >= BATCH {
                return None;
            }
            next = tokio::select! {
                message = self.receiver.recv() => message,
                () = sleep_until(end) => return None,
            };
        }
    }

    async fn send(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let spans = std::mem::take(&mut self.held);
        let count = spans.len();
        let posted = self.client.post(self.settings.url.clone()).json(&self.request(spans));
        let answered = posted.send().await.and_then(reqwest::Response::error_for_status);
        let late = self.lost.swap(0, Ordering::Relaxed);
        let refused = answered.err().map(|error| chain(&error.without_url()));
        let spans_lost = late + refused.as_ref().map_or(0, |_| count);
        if spans_lost > 0 {
            let error = refused.as_deref().unwrap_or("the collector is too slow");
            tracing::warn!(spans_lost, error, "spans are lost");
        }
    }

    fn request(&self, spans: Vec<Value>) -> Value {
        let service = [("service.name", Value::from(self.settings.service.as_str()))];
        let scope = json!({ "name": "slowlane", "version": env!("CARGO_PKG_VERSION") });
        json!({ "resourceSpans": [{
            "resource": { "attributes": attributes(&service) },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }] })
    }
}

/// Any but zero, which names no span.
fn span_id() -> u64 {
    fastrand::u64(1..)
}

fn attributes(attributes: &[(&str, Value)]) -> Value {
    let attribute = |(name, value): &(&str, Value)| json!({ "key": name, "value": any(value) });
    attributes.iter().map(attribute).collect()
}

/// OTLP's `AnyValue`. A whole number travels as text, because JSON's numbers have 53 bits.
fn any(value: &Value) -> Value {
    match value {
        Value::Bool(truth) => json!({ "boolValue": truth }),
        Value::Number(number) if number.is_i64() => json!({ "intValue": number.to_string() }),
        Value::Number(number) => json!({ "doubleValue": number }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(vars: &[(&str, &str)]) -> Result<Option<Settings>, env::Error> {
        let lookup = |wanted: &str| {
            vars.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        };
        env::read(lookup, Settings::from_env)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn trace() -> Trace {
        let parent = Some("53995c3f42cd8ad8".to_owned());
        Trace { id: "5759e988bd862e3fe1be46a994272793".to_owned(), parent }
    }

    #[test]
    fn spans_go_below_the_endpoint_and_only_where_one_is_named() {
        assert!(settings(&[("OTEL_SERVICE_NAME", "orders")]).unwrap().is_none());
        for (endpoint, expected) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("https://otel.example.com/otlp/", "https://otel.example.com/otlp/v1/traces"),
        ] {
            let named = settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).unwrap().unwrap();
            assert_eq!((named.url.as_str(), named.service.as_str()), (expected, "slowlane"));
        }
        let of = |name| settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost"), name]);
        assert_eq!(of(("AWS_LAMBDA_FUNCTION_NAME", "crm")).unwrap().unwrap().service, "crm");
        for wrong in ["localhost:4318", "grpc://localhost:4317", "not a url"] {
            let refused = settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", wrong)]).unwrap_err();
            let refused = refused.to_string();
            assert!(refused.contains("the URL of a collector"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_span_is_written_as_otlp_wants_it() {
        let span = Span::new(trace(), "POST crm", Kind::Client, at(1), at(3))
            .attribute("slowlane.attempt", 2)
            .attribute("slowlane.queue_wait_ms", 1.5)
            .error("rejected");
        let expected = json!({
            "traceId": "5759e988bd862e3fe1be46a994272793",
            "spanId": "00000000000000ff",
            "parentSpanId": "53995c3f42cd8ad8",
            "name": "POST crm",
            "kind": 3,
            "startTimeUnixNano": "1000000000",
            "endTimeUnixNano": "3000000000",
            "attributes": [
                { "key": "slowlane.attempt", "value": { "intValue": "2" } },
                { "key": "slowlane.queue_wait_ms", "value": { "doubleValue": 1.5 } },
            ],
            "status": { "code": 2, "message": "rejected" },
        });
        assert_eq!(span.to_json(255), expected);
        let backwards = Span::new(trace(), "wait", Kind::Internal, at(3), at(1));
        assert_eq!(backwards.to_json(1)["endTimeUnixNano"], "3000000000");
    }
}
