//! The wire contract, held to the checked-in examples of versions 1.0 to 1.4. Those files are
//! never edited: they are what older deployments have written and will read.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_message::schema::documents;
use slowlane_message::{
    Content, EnqueueRequest, Error, Method, Priority, QueuedCall, SchemaVersion, TargetRequest,
};

const REQUEST: &str = include_str!("wire/enqueue-request.1.0.json");
const REQUEST_MINIMAL: &str = include_str!("wire/enqueue-request-minimal.1.0.json");
const QUEUED: &str = include_str!("wire/queued-call.1.0.json");
const QUEUED_MINIMAL: &str = include_str!("wire/queued-call-minimal.1.0.json");

const REQUEST_1_1: &str = include_str!("wire/enqueue-request.1.1.json");
const QUEUED_1_1: &str = include_str!("wire/queued-call.1.1.json");
// As above, with what 1.2 added.
const REQUEST_1_2: &str = include_str!("wire/enqueue-request.1.2.json");
const QUEUED_1_2: &str = include_str!("wire/queued-call.1.2.json");
const REQUEST_1_3: &str = include_str!("wire/enqueue-request.1.3.json");
const QUEUED_1_3: &str = include_str!("wire/queued-call.1.3.json");
const REQUEST_1_4: &str = include_str!("wire/enqueue-request.1.4.json");
const QUEUED_1_4: &str = include_str!("wire/queued-call.1.4.json");
const REQUEST_CHAT: &str = include_str!("wire/enqueue-request-chat.1.4.json");
const QUEUED_CHAT: &str = include_str!("wire/queued-call-chat.1.4.json");

const HOUR: Duration = Duration::from_secs(3_600);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The example with one field changed; `path` is a JSON pointer, `None` removes the field.
fn edited(example: &str, path: &str, value: Option<Value>) -> Value {
    let mut message = json(example);
    let (parent, name) = path.rsplit_once('/').unwrap();
    let parent = message.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    message
}

fn request_error(message: &Value) -> String {
    EnqueueRequest::from_json(message).unwrap_err().to_string()
}

#[test]
fn what_version_1_0_wrote_is_read() {
    let call = QueuedCall::parse(QUEUED).unwrap();
    assert_eq!(call.version, SchemaVersion::CURRENT);
    assert_eq!(call.task_token.as_str(), "AQCEAAAAKgAAAAMAAAAAAAAAAeQ");
    assert_eq!(call.priority, Priority::High);
    assert_eq!(call.idempotency_key.as_str(), "order-123");
    let request = TargetRequest {
        body: Some(json!({"entity": {"id": "42"}, "memo": "Zwölf Äpfel", "total": 19.95})),
        ..TargetRequest::new(Method::Put, "salesOrder/eid:order-123")
    };
    assert_eq!(call.request, request);
    assert_eq!(call.enqueued_at, time("2026-11-21T11:00:00.123Z"));
    assert_eq!(call.deadline, time("2026-11-21T12:00:00Z"));
    assert_eq!(call.tenant.as_deref(), Some("acme"));
    assert!(call.trace_header.unwrap().starts_with("Root=1-5e1b4151"));

    let minimal = QueuedCall::parse(QUEUED_MINIMAL).unwrap();
    assert_eq!(minimal.request.body, None);
    assert_eq!((minimal.tenant, minimal.trace_header), (None, None));
    assert!(!call.at_most_once && !minimal.at_most_once);
}

#[test]
fn what_earlier_minor_versions_wrote_is_read_and_written_again() {
    let first = QueuedCall::parse(QUEUED).unwrap();
    let with_1_1 = QueuedCall { at_most_once: true, ..first };
    let execution = "arn:aws:states:eu-central-1:123456789012:execution:slowlane-order:order-123";
    let mut with_1_2 = QueuedCall { execution: Some(execution.to_owned()), ..with_1_1.clone() };
    with_1_2.request.headers.insert("if-match".to_owned(), "W/\"7\"".to_owned());
    with_1_2.request.content = Some(Content::Json);
    let with_1_3 = QueuedCall { units: NonZeroU32::new(1_800), ..with_1_2.clone() };
    let mut with_1_4 = with_1_3.clone();
    with_1_4.request.content = Some(Content::Binary);
    with_1_4.request.body = Some(json!({
        "s3": "s3://acme-files/in/order-123.pdf",
        "etag": "\"9b2cf535f27731c974343645a3985328\"",
        "content_type": "application/pdf",
    }));
    let chat = TargetRequest {
        content: Some(Content::Chat),
        body: Some(json!({
            "model": "small",
            "messages": [{"role": "user", "content": "Zwölf Äpfel?"}],
            "max_tokens": 200,
        })),
        ..TargetRequest::new(Method::Post, "chat")
    };
    let with_chat = QueuedCall { request: chat, ..with_1_3.clone() };
    for (request, queued, call) in [
        (REQUEST_1_1, QUEUED_1_1, with_1_1),
        (REQUEST_1_2, QUEUED_1_2, with_1_2),
        (REQUEST_1_3, QUEUED_1_3, with_1_3),
        (REQUEST_1_4, QUEUED_1_4, with_1_4),
        (REQUEST_CHAT, QUEUED_CHAT, with_chat),
    ] {
        assert_eq!(QueuedCall::parse(queued).unwrap(), call);
        let now = |message: &str| edited(message, "/version", Some(json!("1.4")));
        assert_eq!(json(&call.to_body().unwrap()), now(queued));
        let read = EnqueueRequest::from_json(&json(request)).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), now(request));
        assert_eq!(read.into_queued(time("2026-11-21T11:00:00.123Z"), HOUR), call);
    }
}

#[test]
fn what_is_written_now_a_reader_of_1_0_knows_to_the_field() {
    // The checked-in example stands for the old reader, which ignores what was added since, but must
    // find all else as it was.
    let now = time("2026-11-21T11:00:00.123999Z");
    for (request, queued) in [(REQUEST, QUEUED), (REQUEST_MINIMAL, QUEUED_MINIMAL)] {
        let request = EnqueueRequest::from_json(&json(request)).unwrap();
        let call = request.clone().into_queued(now, HOUR);
        let body = call.to_body().unwrap();
        assert_eq!(json(&body), edited(queued, "/version", Some(json!("1.4"))));
        assert_eq!(QueuedCall::parse(&body).unwrap(), call);
        let again = serde_json::to_value(&request).unwrap();
        assert_eq!(EnqueueRequest::from_json(&again).unwrap(), request);
    }
}

#[test]
fn a_newer_minor_version_is_read_and_its_fields_ignored() {
    let newer = |example: &str| {
        let mut message = edited(example, "/version", Some(json!("1.7")));
        message["labels"] = json!(["a"]);
        message["request"]["timeout_ms"] = json!(50);
        message
    };
    let call = QueuedCall::parse(&newer(QUEUED).to_string()).unwrap();
    assert_eq!(call, QueuedCall::parse(QUEUED).unwrap());
    let request = EnqueueRequest::from_json(&newer(REQUEST)).unwrap();
    assert_eq!(request, EnqueueRequest::from_json(&json(REQUEST)).unwrap());

    let mut message = newer(REQUEST);
    message["version"] = json!("1.4");
    assert_eq!(request_error(&message), "unknown field `labels`");
    // What the known fields hold is judged in a newer version all the same.
    let mut message = newer(REQUEST);
    message["priority"] = json!("LATER");
    assert!(request_error(&message).starts_with("field `priority`"));
}

#[test]
fn another_major_version_is_named_before_anything_else() {
    for version in ["2.0", "0.9"] {
        let mut message = edited(REQUEST, "/version", Some(json!(version)));
        message["anything"] = json!(1);
        assert_eq!(
            request_error(&message),
            format!(
                "version {version} is not supported: this reader knows 1.0 and its newer minor versions"
            )
        );
    }
}

#[test]
fn refusals_name_the_field_and_what_was_expected() {
    let table = [
        ("/verb", Some(json!("PUT")), "unknown field `verb`"),
        ("/request/verb", Some(json!("PUT")), "unknown field `request.verb`"),
        ("/enqueued_at", Some(json!("2026-11-21T11:00:00Z")), "unknown field `enqueued_at`"),
        ("/version", None, "field `version` is missing: expected a version such as \"1.0\""),
        (
            "/version",
            Some(json!(1.0)),
            "field `version`: expected a version such as \"1.0\", found a number",
        ),
        (
            "/version",
            Some(json!("one")),
            "field `version`: expected a version such as \"1.0\", found other text",
        ),
        (
            "/task_token",
            None,
            "field `task_token` is missing: expected a task token of 1 to 2048 characters",
        ),
        (
            "/task_token",
            Some(json!("x".repeat(2_049))),
            "field `task_token`: expected a task token of 1 to 2048 characters, found 2049 characters",
        ),
        (
            "/priority",
            Some(json!("URGENT")),
            "field `priority`: expected HIGH, NORMAL (or MEDIUM) or BATCH, found other text",
        ),
        (
            "/priority",
            Some(Value::Null),
            "field `priority` is missing: expected HIGH, NORMAL (or MEDIUM) or BATCH",
        ),
        (
            "/idempotency_key",
            Some(json!("a\tb")),
            "field `idempotency_key`: expected 1 to 255 characters without control characters, found another character at position 2",
        ),
        ("/request", None, "field `request` is missing: expected a JSON object"),
        ("/request", Some(json!([])), "field `request`: expected a JSON object, found an array"),
        (
            "/request/method",
            None,
            "field `request.method` is missing: expected GET, POST, PUT, PATCH or DELETE",
        ),
        (
            "/request/method",
            Some(json!("put")),
            "field `request.method`: expected GET, POST, PUT, PATCH or DELETE, found other text",
        ),
        (
            "/request/resource",
            Some(json!("")),
            "field `request.resource`: expected 1 to 2048 characters without control characters, found an empty string",
        ),
        (
            "/request/content",
            Some(json!("xml")),
            "field `request.content`: expected json, form, graphql, text, multipart, binary or chat, found other text",
        ),
        (
            "/request/headers",
            Some(json!(["if-match"])),
            "field `request.headers`: expected an object of texts, found an array",
        ),
        (
            "/request/headers",
            Some(json!({"If-Match": "7"})),
            "field `request.headers`: expected at most 20 headers, each name 1 to 64 lower-case letters, digits, - or _, found another character at position 1",
        ),
        (
            "/request/headers",
            Some((0..21).map(|n| (format!("x-{n}"), json!("7"))).collect()),
            "field `request.headers`: expected at most 20 headers, each name 1 to 64 lower-case letters, digits, - or _, found 21 of them",
        ),
        (
            "/request/headers",
            Some(json!({"if-match": "7\r\nhost: elsewhere.example"})),
            "field `request.headers.if-match`: expected 1 to 2048 ASCII characters without control characters, found another character at position 2",
        ),
        (
            "/request/headers",
            Some(json!({"if-match": 7})),
            "field `request.headers.if-match`: expected 1 to 2048 ASCII characters without control characters, found a number",
        ),
        (
            "/deadline",
            Some(json!(1_795_000_000)),
            "field `deadline`: expected an RFC 3339 time such as 2026-11-21T12:00:00.000Z, found a number",
        ),
        (
            "/deadline",
            Some(json!("tomorrow")),
            "field `deadline`: expected an RFC 3339 time such as 2026-11-21T12:00:00.000Z, found other text",
        ),
        (
            "/tenant",
            Some(json!("a b")),
            "field `tenant`: expected 1 to 128 visible ASCII characters, found another character at position 2",
        ),
        (
            "/trace_header",
            Some(json!(true)),
            "field `trace_header`: expected 1 to 1024 ASCII characters without control characters, found a boolean",
        ),
        (
            "/at_most_once",
            Some(json!("yes")),
            "field `at_most_once`: expected true or false, found a string",
        ),
        (
            "/units",
            Some(json!(0)),
            "field `units`: expected a whole number from 1 to 4294967295, found another number",
        ),
        (
            "/units",
            Some(json!("1800")),
            "field `units`: expected a whole number from 1 to 4294967295, found a string",
        ),
    ];
    for (path, value, message) in table {
        assert_eq!(request_error(&edited(REQUEST, path, value)), message);
    }
    let error = request_error(&json!("text"));
    assert_eq!(error, "the message is not a JSON object but a string");
    let error = QueuedCall::parse("{\"version\"").unwrap_err();
    assert!(matches!(error, Error::NotJson(_)), "{error}");
}

#[test]
fn a_queued_call_needs_both_its_times() {
    for name in ["/enqueued_at", "/deadline"] {
        let message = edited(QUEUED, name, None).to_string();
        let error = QueuedCall::parse(&message).unwrap_err().to_string();
        let name = &name[1..];
        assert!(error.starts_with(&format!("field `{name}` is missing")), "{error}");
    }
}

#[test]
fn optional_fields_may_be_null_as_a_state_machine_writes_them() {
    let mut message = json(REQUEST);
    for name in ["deadline", "tenant", "trace_header", "at_most_once", "units"] {
        message[name] = Value::Null;
    }
    for name in ["body", "headers", "content"] {
        message["request"][name] = Value::Null;
    }
    let request = EnqueueRequest::from_json(&message).unwrap();
    assert_eq!((request.deadline, request.request.body), (None, None));
    assert!(request.request.headers.is_empty() && request.request.content.is_none());
}

#[test]
fn the_request_may_write_priorities_loosely() {
    for (text, priority) in [("medium", Priority::Normal), ("High", Priority::High)] {
        let message = edited(REQUEST, "/priority", Some(json!(text)));
        let request = EnqueueRequest::from_json(&message).unwrap();
        assert_eq!(request.priority, priority);
        let body = request.into_queued(Timestamp::UNIX_EPOCH, HOUR).to_body();
        assert_eq!(json(&body.unwrap())["priority"], priority.as_str());
    }
}

#[test]
fn a_deadline_before_the_enqueue_time_is_refused_when_written_and_when_read() {
    let request = EnqueueRequest::from_json(&json(REQUEST)).unwrap();
    let deadline = request.deadline.unwrap();
    let at_deadline = request.clone().into_queued(deadline, HOUR);
    assert!(at_deadline.to_body().is_ok());
    let late = request.into_queued(deadline + Duration::from_millis(1), HOUR);
    let error = late.to_body().unwrap_err();
    assert!(matches!(error, Error::DeadlineBeforeEnqueue { .. }));
    assert!(error.to_string().contains("2026-11-21T12:00:00.001Z"), "{error}");

    let message = edited(QUEUED, "/enqueued_at", Some(json!("2026-11-21T12:00:00.001Z")));
    let error = QueuedCall::parse(&message.to_string()).unwrap_err();
    assert!(matches!(error, Error::DeadlineBeforeEnqueue { .. }));
}

#[test]
fn the_default_deadline_counts_from_the_enqueue_time() {
    let request = EnqueueRequest::from_json(&json(REQUEST_MINIMAL)).unwrap();
    let now = time("2026-11-21T11:00:00.5Z");
    let call = request.clone().into_queued(now, HOUR);
    assert_eq!(call.deadline, time("2026-11-21T12:00:00.5Z"));
    // A default beyond the end of time is the end of time, not a panic.
    let call = request.into_queued(now, Duration::MAX);
    assert_eq!(QueuedCall::parse(&call.to_body().unwrap()).unwrap(), call);
}

#[test]
fn a_body_may_have_a_mebibyte_and_not_a_byte_more() {
    let mut call = QueuedCall::parse(QUEUED_MINIMAL).unwrap();
    call.request.body = Some(json!(""));
    let room = QueuedCall::MAX_BODY_BYTES - call.to_body().unwrap().len();
    call.request.body = Some(json!("x".repeat(room)));
    assert_eq!(call.to_body().unwrap().len(), 1_048_576);
    call.request.body = Some(json!("x".repeat(room + 1)));
    let error = call.to_body().unwrap_err().to_string();
    assert!(error.contains("1048577") && error.contains("1048576"), "{error}");
}

#[test]
fn a_body_has_only_characters_that_sqs_takes() {
    let mut call = QueuedCall::parse(QUEUED).unwrap();
    let text = "\0 \u{1f} \u{7f} \u{fffe} \u{ffff} \u{10ffff} \u{1f69a}";
    call.request.body = Some(json!({ text: text }));
    let body = call.to_body().unwrap();
    assert!(!body.contains(['\0', '\u{1f}', '\u{fffe}', '\u{ffff}']));
    assert_eq!(QueuedCall::parse(&body).unwrap(), call);
}

#[test]
fn the_request_of_the_page_is_read() {
    let page = include_str!("../README.md");
    let blocks: Vec<_> = page.split("\n```json\n").skip(1).collect();
    let [block] = *blocks else { panic!("the page shows one request") };
    let request = json(block.split("\n```").next().unwrap());
    let queued = EnqueueRequest::from_json(&request).unwrap().into_queued(Timestamp::now(), HOUR);
    assert_eq!(request["version"], queued.version.to_string());
    assert_eq!(QueuedCall::parse(&queued.to_body().unwrap()).unwrap(), queued);
}

#[test]
fn the_checked_in_schemas_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for document in documents() {
        let checked_in = std::fs::read_to_string(directory.join(document.file_name)).unwrap();
        assert!(
            checked_in == document.text(),
            "{} is out of date: cargo run -p slowlane-message --bin slowlane-message-schema -- --write",
            document.file_name
        );
    }
}

/// Holds the schema, which is derived from the types, to the reader, which is written by hand.
#[test]
fn schema_and_reader_agree_on_fields_and_limits() {
    let [request, queued] = documents();
    let read_request = |message: &Value| EnqueueRequest::from_json(message).map(drop);
    let read_queued = |message: &Value| QueuedCall::parse(&message.to_string()).map(drop);
    agree(request.schema.as_value(), REQUEST_1_4, &read_request);
    agree(queued.schema.as_value(), QUEUED_1_4, &read_queued);
}

fn agree(schema: &Value, example: &str, read: &dyn Fn(&Value) -> Result<(), Error>) {
    for (schema, at) in [(schema, ""), (&schema["properties"]["request"], "/request")] {
        assert_eq!(schema["additionalProperties"], false);
        let properties = schema["properties"].as_object().unwrap();
        let in_example = json(example);
        let in_example = in_example.pointer(at).unwrap().as_object().unwrap();
        assert!(properties.keys().eq(in_example.keys()), "{at}: {properties:?}");
        let required = schema["required"].as_array().unwrap();
        for (name, property) in properties {
            let path = format!("{at}/{name}");
            let missing = read(&edited(example, &path, None));
            assert_eq!(missing.is_err(), required.contains(&json!(name)), "{path}");
            let fits = |value: Value| read(&edited(example, &path, Some(value))).is_ok();
            if let Some(max) = property["maxLength"].as_u64() {
                let max = usize::try_from(max).unwrap();
                assert_eq!(property["minLength"], 1, "{path}");
                assert!(fits(json!("x".repeat(max))), "{path}");
                assert!(!fits(json!("x".repeat(max + 1))), "{path}");
                assert!(!fits(json!("")), "{path}");
            }
            if let Some(max) = property["maximum"].as_u64() {
                assert_eq!(property["minimum"], 1, "{path}");
                assert!(fits(json!(1)) && fits(json!(max)) && fits(json!(7.0)), "{path}");
                for value in [json!(0), json!(max + 1), json!(0.5), json!(-1), json!("1")] {
                    assert!(!fits(value.clone()), "{path}: {value}");
                }
            }
            for value in property["enum"].as_array().into_iter().flatten() {
                assert!(fits(value.clone()), "{path}: {value}");
            }
            if !property["const"].is_null() {
                assert!(fits(property["const"].clone()), "{path}");
            }
        }
    }
}
