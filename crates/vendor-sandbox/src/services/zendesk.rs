//! Zendesk's tickets with their comments, and its other collections: users, organizations.

use http::Method;
use serde_json::{Value, json};

use crate::{
    asked::Asked,
    records::{Records, merge, reads},
    service::{At, Said, Service},
};

#[derive(Debug)]
pub(super) struct Zendesk;

impl Service for Zendesk {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let path = asked.below(&["api", "v2"]).unwrap_or_default();
        let path: Vec<&str> =
            path.into_iter().map(|name| name.strip_suffix(".json").unwrap_or(name)).collect();
        match (&asked.method, path.as_slice()) {
            (&Method::POST, [collection]) => create(collection, asked, records, at),
            (&Method::POST, [collection, "create_or_update"]) => {
                match existing(collection, asked, records) {
                    Some(id) => change(collection, &id, asked, records, at),
                    None => create(collection, asked, records, at),
                }
            }
            (&Method::GET, [collection]) => list(collection, asked, records),
            (&Method::GET, ["tickets", id, "comments"]) => {
                list_where("comments", records, |comment| reads(&comment["ticket_id"], id))
            }
            (&Method::GET, [collection, id]) => match records.get(collection, id) {
                Some(record) => Said::new(200, &json!({ single(collection): record })),
                None => not_found(),
            },
            (&Method::PUT, [collection, id]) => change(collection, id, asked, records, at),
            (&Method::DELETE, [collection, id]) => match records.remove(collection, id) {
                Some(_) => Said::empty(204),
                None => not_found(),
            },
            _ => not_found(),
        }
    }
}

/// What a collection's one record is called.
fn single(collection: &str) -> &str {
    collection.strip_suffix('s').unwrap_or(collection)
}

fn create(collection: &str, asked: &Asked, records: &mut Records, at: &At) -> Said {
    let input = &asked.body[single(collection)];
    if !input.is_object() {
        return invalid("base", "the record is missing");
    }
    if collection == "tickets" && comment_of(input).is_none() {
        return invalid("description", "Description: cannot be blank");
    }
    let id = records.number();
    let mut record = json!({ "id": id, "created_at": at.rfc3339() });
    let name = id.to_string();
    records.put(collection, &name, record.clone());
    write(collection, &name, &mut record, input, records, at);
    let body = json!({ single(collection): record });
    let said = Said::new(201, &body).created(collection);
    let said = said.header("location", &format!("{}/api/v2/{collection}/{id}.json", at.base_url));
    match asked.header("idempotency-key") {
        Some(_) if collection == "tickets" => said.header("x-idempotency-lookup", "miss"),
        _ => said,
    }
}

/// Changes a record. Who says which version is meant is refused if there is a newer one.
fn change(collection: &str, id: &str, asked: &Asked, records: &mut Records, at: &At) -> Said {
    let Some(mut record) = records.get(collection, id).cloned() else { return not_found() };
    let input = &asked.body[single(collection)];
    let has_changed =
        input["safe_update"] == true && input["updated_stamp"] != record["updated_at"];
    if has_changed {
        let error = json!({ "error": "UpdateConflict", "description": "Safe update" });
        return Said::new(409, &error);
    }
    write(collection, id, &mut record, input, records, at);
    Said::new(200, &json!({ single(collection): record }))
}

/// Keeps a record with its input, and a ticket's comment beside it: a new one each time.
fn write(
    collection: &str,
    id: &str,
    record: &mut Value,
    input: &Value,
    records: &mut Records,
    at: &At,
) {
    if let Some(comment) = comment_of(input).filter(|_| collection == "tickets") {
        if record["description"].is_null() {
            record["description"] = comment.clone();
        }
        let number = records.number();
        let comment = json!({ "id": number, "ticket_id": record["id"], "body": comment });
        records.put("comments", &number.to_string(), comment);
    }
    let mut input = input.clone();
    for only_said in ["comment", "safe_update", "updated_stamp", "id"] {
        input.as_object_mut().map(|input| input.remove(only_said));
    }
    merge(record, &input);
    record["updated_at"] = at.rfc3339().into();
    records.put(collection, id, record.clone());
}

fn comment_of(input: &Value) -> Option<Value> {
    let comment = input.pointer("/comment/body").or_else(|| input.get("description"))?;
    comment.as_str().filter(|text| !text.trim().is_empty()).map(Value::from)
}

/// The record that has the caller's own id, or a user's address.
fn existing(collection: &str, asked: &Asked, records: &Records) -> Option<String> {
    let input = &asked.body[single(collection)];
    ["external_id", "email"].into_iter().find_map(|field| {
        let wanted = input[field].as_str()?;
        records.with(collection, &format!("/{field}"), wanted).into_iter().next()
    })
}

/// The records, or those with the caller's own id.
fn list(collection: &str, asked: &Asked, records: &Records) -> Said {
    let wanted = asked.query("external_id");
    list_where(collection, records, |record| {
        wanted.is_none_or(|wanted| reads(&record["external_id"], wanted))
    })
}

fn list_where(collection: &str, records: &Records, fits: impl Fn(&Value) -> bool) -> Said {
    let found: Vec<&Value> =
        records.all(collection).map(|(_, record)| record).filter(|record| fits(record)).collect();
    let count = found.len();
    Said::new(200, &json!({ collection: found, "count": count, "next_page": null }))
}

fn not_found() -> Said {
    Said::new(404, &json!({ "error": "RecordNotFound", "description": "Not found" }))
}

fn invalid(field: &str, description: &str) -> Said {
    let error = json!({
        "error": "RecordInvalid",
        "description": "Record validation errors",
        "details": { field: [{ "description": description, "error": "BlankValue" }] },
    });
    Said::new(422, &error)
}
