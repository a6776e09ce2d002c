//! What nobody may read is marked, and then looked for in all that somebody may read.
//!
//! | Marked | May stand |
//! |---|---|
//! | the secret, and the token that it is exchanged for | in Secrets Manager, and at the API |
//! | task tokens | in the queues, and in the workflow's own history |
//! | the request's body, and the API's answer | in the queues, the guard's table and the workflow's own history |
//! | what the API says of an error | nowhere: its code and its status are told |

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use slowlane_local::Target;
use slowlane_local::run::{self, Ending, Execution, Item, Started};
use slowlane_local::sandbox::VendorSettings;
use slowlane_message::Priority;

use super::operations::operate;
use super::setup::Scenario;

const SECRET: &str = "marked-secret-4f1c";
/// The same as HTTP's basic authentication writes it.
const BASIC: &str = "c2xvd2xhbmU6bWFya2VkLXNlY3JldC00ZjFj";
const TOKEN: &str = "marked-token-77ab";
const BODY: &str = "marked-body-9d02";
const ANSWER: &str = "marked-answer-31ee";
const DETAIL: &str = "marked-detail-c5b8";

/// The calls, by how the API answers them.
const CALLS: [&str; 4] = ["accepted", "refused", "unsure", "expired"];

/// What the API has seen.
#[derive(Debug, Default)]
struct Seen {
    secrets: AtomicUsize,
    bodies: AtomicUsize,
    expired: AtomicUsize,
    /// What came to the collector of spans, which lives here too.
    spans: Mutex<Vec<Value>>,
}

/// An API that gives a token for the secret, and takes calls with it.
async fn api() -> anyhow::Result<(String, Arc<Seen>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let seen = Arc::new(Seen::default());
    let app = Router::new().route("/token", post(token)).route("/v1/traces", post(spans));
    let app = app.fallback(call).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((url, seen))
}

async fn token(
    State(seen): State<Arc<Seen>>,
    headers: HeaderMap,
    form: String,
) -> (StatusCode, String) {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !form.contains(SECRET) && basic != Some(&format!("Basic {BASIC}")) {
        return (StatusCode::UNAUTHORIZED, DETAIL.to_owned());
    }
    seen.secrets.fetch_add(1, Ordering::Relaxed);
    (
        StatusCode::OK,
        json!({ "access_token": TOKEN, "token_type": "bearer", "expires_in": 3600 }).to_string(),
    )
}

async fn spans(State(seen): State<Arc<Seen>>, Json(request): Json<Value>) -> Json<Value> {
    let sent = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned();
    let mut spans = seen.spans.lock().unwrap_or_else(PoisonError::into_inner);
    spans.extend(sent.unwrap_or_default());
    Json(json!({}))
}

async fn call(
    State(seen): State<Arc<Seen>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {TOKEN}")) || !body.contains(BODY) {
        return (StatusCode::BAD_REQUEST, json!({ "code": "unmarked" }).to_string());
    }
    seen.bodies.fetch_add(1, Ordering::Relaxed);
    let error = json!({ "code": "not_so", "message": DETAIL, "detail": DETAIL }).to_string();
    match uri.path().rsplit('/').next() {
        Some("refused") => (StatusCode::UNPROCESSABLE_ENTITY, error),
        Some("unsure") => (StatusCode::INTERNAL_SERVER_ERROR, error),
        // The token is no longer good, once.
        Some("expired") if seen.expired.fetch_add(1, Ordering::Relaxed) == 0 => {
            (StatusCode::UNAUTHORIZED, error)
        }
        _ => (StatusCode::CREATED, json!({ "id": "1001", "note": ANSWER }).to_string()),
    }
}

fn items() -> Vec<Item> {
    let item = |name: &str| Item {
        name: name.to_owned(),
        priority: Priority::Normal,
        input: json!({
            "priority": "NORMAL",
            "idempotency_key": name,
            "at_most_once": name == "unsure",
            "request": {
                "method": if name == "unsure" { "POST" } else { "PUT" },
                "resource": format!("orders/{name}"),
                "body": { "note": BODY },
            },
        })
        .to_string(),
    };
    CALLS.map(item).into()
}

async fn deploy(url: &str) -> anyhow::Result<Scenario> {
    let sandbox = VendorSettings { open: true, ..VendorSettings::new("http", 2, 50) };
    let mut target = Target { elsewhere: Some(url.to_owned()), ..Target::of_profile(sandbox) };
    for (name, value) in [
        ("ApiAuth", "client_credentials"),
        // All that can be logged is.
        ("LogLevel", "debug"),
        ("WorkflowLogLevel", "ALL"),
        ("MaxAttempts", "2"),
        ("OtlpEndpoint", url),
    ] {
        target.parameters.insert(name.to_owned(), value.to_owned());
    }
    let scenario = Scenario::deploy_target("marked", &target).await?;
    let secret = json!({
        "token_url": format!("{url}/token"),
        "client_id": "slowlane",
        "client_secret": SECRET,
    });
    scenario.stack.set_secret("demo/http", &secret).await?;
    Ok(scenario)
}

/// The calls' task tokens, as they lie in the queue while the limit is paused.
async fn tokens(scenario: &Scenario) -> anyhow::Result<BTreeSet<String>> {
    let queue = &scenario.stack.outputs().normal_queue_url;
    let sqs = aws_sdk_sqs::Client::new(scenario.stack.sdk());
    let mut tokens = BTreeSet::new();
    while tokens.len() < CALLS.len() {
        let received = sqs
            .receive_message()
            .queue_url(queue)
            .max_number_of_messages(10)
            .visibility_timeout(1)
            .wait_time_seconds(20)
            .send()
            .await?;
        for message in received.messages.context("every call comes")? {
            let call: Value = serde_json::from_str(message.body.as_deref().unwrap_or_default())?;
            tokens.insert(call["task_token"].as_str().context("it has a token")?.to_owned());
        }
    }
    Ok(tokens)
}

/// Runs the calls, which wait in a pause until their tokens are known.
async fn run_calls(scenario: &Scenario) -> anyhow::Result<(Vec<Execution>, BTreeSet<String>)> {
    operate(scenario, &["pause", "--who", "ada", "--why", "to look at it"])?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let items = items();
    let started = Started::default();
    let run = async {
        let ended = run::run_items(&scenario.stack, machine, &items, Duration::ZERO, &started);
        anyhow::Ok(ended.await?)
    };
    let resume = async {
        let tokens = tokens(scenario).await?;
        operate(scenario, &["resume", "--who", "ada", "--why", "it was looked at"])?;
        anyhow::Ok(tokens)
    };
    futures::try_join!(run, resume)
}

/// A place where somebody may read, with what stands there.
struct Place {
    name: String,
    text: String,
}

impl Place {
    fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    fn has_none_of<'a>(&self, marks: impl IntoIterator<Item = &'a str>) {
        for mark in marks {
            assert!(!self.text.contains(mark), "{mark} stands in {}:\n{}", self.name, self.text);
        }
    }
}

/// What the Lambdas have printed: logs, and metrics among them.
fn printed(directory: &Path) -> anyhow::Result<Vec<Place>> {
    let place = |name: &str| {
        let text =
            std::fs::read_to_string(directory.join(name)).with_context(|| name.to_owned())?;
        ensure!(!text.is_empty(), "{name} is empty");
        Ok(Place::new(name, text))
    };
    ["enqueuer.log", "worker.log"].map(place).into_iter().collect()
}

/// The local server has a Lambda's lines when its invocation has ended.
async fn logged(scenario: &Scenario) -> anyhow::Result<String> {
    let start = Instant::now();
    loop {
        let lines = operate(scenario, &["logs", "--call", "accepted"])?;
        if lines.contains(" worker ") {
            return Ok(lines);
        }
        ensure!(start.elapsed() < Duration::from_secs(180), "no line of the worker: {lines}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What the commands of an operator tell.
fn told(scenario: &Scenario) -> anyhow::Result<Vec<Place>> {
    let commands: [&[&str]; 8] = [
        &["status", "--json"],
        &["outputs"],
        &["logs", "--minutes", "60"],
        &["limits", "show", "--json"],
        &["why", "accepted"],
        &["calls", "find", "unsure", "--json"],
        &["calls", "dead-letters", "list", "--json"],
        &["calls", "unresolved", "list", "--json"],
    ];
    commands
        .into_iter()
        .map(|args| Ok(Place::new(args.join(" "), operate(scenario, args)?)))
        .collect()
}

/// How the stack was deployed: template, parameters, and the Lambdas' settings.
async fn deployed(scenario: &Scenario) -> anyhow::Result<Vec<Place>> {
    let sdk = scenario.stack.sdk();
    let stacks = aws_sdk_cloudformation::Client::new(sdk);
    let template = stacks.get_template().stack_name(scenario.name()).send().await?;
    let template = template.template_body.context("a stack has a template")?;
    let described = stacks.describe_stacks().stack_name(scenario.name()).send().await?;
    let mut places =
        vec![Place::new("template", template), Place::new("stack", format!("{described:?}"))];
    let lambda = aws_sdk_lambda::Client::new(sdk);
    let outputs = scenario.stack.outputs();
    for name in [&outputs.enqueuer_function_name, &outputs.worker_function_name] {
        let settings = lambda.get_function_configuration().function_name(name).send().await?;
        // The SDK does not print an environment.
        let variables = settings.environment().and_then(|environment| environment.variables());
        let variables = variables.context("it has variables")?;
        ensure!(variables.contains_key("LOG_LEVEL"), "{variables:?}");
        places.push(Place::new(name, format!("{settings:?} {variables:?}")));
    }
    Ok(places)
}

/// The workflows' histories, one text.
async fn histories(scenario: &Scenario) -> anyhow::Result<Place> {
    let sfn = aws_sdk_sfn::Client::new(scenario.stack.sdk());
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let listed = sfn.list_executions().state_machine_arn(machine).send().await?;
    ensure!(listed.executions.len() == CALLS.len(), "{listed:?}");
    let mut text = String::new();
    for execution in listed.executions {
        let arn = &execution.execution_arn;
        let history = sfn.get_execution_history().execution_arn(arn).send().await?;
        for event in history.events {
            let exited = event.state_exited_event_details().and_then(|details| details.output());
            let started = event.execution_started_event_details();
            let input = started.and_then(|details| details.input());
            text += &format!("{event:?} {exited:?} {input:?}\n");
        }
    }
    Ok(Place::new("histories", text))
}

async fn records(scenario: &Scenario) -> anyhow::Result<Place> {
    let table = &scenario.stack.outputs().idempotency_table_name;
    let dynamodb = aws_sdk_dynamodb::Client::new(scenario.stack.sdk());
    let items = dynamodb.scan().table_name(table).send().await?.items.unwrap_or_default();
    Ok(Place::new("the guard's records", format!("{items:?}")))
}

/// Both Lambdas have sent spans of the call, in one trace.
fn are_traced(spans: &[Value]) {
    let of_call = |span: &&Value| {
        let attributes = span["attributes"].as_array().into_iter().flatten();
        let mut keys = attributes.filter(|one| one["key"] == "slowlane.idempotency_key");
        keys.any(|key| key["value"]["stringValue"] == "accepted")
    };
    let of_call: Vec<_> = spans.iter().filter(of_call).collect();
    let names: BTreeSet<_> = of_call.iter().filter_map(|span| span["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["enqueue", "wait NORMAL", "call PUT"]), "{spans:#?}");
    let traces: BTreeSet<_> = of_call.iter().map(|span| span["traceId"].to_string()).collect();
    assert_eq!(traces.len(), 1, "{spans:#?}");
}

#[tokio::test]
async fn what_nobody_may_read_stands_nowhere() -> anyhow::Result<()> {
    let (url, seen) = api().await?;
    let scenario = deploy(&url).await?;
    let (executions, tokens) = run_calls(&scenario).await?;
    let ending = |name: &str| {
        let execution = executions.iter().find(|execution| execution.order_id == name);
        execution.map(|execution| execution.ending.clone()).context(name.to_owned())
    };
    assert_eq!((ending("accepted")?, ending("expired")?), (Ending::Succeeded, Ending::Succeeded));
    let failed = ["refused", "unsure"].map(ending);
    let failed = failed.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    assert!(failed.iter().all(|ending| matches!(ending, Ending::Failed { .. })), "{failed:?}");

    // The marks were where they belong, or nothing would be shown.
    assert!(seen.secrets.load(Ordering::Relaxed) > 0 && seen.bodies.load(Ordering::Relaxed) > 4);
    let (histories, records) = (histories(&scenario).await?, records(&scenario).await?);
    assert!(histories.text.contains(BODY) && histories.text.contains(ANSWER));
    assert!(records.text.contains(ANSWER), "{}", records.text);
    histories.has_none_of([SECRET, BASIC, TOKEN, DETAIL]);
    records.has_none_of([SECRET, BASIC, TOKEN, DETAIL, BODY]);
    records.has_none_of(tokens.iter().map(String::as_str));

    let of_one_call = logged(&scenario).await?;
    let report = serde_json::to_string(&scenario.report(&executions).await?)?;
    let mut places =
        vec![Place::new("report", report), Place::new("errors", format!("{executions:?}"))];
    places.extend(printed(scenario.stack.directory())?);
    places.extend(told(&scenario)?);
    places.extend(deployed(&scenario).await?);
    places.push(Place::new("spans", format!("{:?}", seen.spans.lock().unwrap())));
    let marks = [SECRET, BASIC, TOKEN, BODY, ANSWER, DETAIL];
    for place in &places {
        place.has_none_of(marks.into_iter().chain(tokens.iter().map(String::as_str)));
    }
    // Both Lambdas tell of the call, and which workflow waits for it.
    let lines: Vec<&str> = of_one_call.lines().collect();
    for part in [" enqueuer ", " worker ", "Outcome=succeeded"] {
        assert!(lines.iter().any(|line| line.contains(part)), "no{part}in {lines:#?}");
    }
    assert!(lines.iter().all(|line| line.contains("execution_arn=")), "{lines:#?}");
    are_traced(&seen.spans.lock().unwrap());
    Ok(())
}
