//! The front door on the whole path: what comes back over HTTP, at once and later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use slowlane_deployer::{Addition, DeployError, Deployer, Endpoint, Progress};
use slowlane_local::Tools;
use slowlane_sandbox::{Api, Clock, Effect, Request, Response, Sandbox, Settings, serve};
use tokio::net::TcpListener;

use super::setup::{Scenario, repository, settings};

/// An API that answers each call with its path.
#[derive(Debug, Default)]
struct Echo;

impl Api for Echo {
    type Start = ();

    fn start(&mut self, _: &Request, takes: Duration, _: Duration) -> ((), Duration) {
        ((), takes)
    }

    fn execute(&mut self, request: &Request, (): (), _: Duration) -> (Response, Effect) {
        let body = json!({ "path": request.uri().path() }).to_string();
        (Response::new(body.into()), Effect::default())
    }

    fn records(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    fn reset(&mut self) {}
}

/// The API behind the callers.
struct Behind {
    url: String,
    sandbox: Arc<Mutex<Sandbox<Echo>>>,
    clock: Clock,
}

impl Behind {
    async fn start() -> anyhow::Result<Self> {
        let settings = Settings { limit: 2, ..Settings::default() };
        let sandbox = Arc::new(Mutex::new(Sandbox::new((settings, Echo))));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let clock = Clock::system();
        tokio::spawn(serve(listener, sandbox.clone(), clock, std::future::pending()));
        Ok(Self { url, sandbox, clock })
    }

    fn lock(&self) -> MutexGuard<'_, Sandbox<Echo>> {
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong from now on, in place of what did before.
    fn inject(&self, fault: Option<&str>) -> anyhow::Result<()> {
        let mut sandbox = self.lock();
        sandbox.clear_faults();
        if let Some(fault) = fault {
            sandbox.inject(fault.parse()?, self.clock.now());
        }
        Ok(())
    }

    /// How many requests have come.
    fn requests(&self) -> u64 {
        self.lock().stats().requests
    }
}

/// A front door as it is deployed beside a scenario's stack.
struct Door {
    url: String,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
struct Answered {
    status: u16,
    attempts: Option<String>,
    body: Value,
}

impl Door {
    async fn open(scenario: &Scenario, api: &Behind, auth: &str) -> anyhow::Result<Self> {
        let mut addition =
            Addition::cascade("cascade-door", &repository(), &Tools::from_env()?.lambdas)
                .parameter("ApiUrl", &api.url)
                .parameter("FrontDoorAuth", auth)
                .parameter("ThrottledCallArn", &scenario.stack.outputs().throttled_call_arn);
        addition.local_log_dir = Some(scenario.stack.directory().to_owned());
        let outputs = deployer(scenario).await?.add(&addition, &Progress::hidden()).await?;
        let url = outputs.get("FrontDoorUrl").context("a URL")?;
        // The local AWS serves the host `ID.lambda-url.REGION.on.aws` by its path.
        let id = url.trim_start_matches("https://").split('.').next().unwrap_or_default();
        let endpoint = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?;
        let url = format!("{endpoint}/_aws/lambda-url/{id}");
        Ok(Self { url, http: reqwest::Client::builder().no_proxy().build()? })
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> anyhow::Result<Answered> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await?;
        let status = response.status().as_u16();
        let attempts = response.headers().get("x-cascade-attempts");
        let attempts = attempts.map(|value| value.to_str().map(str::to_owned)).transpose()?;
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answered { status, attempts, body })
    }

    async fn now(&self, resource: &str) -> anyhow::Result<Answered> {
        let call = json!({
            "idempotency_key": resource,
            "request": { "method": "PUT", "resource": resource, "body": { "a": 1 } },
        });
        self.send(Method::POST, "/now", &call.to_string()).await
    }
}

async fn deployer(scenario: &Scenario) -> anyhow::Result<Deployer> {
    let url = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?.to_owned();
    Ok(Deployer::new(Endpoint::Local { url }).await)
}

/// One deploy for all of it: it is the dear part.
#[tokio::test]
async fn the_front_door_answers_as_the_api_does_and_later_as_the_queues_do() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("cascade", settings()).await?;
    let api = Behind::start().await?;

    let closed = Door::open(&scenario, &api, "AWS_IAM").await?;
    let refused = closed.now("contacts/7").await?;
    assert_eq!((refused.status, api.requests()), (403, 0), "{refused:?}");

    let door = Door::open(&scenario, &api, "NONE").await?;
    tries_until_one_succeeds(&door, &api).await?;
    refuses_what_is_no_call(&door, &api).await?;
    takes_calls_for_later(&door).await?;
    a_slowlane_stack_is_not_replaced(&scenario).await
}

async fn tries_until_one_succeeds(door: &Door, api: &Behind) -> anyhow::Result<()> {
    for (fault, status, attempts) in [
        (None, 200, "1"),
        (Some("500:1"), 200, "2"),
        (Some("429-burst:2"), 200, "3"),
        (Some("500:3"), 500, "3"),
    ] {
        let before = api.requests();
        api.inject(fault)?;
        let answered = door.now("contacts/7").await?;
        assert_eq!(answered.status, status, "{fault:?}: {answered:?}");
        assert_eq!(answered.attempts.as_deref(), Some(attempts), "{fault:?}: {answered:?}");
        assert_eq!((api.requests() - before).to_string(), attempts, "{fault:?}");
        let body = if status == 200 {
            json!({ "path": "/contacts/7" })
        } else {
            json!("the API failed\n")
        };
        assert_eq!(answered.body, body, "{fault:?}");
    }
    api.inject(Some("drop-after-commit:3"))?;
    let lost = door.now("contacts/7").await?;
    assert_eq!((lost.status, lost.attempts.as_deref()), (502, None), "{lost:?}");
    assert!(lost.body["message"].to_string().contains("is not known"), "{lost:?}");
    api.inject(None)
}

async fn refuses_what_is_no_call(door: &Door, api: &Behind) -> anyhow::Result<()> {
    let before = api.requests();
    let post = Method::POST;
    for (method, path, body, status, told) in [
        (post.clone(), "/now", "{", 400, "the body is not JSON"),
        (post.clone(), "/now", "{}", 400, "field `idempotency_key` is missing"),
        (post.clone(), "/later", r#"{"priority": "URGENT"}"#, 400, "field `priority`: expected"),
        (post.clone(), "/orders", "{}", 404, "POST /now, POST /later"),
        (Method::GET, "/now", "", 405, "only POST"),
        (Method::GET, "/later/7", "", 404, "no call has this id"),
    ] {
        let refused = door.send(method, path, body).await?;
        assert_eq!(refused.status, status, "{path} {body}: {refused:?}");
        assert!(refused.body["message"].to_string().contains(told), "{path} {body}: {refused:?}");
    }
    let outside = door.now("../admin").await?;
    assert_eq!(outside.status, 400, "{outside:?}");
    assert!(outside.body["message"].to_string().contains("dot segment"), "{outside:?}");
    assert_eq!(api.requests(), before, "nothing reaches the API");
    Ok(())
}

async fn takes_calls_for_later(door: &Door) -> anyhow::Result<()> {
    for (key, good, state) in [("good", true, "succeeded"), ("bad", false, "failed")] {
        let mut call = json!({
            "priority": "HIGH",
            "idempotency_key": key,
            "request": {
                "method": "PUT",
                "resource": format!("salesOrder/eid:{key}?replace=item"),
                "body": { "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] } },
            },
        });
        if good {
            call["request"]["body"]["entity"] = json!({ "id": "7" });
        }
        let taken = door.send(Method::POST, "/later", &call.to_string()).await?;
        assert_eq!((taken.status, &taken.body["state"]), (202, &json!("waiting")), "{taken:?}");
        let ask = taken.body["ask"].as_str().context("where to ask")?.to_owned();
        let ended = until_ended(door, &ask).await?;
        assert_eq!((ended.status, &ended.body["state"]), (200, &json!(state)), "{ended:?}");
        if good {
            assert!(ended.body["answer"]["id"].is_string(), "{ended:?}");
        } else {
            assert_eq!(ended.body["error"], "Slowlane.Rejected", "{ended:?}");
            assert_eq!(ended.body["cause"]["status"], 400, "{ended:?}");
        }
    }
    Ok(())
}

async fn until_ended(door: &Door, ask: &str) -> anyhow::Result<Answered> {
    let start = Instant::now();
    loop {
        let answered = door.send(Method::GET, ask, "").await?;
        if answered.body["state"] != "waiting" {
            return Ok(answered);
        }
        ensure!(start.elapsed() < Duration::from_secs(60), "{ask} did not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn a_slowlane_stack_is_not_replaced(scenario: &Scenario) -> anyhow::Result<()> {
    let addition = Addition::cascade(scenario.name(), &repository(), &Tools::from_env()?.lambdas)
        .parameter("ApiUrl", "https://api.example.com");
    let refused = deployer(scenario).await?.add(&addition, &Progress::hidden()).await;
    assert!(matches!(refused, Err(DeployError::IsSlowlane(_))), "{refused:?}");
    Ok(())
}
