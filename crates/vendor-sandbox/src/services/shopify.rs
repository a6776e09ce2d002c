//! Shopify's Admin API: mutations and queries of GraphQL, and the records of REST.

use std::collections::HashMap;

use graphql_parser::query::{
    Definition, OperationDefinition, Selection, SelectionSet, Value as Written, parse_query,
};
use http::Method;
use serde_json::{Value, json};
use slowlane_sandbox::{Measure, Remaining};

use super::rest::Rest;
use crate::{
    Response,
    asked::Asked,
    records::{Records, merge},
    service::{At, Said, Service},
};

/// What a mutation and a query cost.
const MUTATION_POINTS: u64 = 10;
const QUERY_POINTS: u64 = 2;

/// The field in which a record keeps the name that it was upserted by. No answer shows it.
const IDENTIFIER: &str = "__identifier";

#[derive(Debug, Default)]
pub(super) struct Shopify {
    rest: Rest,
    /// The idempotency keys of mutations, each with its variables and its answer.
    keys: HashMap<String, (Value, Value)>,
}

impl Service for Shopify {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        if !is_graphql(asked) {
            return self.rest.answer(asked, records, at);
        }
        match operation(asked) {
            Ok(operation) => self.carry_out(&operation, asked, records),
            Err(why) => {
                let error = json!({ "message": why, "extensions": { "code": "undefinedField" } });
                Said::new(200, &json!({ "errors": [error] }))
            }
        }
    }

    fn is_write(&self, asked: &Asked) -> bool {
        match is_graphql(asked) {
            true => operation(asked).is_ok_and(|operation| operation.is_mutation),
            false => !matches!(asked.method, Method::GET | Method::HEAD),
        }
    }

    fn units(&self, asked: &Asked) -> u64 {
        match operation(asked) {
            Ok(operation) => operation.points(),
            Err(_) => 0,
        }
    }

    /// What is left of the bucket of points stands in the body.
    fn stamp(&self, response: &mut Response, limits: &[Remaining]) {
        let points = limits.iter().find(|limit| limit.rate.measure == Measure::Units);
        let Some(Remaining { rate, left, .. }) = points else { return };
        let Ok(mut body) = serde_json::from_slice::<Value>(response.body()) else { return };
        if body["extensions"]["cost"].is_null() {
            return;
        }
        body["extensions"]["cost"]["throttleStatus"] = json!({
            "maximumAvailable": rate.capacity(),
            "currentlyAvailable": left,
            "restoreRate": rate.amount as f64 / rate.per.as_secs_f64(),
        });
        *response.body_mut() = body.to_string().into();
    }
}

/// The first field of a document's only operation.
struct Operation {
    is_mutation: bool,
    /// `productSet`.
    name: String,
    /// The name under which the answer stands.
    shown_as: String,
    arguments: Value,
    idempotency_key: Option<String>,
}

impl Operation {
    fn points(&self) -> u64 {
        if self.is_mutation { MUTATION_POINTS } else { QUERY_POINTS }
    }
}

fn is_graphql(asked: &Asked) -> bool {
    asked.path.last().is_some_and(|last| last == "graphql.json")
}

fn operation(asked: &Asked) -> Result<Operation, String> {
    let text = asked.text("/query").ok_or("there is no query")?;
    let document = parse_query::<String>(text).map_err(|error| error.to_string())?;
    let mut definitions = document.definitions.into_iter();
    let found = definitions.find_map(|definition| match definition {
        Definition::Operation(operation) => Some(selected(operation)),
        Definition::Fragment(_) => None,
    });
    let (is_mutation, set) = found.ok_or("there is no operation")?;
    let Some(Selection::Field(field)) = set.items.into_iter().next() else {
        return Err("there is no field".to_owned());
    };
    let given = |pairs: &[(String, Written<'_, String>)]| -> Value {
        let filled = |value| filled(value, &asked.body["variables"]);
        pairs.iter().map(|(name, value)| (name.clone(), filled(value))).collect()
    };
    let idempotent = field.directives.iter().find(|directive| directive.name == "idempotent");
    let key = idempotent.map(|directive| given(&directive.arguments)["key"].clone());
    Ok(Operation {
        is_mutation,
        shown_as: field.alias.unwrap_or_else(|| field.name.clone()),
        name: field.name,
        arguments: given(&field.arguments),
        idempotency_key: key.and_then(|key| key.as_str().map(str::to_owned)),
    })
}

/// Whether an operation changes anything, and its fields.
fn selected<'a>(operation: OperationDefinition<'a, String>) -> (bool, SelectionSet<'a, String>) {
    match operation {
        OperationDefinition::Mutation(mutation) => (true, mutation.selection_set),
        OperationDefinition::Query(query) => (false, query.selection_set),
        OperationDefinition::Subscription(subscription) => (false, subscription.selection_set),
        OperationDefinition::SelectionSet(set) => (false, set),
    }
}

/// A value of the document, with the call's variables filled in. One that has no value is null.
fn filled(value: &Written<'_, String>, variables: &Value) -> Value {
    match value {
        Written::Variable(name) => variables[name].clone(),
        Written::Int(number) => number.as_i64().into(),
        Written::Float(number) => json!(number),
        Written::String(text) => text.as_str().into(),
        Written::Boolean(truth) => (*truth).into(),
        Written::Null => Value::Null,
        Written::Enum(name) => name.as_str().into(),
        Written::List(items) => items.iter().map(|item| filled(item, variables)).collect(),
        Written::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), filled(value, variables))).collect()
        }
    }
}

impl Shopify {
    fn carry_out(&mut self, operation: &Operation, asked: &Asked, records: &mut Records) -> Said {
        let Some(key) = &operation.idempotency_key else {
            return answered(operation, carried_out(operation, records));
        };
        let variables = &asked.body["variables"];
        match self.keys.get(key) {
            Some((known, answer)) if known == variables => {
                answered(operation, Outcome { value: answer.clone(), created: None })
            }
            Some(_) => {
                let code = "IDEMPOTENCY_KEY_PARAMETER_MISMATCH";
                answered(operation, refused(code, "The key came before with other parameters"))
            }
            None => {
                let outcome = carried_out(operation, records);
                self.keys.insert(key.clone(), (variables.clone(), outcome.value.clone()));
                answered(operation, outcome)
            }
        }
    }
}

/// What an operation's field has become, and the type of the record that it has made.
struct Outcome {
    value: Value,
    created: Option<String>,
}

fn answered(operation: &Operation, outcome: Outcome) -> Said {
    let points = operation.points();
    let cost = json!({ "requestedQueryCost": points, "actualQueryCost": points });
    let said = Said::new(
        200,
        &json!({
            "data": { &operation.shown_as: outcome.value }, "extensions": { "cost": cost },
        }),
    );
    match outcome.created {
        Some(record_type) => said.created(&record_type),
        None => said,
    }
}

fn carried_out(operation: &Operation, records: &mut Records) -> Outcome {
    let arguments = &operation.arguments;
    let name = operation.name.as_str();
    if !operation.is_mutation {
        return Outcome { value: found(name, arguments, records), created: None };
    }
    let verbs = ["Set", "Create", "Update", "Delete"];
    let verb = verbs.into_iter().find(|verb| name.ends_with(verb)).unwrap_or("Create");
    let object = name.strip_suffix(verb).unwrap_or(name);
    let input = match &arguments["input"] {
        Value::Null => &arguments[object],
        input => input,
    };
    let existing = existing(object, verb, arguments, input, records);
    match (verb, existing) {
        ("Delete", Some(id)) => {
            records.remove(object, &id);
            let value = json!({ format!("deleted{}Id", capital(object)): id, "userErrors": [] });
            Outcome { value, created: None }
        }
        ("Update" | "Delete", None) => refused("NOT_FOUND", "The record does not exist"),
        (_, Some(id)) => {
            if let Some(record) = records.get_mut(object, &id) {
                merge(record, input);
            }
            done(object, &id, records, None)
        }
        (_, None) if object == "product" && input["title"].as_str().is_none_or(str::is_empty) => {
            refused("BLANK", "Title can't be blank")
        }
        (_, None) => {
            let id = format!("gid://shopify/{}/{}", capital(object), records.number());
            let mut record = json!({ "id": id, IDENTIFIER: arguments["identifier"] });
            merge(&mut record, input);
            records.put(object, &id, record);
            done(object, &id, records, Some(object.to_owned()))
        }
    }
}

/// The record that a mutation means: by its id, or for an upsert by the identifier that it brings.
fn existing(
    object: &str,
    verb: &str,
    arguments: &Value,
    input: &Value,
    records: &Records,
) -> Option<String> {
    let by_id = input["id"].as_str().or(arguments["id"].as_str());
    if let Some(id) = by_id {
        return records.get(object, id).map(|_| id.to_owned());
    }
    let identifier = &arguments["identifier"];
    let is_it = |record: &Value| verb == "Set" && record[IDENTIFIER] == *identifier;
    let mut all = records.all(object).filter(|_| !identifier.is_null());
    all.find(|(_, record)| is_it(record)).map(|(id, _)| id.to_owned())
}

fn done(object: &str, id: &str, records: &Records, created: Option<String>) -> Outcome {
    let record = records.get(object, id).map(shown).unwrap_or_default();
    Outcome { value: json!({ object: record, "userErrors": [] }), created }
}

/// `product(id: ...)`, `productByIdentifier(identifier: ...)`, `products`.
fn found(name: &str, arguments: &Value, records: &Records) -> Value {
    if let Some(object) = name.strip_suffix("ByIdentifier") {
        let is_it = |record: &Value| record[IDENTIFIER] == arguments["identifier"];
        let record = records.all(object).find(|(_, record)| is_it(record));
        return record.map(|(_, record)| shown(record)).unwrap_or_default();
    }
    match arguments["id"].as_str() {
        Some(id) => records.get(name, id).map(shown).unwrap_or_default(),
        None => {
            let object = name.strip_suffix('s').unwrap_or(name);
            let nodes: Vec<Value> = records.all(object).map(|(_, record)| shown(record)).collect();
            json!({ "nodes": nodes })
        }
    }
}

/// All fields of a record, whichever were selected.
fn shown(record: &Value) -> Value {
    let mut shown = record.clone();
    if let Value::Object(members) = &mut shown {
        members.remove(IDENTIFIER);
    }
    shown
}

fn refused(code: &str, message: &str) -> Outcome {
    let error = json!({ "field": null, "code": code, "message": message });
    Outcome { value: json!({ "userErrors": [error] }), created: None }
}

fn capital(object: &str) -> String {
    let mut letters = object.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
