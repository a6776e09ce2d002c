//! The Lambda behind the function URL.
//!
//! | Request | Answer |
//! |---|---|
//! | `POST /now` with a call | the API's own status and body, and `x-cascade-attempts` |
//! | `POST /later` with a call | 202 with an id, and `Location`, where to ask for the result |
//! | `GET /later/ID` | 202 while the call waits, then 200 with what became of it |
//! | a bad call | 400 with what is wrong with it |
//! | anything else | 404, or 405 with what is allowed |

mod answer;
mod body;
mod http;
mod workflow;

use aws_sdk_sfn::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::{self, Call};
use answer::{bad_call, problem, reply};
use body::body;
use workflow::{Ended, Workflows};

pub use http::{Request, Response};
pub use workflow::Machines;

/// Takes calls from whoever may use the function URL.
#[derive(Debug, Clone)]
pub struct FrontDoor {
    workflows: Workflows,
}

impl FrontDoor {
    /// A front door that starts workflows by `sfn`.
    pub fn new(sfn: Client, machines: Machines) -> Self {
        Self { workflows: Workflows::new(sfn, machines) }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response {
        let (method, path) = (request.method(), request.path());
        let response = match (method, path) {
            ("POST", "/now") => self.now(&request).await,
            ("POST", "/later") => self.later(&request).await,
            ("GET", path) if path.starts_with("/later/") => {
                self.ask(path.trim_start_matches("/later/")).await
            }
            (_, "/now" | "/later") => not_allowed("POST"),
            (_, path) if path.starts_with("/later/") => not_allowed("GET"),
            _ => problem(404, "there is no such place: POST /now, POST /later, GET /later/ID"),
        };
        tracing::info!(method, path, status = response.status_code, "answered");
        response
    }

    /// Tries the call at once, and answers as the API does.
    async fn now(&self, request: &Request) -> Response {
        let checked = body(request).and_then(|call| Ok(Call::now(&call).map(|_| call)?));
        let call = match checked {
            Ok(call) => call,
            Err(error) => return bad_call(&error),
        };
        match self.workflows.try_now(&call).await {
            Ok(ended) => answer::of_cascade(ended),
            Err(error) => answer::not_started(&error),
        }
    }

    /// Puts the call into its queue.
    async fn later(&self, request: &Request) -> Response {
        let call = match body(request).and_then(|body| Ok(call::later(&body)?)) {
            Ok(call) => call,
            Err(error) => return bad_call(&error),
        };
        let id = Uuid::new_v4();
        match self.workflows.start_later(id, &call).await {
            Ok(true) => {
                let place = format!("/later/{id}");
                let told = json!({ "id": id.to_string(), "state": "waiting", "ask": place });
                reply(202, &told, &[("location", &place)])
            }
            Ok(false) => no_later(),
            Err(error) => answer::not_started(&error),
        }
    }

    async fn ask(&self, id: &str) -> Response {
        let unknown = || problem(404, "no call has this id, or it was taken more than 90 days ago");
        // No other text reaches Step Functions: it would be the name of another execution.
        let Ok(id) = id.parse::<Uuid>() else { return unknown() };
        match self.workflows.later(id).await {
            Ok(Some(Ended::Running)) => {
                let told = json!({ "id": id.to_string(), "state": "waiting" });
                reply(202, &told, &[("retry-after", "5")])
            }
            Ok(Some(Ended::Succeeded(answer))) => {
                let told = json!({ "id": id.to_string(), "state": "succeeded", "answer": answer });
                reply(200, &told, &[])
            }
            Ok(Some(Ended::Failed { error, cause })) => {
                let failed = json!({
                    "id": id.to_string(),
                    "state": "failed",
                    "error": error,
                    "cause": serde_json::from_str(&cause).unwrap_or(Value::String(cause)),
                });
                reply(200, &failed, &[])
            }
            Ok(None) => unknown(),
            Err(error) => answer::not_started(&error),
        }
    }
}

fn not_allowed(method: &'static str) -> Response {
    reply(405, &json!({ "message": format!("only {method} is taken here") }), &[("allow", method)])
}

fn no_later() -> Response {
    problem(404, "this front door has no queues behind it: deploy it with ThrottledCallArn")
}
