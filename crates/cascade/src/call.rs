//! A call as somebody hands it over: `{"idempotency_key", "request": {"method", "resource",
//! "body"?}}`, as the machines of Slowlane take it.

use serde_json::{Map, Value, json};
use slowlane_message::{EnqueueRequest, IdempotencyKey, SchemaVersion, TargetRequest};
use slowlane_policy::timing::LONGEST_DEADLINE;

/// What only a call that waits for its turn has.
const LATER: [&str; 5] = ["priority", "deadline_secs", "tenant", "at_most_once", "units"];

/// A call that is made at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The name under which the API may tell a repeat from a second call.
    pub idempotency_key: IdempotencyKey,
    /// What to do.
    pub request: TargetRequest,
}

/// Why something is no call. It names the field and repeats no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is missing, unknown or unfit.
    #[error(transparent)]
    Field(#[from] slowlane_message::Error),
    /// A field that says when the call is to be made, of a call that is made at once.
    #[error("unknown field `{0}`: a call that is made at once has no such thing; use /later")]
    NoTurn(&'static str),
    /// The deadline is no time that a call can wait.
    #[error(
        "field `deadline_secs`: expected a number of seconds above 0, at most {} (ten days)",
        LONGEST_DEADLINE.as_secs()
    )]
    Deadline,
}

impl Call {
    /// Reads a call that is made at once.
    ///
    /// # Errors
    /// The first field that is missing, unknown or unfit.
    pub fn now(value: &Value) -> Result<Self, Error> {
        if let Some(field) = LATER.into_iter().find(|field| value.get(field).is_some()) {
            return Err(Error::NoTurn(field));
        }
        let EnqueueRequest { idempotency_key, request, .. } = read(value)?;
        Ok(Self { idempotency_key, request })
    }
}

/// Checks a call that waits for its turn. Answers it as the machine `throttled-call` takes it.
/// Without a priority it is NORMAL.
///
/// # Errors
/// The first field that is missing, unknown or unfit.
pub fn later(value: &Value) -> Result<Value, Error> {
    let mut call = value.clone();
    let mut checked = value.clone();
    if let Some(fields) = checked.as_object_mut()
        && let Some(secs) = fields.remove("deadline_secs")
        && !secs.as_f64().is_some_and(|secs| secs > 0.0 && secs <= LONGEST_DEADLINE.as_secs_f64())
    {
        return Err(Error::Deadline);
    }
    read(&checked)?;
    if let Some(fields) = call.as_object_mut() {
        fields.entry("priority").or_insert_with(|| "NORMAL".into());
    }
    Ok(call)
}

/// Reads what both kinds have by the enqueuer's own rules. What a workflow adds is put in its place:
/// whoever hands a call over has no task token, and is told of none.
fn read(value: &Value) -> Result<EnqueueRequest, slowlane_message::Error> {
    let Value::Object(fields) = value else {
        return EnqueueRequest::from_json(value);
    };
    let own = ["version", "task_token", "execution", "trace_header", "deadline"];
    if let Some(field) = own.into_iter().find(|field| fields.contains_key(*field)) {
        return Err(slowlane_message::Error::UnknownField { path: field.to_owned() });
    }
    let mut request = Map::from_iter([
        ("version".to_owned(), json!(SchemaVersion::CURRENT)),
        ("task_token".to_owned(), json!("none")),
        ("priority".to_owned(), json!("NORMAL")),
    ]);
    request.extend(fields.clone());
    EnqueueRequest::from_json(&request.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Value {
        json!({
            "idempotency_key": "contact/7",
            "request": { "method": "PUT", "resource": "contact/eid:7", "body": { "a": 1 } },
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut call = call();
        call[field] = value;
        call
    }

    #[test]
    fn a_good_call_is_read() {
        let now = Call::now(&call()).unwrap();
        assert_eq!(now.idempotency_key.as_str(), "contact/7");
        assert_eq!(now.request.body, Some(json!({ "a": 1 })));
        assert_eq!(later(&call()).unwrap(), with("priority", json!("NORMAL")));
        let mut urgent = with("priority", json!("HIGH"));
        urgent["deadline_secs"] = json!(0.5);
        urgent["tenant"] = json!("acme");
        assert_eq!(later(&urgent).unwrap(), urgent);
    }

    #[test]
    fn a_bad_call_is_refused_with_what_is_wrong() {
        let both = [
            (json!([]), "not a JSON object but"),
            (json!({}), "field `idempotency_key` is missing"),
            (with("idempotency_key", json!(7)), "field `idempotency_key`: expected"),
            (with("request", json!("GET")), "field `request`: expected a JSON object"),
            (with("request", json!({ "resource": "x" })), "field `request.method` is missing"),
            (
                with("request", json!({ "method": "FETCH", "resource": "x" })),
                "field `request.method`: expected GET, POST",
            ),
            (with("requests", json!({})), "unknown field `requests`"),
            (with("task_token", json!("x")), "unknown field `task_token`"),
            (with("deadline", json!("2026-11-29T12:00:00Z")), "unknown field `deadline`"),
        ];
        for (value, told) in both {
            let now = Call::now(&value).unwrap_err().to_string();
            assert!(now.contains(told), "{value}: {now}");
            let later = later(&value).unwrap_err().to_string();
            assert!(later.contains(told), "{value}: {later}");
        }
        for (field, value) in [("deadline_secs", json!(0)), ("deadline_secs", json!("60"))] {
            let told = later(&with(field, value)).unwrap_err().to_string();
            assert!(told.contains("a number of seconds above 0"), "{told}");
        }
        let told = later(&with("priority", json!("URGENT"))).unwrap_err().to_string();
        assert!(told.contains("field `priority`: expected"), "{told}");
    }

    #[test]
    fn a_call_that_is_made_at_once_has_no_turn() {
        for field in LATER {
            let told = Call::now(&with(field, json!("HIGH"))).unwrap_err().to_string();
            assert!(told.contains(field) && told.contains("use /later"), "{told}");
        }
    }
}
