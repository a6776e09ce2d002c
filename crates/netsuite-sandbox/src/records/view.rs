//! Records as answers show them.

use serde_json::{Map, Value, json};

use crate::{
    Request,
    problem::Problem,
    query::{flag, query_param},
    schema::{RecordType, lines},
};

/// A whole record, as `fields` and `expandSubResources` want it. `url` is its own address.
pub(crate) fn record(
    record_type: &RecordType,
    record: &Map<String, Value>,
    url: &str,
    request: &Request,
) -> Result<Value, Problem> {
    let expand = flag(request, "expandSubResources")?;
    let fields = query_param(request, "fields");
    let wanted = |name: &str| match &fields {
        Some(fields) => fields.split(',').any(|field| field.trim() == name),
        None => true,
    };
    let mut body = Map::new();
    body.insert("links".to_owned(), self_link(url));
    for (name, value) in record.iter().filter(|(name, _)| wanted(name)) {
        let url = format!("{url}/{name}");
        let value = match record_type.sublist(name) {
            Some(_) if !expand => json!({"links": self_link(&url)}),
            Some(_) => sublist(&url, lines(record, name)),
            None if record_type.is_subrecord(name) && !expand => json!({"links": self_link(&url)}),
            None => value.clone(),
        };
        body.insert(name.clone(), value);
    }
    Ok(Value::Object(body))
}

/// A sublist, one of its lines, or a subrecord, by the path below the record's.
pub(crate) fn subresource(
    record_type: &RecordType,
    record: &Map<String, Value>,
    below: &[String],
    url: &str,
) -> Result<Value, Problem> {
    let url = format!("{url}/{}", below.join("/"));
    let missing = || Problem::not_found(&url);
    let [name, below @ ..] = below else { return Err(missing()) };
    let value = record.get(name).ok_or_else(missing)?;
    let Some(known) = record_type.sublist(name) else {
        return match (value, below) {
            (Value::Object(subrecord), []) if record_type.is_subrecord(name) => {
                Ok(with_link(&url, subrecord))
            }
            _ => Err(missing()),
        };
    };
    let lines = lines(record, name);
    let [line, below @ ..] = below else { return Ok(sublist(&url, lines)) };
    // A line without a key is found by its place, counted from 1.
    let wanted: u64 = line.parse().map_err(|_| missing())?;
    let found = lines.iter().enumerate().find(|(index, line)| match known.key {
        Some(key) => line.get(key).and_then(Value::as_u64) == Some(wanted),
        None => *index as u64 + 1 == wanted,
    });
    let line = found.and_then(|(_, line)| line.as_object()).ok_or_else(missing)?;
    match below {
        [] => Ok(with_link(&url, line)),
        [field] => match line.get(field) {
            Some(Value::Object(inner)) => Ok(with_link(&url, inner)),
            _ => Err(missing()),
        },
        _ => Err(missing()),
    }
}

/// A record in a list: its id and its address.
pub(crate) fn list_item(id: u64, url: &str) -> Value {
    json!({"links": self_link(url), "id": id.to_string()})
}

fn sublist(url: &str, lines: &[Value]) -> Value {
    json!({"links": self_link(url), "items": lines, "totalResults": lines.len()})
}

fn with_link(url: &str, object: &Map<String, Value>) -> Value {
    let mut object = object.clone();
    object.insert("links".to_owned(), self_link(url));
    Value::Object(object)
}

fn self_link(url: &str) -> Value {
    json!([{"rel": "self", "href": url}])
}
