//! The DynamoDB store at the SDK's HTTP client: what it sends, how much, and what it
//! makes of the answers.

use std::error::Error as _;
use std::num::NonZeroUsize;
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
    Claimed, Cursor, DynamoDbStore, EpochMs, Guard, Layout, MAX_RESULT_BYTES, PartitionValue,
    Request, claim, complete, store,
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
        ("InternalServerError", false),
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

/// What the item says that a claim replaced is what its holder goes on from.
#[tokio::test]
async fn a_claim_is_told_what_it_replaced() {
    let mut released = item();
    released["status"] = json!({"S": "RELEASED"});
    released["untried"] = json!({"N": "4"});
    released["maybe_executed"] = json!({"S": order(1).payload().to_string()});
    let wire = Wire::answering([(200, json!({"Attributes": released})), applied()]);
    let Claimed::Run(claim) = wire.guard().claim(&order(1)).await.unwrap() else {
        panic!("did not run");
    };
    assert_eq!((claim.attempt(), claim.tries()), (8, 4));
    assert!(claim.maybe_executed_before());
    claim.release_untried().await.unwrap();
    let values = &wire.requests()[1].1["ExpressionAttributeValues"];
    assert_eq!(values[":held_attempt"], json!({"N": "8"}));
    assert_eq!(values[":untried"], json!({"N": "5"}));
    assert_eq!(values[":maybe_executed"], json!({"S": order(1).payload().to_string()}));
    uses_what_it_defines(&wire.requests()[1].1);
}

/// The count of tries and what earlier attempts did are no claim's to change: an update
/// leaves alone what it does not name.
#[tokio::test]
async fn a_claim_leaves_alone_what_is_about_earlier_attempts() {
    let wire = Wire::answering([claimed()]);
    wire.guard().claim(&order(1).repeatable(true)).await.unwrap();
    let names = wire.requests()[0].1["ExpressionAttributeNames"].to_string();
    assert!(!names.contains("untried") && !names.contains("maybe_executed"), "{names}");
}

/// As recorded: in the first format `settles_at_ms` came with `UNKNOWN` only.
#[tokio::test]
async fn records_of_the_first_format_are_read() {
    let recorded = |change: Value| {
        let mut item = json!({
            "id": {"S": "orders#order-123"},
            "status": {"S": "DISPATCHED"},
            "owner": {"S": "00000000-0000-0000-0000-0000000000ff"},
            "attempt": {"N": "3"},
            "payload_sha256": {"S": "b7e28723407b7750fb0dc3b977699a5223a3b617d41c9a4feaeccbd31feadd06"},
            "repeatable": {"BOOL": false},
            "claimed_at_ms": {"N": "1799999900000"},
            "lease_until_ms": {"N": "1799999960000"},
            "dispatched_at_ms": {"N": "1799999900200"},
            "untried": {"N": "1"}
        });
        for (name, value) in change.as_object().unwrap() {
            item[name] = value.clone();
        }
        item
    };
    let unknown = json!({
        "status": {"S": "UNKNOWN"},
        "unknown_since_ms": {"N": "1799999930000"},
        "settles_at_ms": {"N": "1799999960000"},
        "why": {"S": "no answer within 30 s"}
    });
    for (item, settles_at) in [
        // 30 s after its lease, as the settings say, or what was stored; and the margin.
        (recorded(json!({})), 1_799_999_992_000),
        (recorded(unknown), 1_799_999_962_000),
    ] {
        let wire = Wire::answering([refused(item), applied()]);
        let Claimed::Unknown(unknown) = wire.guard().claim(&order(1)).await.unwrap() else {
            panic!("not unknown");
        };
        assert_eq!(unknown.settles_at(), EpochMs(settles_at));
        assert_eq!(unknown.run_again().await.unwrap().tries(), 3);
    }
    let done = json!({
        "status": {"S": "COMPLETED"},
        "completed_at_ms": {"N": "1799999901000"},
        "kept_until_ms": {"N": "1800086301000"},
        "expires_at": {"N": "1800089901"},
        "result": {"S": "{\"id\":\"1001\"}"}
    });
    let wire = Wire::answering([refused(recorded(done))]);
    let claimed = wire.guard().claim(&order(1)).await.unwrap();
    assert!(matches!(&claimed, Claimed::Replay(value) if value["id"] == "1001"), "{claimed:?}");
}

/// A repeatable call may be taken over by either hash of its payload.
#[tokio::test]
async fn both_hashes_of_a_wide_number_are_offered() {
    let payload = json!({"id": 9_007_199_254_740_993_u64});
    let request = Request::new(scope(), key(), &payload).unwrap().repeatable(true);
    let wire = Wire::answering([claimed()]);
    wire.guard().claim(&request).await.unwrap();
    let sent = &wire.requests()[0].1;
    let condition = sent["ConditionExpression"].as_str().unwrap();
    assert!(condition.contains("#payload_sha256 IN (:payload_sha256, :earlier_payload)"));
    let earlier = "379c3c261310b93aedb504a467c47b9494b0c2e0205c0130684079a029e3da34";
    assert_eq!(sent["ExpressionAttributeValues"][":earlier_payload"], json!({"S": earlier}));
    uses_what_it_defines(sent);
}

#[tokio::test]
async fn a_missing_table_is_named() {
    let wire = Wire::answering([
        (400, json!({"__type": "ResourceNotFoundException", "message": "as it says"})),
        (400, json!({"__type": "ResourceNotFoundException", "message": "as it says"})),
    ]);
    let error = wire.guard().claim(&order(1)).await.unwrap_err();
    let expected = "there is no table \"calls\" in this account and Region";
    assert_eq!(error.source().unwrap().to_string(), expected);
    let error = wire.guard().list_unresolved(1).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
}

/// A record is in the index only as long as it may be unresolved.
#[tokio::test]
async fn the_index_is_entered_and_left() {
    for (repeatable, entered) in [(false, [false, true, false]), (true, [true, false, false])] {
        let wire = Wire::answering([claimed(), applied(), applied()]);
        let guard =
            Guard::new(wire.store().unresolved_index("unresolved"), Stopwatch::new().settings());
        let request = order(1).repeatable(repeatable);
        let Claimed::Run(claim) = guard.claim(&request).await.unwrap() else {
            panic!("did not run");
        };
        claim.dispatched().await.unwrap().complete(&1).await.unwrap();
        for ((_, sent), entered) in wire.requests().iter().zip(entered) {
            let values = &sent["ExpressionAttributeValues"];
            assert_eq!(values.get(":unresolved").is_some(), entered, "{sent}");
            if entered {
                assert_eq!(values[":unresolved_from_ms"], values[":lease_until_ms"]);
            } else {
                let removed = sent["UpdateExpression"].as_str().unwrap();
                let removed = removed.split_once(" REMOVE ").unwrap().1;
                assert!(removed.contains("#unresolved, #unresolved_from_ms"), "{removed}");
            }
            uses_what_it_defines(sent);
        }
    }
}

/// Shard after shard, each record read as it is now.
#[tokio::test]
async fn the_index_is_listed_by_pages() {
    const SHARDS: usize = 8;
    let entry = json!({
        "id": {"S": "orders#order-123"},
        "unresolved": {"S": "0"},
        "unresolved_from_ms": {"N": "1799999000000"}
    });
    let mut unknown = item();
    unknown["status"] = json!({"S": "UNKNOWN"});
    let mut done = item();
    done["status"] = json!({"S": "COMPLETED"});
    let wire = Wire::answering([
        (200, json!({"Items": [entry, entry], "LastEvaluatedKey": entry})),
        (200, json!({"Item": unknown})),
        (200, json!({"Item": done})),
        (200, json!({"Items": []})),
    ]);
    let store = wire.store().unresolved_index("unresolved");
    let guard = Guard::new(store, Stopwatch::new().settings());
    let most = NonZeroUsize::new(2).unwrap();
    let page = guard.unresolved_page(most, None).await.unwrap();
    assert_eq!(page.records.len(), 1, "the other is done by now");
    guard.unresolved_page(most, page.next.as_ref()).await.unwrap();

    let requests = wire.requests();
    let first = &requests[0].1;
    assert_eq!(first["IndexName"], "unresolved");
    assert_eq!(first["Limit"], 2);
    let condition = "#unresolved = :shard AND #from <= :lapsed_before";
    assert_eq!(first["KeyConditionExpression"], condition);
    assert_eq!(requests[1].1["ConsistentRead"], true);
    let start = &requests[3].1["ExclusiveStartKey"];
    assert_eq!(start["id"], entry["id"]);
    assert_eq!(start["unresolved_from_ms"], entry["unresolved_from_ms"]);
    assert_eq!(start["unresolved"], requests[3].1["ExpressionAttributeValues"][":shard"]);
    uses_what_it_defines(first);

    let counts = [(); SHARDS].map(|()| (200, json!({"Count": 3})));
    let wire = Wire::answering(counts);
    let store = wire.store().unresolved_index("unresolved");
    let guard = Guard::new(store, Stopwatch::new().settings());
    assert_eq!(guard.count_unresolved().await.unwrap(), 24);
    assert_eq!(wire.requests()[7].1["Select"], "COUNT");

    let error = guard.unresolved_page(most, Some(&Cursor::new("shard:8"))).await.unwrap_err();
    assert_eq!(error.to_string(), "\"shard:8\" is no cursor of this store");
}

/// DynamoDB refuses a request that defines a name or a value it does not use.
fn uses_what_it_defines(request: &Value) {
    let expressions =
        ["UpdateExpression", "ConditionExpression", "FilterExpression", "KeyConditionExpression"]
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

/// The size of the item after an update, as AWS documents it ("Item sizes and formats"). Names and
/// texts are UTF-8. A number has two digits in a byte and one byte more, a truth value one byte.
/// Every attribute that the item then has is in the SET part.
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
