//! HubSpot's CRM objects, one by one and in batches.

use http::Method;
use serde_json::{Value, json};

use crate::{
    asked::Asked,
    records::{Records, merge},
    service::{At, Said, Service},
};

#[derive(Debug)]
pub(super) struct HubSpot;

impl Service for HubSpot {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let path = asked.below(&["crm", "v3", "objects"]).unwrap_or_default();
        let Some((object_type, rest)) = path.split_first() else { return not_found() };
        match (&asked.method, rest) {
            (&Method::POST, []) => match create(object_type, &asked.body, records, at) {
                Ok(object) => Said::new(201, &object).created(object_type),
                Err(refused) => *refused,
            },
            (&Method::GET, []) => {
                let all: Vec<&Value> = records.all(object_type).map(|(_, one)| one).collect();
                Said::new(200, &json!({ "results": all }))
            }
            (&Method::POST, ["search"]) => search(object_type, asked, records),
            (&Method::POST, ["batch", what]) => batch(what, object_type, asked, records, at),
            (method, [id]) => {
                let id = find(object_type, id, asked.query("idProperty"), records);
                one(method, object_type, id, &asked.body, records, at)
            }
            _ => not_found(),
        }
    }

    fn is_write(&self, asked: &Asked) -> bool {
        let reads = ["search", "read"];
        !matches!(asked.method, Method::GET | Method::HEAD)
            && !asked.path.last().is_some_and(|last| reads.contains(&last.as_str()))
    }
}

fn one(
    method: &Method,
    object_type: &str,
    id: Option<String>,
    body: &Value,
    records: &mut Records,
    at: &At,
) -> Said {
    let Some(id) = id else { return not_found() };
    match (method, records.get_mut(object_type, &id)) {
        (&Method::GET, Some(object)) => Said::new(200, object),
        (&Method::PATCH, Some(object)) => {
            change(object, &body["properties"], at);
            Said::new(200, object)
        }
        (&Method::DELETE, _) => {
            records.remove(object_type, &id);
            Said::empty(204)
        }
        _ => not_found(),
    }
}

/// The id of an object that is named by its id or by a property.
fn find(object_type: &str, name: &str, by: Option<&str>, records: &Records) -> Option<String> {
    match by {
        None => records.get(object_type, name).map(|_| name.to_owned()),
        Some(property) => {
            records.with(object_type, &format!("/properties/{property}"), name).into_iter().next()
        }
    }
}

fn create(
    object_type: &str,
    input: &Value,
    records: &mut Records,
    at: &At,
) -> Result<Value, Box<Said>> {
    let properties = &input["properties"];
    if !properties.is_object() {
        return Err(Box::new(refused(
            400,
            "VALIDATION_ERROR",
            "Invalid input JSON: no properties",
        )));
    }
    // A contact's address is unique.
    if let Some(email) = properties["email"].as_str()
        && let Some(existing) = records.with(object_type, "/properties/email", email).first()
    {
        let message = format!("Contact already exists. Existing ID: {existing}");
        return Err(Box::new(refused(409, "CONFLICT", &message)));
    }
    let id = records.number().to_string();
    let mut object = json!({
        "id": id,
        "properties": { "hs_object_id": id },
        "createdAt": at.rfc3339(),
        "updatedAt": at.rfc3339(),
        "archived": false,
    });
    merge(&mut object["properties"], properties);
    records.put(object_type, &id, object.clone());
    Ok(object)
}

fn change(object: &mut Value, properties: &Value, at: &At) {
    merge(&mut object["properties"], properties);
    object["updatedAt"] = at.rfc3339().into();
}

/// Several at once. One that is refused does not stop the others; the answer is then a 207.
fn batch(what: &str, object_type: &str, asked: &Asked, records: &mut Records, at: &At) -> Said {
    let Some(inputs) = asked.body["inputs"].as_array() else {
        return refused(400, "VALIDATION_ERROR", "Invalid input JSON: no inputs");
    };
    let by_all = asked.text("/idProperty");
    let (mut results, mut errors, mut created) = (Vec::new(), Vec::new(), 0);
    for input in inputs {
        let by = input["idProperty"].as_str().or(by_all);
        let id = input["id"].as_str().and_then(|id| find(object_type, id, by, records));
        let object = id.as_deref().and_then(|id| records.get_mut(object_type, id));
        let result = match (what, object) {
            ("read", Some(object)) => Ok(object.clone()),
            ("update" | "upsert", Some(object)) => {
                change(object, &input["properties"], at);
                let mut object = object.clone();
                object["new"] = false.into();
                Ok(object)
            }
            ("create" | "upsert", _) => {
                let input = with_its_name(input, by);
                create(object_type, &input, records, at).map(|mut object| {
                    created += 1;
                    object["new"] = true.into();
                    object
                })
            }
            ("archive", _) => {
                if let Some(id) = id {
                    records.remove(object_type, &id);
                }
                continue;
            }
            _ => Err(Box::new(not_found())),
        };
        match result {
            Ok(object) => results.push(object),
            Err(said) => errors.push(error_of(input, &said)),
        }
    }
    if what == "archive" {
        return Said::empty(204);
    }
    let status = match (errors.is_empty(), what) {
        (false, _) => 207,
        (true, "create") => 201,
        (true, _) => 200,
    };
    let mut answer = json!({
        "status": "COMPLETE",
        "results": results,
        "startedAt": at.rfc3339(),
        "completedAt": at.rfc3339(),
    });
    if !errors.is_empty() {
        answer["numErrors"] = errors.len().into();
        answer["errors"] = errors.into();
    }
    (0..created).fold(Said::new(status, &answer), |said, _| said.created(object_type))
}

/// An upserted object has the property by which it was looked for.
fn with_its_name(input: &Value, by: Option<&str>) -> Value {
    let mut input = input.clone();
    if let (Some(property), Value::String(name)) = (by, input["id"].clone()) {
        input["properties"][property] = name.into();
    }
    input
}

fn error_of(input: &Value, said: &Said) -> Value {
    let mut error: Value = serde_json::from_slice(said.response.body()).unwrap_or_default();
    error["context"] = json!({ "objectWriteTraceId": [input["objectWriteTraceId"]] });
    error
}

/// Filters of equality; groups are alternatives.
fn search(object_type: &str, asked: &Asked, records: &Records) -> Said {
    let groups = asked.body["filterGroups"].as_array().cloned().unwrap_or_default();
    let holds = |object: &Value, filter: &Value| {
        let property = filter["propertyName"].as_str().unwrap_or_default();
        filter["operator"] == "EQ" && object["properties"][property] == filter["value"]
    };
    let fits = |object: &Value| {
        groups.is_empty()
            || groups.iter().any(|group| {
                let filters = group["filters"].as_array();
                filters.into_iter().flatten().all(|filter| holds(object, filter))
            })
    };
    let found: Vec<&Value> =
        records.all(object_type).map(|(_, object)| object).filter(|one| fits(one)).collect();
    Said::new(200, &json!({ "total": found.len(), "results": found }))
}

fn not_found() -> Said {
    refused(404, "OBJECT_NOT_FOUND", "Object not found. objectId are usually numeric.")
}

fn refused(status: u16, category: &str, message: &str) -> Said {
    let error = json!({
        "status": "error",
        "message": message,
        "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
        "category": category,
    });
    Said::new(status, &error)
}
