//! What the machines do, and that the examples of their README are what they claim to be.

use std::path::Path;

use serde_json::{Value, json};
use slowlane_asl::{Source, directory, problems};
use slowlane_message::{EnqueueRequest, Method, Priority};

use crate::evaluate::{Evaluator, Situation};

const GRACE_SECS: u64 = 270;
const DEFAULT_DEADLINE_SECS: u64 = 21_600;

/// A built machine with its substitutions, as CloudFormation makes them.
fn machine(name: &str) -> Value {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../state-machines");
    let machines = directory::machines(&directory).unwrap();
    let machine = machines.iter().find(|machine| machine.name == name).unwrap();
    let text = machine
        .text
        .replace("${EnqueuerArn}", "arn:aws:lambda:us-east-1:123456789012:function:enqueuer")
        .replace("${DefaultDeadlineSeconds}", &DEFAULT_DEADLINE_SECS.to_string())
        .replace("${GraceSeconds}", &GRACE_SECS.to_string());
    serde_json::from_str(&text).unwrap()
}

fn given(input: Value) -> Situation {
    Situation { input, ..Situation::default() }
}

fn call() -> Value {
    json!({
        "priority": "HIGH",
        "idempotency_key": "contact/7",
        "request": { "method": "PUT", "resource": "contact/eid:7", "body": { "a": [1, null] } },
    })
}

/// What the state that calls hands to the enqueuer, read as the enqueuer reads it.
fn request_of(
    evaluator: &mut Evaluator,
    machine: &Value,
    state: &str,
    input: Value,
) -> EnqueueRequest {
    let payload = &machine["States"][state]["Arguments"]["Payload"];
    let payload = evaluator.value(payload, &given(input)).unwrap();
    EnqueueRequest::from_json(&payload).unwrap()
}

#[test]
fn a_time_out_is_a_whole_number_of_seconds_and_never_before_the_deadline() {
    let machine = machine("throttled-call");
    let mut evaluator = Evaluator::start();
    for (deadline_secs, timeout_secs) in [
        (json!(null), DEFAULT_DEADLINE_SECS + GRACE_SECS),
        (json!(0.5), 1 + GRACE_SECS),
        (json!(0.0004), 1 + GRACE_SECS),
        (json!(599.999), 600 + GRACE_SECS),
        (json!(600), 600 + GRACE_SECS),
        (json!(864_000), 864_000 + GRACE_SECS),
    ] {
        let mut input = call();
        if !deadline_secs.is_null() {
            input["deadline_secs"] = deadline_secs.clone();
        }
        let timeout = &machine["States"]["Call"]["TimeoutSeconds"];
        let timeout = evaluator.value(timeout, &given(input.clone())).unwrap();
        assert_eq!(timeout, json!(timeout_secs), "{deadline_secs}");
        let request = request_of(&mut evaluator, &machine, "Call", input);
        assert!(request.deadline.is_some(), "{deadline_secs}");
    }
}

#[test]
fn what_a_call_may_leave_out_is_left_out_and_the_rest_is_handed_on() {
    let machine = machine("throttled-call");
    let mut evaluator = Evaluator::start();
    let least = request_of(&mut evaluator, &machine, "Call", call());
    assert_eq!((least.tenant, least.at_most_once, least.units), (None, false, None));
    let mut input = call();
    input["tenant"] = json!("acme");
    input["at_most_once"] = json!(true);
    input["units"] = json!(1800);
    let most = request_of(&mut evaluator, &machine, "Call", input);
    assert_eq!((most.tenant.as_deref(), most.at_most_once), (Some("acme"), true));
    assert_eq!(most.units.map(u32::from), Some(1_800));
    assert_eq!(most.request.body, Some(json!({ "a": [1, null] })));
}

#[test]
fn the_failure_of_an_order_is_told_whatever_its_cause_is() {
    let machine = machine("sales-order-sync");
    let mut evaluator = Evaluator::start();
    let mut told = |cause: Option<&str>| -> Value {
        let mut input = json!({ "Error": "Slowlane.Rejected" });
        if let Some(cause) = cause {
            input["Cause"] = json!(cause);
        }
        let variables = json!({ "order_id": "web-1" }).as_object().unwrap().clone();
        let at = Situation { input, variables, ..Situation::default() };
        let failure = &machine["States"]["ReportFailure"];
        let text = evaluator.value(&failure["Cause"], &at);
        let text = text.unwrap_or_else(|error| panic!("{:.80?}: {error}", cause));
        let text = text.as_str().unwrap();
        // The API model's limit of a cause.
        assert!(text.chars().count() <= 32_768, "{} characters", text.chars().count());
        let told: Value = serde_json::from_str(text).unwrap();
        assert_eq!(told["order_id"], "web-1", "{told}");
        told
    };

    let whole = r#"{"message":"no \"entity\" \u00e4\\","status":400,"code":null,"retried":false}"#;
    let expected = json!({
        "message": "no \"entity\" \u{e4}\\", "status": 400, "code": null, "retried": false,
        "order_id": "web-1",
    });
    assert_eq!(told(Some(whole)), expected);

    let long = format!(r#"{{"message":"{}","status":400}}"#, "x\\n".repeat(30_000));
    let cut: String = long.chars().take(32_768).collect();
    let expected: String = long.chars().take(4_000).collect();
    assert_eq!(told(Some(&cut))["message"], expected);

    // Whatever is no JSON, or no JSON that is certain to be read, is told as text.
    for text in [
        "the task timed out",
        "",
        "{",
        "{}",
        "{broken}",
        r#"{"a":"}"#,
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        r#"{"a":"b"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\"}"#,
        r#"{x:"b"}"#,
        r#"{\n"a":1}"#,
        "{\"a\":\"line\nbreak\"}",
        r#"{"a":1}{"b":2}"#,
        r#"{"a":{"b":[1]}}"#,
        r#"["a"]"#,
    ] {
        assert_eq!(told(Some(text))["message"], text);
    }
    assert_eq!(told(None), json!({ "message": "no cause was given", "order_id": "web-1" }));
    // Every prefix of a cause is a cause.
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        assert_eq!(told(Some(&whole[..end]))["message"], whole[..end]);
    }
}

/// How long a state goes on retrying, in seconds: at the longest, and in the mean, since FULL jitter
/// draws each wait from nothing to its whole.
fn retried_for(retrier: &Value) -> (f64, f64) {
    assert_eq!(retrier["JitterStrategy"], "FULL");
    let longest = waits(retrier).into_iter().sum::<f64>();
    (longest, longest / 2.0)
}

fn waits(retrier: &Value) -> Vec<f64> {
    let number = |key: &str| retrier[key].as_f64().unwrap();
    let attempts = retrier["MaxAttempts"].as_u64().unwrap();
    (0..attempts)
        .map(|attempt| number("BackoffRate").powi(i32::try_from(attempt).unwrap()))
        .map(|growth| (number("IntervalSeconds") * growth).min(number("MaxDelaySeconds")))
        .collect()
}

/// The chance that the sum of waits, each drawn from nothing to its whole, is below `secs`. The
/// distribution of the sum is built up wait by wait, on a grid of half a second.
fn chance_below(waits: &[f64], secs: f64) -> f64 {
    let cells = |secs: f64| (secs * 2.0).round() as usize;
    let mut chances = vec![1.0];
    for wait in waits {
        let width = cells(*wait);
        let mut next = vec![0.0; chances.len() + width];
        for (at, chance) in chances.iter().enumerate() {
            for cell in &mut next[at..at + width] {
                *cell += chance / width as f64;
            }
        }
        chances = next;
    }
    chances[..cells(secs).min(chances.len())].iter().sum()
}

#[test]
fn a_call_outlasts_ten_minutes_of_throttling_and_some_crashes() {
    let machine = machine("throttled-call");
    let retriers = machine["States"]["Call"]["Retry"].as_array().unwrap();
    let of = |error: &str| {
        let has = |retrier: &&Value| {
            retrier["ErrorEquals"].as_array().unwrap().iter().any(|name| name == error)
        };
        retriers.iter().find(has).unwrap_or_else(|| panic!("{error} is not retried"))
    };
    //   error, attempts, seconds at the longest, seconds in the mean
    let table = [
        ("Lambda.TooManyRequestsException", 45, 2_403.0, 1_201.5),
        ("Lambda.ServiceException", 45, 2_403.0, 1_201.5),
        ("Lambda.AWSLambdaException", 45, 2_403.0, 1_201.5),
        ("Lambda.SdkClientException", 45, 2_403.0, 1_201.5),
        ("Lambda.ClientExecutionTimeoutException", 45, 2_403.0, 1_201.5),
        ("Slowlane.QueueUnavailable", 45, 2_403.0, 1_201.5),
        ("Lambda.Unknown", 8, 183.0, 91.5),
        ("Sandbox.Timedout", 8, 183.0, 91.5),
        ("Runtime.ExitError", 8, 183.0, 91.5),
    ];
    for (error, attempts, longest, mean) in table {
        let retrier = of(error);
        assert_eq!(retrier["MaxAttempts"], attempts, "{error}");
        assert_eq!(retried_for(retrier), (longest, mean), "{error}");
    }
    let names = retriers.iter().flat_map(|retrier| retrier["ErrorEquals"].as_array().unwrap());
    assert_eq!(names.count(), table.len(), "the table has every error that is retried");
    // One call in a million gives up while a throttle of ten minutes lasts.
    let chance = chance_below(&waits(of("Lambda.TooManyRequestsException")), 600.0);
    assert!(chance < 1e-6, "{chance}");
}

const README: &str = include_str!("../../../../state-machines/README.md");

/// The JSON examples of the README, each with its name if it is a state.
fn examples() -> Vec<(Option<String>, Value)> {
    let blocks = README.split("\n```json\n").skip(1);
    blocks
        .map(|block| block.split("\n```").next().unwrap())
        .map(|text| {
            let example = serde_json::from_str(text);
            // A state is shown with its name, as it stands in a machine.
            let named = || serde_json::from_str::<Value>(&format!("{{{text}}}"));
            match example.or_else(|_| named()).unwrap_or_else(|error| panic!("{error}: {text}")) {
                Value::Object(object) if object.len() == 1 => {
                    let (name, state) = object.into_iter().next().unwrap();
                    (Some(name), state)
                }
                example => (None, example),
            }
        })
        .collect()
}

#[test]
fn the_order_of_the_readme_becomes_a_call() {
    let examples = examples();
    let [(None, order), ..] = &*examples else { panic!("the README begins with an order") };
    let machine = machine("sales-order-sync");
    let mut evaluator = Evaluator::start();
    let choice = &machine["States"]["CheckOrder"]["Choices"][0];
    let good = evaluator.value(&choice["Condition"], &given(order.clone())).unwrap();
    assert_eq!(good, true);
    let call = evaluator.value(&choice["Output"], &given(order.clone())).unwrap();
    let request = request_of(&mut evaluator, &machine, "WriteOrder", call);
    assert_eq!(request.idempotency_key.as_str(), "sales-order/web-1001/2");
    assert_eq!(request.priority, Priority::High);
    assert_eq!(request.request.method, Method::Put);
    assert_eq!(request.request.resource, "salesOrder/eid:web-1001?replace=item");
}

#[test]
fn every_state_of_the_readme_is_a_good_state_and_makes_the_call_that_it_says() {
    let child = machine("throttled-call");
    let mut evaluator = Evaluator::start();
    let states: Vec<_> =
        examples().into_iter().filter_map(|(name, state)| Some((name?, state))).collect();
    assert!(!states.is_empty());
    for (name, state) in states {
        let machine =
            json!({ "QueryLanguage": "JSONata", "StartAt": name, "States": { &name: state } });
        let source = Source::parse(&machine.to_string()).unwrap();
        assert_eq!(problems(&source), [], "{name}");
        let contact = json!({ "contact_id": "7", "contact": { "firstName": "Ada" } });
        let input = &state["Arguments"]["Input"];
        let input = evaluator.value(input, &given(contact)).unwrap();
        let request = request_of(&mut evaluator, &child, "Call", input);
        assert_eq!(request.idempotency_key.as_str(), "contact/7");
        assert_eq!(request.request.resource, "contact/eid:7");
        assert_eq!(request.request.body, Some(json!({ "firstName": "Ada" })));
    }
}

#[test]
fn the_readme_reads_a_childs_error_also_from_a_cause_that_was_cut() {
    let expression = README.split('`').find(|code| code.starts_with("$match($states.errorOutput"));
    let expression = json!(format!("{{% {} %}}", expression.unwrap()));
    let mut evaluator = Evaluator::start();
    let cause = json!({
        "ExecutionArn": "arn:aws:states:us-east-1:123456789012:execution:child:1",
        // What the caller wrote is text within text.
        "Input": r#"{"Error":"Not.This","body":"..."}"#,
        "Error": "Slowlane.Rejected",
        "Status": "FAILED",
    })
    .to_string();
    let cut = &cause[..cause.find("FAILED").unwrap()];
    for cause in [&*cause, cut] {
        let error_output = json!({ "Error": "States.TaskFailed", "Cause": cause });
        let at = Situation { error_output, ..Situation::default() };
        assert_eq!(evaluator.value(&expression, &at), Ok(json!("Slowlane.Rejected")), "{cause}");
    }
}
