//! The example of a worker of your own, `examples/http.rs`, as Lambda runs it. It is a process of
//! its own, with one server in the place of Lambda and AWS and another in that of the API.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slowlane_worker::targets::profile::MAX_BODY_BYTES;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::server::{Server, answer};

/// The worker's own settings, as the template gives them.
const SETTINGS: [(&str, &str); 22] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "worker"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ("AWS_REGION", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("NO_PROXY", "127.0.0.1"),
    ("LOG_LEVEL", "debug"),
    ("DISPATCH", "deferral"),
    ("ON_HIGHER", "yield"),
    ("MAX_DEFERRALS", "3"),
    ("HIGH_QUEUE_URL", "https://sqs/1/high"),
    ("NORMAL_QUEUE_URL", "https://sqs/1/normal"),
    ("BATCH_QUEUE_URL", "https://sqs/1/batch"),
    ("DEAD_LETTER_QUEUE_URL", "https://sqs/1/dead"),
    ("IDEMPOTENCY_TABLE", "guard"),
    ("API_TIMEOUT_SECS", "30"),
    ("CALL_VISIBILITY_SECS", "90"),
    ("WORK_WINDOW_SECS", "120"),
    ("FUNCTION_TIMEOUT_SECS", "210"),
    ("RECORD_EXPIRY_SECS", "3024000"),
    ("MAX_WAIT_SECS", "600"),
];

fn worker(own: &[(&str, &str)]) -> Command {
    let mut command = Command::new(example("http"));
    command
        .env_clear()
        .envs(SETTINGS)
        .envs([("MAX_ATTEMPTS", "3"), ("MAX_RECEIVE_COUNT", "100")])
        .envs(own.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Cargo builds the examples with the tests, beside them.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "{path:?} is not built: run all targets, or build --examples first");
    path
}

fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Variables, and what is told of them.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[tokio::test]
async fn a_variable_that_is_missing_or_wrong_ends_it_with_its_name() {
    let rows: &[Row<'_>] = &[
        (&[], &["Error: bad environment: API_BASE_URL is not set: it must be the API's URL"]),
        (
            &[("API_BASE_URL", "https://me:hidden@api.example")],
            &["API_BASE_URL has a user name or password"],
        ),
        (&[("API_BASE_URL", "http://api.example")], &["API_BASE_URL must begin with `https://`"]),
        (
            &[("API_BASE_URL", "https://api.example")],
            &[
                "API_AUTH, API_SECRET and API_FILES: the profile `http` has several ways to authenticate",
            ],
        ),
        (
            &[("API_BASE_URL", "https://api.example"), ("API_AUTH", "basic")],
            &["the way to authenticate `basic` takes a secret with `password`, `user`"],
        ),
    ];
    for (own, expected) in rows {
        let output = worker(own).output().await.unwrap();
        let text = printed(&output);
        assert!(!output.status.success(), "{text}");
        for part in *expected {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("hidden"), "{text}");
        // The same stands in the log, where `slowlane status` looks for it.
        let log = String::from_utf8_lossy(&output.stdout);
        let line: Value = serde_json::from_str(log.lines().next_back().unwrap()).unwrap();
        let logged = line["start_failed"].as_str().unwrap();
        for part in *expected {
            assert!(logged.contains(part.trim_start_matches("Error: ")), "{part}: {line}");
        }
    }
}

#[tokio::test]
async fn a_rule_of_ones_own_is_asked_before_anything_is_sent() {
    let api = Server::answering(answer(201, &[], "")).await;
    let cloud = Cloud { total: -1, ..Cloud::default() };
    let (cloud, log) = run_on(cloud, &api).await;
    let requests = cloud.requests.lock().unwrap();
    let told = &requests["AWSStepFunctions.SendTaskFailure"];
    assert_eq!(told["error"], "Slowlane.Rejected", "{log}");
    assert!(told["cause"].as_str().unwrap().contains("an order without a price"), "{told}");
    assert_eq!(api.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_call_goes_to_the_api_and_its_answer_to_the_workflow() {
    let api = Server::answering(answer(201, &["content-type: application/json"], r#"{"id":7}"#));
    let api = api.await;
    let told = run_one_call(&api).await;
    assert_eq!(told.action, "AWSStepFunctions.SendTaskSuccess");
    let output: Value = serde_json::from_str(told.request["output"].as_str().unwrap()).unwrap();
    let expected = json!({ "status": 201, "id": "7", "body": { "id": 7 }, "replayed": false });
    assert_eq!(output, expected);
    let requests = api.requests();
    assert_eq!(requests.len(), 1);
    for part in ["PUT /api/v1/orders/7 ", "\r\nauthorization: Bearer the key\r\n", "{\"total\":1}"]
    {
        assert!(requests[0].contains(part), "{part}: {}", requests[0]);
    }
}

#[tokio::test]
async fn what_the_api_says_in_a_refusal_is_neither_told_nor_logged() {
    let api = Server::answering(answer(400, &["x-trace: secret-header"], "secret-text")).await;
    let told = run_one_call(&api).await;
    assert_eq!(told.action, "AWSStepFunctions.SendTaskFailure");
    assert_eq!(told.request["error"], "Slowlane.Rejected");
    assert_eq!(
        told.request["cause"].as_str().unwrap(),
        r#"{"message":"the API refused the call","status":400}"#
    );
    assert!(told.log.contains("the API refused the call"), "{}", told.log);
    for secret in ["secret-text", "secret-header", "the key"] {
        assert!(!told.log.contains(secret), "{secret}: {}", told.log);
    }
}

#[tokio::test]
async fn an_answer_too_large_for_a_workflow_is_told_with_its_id() {
    let body = json!({ "id": 7, "rows": "x".repeat(2 * MAX_BODY_BYTES) }).to_string();
    let api = Server::answering(answer(201, &["content-type: application/json"], &body)).await;
    let told = run_one_call(&api).await;
    assert_eq!(told.action, "AWSStepFunctions.SendTaskFailure");
    assert_eq!(told.request["error"], "Slowlane.ResultTooLarge");
    let cause: Value = serde_json::from_str(told.request["cause"].as_str().unwrap()).unwrap();
    assert_eq!((&cause["status"], &cause["id"]), (&json!(201), &json!("7")));
    let message = cause["message"].as_str().unwrap();
    assert!(message.contains(&format!("at least {} bytes", body.len())), "{message}");
}

#[tokio::test]
async fn a_call_that_is_tried_again_later_says_why_down_to_the_last_cause() {
    let api = Server::answering(answer(500, &[], "")).await;
    let cloud = Cloud { forbidden: Some("DynamoDB_20120810.UpdateItem"), ..Cloud::default() };
    let (cloud, log) = run_on(cloud, &api).await;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let record = lines.into_iter().find(|line| line["Outcome"] == "tried-again-later");
    let record = record.unwrap_or_else(|| panic!("no call was tried again later: {log}"));
    let why = record["why"].as_str().unwrap();
    for part in [
        "the call could not be claimed: calls#order-1: the claim could not be stored",
        "AccessDeniedException",
        "User: worker is not authorized to perform: dynamodb:UpdateItem",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let requests = cloud.requests.lock().unwrap();
    assert!(requests.contains_key("AmazonSQS.ChangeMessageVisibility"), "{requests:?}");
    assert_eq!(api.requests(), Vec::<String>::new(), "the API was not asked");
    // By it the trace is found of the workflow that waits.
    assert_eq!(record["trace_id"], "5759e988bd862e3fe1be46a994272793");
}

#[tokio::test]
async fn a_call_is_two_spans_of_its_workflows_trace_where_a_collector_is_named() {
    let api = Server::answering(answer(400, &[], "secret-text")).await;
    let collector = Server::answering(answer(200, &[], "{}")).await;
    let endpoint = format!("http://{}", collector.url().authority());
    let named = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (_, log) = run_with(Cloud::default(), &api, &named).await;
    // They are there before the invocation ends, after which Lambda may freeze the worker.
    let requests = collector.requests();
    assert_eq!(requests.len(), 1, "{log}");
    assert!(requests[0].starts_with("POST /v1/traces HTTP/1.1"), "{}", requests[0]);
    for secret in ["secret-text", "the key", "orders/7"] {
        assert!(!requests[0].contains(secret), "{secret}: {}", requests[0]);
    }
    let (_, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let mut body: Value = serde_json::from_str(body).unwrap();
    let spans = &mut body["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let time = |span: &Value, end: &str| span[end].as_str().unwrap().parse::<i128>().unwrap();
    assert_eq!(spans[0]["endTimeUnixNano"], spans[1]["startTimeUnixNano"]);
    assert!(time(&spans[1], "startTimeUnixNano") < time(&spans[1], "endTimeUnixNano"));
    assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
    for span in spans.as_array_mut().unwrap() {
        for changing in ["spanId", "startTimeUnixNano", "endTimeUnixNano"] {
            span[changing] = "...".into();
        }
    }
    body["resourceSpans"][0]["scopeSpans"][0]["scope"]["version"] = "...".into();
    insta::assert_json_snapshot!(body);
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    let api = Server::answering(answer(201, &[], "")).await;
    // Nobody listens on the port of a server that is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{gone}");
    let named = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (cloud, log) = run_with(Cloud::default(), &api, &named).await;
    let requests = cloud.requests.lock().unwrap();
    assert!(requests.contains_key("AWSStepFunctions.SendTaskSuccess"), "{log}");
    let lost = log.lines().find(|line| line.contains("spans are lost")).unwrap_or(&log);
    assert!(lost.contains(r#""spans_lost":2"#), "{lost}");
}

/// What a workflow was told, and what the worker printed until then.
struct Told {
    action: String,
    request: Value,
    log: String,
}

async fn run_one_call(api: &Server) -> Told {
    let (cloud, log) = run_on(Cloud::default(), api).await;
    let mut requests = cloud.requests.lock().unwrap();
    let told = ["AWSStepFunctions.SendTaskSuccess", "AWSStepFunctions.SendTaskFailure"]
        .into_iter()
        .find_map(|action| Some((action, requests.remove(action)?)));
    let (action, request) = told.unwrap_or_else(|| panic!("the workflow was told nothing: {log}"));
    Told { action: action.to_owned(), request, log }
}

async fn run_on(cloud: Cloud, api: &Server) -> (Arc<Cloud>, String) {
    run_with(cloud, api, &[]).await
}

/// Runs the worker, with more variables, until it has answered its invocation. Returns what it printed.
async fn run_with(cloud: Cloud, api: &Server, more: &[(&str, &str)]) -> (Arc<Cloud>, String) {
    let cloud = Arc::new(cloud);
    let player = cloud.clone();
    let server = Server::serving(move |request, stream| player.clone().play(request, stream)).await;
    let host = server.url().authority().to_owned();
    let endpoint = format!("http://{host}");
    // A pipe that nobody reads would fill up and stop it.
    let mut printed = tempfile::tempfile().unwrap();
    let mut worker = worker(&[
        ("AWS_LAMBDA_RUNTIME_API", &host),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("API_BASE_URL", api.url().as_str()),
        ("API_AUTH", "header"),
        ("API_SECRET", "crm"),
    ])
    .envs(more.iter().copied())
    .stdout(printed.try_clone().unwrap())
    .stderr(printed.try_clone().unwrap())
    .spawn()
    .unwrap();
    let answered = timeout(Duration::from_secs(60), cloud.answered.notified()).await;
    worker.kill().await.unwrap();
    let mut log = String::new();
    printed.rewind().unwrap();
    printed.read_to_string(&mut log).unwrap();
    assert!(answered.is_ok(), "the invocation has not ended: {log}");
    (cloud, log)
}

/// Lambda and AWS, as far as one call needs them: one invocation with one message, and requests
/// that succeed and change nothing.
struct Cloud {
    /// What the order of the one call costs.
    total: i32,
    /// The action that the worker's role does not allow.
    forbidden: Option<&'static str>,
    invoked: Mutex<bool>,
    /// The last request of each action.
    requests: Mutex<HashMap<String, Value>>,
    answered: Notify,
}

impl Default for Cloud {
    fn default() -> Self {
        Cloud {
            total: 1,
            forbidden: None,
            invoked: Mutex::default(),
            requests: Mutex::default(),
            answered: Notify::new(),
        }
    }
}

impl Cloud {
    async fn play(self: Arc<Self>, request: String, mut stream: TcpStream) {
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let answer = match path.as_str() {
            "/2018-06-01/runtime/invocation/next" => {
                if std::mem::replace(&mut *self.invoked.lock().unwrap(), true) {
                    std::future::pending::<()>().await;
                }
                invocation(self.total)
            }
            "/2018-06-01/runtime/invocation/1/response" => {
                self.answered.notify_one();
                answer(202, &[], "")
            }
            "/" => {
                let action = self.note(&request);
                let headers = ["content-type: application/x-amz-json-1.0"];
                if self.forbidden == Some(action.as_str()) {
                    answer(400, &headers, &access_denied().to_string())
                } else if action == "secretsmanager.GetSecretValue" {
                    let secret = json!({ "SecretString": r#"{"api_key":"the key"}"# });
                    answer(200, &headers, &secret.to_string())
                } else {
                    // There was no record before.
                    answer(200, &headers, &json!({}).to_string())
                }
            }
            _ => panic!("an unknown request: {request}"),
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
    }

    /// Keeps a request, and returns its action.
    fn note(&self, request: &str) -> String {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let action = head.lines().find_map(|line| line.strip_prefix("x-amz-target: ")).unwrap();
        let body = serde_json::from_str(body).unwrap();
        self.requests.lock().unwrap().insert(action.to_owned(), body);
        action.to_owned()
    }
}

/// How DynamoDB answers a role without the permission.
fn access_denied() -> Value {
    json!({
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "Message": "User: worker is not authorized to perform: dynamodb:UpdateItem",
    })
}

/// A mapping's event with one call, as the runtime API hands it out.
fn invocation(total: i32) -> String {
    let call = json!({
        "version": "1.1",
        "task_token": "token",
        "priority": "HIGH",
        "idempotency_key": "order-1",
        "trace_header": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        "request": { "method": "PUT", "resource": "orders/7", "body": { "total": total } },
        "enqueued_at": "2026-11-01T00:00:00Z",
        "deadline": "2999-01-01T00:00:00Z",
    });
    let event = json!({ "Records": [{
        "messageId": "1",
        "receiptHandle": "receipt",
        "body": call.to_string(),
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1793491200000" },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:1:high",
        "awsRegion": "eu-central-1",
    }] });
    let headers = [
        "lambda-runtime-aws-request-id: 1",
        "lambda-runtime-deadline-ms: 32472144000000",
        "lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:1:function:worker",
        "content-type: application/json",
    ];
    answer(200, &headers, &event.to_string())
}
