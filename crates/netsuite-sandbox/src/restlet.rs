//! RESTlets: four scripts that are deployed in every sandbox.
//!
//! Source: Oracle help, "SuiteScript 2.x RESTlet Error Handling" (section_4634920277). The scripts
//! are ours; each is found by its number or its name, with `deploy=1` or `deploy=customdeploy1`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use slowlane_sandbox::Effect;

use crate::{
    Request,
    problem::{Problem, json_response},
    query::query_params,
    records::{Done, Store},
    route::text_header,
    schema,
};

/// What a deployed script does.
#[derive(Clone, Copy, Debug)]
enum Script {
    /// 1, `customscript_echo`: gives back the method, the parameters and the body.
    Echo,
    /// 2, `customscript_throws`: ends in an error that it does not handle.
    Throws,
    /// 3, `customscript_catches`: handles its error, so that the answer is 200 and carries it.
    Catches,
    /// 4, `customscript_create`: a POST with `type` and fields creates a record; gives its id.
    Create,
}

impl Script {
    fn find(script: &str, deploy: &str) -> Option<Self> {
        if !matches!(deploy, "1" | "customdeploy1") {
            return None;
        }
        Some(match script {
            "1" | "customscript_echo" => Self::Echo,
            "2" | "customscript_throws" => Self::Throws,
            "3" | "customscript_catches" => Self::Catches,
            "4" | "customscript_create" => Self::Create,
            _ => return None,
        })
    }
}

/// Runs a script.
pub(crate) fn answer(store: &mut Store, request: &Request, now: Duration) -> Done {
    let mut params: Map<String, Value> =
        query_params(request).map(|(name, value)| (name, Value::from(value))).collect();
    let mut param =
        |name: &str| params.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let (script, deploy) =
        (param("script").unwrap_or_default(), param("deploy").unwrap_or_default());
    let script = Script::find(&script, &deploy).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "SSS_INVALID_SCRIPTLET_ID",
            "That Suitelet is invalid, disabled, or no longer exists.",
        )
    })?;
    let body = body_in(request)?;
    let only = |value: Value| Ok((json_response(StatusCode::OK, &value), Effect::default()));
    match script {
        Script::Echo => {
            only(json!({"method": request.method().as_str(), "params": params, "body": body}))
        }
        Script::Throws => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "SSS_MISSING_REQD_ARGUMENT",
            "record.load: Missing a required argument: id",
        )),
        Script::Catches => only(json!({
            "error": {"code": "RCRD_DSNT_EXIST", "message": "That record does not exist."}
        })),
        Script::Create => create(store, request, body, now),
    }
}

/// A body as the script gets it. Bodies of GET and DELETE are refused.
fn body_in(request: &Request) -> Result<Value, Problem> {
    let body = request.body();
    if matches!(*request.method(), Method::GET | Method::DELETE) {
        if !body.is_empty() {
            let message = format!("A {} request to a RESTlet has no body.", request.method());
            return Err(Problem::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message));
        }
        return Ok(Value::Null);
    }
    match text_header(request, "content-type").unwrap_or_default() {
        json if json.starts_with("application/json") => {
            serde_json::from_slice(body).map_err(|error| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "SYNTAX_ERROR",
                    format!("SyntaxError: {error}"),
                )
            })
        }
        text if text.starts_with("text/plain") => Ok(Value::from(String::from_utf8_lossy(body))),
        other => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            format!("The content type '{other}' is not supported."),
        )),
    }
}

fn create(store: &mut Store, request: &Request, body: Value, now: Duration) -> Done {
    let invalid = |why: &str| Problem::new(StatusCode::BAD_REQUEST, "SSS_INVALID_API_USAGE", why);
    let Value::Object(mut fields) = body else {
        return Err(invalid("a POST with a JSON object is expected"));
    };
    let name = fields.remove("type").and_then(|name| name.as_str().map(str::to_owned));
    let (record_type, type_name) = name
        .as_deref()
        .and_then(schema::find)
        .ok_or_else(|| invalid("'type' names no record type"))?;
    let (response, effect) = store.create(request, record_type, &type_name, fields, now)?;
    let location = response.headers().get("location").and_then(|location| location.to_str().ok());
    let id = location.and_then(|location| location.rsplit('/').next());
    Ok((json_response(StatusCode::OK, &json!({"id": id})), effect))
}
