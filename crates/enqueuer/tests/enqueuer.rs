//! The enqueuer on the simulated cloud: what it puts on the queues, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::{Value, json};
use slowlane_aws_simulator::cloud::sqs::QueueSettings;
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings};
use slowlane_aws_simulator::time::in_virtual_time;
use slowlane_aws_simulator::transcript::Caller;
use slowlane_enqueuer::{Config, Enqueuer, timeouts};
use slowlane_message::QueuedCall;
use slowlane_policy::timing::ENQUEUER_TIMEOUT;

const QUEUES: [&str; 4] = ["high", "normal", "batch", "doorbell"];

/// A deployed enqueuer and its queues.
struct Rig {
    enqueuer: Enqueuer,
    sqs: aws_sdk_sqs::Client,
    cloud: Cloud,
}

fn url(queue: &str) -> String {
    format!("https://sqs/1/{queue}")
}

fn config(more: &[(&str, &str)]) -> Config {
    let mut vars = HashMap::from([
        ("HIGH_QUEUE_URL", url("high")),
        ("NORMAL_QUEUE_URL", url("normal")),
        ("BATCH_QUEUE_URL", url("batch")),
        ("DOORBELL_QUEUE_URL", url("doorbell")),
    ]);
    vars.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Config::from_vars(|name| vars.get(name).cloned()).unwrap()
}

/// Runs `work` with an enqueuer whose environment has `vars` beside the queues' URLs.
fn with_rig(vars: &[(&str, &str)], work: impl AsyncFnOnce(Rig)) {
    in_virtual_time(async {
        let cloud = Cloud::new(CloudSettings::new(1));
        for name in QUEUES {
            cloud.create_queue(QueueSettings {
                name: name.to_owned(),
                visibility: Duration::from_secs(30),
                redrive: None,
                retention: Duration::from_secs(86_400),
            });
        }
        let sqs = aws_sdk_sqs::Client::new(
            &cloud.sdk(Caller::Person, slowlane_aws_simulator::time::Skew::NONE),
        );
        let enqueuer = Enqueuer::new(config(vars), sqs.clone());
        work(Rig { enqueuer, sqs, cloud }).await;
    })
    .unwrap();
}

impl Rig {
    async fn receive(&self, queue: &str) -> Option<Message> {
        let ask = self.sqs.receive_message().queue_url(url(queue)).wait_time_seconds(1);
        let ask = ask.message_system_attribute_names(MessageSystemAttributeName::All);
        ask.send().await.unwrap().messages.unwrap_or_default().pop()
    }

    /// The request with a deadline `secs` from now.
    fn due_in(&self, secs: u64) -> Value {
        let now = jiff::Timestamp::from_millisecond(
            i64::try_from(self.cloud.now().epoch_millis()).unwrap(),
        );
        let mut request = request();
        request["deadline"] = json!(now.unwrap() + Duration::from_secs(secs));
        request
    }
}

const EXECUTION: &str =
    "arn:aws:states:eu-central-1:123456789012:execution:slowlane-order:order-123";

fn request() -> Value {
    json!({
        "version": "1.4",
        "task_token": "AQCEAAAAKgAAAAMAAAAAAAAAAeQ",
        "priority": "HIGH",
        "idempotency_key": "order-123",
        "request": { "method": "PUT", "resource": "salesOrder/eid:order-123" },
        "execution": EXECUTION,
    })
}

fn attribute(message: &Message, name: MessageSystemAttributeName) -> Option<&str> {
    message.attributes.as_ref()?.get(&name).map(String::as_str)
}

#[test]
fn the_tenant_is_the_fair_queue_group_of_the_call_and_not_of_the_ring() {
    with_rig(&[], async |rig| {
        let mut tenanted = request();
        // Every character that a tenant may have is one that SQS takes in a group id.
        let tenant: String = ('!'..='~').collect();
        tenanted["tenant"] = json!(tenant);
        rig.enqueuer.handle(tenanted, None).await.unwrap();
        let call = rig.receive("high").await.unwrap();
        let group = MessageSystemAttributeName::MessageGroupId;
        assert_eq!(attribute(&call, group.clone()), Some(&*tenant));
        let ring = rig.receive("doorbell").await.unwrap();
        assert_eq!(attribute(&ring, group.clone()), None);

        rig.enqueuer.handle(request(), None).await.unwrap();
        let call = rig.receive("high").await.unwrap();
        assert_eq!(attribute(&call, group), None, "nobody's call is in nobody's group");
    });
}

#[test]
fn a_deadline_beyond_the_longest_is_refused_by_name_and_nothing_is_queued() {
    with_rig(&[], async |rig| {
        let error = rig.enqueuer.handle(rig.due_in(11 * 86_400), None).await.unwrap_err();
        let diagnostic = lambda_runtime::Diagnostic::from(error);
        assert_eq!(diagnostic.error_type, "Slowlane.InvalidMessage");
        for part in ["`deadline`", "11", "864000 s"] {
            assert!(diagnostic.error_message.contains(part), "{part}: {diagnostic:?}");
        }
        assert!(rig.receive("high").await.is_none());
        assert!(rig.receive("doorbell").await.is_none());
        // The longest itself is taken, also from a clock that is a little ahead of this one.
        rig.enqueuer.handle(rig.due_in(10 * 86_400 + 5), None).await.unwrap();
        let call = rig.receive("high").await.unwrap();
        QueuedCall::parse(call.body().unwrap()).unwrap();
    });
}

#[test]
fn a_call_that_the_deployment_does_not_make_is_refused_by_name_and_not_queued() {
    with_rig(&[("ALLOWED_CALLS", "PUT salesOrder/*")], async |rig| {
        rig.enqueuer.handle(request(), None).await.unwrap();
        assert!(rig.receive("high").await.is_some());
        assert!(rig.receive("doorbell").await.is_some());
        for (resource, cause) in [
            ("customer/7", "no rule of ALLOWED_CALLS allows it"),
            ("salesOrder/../customer/7", "its resource has a dot segment"),
        ] {
            let mut refused = request();
            refused["request"]["resource"] = json!(resource);
            let error = rig.enqueuer.handle(refused, None).await.unwrap_err();
            let diagnostic = lambda_runtime::Diagnostic::from(error);
            assert_eq!(diagnostic.error_type, "Slowlane.NotAllowed");
            let expected =
                format!("this deployment does not make the call PUT {resource}: {cause}");
            assert!(diagnostic.error_message.starts_with(&expected), "{diagnostic:?}");
            assert!(rig.receive("high").await.is_none());
            assert!(rig.receive("doorbell").await.is_none());
        }
    });
}

const OWN: &str = "Root=1-5e1b4151-5ac6c58f3a5daa6c3c0b5f0a;Parent=53995c3f42cd8ad8;Sampled=1";

#[test]
fn a_call_continues_the_requests_trace_or_else_that_of_the_enqueuer() {
    with_rig(&[], async |rig| {
        let trace = async |request: Value, own: Option<&str>| {
            rig.enqueuer.handle(request, own).await.unwrap();
            let message = rig.receive("high").await.unwrap();
            let call = QueuedCall::parse(message.body().unwrap()).unwrap();
            let name = MessageSystemAttributeName::AwsTraceHeader;
            let sent = attribute(&message, name).map(str::to_owned);
            assert_eq!(sent, call.trace_header, "the attribute and the body say the same");
            sent
        };
        let mut traced = request();
        traced["trace_header"] = json!("Root=1-5e1b4151-000000000000000000000000");
        let theirs = trace(traced, Some(OWN)).await;
        assert_eq!(theirs.as_deref(), Some("Root=1-5e1b4151-000000000000000000000000"));
        assert_eq!(trace(request(), Some(OWN)).await.as_deref(), Some(OWN));
        assert_eq!(trace(request(), None).await, None);
        // No call fails because of a trace header that Lambda made.
        for odd in ["", "Root=\n", &"x".repeat(1_025)] {
            assert_eq!(trace(request(), Some(odd)).await, None, "{odd:?}");
        }
    });
}

/// An SQS that takes requests and never answers.
#[derive(Clone, Debug)]
struct Silence;

impl HttpClient for Silence {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Silence)
    }
}

impl HttpConnector for Silence {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(std::future::pending())
    }
}

#[test]
fn a_queue_that_does_not_answer_is_an_error_with_a_name_before_lambda_ends_the_function() {
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url("http://sqs.invalid")
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(Silence)
        .sleep_impl(TokioSleep::new())
        .timeout_config(timeouts())
        .build();
    let took = in_virtual_time(async {
        let enqueuer = Enqueuer::new(config(&[]), aws_sdk_sqs::Client::new(&sdk));
        let start = tokio::time::Instant::now();
        let handled =
            tokio::time::timeout(ENQUEUER_TIMEOUT, enqueuer.handle(request(), None)).await;
        let error = handled.expect("it ends by itself").unwrap_err();
        assert_eq!(error.name(), "Slowlane.QueueUnavailable");
        start.elapsed()
    })
    .unwrap();
    // The ring may take as long again.
    assert!(2 * took < ENQUEUER_TIMEOUT - Duration::from_secs(5), "{took:?}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_request_leaves_one_line_with_its_key_and_its_cause_once() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    with_rig(&[], async |rig| {
        rig.enqueuer.handle(request(), None).await.unwrap();
        let mut bad = request();
        bad["priority"] = json!("SOON");
        rig.enqueuer.handle(bad, None).await.unwrap_err();
        let mut secret = request();
        secret["idempotency_key"] = json!("no\nkey");
        secret["execution"] = json!("no\nexecution");
        rig.enqueuer.handle(secret, None).await.unwrap_err();
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["target"] == "slowlane::enqueued")
        .collect();
    let [queued, refused, keyless] = &*lines else { panic!("{text}") };
    assert_eq!(
        (&queued["message"], &queued["idempotency_key"]),
        (&json!("queued"), &json!("order-123"))
    );
    assert!(queued["message_id"].is_string(), "{queued}");
    assert_eq!(queued["execution_arn"], EXECUTION);
    assert_eq!(refused["message"], "not queued");
    assert_eq!(refused["idempotency_key"], "order-123");
    assert_eq!(refused["execution_arn"], EXECUTION);
    assert_eq!(refused["error"], "Slowlane.InvalidMessage");
    assert_eq!(
        refused["cause"],
        "the request is not one that can be queued: field `priority`: expected HIGH, NORMAL (or \
         MEDIUM) or BATCH, found other text"
    );
    assert_eq!(keyless["idempotency_key"], "", "what is no key is not repeated");
    assert_eq!(keyless["execution_arn"], Value::Null, "nor what is no execution");
}
