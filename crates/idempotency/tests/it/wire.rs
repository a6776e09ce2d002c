//! The DynamoDB store at the SDK's HTTP client: what it sends, how much, and what it
//! makes of the answers.

use std::error::Error as _;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use slowlane_idempotency::{
    Claimed, DynamoDbStore, Guard, Layout, MAX_RESULT_BYTES, PartitionValue, claim, complete, store,
};

use crate::{Stopwatch, key, order, scope};

/// An HTTP client that notes every request and answers from a script.
#[derive(Clone, Debug)]
struct Wire(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    requests: Vec<(String, Value)>,
    answers: Vec<(u16, Value)>,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap().to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let mut script = self.0.lock().unwrap();
        script.requests.push((operation, body));
        let (status, answer) = script.answers.remove(0);
        let body = SdkBody::from(answer.to_string());
        let response = HttpResponse::new(status.try_into().unwrap(), body);
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl Wire {
    fn answering<const N: usize>(answers: [(u16, Value); N]) -> Self {
        Self(Arc::new(Mutex::new(Script { requests: Vec::new(), answers: answers.into() })))
    }

    fn store(&self) -> DynamoDbStore {
        let connector = self.clone();
        let client = http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone()));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-north-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(client)
            .build();
        DynamoDbStore::new(Client::from_conf(config), "calls")
    }

    fn guard(&self) -> Guard<DynamoDbStore> {
        Guard::new(self.store(), Stopwatch::new().settings())
    }

    fn requests(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().requests.clone()
    }
}

fn applied() -> (u16, Value) {
    (200, json!({}))
}

/// A new key: there is no old item to show.
fn claimed() -> (u16, Value) {
    applied()
}

fn refused(item: Value) -> (u16, Value) {
    let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    (400, json!({"__type": kind, "message": "The conditional request failed", "Item": item}))
}

fn item() -> Value {
    json!({
        "id": {"S": "orders#order-123"},
        "status": {"S": "CLAIMED"},
        "owner": {"S": "00000000-0000-0000-0000-0000000000ff"},
        "attempt": {"N": "7"},
        "payload_sha256": {"S": order(1).payload().to_string()},
        "repeatable": {"BOOL": false},
        "claimed_at_ms": {"N": "1800000000000"},
        "lease_until_ms": {"N": "1800000060000"},
        "kept_until_ms": {"N": "1800086460000"},
        "expires_at": {"N": "1800090060"},
        "added_by_a_later_version": {"M": {}}
    })
}

#[tokio::test]
async fn a_call_is_three_requests() {
    let wire = Wire::answering([claimed(), applied(), applied()]);
    let Claimed::Run(claim) = wire.guard().claim(&order(1)).await.unwrap() else {
        panic!("did not run");
    };
    let claim = claim.dispatched().await.unwrap();
    claim.complete(&json!({"id": "1001"})).await.unwrap();

    let requests = wire.requests();
    let operations: Vec<_> = requests.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(operations, ["DynamoDB_20120810.UpdateItem"; 3]);
    assert_eq!(requests[0].1, claim_request());
    let (mark, completion) = (&requests[1].1, &requests[2].1);
    for step in [mark, completion] {
        let condition = step["ConditionExpression"].as_str().unwrap();
        let held = "#owner = :held_by AND #attempt = :held_attempt AND #status IN (";
        assert!(condition.starts_with(held), "{condition}");
        assert_eq!(step["ReturnValues"], "NONE");
        let owner = json!({"S": "00000000-0000-0000-0000-000000000001"});
        assert_eq!(step["ExpressionAttributeValues"][":held_by"], owner);
        assert_eq!(step["ExpressionAttributeValues"][":held_attempt"], json!({"N": "1"}));
    }
    let removed = |step: &Value| {
        let expression = step["UpdateExpression"].as_str().unwrap();
        expression.split_once(" REMOVE ").unwrap().1.to_owned()
    };
    assert!(removed(mark).contains("#ttl"), "an unresolved call is not tidied away");
    assert!(!removed(completion).contains("#ttl"));
    for (_, request) in &requests {
        uses_what_it_defines(request);
        assert_eq!(write_units(request), 1);
    }
}

/// As the README states it: key and result of 700 bytes together.
#[tokio::test]
async fn one_write_unit_holds_a_small_result() {
    for (bytes, units) in [(680, 1), (1_000, 2)] {
        let wire = Wire::answering([claimed(), applied(), applied()]);
        let Claimed::Run(claim) = wire.guard().claim(&order(1)).await.unwrap() else {
            panic!("did not run");
        };
        let claim = claim.dispatched().await.unwrap();
        claim.complete(&"r".repeat(bytes)).await.unwrap();
        assert_eq!(write_units(&wire.requests()[2].1), units);
    }
}

/// The whole of the first request, to be read beside AWS's documentation of UpdateItem.
fn claim_request() -> Value {
    json!({
        "TableName": "calls",
        "Key": {"id": {"S": "orders#order-123"}},
        "UpdateExpression": "SET #status = :status, #owner = :owner, \
            #payload_sha256 = :payload_sha256, #repeatable = :repeatable, \
            #claimed_at_ms = :claimed_at_ms, #lease_until_ms = :lease_until_ms, \
            #settles_at_ms = :settles_at_ms, #kept_until_ms = :kept_until_ms, #ttl = :ttl, \
            #attempt = if_not_exists(#attempt, :zero) + :one \
            REMOVE #dispatched_at_ms, #unknown_since_ms, #completed_at_ms, #why, #result, #result_at, #result_sha256, #result_bytes",
        "ConditionExpression": "attribute_not_exists(#id) OR #status = :is_released \
            OR ((#status = :is_claimed AND #lease_until_ms < :lapsed_before) AND #repeatable = :no) \
            OR (#kept_until_ms < :lapsed_before AND (#status = :is_completed \
            OR (#repeatable = :yes AND ((#status = :is_claimed AND #lease_until_ms < :lapsed_before) \
            OR #status = :is_unknown))))",
        "ExpressionAttributeNames": {
            "#id": "id",
            "#status": "status",
            "#owner": "owner",
            "#attempt": "attempt",
            "#payload_sha256": "payload_sha256",
            "#repeatable": "repeatable",
            "#claimed_at_ms": "claimed_at_ms",
            "#lease_until_ms": "lease_until_ms",
            "#dispatched_at_ms": "dispatched_at_ms",
            "#unknown_since_ms": "unknown_since_ms",
            "#settles_at_ms": "settles_at_ms",
            "#completed_at_ms": "completed_at_ms",
            "#kept_until_ms": "kept_until_ms",
            "#why": "why",
            "#result": "result",
            "#result_at": "result_at",
            "#result_sha256": "result_sha256",
            "#result_bytes": "result_bytes",
            "#ttl": "expires_at"
        },
        "ExpressionAttributeValues": {
            ":status": {"S": "CLAIMED"},
            ":owner": {"S": "00000000-0000-0000-0000-000000000001"},
            ":payload_sha256": {"S": order(1).payload().to_string()},
            ":repeatable": {"BOOL": false},
            ":claimed_at_ms": {"N": "1800000000000"},
            ":lease_until_ms": {"N": "1800000060000"},
            ":settles_at_ms": {"N": "1800000090000"},
            ":kept_until_ms": {"N": "1800086460000"},
            ":ttl": {"N": "1800090060"},
            ":zero": {"N": "0"},
            ":one": {"N": "1"},
            ":is_claimed": {"S": "CLAIMED"},
            ":is_completed": {"S": "COMPLETED"},
            ":is_released": {"S": "RELEASED"},
            ":lapsed_before": {"N": "1799999998000"},
            ":is_unknown": {"S": "UNKNOWN"},
            ":no": {"BOOL": false},
            ":yes": {"BOOL": true}
        },
        "ReturnValues": "ALL_OLD",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    })
}

#[tokio::test]
async fn a_repeatable_call_is_two_requests() {
    let wire = Wire::answering([claimed(), applied()]);
    let request = order(1).repeatable(true);
    let Claimed::Run(claim) = wire.guard().claim(&request).await.unwrap() else {
        panic!("did not run");
    };
    let claim = claim.dispatched().await.unwrap();
    claim.complete(&1).await.unwrap();
    let requests = wire.requests();
    assert_eq!(requests.len(), 2);
    let condition = requests[0].1["ConditionExpression"].as_str().unwrap();
    let repeatable = " OR (#repeatable = :yes AND #payload_sha256 = :payload_sha256 AND \
        ((#status = :is_claimed AND #lease_until_ms < :lapsed_before) OR #status = :is_unknown))";
    assert!(condition.ends_with(repeatable), "{condition}");
    uses_what_it_defines(&requests[0].1);
}

/// A duplicate, a replay and a reading are one request each.
#[tokio::test]
async fn what_is_known_is_one_request() {
    let wire = Wire::answering([refused(item())]);
    let Claimed::InProgress(held) = wire.guard().claim(&order(1)).await.unwrap() else {
        panic!("not in progress");
    };
    assert_eq!(held.record.holder.attempt, 7);

    let mut done = item();
    done["status"] = json!({"S": "COMPLETED"});
    done["result"] = json!({"S": "{\"id\":\"1001\"}"});
    let wire = Wire::answering([refused(done.clone())]);
    let Claimed::Replay(value) = wire.guard().claim(&order(1)).await.unwrap() else {
        panic!("not replayed");
    };
    assert_eq!(value, json!({"id": "1001"}));
    assert_eq!(wire.requests().len(), 1);

    let wire = Wire::answering([(200, json!({"Item": done})), (200, json!({}))]);
    let guard = wire.guard();
    let record = guard.read(&scope(), &key()).await.unwrap().unwrap();
    assert_eq!(record.holder.attempt, 7);
    assert_eq!(guard.read(&scope(), &key()).await.unwrap(), None);
    let (operation, request) = &wire.requests()[0];
    assert_eq!(operation, "DynamoDB_20120810.GetItem");
    assert_eq!(request["ConsistentRead"], true);
}

/// The first try was applied and its reply lost; the second finds our own name.
#[tokio::test]
async fn our_own_earlier_try_is_recognised() {
    let mut ours = item();
    ours["owner"] = json!({"S": "00000000-0000-0000-0000-000000000001"});
    let wire = Wire::answering([refused(ours)]);
    let Claimed::Run(claim) = wire.guard().claim(&order(1)).await.unwrap() else {
        panic!("did not run");
    };
    assert_eq!(claim.attempt(), 7);
}

#[tokio::test]
async fn throttling_and_failure_keep_their_source() {
    for (code, throttled) in [
        ("ProvisionedThroughputExceededException", true),
        ("ThrottlingException", true),
        ("RequestLimitExceeded", true),
        ("ResourceNotFoundException", false),
    ] {
        let wire = Wire::answering([(400, json!({"__type": code, "message": "as it says"}))]);
        let error = wire.guard().claim(&order(1)).await.unwrap_err();
        let claim::Error::Store { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(matches!(source, store::Error::Throttled(_)), throttled, "{code}");
        let sdk = source.source().unwrap();
        let sdk: &aws_sdk_dynamodb::error::SdkError<
            aws_sdk_dynamodb::operation::update_item::UpdateItemError,
        > = sdk.downcast_ref().unwrap();
        assert_eq!(sdk.as_service_error().unwrap().meta().code(), Some(code));
    }
}

#[tokio::test]
async fn what_is_not_a_record_of_ours_is_not_acted_upon() {
    let change = |name: &str, value: Value| {
        let mut item = item();
        item[name] = value;
        item
    };
    let mut without_owner = item();
    without_owner.as_object_mut().unwrap().remove("owner");
    for (item, problem) in [
        // A record that Powertools wrote under the same id.
        (change("status", json!({"S": "INPROGRESS"})), "\"status\" is \"INPROGRESS\""),
        (change("attempt", json!({"S": "7"})), "\"attempt\" is S(\"7\")"),
        (without_owner, "\"owner\" is missing"),
    ] {
        let wire = Wire::answering([refused(item)]);
        let error = wire.guard().claim(&order(1)).await.unwrap_err();
        let message = error.source().unwrap().to_string();
        let expected =
            format!("the stored record is not readable: orders#order-123: the attribute {problem}");
        assert_eq!(message, expected);
    }
}

#[tokio::test]
async fn a_result_beyond_the_limit_is_refused_before_it_is_sent() {
    let wire = Wire::answering([claimed(), applied(), applied()]);
    let Claimed::Run(claim) = wire.guard().claim(&order(1)).await.unwrap() else {
        panic!("did not run");
    };
    let claim = claim.dispatched().await.unwrap();
    let error = claim.complete(&"r".repeat(MAX_RESULT_BYTES)).await.unwrap_err();
    let complete::Error::TooLarge { bytes, limit, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((bytes, limit), (MAX_RESULT_BYTES + 2, MAX_RESULT_BYTES));
    claim.complete(&"r".repeat(MAX_RESULT_BYTES - 2)).await.unwrap();
    assert!(item_bytes(&wire.requests()[2].1) < 400 * 1024);
}

#[tokio::test]
async fn other_layouts() {
    let both =
        |value| Layout::PartitionAndSort { partition: "pk".into(), value, sort: "sk".into() };
    let id = "orders#order-123";
    for (layout, expected) in [
        (Layout::Partition { name: "call-id".into() }, json!({"call-id": {"S": id}})),
        (
            both(PartitionValue::Fixed("idempotency".into())),
            json!({"pk": {"S": "idempotency"}, "sk": {"S": id}}),
        ),
        (both(PartitionValue::Scope), json!({"pk": {"S": "orders"}, "sk": {"S": id}})),
    ] {
        let wire = Wire::answering([claimed()]);
        let store = wire.store().layout(layout).ttl_attribute("ttl.seconds");
        let guard = Guard::new(store, Stopwatch::new().settings());
        guard.claim(&order(1)).await.unwrap();
        let request = &wire.requests()[0].1;
        assert_eq!(request["Key"], expected);
        assert_eq!(request["ExpressionAttributeNames"]["#ttl"], "ttl.seconds");
        uses_what_it_defines(request);
    }
}

#[tokio::test]
async fn listing_goes_through_all_pages() {
    let mut lapsed = item();
    lapsed["status"] = json!({"S": "NEEDS_PERSON"});
    let foreign = json!({"id": {"S": "of another application"}, "status": {"S": "UNKNOWN"}});
    let wire = Wire::answering([
        (200, json!({"Items": [foreign], "LastEvaluatedKey": {"id": {"S": "x"}}})),
        (200, json!({"Items": [lapsed]})),
    ]);
    let listed = wire.guard().list_unresolved(10).await.unwrap();
    assert_eq!(listed.len(), 1);
    let requests = wire.requests();
    assert_eq!(requests[1].1["ExclusiveStartKey"], json!({"id": {"S": "x"}}));
    assert_eq!(
        requests[0].1["FilterExpression"],
        "attribute_exists(#payload_sha256) AND (#status = :needs_person \
         OR (#status = :dispatched AND #lease_until_ms < :lapsed_before) \
         OR (#status = :unknown AND #repeatable = :no) \
         OR (#repeatable = :yes AND NOT #kept_until_ms < :lapsed_before \
         AND (#status = :unknown OR (#status = :claimed AND #lease_until_ms < :lapsed_before))))"
    );
    uses_what_it_defines(&requests[0].1);
}

/// DynamoDB refuses a request that defines a name or a value it does not use.
fn uses_what_it_defines(request: &Value) {
    let expressions = ["UpdateExpression", "ConditionExpression", "FilterExpression"]
        .map(|name| request[name].as_str().unwrap_or_default())
        .join(" ");
    for kind in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        for defined in request[kind].as_object().unwrap().keys() {
            let used = expressions.match_indices(defined.as_str()).any(|(at, _)| {
                let next = expressions[at + defined.len()..].chars().next();
                next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
            });
            assert!(used, "{defined} is not used in {expressions}");
        }
    }
}

fn write_units(request: &Value) -> usize {
    item_bytes(request).div_ceil(1024)
}

/// The size of the item after an update, as AWS documents it ("Item sizes and formats"):
/// names and texts as UTF-8, two digits of a number in a byte and one more, a truth value
/// one byte. Every attribute that the item then has is in the SET part.
fn item_bytes(request: &Value) -> usize {
    let (names, values) =
        (&request["ExpressionAttributeNames"], &request["ExpressionAttributeValues"]);
    let set = request["UpdateExpression"].as_str().unwrap();
    let set = set.strip_prefix("SET ").unwrap();
    let set = set.split(" REMOVE ").next().unwrap();
    let attributes = set.split(", #").map(|assignment| {
        let (name, value) = assignment.split_once(" = ").unwrap();
        let name = names[format!("#{}", name.trim_start_matches('#'))].as_str().unwrap();
        // The attempt number is computed; a long one is assumed.
        let size = values.get(value).map_or(11, value_bytes);
        name.len() + size
    });
    let key = request["Key"].as_object().unwrap().iter();
    let key = key.map(|(name, value)| name.len() + value_bytes(value));
    attributes.sum::<usize>() + key.sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" => value.as_str().unwrap().len(),
        "N" => value.as_str().unwrap().len().div_ceil(2) + 1,
        _ => 1,
    }
}
