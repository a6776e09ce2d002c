//! Answers over HTTP.

use serde::Deserialize;
use serde_json::{Value, json};
use slowlane_lambda::logs::chain;

use super::body::BadCall;
use super::http::Response;
use super::workflow::{Ended, Refused};

/// What `retry-cascade` ends with: the last caller's answer.
#[derive(Deserialize)]
struct Answered {
    status: u16,
    body: Option<Value>,
    content_type: Option<String>,
    retry_after: Option<String>,
    attempts: u32,
}

/// An answer with a JSON body.
pub(super) fn reply(status: u16, body: &Value, headers: &[(&'static str, &str)]) -> Response {
    let json = [("content-type", "application/json")];
    with_text(status, Some(body.to_string()), headers.iter().chain(&json))
}

/// An answer that says in a sentence what is wrong.
pub(super) fn problem(status: u16, message: &str) -> Response {
    reply(status, &json!({ "message": message }), &[])
}

pub(super) fn bad_call(error: &BadCall) -> Response {
    problem(400, &error.to_string())
}

/// The API's own answer, or what stands in its place.
pub(super) fn of_cascade(ended: Ended) -> Response {
    match ended {
        Ended::Succeeded(output) => match serde_json::from_value(output) {
            Ok(answered) => of_api(answered),
            Err(error) => {
                tracing::error!(%error, "the cascade ended with something else than an answer");
                problem(502, "the cascade ended without the API's answer")
            }
        },
        Ended::Failed { error, cause } if error == "Cascade.BadCall" => problem(400, &cause),
        Ended::Failed { error, cause } if error == "States.Timeout" => {
            tracing::warn!(error, cause, "the cascade did not end in time");
            problem(
                504,
                "the API gave no answer in time; whether it executed the call is not known",
            )
        }
        Ended::Failed { error, cause } => {
            tracing::warn!(error, cause, "no caller had an answer");
            problem(502, "the API gave no answer; whether it executed the call is not known")
        }
        Ended::Running => problem(504, "the cascade did not end in time"),
    }
}

fn of_api(answered: Answered) -> Response {
    let Answered { status, body, content_type, retry_after, attempts } = answered;
    let attempts = attempts.to_string();
    let mut headers = vec![("x-cascade-attempts", attempts.as_str())];
    headers.extend(content_type.as_deref().map(|kind| ("content-type", kind)));
    headers.extend(retry_after.as_deref().map(|after| ("retry-after", after)));
    let body = body.map(|body| match body {
        // What the caller could not read as JSON is the API's text as it was.
        Value::String(text) if !is_json(content_type.as_deref()) => text,
        body => body.to_string(),
    });
    with_text(status, body, headers.iter())
}

fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|kind| kind.contains("json"))
}

/// Step Functions did not do as it was asked: nothing is known to have been sent.
pub(super) fn not_started(error: &Refused) -> Response {
    tracing::error!(error = chain(error), "Step Functions refused");
    let told = json!({ "message": "the workflow cannot be reached; try again" });
    reply(503, &told, &[("retry-after", "1")])
}

fn with_text<'a>(
    status: u16,
    body: Option<String>,
    headers: impl Iterator<Item = &'a (&'static str, &'a str)>,
) -> Response {
    let headers = headers.map(|(name, value)| (*name, (*value).to_owned())).collect();
    Response { status_code: status, headers, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers.get(name).map(String::as_str)
    }

    #[test]
    fn the_api_answers_through_the_front_door() {
        let output = json!({
            "status": 429, "body": { "error": "slow down" }, "attempts": 3,
            "content_type": "application/json; charset=utf-8", "retry_after": "7",
        });
        let response = of_cascade(Ended::Succeeded(output));
        assert_eq!(response.status_code, 429);
        assert_eq!(response.body.as_deref(), Some(r#"{"error":"slow down"}"#));
        assert_eq!(header(&response, "x-cascade-attempts"), Some("3"));
        assert_eq!(header(&response, "retry-after"), Some("7"));
        assert_eq!(header(&response, "content-type"), Some("application/json; charset=utf-8"));
    }

    #[test]
    fn a_text_stays_a_text_and_nothing_stays_nothing() {
        let text =
            json!({ "status": 503, "body": "busy", "content_type": "text/plain", "attempts": 3 });
        assert_eq!(of_cascade(Ended::Succeeded(text)).body.as_deref(), Some("busy"));
        let quoted = json!({ "status": 200, "body": "ok", "content_type": "application/json", "attempts": 1 });
        assert_eq!(of_cascade(Ended::Succeeded(quoted)).body.as_deref(), Some("\"ok\""));
        let nothing = of_cascade(Ended::Succeeded(json!({ "status": 204, "attempts": 3 })));
        assert_eq!((nothing.status_code, nothing.body), (204, None));
    }

    #[test]
    fn a_cascade_without_an_answer_says_what_is_known() {
        let failed = |error: &str| Ended::Failed { error: error.into(), cause: "why".into() };
        let table = [
            ("Cascade.BadCall", 400, "why"),
            ("Cascade.NoAnswer", 502, "not known"),
            ("States.Timeout", 504, "not known"),
        ];
        for (error, status, told) in table {
            let response = of_cascade(failed(error));
            assert_eq!(response.status_code, status, "{error}");
            assert!(response.body.unwrap().contains(told), "{error}");
        }
    }
}
