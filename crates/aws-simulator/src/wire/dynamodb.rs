//! DynamoDB in AWS JSON 1.0: single items.

use serde::{Deserialize, Serialize};
use serde_with::{As, Map, Same};

use super::reply::{Reply, read};
use crate::cloud::State;
use crate::cloud::dynamodb::{Bindings, Change, Error, Item, Returns, Value, Write};
use crate::cloud::requests::Action;
use crate::time::Moment;

/// Names and expressions are borrowed, so that one with an escape in its JSON is not understood.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request<'a> {
    table_name: &'a str,
    key: Option<Item>,
    item: Option<Item>,
    condition_expression: Option<&'a str>,
    update_expression: Option<&'a str>,
    #[serde(borrow, default, with = "As::<Map<Same, Same>>")]
    expression_attribute_names: Vec<(&'a str, &'a str)>,
    #[serde(default)]
    expression_attribute_values: Item,
    #[serde(default)]
    return_values: &'a str,
    #[serde(default)]
    return_values_on_condition_check_failure: &'a str,
    #[serde(default)]
    consistent_read: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Item>,
}

pub(super) fn answer(state: &mut State, action: Action, body: &[u8], now: Moment) -> Reply {
    let request: Request<'_> = read(body);
    let shows_old = request.return_values_on_condition_check_failure == "ALL_OLD";
    let parameters = state.parameters().clone();
    let outcome = match key(state, &request) {
        Ok(key) if action == Action::GetItem => {
            let (table, consistent) = (request.table_name, request.consistent_read);
            let item = state.dynamo.read(table, &key, consistent, now, &parameters);
            item.map(|item| Answer { item, attributes: None })
        }
        Ok(key) => {
            let table = request.table_name;
            let written = state.dynamo.write(table, write(action, key, request), now, &parameters);
            written.map(|attributes| Answer { item: None, attributes })
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(answer) => Reply::ok(&answer),
        Err(error) => refused(error, shows_old),
    }
}

fn key(state: &State, request: &Request<'_>) -> Result<Box<str>, Error> {
    let name = state.dynamo.key_of(request.table_name)?;
    let holder = request.key.as_ref().or(request.item.as_ref());
    match holder.and_then(|item| item.get(name)) {
        Some(Value::Text(key)) => Ok(key.clone()),
        other => panic!("DynamoDB: the key {name} is {other:?}, not text"),
    }
}

fn write(action: Action, key: Box<str>, request: Request<'_>) -> Write<'_> {
    let change = match action {
        Action::PutItem => Change::Put(request.item.unwrap_or_default()),
        Action::UpdateItem => Change::Update(request.update_expression.unwrap_or_default()),
        _ => Change::Delete,
    };
    let returns = match request.return_values {
        "" | "NONE" => Returns::Nothing,
        "ALL_OLD" => Returns::AllOld,
        "ALL_NEW" => Returns::AllNew,
        "UPDATED_NEW" => Returns::UpdatedNew,
        other => panic!("DynamoDB: ReturnValues {other} is not modelled"),
    };
    Write {
        key,
        change,
        condition: request.condition_expression,
        bindings: Bindings {
            names: request.expression_attribute_names,
            values: request.expression_attribute_values,
        },
        returns,
    }
}

fn refused(error: Error, shows_old: bool) -> Reply {
    #[derive(Serialize)]
    struct Failed {
        __type: &'static str,
        message: &'static str,
        #[serde(rename = "Item", skip_serializing_if = "Option::is_none")]
        item: Option<Item>,
    }
    match error {
        Error::ConditionalCheckFailed(item) => {
            let body = serde_json::to_vec(&Failed {
                __type: "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                message: "The conditional request failed",
                item: item.filter(|_| shows_old),
            });
            Reply { status: 400, body: body.unwrap_or_default() }
        }
        Error::ItemTooLarge => Reply::refused("ValidationException", &error.to_string()),
        Error::ResourceNotFound => Reply::refused("ResourceNotFoundException", &error.to_string()),
    }
}
