//! DynamoDB in AWS JSON 1.0: single items.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Reply, read};
use crate::cloud::State;
use crate::cloud::dynamodb::{Bindings, Change, Error, Item, Value, Write, Written};
use crate::cloud::requests::Action;
use crate::time::Moment;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Cow<'a, str>,
    key: Option<Item>,
    item: Option<Item>,
    #[serde(borrow)]
    condition_expression: Option<Cow<'a, str>>,
    #[serde(borrow)]
    update_expression: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    expression_attribute_names: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default)]
    expression_attribute_values: Item,
    #[serde(borrow, default)]
    return_values: Cow<'a, str>,
    #[serde(borrow, default)]
    return_values_on_condition_check_failure: Cow<'a, str>,
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
            let table = &request.table_name;
            let item = (state.dynamo).read(table, &key, request.consistent_read, now, &parameters);
            item.map(|item| Answer { item, attributes: None })
        }
        Ok(key) => {
            let (table, returns) = (request.table_name.clone(), request.return_values.clone());
            let write = write(action, key, request);
            let written = state.dynamo.write(&table, write, now, &parameters);
            written.map(|written| Answer { item: None, attributes: attributes(&returns, written) })
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(answer) => Reply::ok(&answer),
        Err(error) => refused(error, shows_old),
    }
}

fn key(state: &State, request: &Request<'_>) -> Result<Box<str>, Error> {
    let name = state.dynamo.key_of(&request.table_name)?;
    let holder = request.key.as_ref().or(request.item.as_ref());
    match holder.and_then(|item| item.get(name)) {
        Some(Value::Text(key)) => Ok(key.clone()),
        other => panic!("DynamoDB: the key {name} is {other:?}, not text"),
    }
}

fn write(action: Action, key: Box<str>, request: Request<'_>) -> Write {
    let change = match action {
        Action::PutItem => Change::Put(request.item.unwrap_or_default()),
        Action::UpdateItem => Change::Update(request.update_expression.unwrap_or_default().into()),
        _ => Change::Delete,
    };
    let names = request.expression_attribute_names.into_iter();
    Write {
        key,
        change,
        condition: request.condition_expression.map(|text| Box::from(&*text)),
        bindings: Bindings {
            names: names.map(|(k, v)| (Box::from(&*k), Box::from(&*v))).collect(),
            values: request.expression_attribute_values,
        },
    }
}

fn attributes(returns: &str, written: Written) -> Option<Item> {
    match returns {
        "" | "NONE" => None,
        "ALL_OLD" => written.old,
        "ALL_NEW" => written.new,
        "UPDATED_NEW" => written.updated,
        other => panic!("DynamoDB: ReturnValues {other} is not modelled"),
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
