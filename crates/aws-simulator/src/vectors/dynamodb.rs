//! DynamoDB's conditional writes.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};

use super::place::Source::{Doc, Model};
use super::place::{Place, Seen, word};

const TABLE: &str = "vectors";

type Item = HashMap<String, AttributeValue>;

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// An item in a line: attributes by name, text and numbers as they are.
fn line(item: Option<&Item>) -> String {
    let Some(item) = item else { return "nothing".to_owned() };
    let mut attributes: Vec<String> = item
        .iter()
        .map(|(name, value)| match value {
            AttributeValue::S(text) | AttributeValue::N(text) => format!("{name} {text}"),
            AttributeValue::Bool(value) => format!("{name} {value}"),
            other => format!("{name} {other:?}"),
        })
        .collect();
    attributes.sort();
    attributes.join(" ")
}

pub(super) async fn observe(place: &impl Place, seen: &mut Seen) {
    place.create_table(TABLE).await;
    let dynamo = Client::new(place.sdk());
    puts(&dynamo, seen).await;
    updates(&dynamo, seen).await;
    conditions(&dynamo, seen).await;
    limits(&dynamo, seen).await;
}

async fn puts(dynamo: &Client, seen: &mut Seen) {
    let put = async |owner: &str, shows: Option<OnFailure>| {
        dynamo
            .put_item()
            .table_name(TABLE)
            .item("id", text("put"))
            .item("owner", text(owner))
            .item("expires_at", number(1))
            .condition_expression("attribute_not_exists(id)")
            .set_return_values_on_condition_check_failure(shows)
            .send()
            .await
    };
    let first = word(&put("a", None).await);
    let second = put("b", Some(OnFailure::AllOld)).await;
    let third = put("b", None).await;
    let saw = format!("{first}, {}, {}", word(&second), word(&third));
    seen.note(
        "a put that only the first may make, three times",
        "ok, ConditionalCheckFailedException, ConditionalCheckFailedException",
        Model,
        saw,
    );
    let stood = |put: Result<_, aws_sdk_dynamodb::error::SdkError<_>>| {
        match put {
        Err(error) => match error.into_service_error() {
            aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                failed,
            ) => line(failed.item()),
            other => format!("{other:?}"),
        },
        Ok(_) => "put".to_owned(),
    }
    };
    let saw = format!("{}; {}", stood(second), stood(third));
    seen.note(
        "the item that stood in the way, with ALL_OLD and without",
        "expires_at 1 id put owner a; nothing",
        Model,
        saw,
    );
    let get = async |id: &str| {
        let get = dynamo.get_item().table_name(TABLE).key("id", text(id)).consistent_read(true);
        let got = get.send().await;
        line(got.ok().and_then(|got| got.item).as_ref())
    };
    let saw = format!("{}; {}", get("put").await, get("none").await);
    seen.note(
        "a read of an item that expired in 1970, and of one that never was",
        "expires_at 1 id put owner a; nothing",
        Doc,
        saw,
    );
    let delete = async |id: &str, condition: Option<&str>| {
        let delete = dynamo.delete_item().table_name(TABLE).key("id", text(id));
        word(&delete.set_condition_expression(condition.map(str::to_owned)).send().await)
    };
    let exists = Some("attribute_exists(id)");
    let saw = format!(
        "{}, {}, {}, {}",
        delete("put", exists).await,
        get("put").await,
        delete("put", exists).await,
        delete("put", None).await,
    );
    seen.note(
        "a delete of what must be there, its read, and the delete again with and without condition",
        "ok, nothing, ConditionalCheckFailedException, ok",
        Model,
        saw,
    );
}

async fn updates(dynamo: &Client, seen: &mut Seen) {
    let update = |expression: &str| {
        dynamo
            .update_item()
            .table_name(TABLE)
            .key("id", text("update"))
            .update_expression(expression)
    };
    let sent = async |update: UpdateItemFluentBuilder| match update.send().await {
        Ok(done) => line(done.attributes.as_ref()),
        Err(error) => word(&Err::<(), _>(error)),
    };
    let add = update("SET #o = :o ADD attempt :one")
        .expression_attribute_names("#o", "owner")
        .expression_attribute_values(":o", text("a"))
        .expression_attribute_values(":one", number(1));
    let first = sent(add.clone().return_values(ReturnValue::UpdatedNew)).await;
    let second = sent(add.return_values(ReturnValue::AllNew)).await;
    let saw = format!("{first}; {second}");
    seen.note(
        "an update of an item that is not there, and again: UPDATED_NEW, ALL_NEW",
        "attempt 1 owner a; attempt 2 id update owner a",
        Model,
        saw,
    );
    let kept = update("SET attempt = if_not_exists(attempt, :none) + :one, seen = :no REMOVE #o")
        .expression_attribute_names("#o", "owner")
        .expression_attribute_values(":none", number(0))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":no", AttributeValue::Bool(false));
    let saw = sent(kept.return_values(ReturnValue::AllNew)).await;
    let aws = "attempt 3 id update seen false";
    seen.note("an update that counts on, sets and removes", aws, Model, saw);
}

async fn conditions(dynamo: &Client, seen: &mut Seen) {
    // The item is: attempt 3, seen false.
    let holds = async |condition: &str, values: &[(&str, AttributeValue)]| {
        let mut update = dynamo
            .update_item()
            .table_name(TABLE)
            .key("id", text("update"))
            .update_expression("SET touched = :touched")
            .expression_attribute_values(":touched", number(1))
            .condition_expression(condition);
        for (name, value) in values {
            update = update.expression_attribute_values(*name, value.clone());
        }
        match word(&update.send().await).as_str() {
            "ok" => "yes".to_owned(),
            "ConditionalCheckFailedException" => "no".to_owned(),
            other => other.to_owned(),
        }
    };
    let ten = [(":x", number(10))];
    let saw = format!(
        "{}, {}, {}",
        holds("attempt < :x", &ten).await,
        holds("attempt > :x", &ten).await,
        holds("attempt < :x", &[(":x", text("9"))]).await,
    );
    seen.note("3 < 10, 3 > 10, 3 < the text 9", "yes, no, no", Doc, saw);
    let saw = holds("absent < :x", &ten).await;
    seen.note("absent < 10", "no", Doc, saw);
    let values = [(":three", number(3)), (":no", AttributeValue::Bool(false))];
    let saw = format!(
        "{}, {}",
        holds("attribute_not_exists(id) OR attempt = :three AND seen = :no", &values).await,
        holds("(attribute_not_exists(id) OR attempt = :three) AND NOT seen = :no", &values).await,
    );
    seen.note("AND before OR, brackets before both", "yes, no", Doc, saw);
    let values = [(":a", number(1)), (":b", number(3))];
    let saw = holds("attempt IN (:a, :b)", &values).await;
    seen.note("a value in a list", "yes", Doc, saw);
}

async fn limits(dynamo: &Client, seen: &mut Seen) {
    let put = async |table: &str, bytes: usize| {
        let put = dynamo.put_item().table_name(table).item("id", text("large"));
        word(&put.item("body", text(&"x".repeat(bytes))).send().await)
    };
    // 409,600 bytes, names included: "id" + "large" + "body" are 11.
    let saw = format!("{}, {}", put(TABLE, 409_589).await, put(TABLE, 409_590).await);
    seen.note("an item of 409,600 bytes, and of one more", "ok, ValidationException", Doc, saw);
    let saw = put("no-such-table", 1).await;
    seen.note("a table that is not there", "ResourceNotFoundException", Model, saw);
}
