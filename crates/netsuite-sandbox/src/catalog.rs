//! The metadata catalog: which record types there are, and their shapes.
//!
//! Source: Oracle help, "Working with Resource Metadata" (chapter_1540810168), "Working with
//! OpenAPI 3.0 Metadata" (section_1545126526), "Working with JSON Schema Metadata"
//! (section_1545129726).

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    Request, Response,
    problem::{Problem, json_response},
    query::query_param,
    records::segments,
    route::{self, RECORD_PATH, text_header},
    schema::{self, Field, Kind, RecordType, STANDARD_FIELDS},
};

const NAME: &str = "metadata-catalog";

/// Whether the request is for the catalog.
pub(crate) fn is_asked(request: &Request) -> bool {
    segments(request.uri().path()).first().is_some_and(|first| first == NAME)
}

/// Answers a request for the catalog, in the form that `Accept` asks for.
pub(crate) fn answer(request: &Request) -> Result<Response, Problem> {
    if request.method() != Method::GET {
        return Err(Problem::method_not_allowed());
    }
    let url = format!("{}{RECORD_PATH}{NAME}", route::base_url(request));
    let accept = text_header(request, "accept").unwrap_or_default();
    let path = segments(request.uri().path());
    let (body, media_type) = match path.get(1..).unwrap_or_default() {
        [] if accept.contains("swagger+json") => {
            let selected = query_param(request, "select");
            (openapi(&select(selected.as_deref())?), "application/swagger+json")
        }
        [] => (list(&url), "application/json"),
        [name] => {
            let types = select(Some(name))?;
            match types.as_slice() {
                _ if accept.contains("swagger+json") => {
                    (openapi(&types), "application/swagger+json")
                }
                [(_, record_type)] if accept.contains("schema+json") => {
                    (json_schema(record_type), "application/schema+json")
                }
                _ => (json!({"name": name, "links": links(&url, name)}), "application/json"),
            }
        }
        _ => return Err(Problem::not_found(request.uri().path())),
    };
    let mut response = json_response(StatusCode::OK, &body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// The types that a comma-separated list names; all without one.
fn select(names: Option<&str>) -> Result<Vec<(String, &'static RecordType)>, Problem> {
    let Some(names) = names else {
        return Ok(schema::all().map(|known| (known.name.to_owned(), known)).collect());
    };
    names
        .split(',')
        .map(|name| {
            schema::find(name.trim()).map(|(record_type, name)| (name, record_type)).ok_or_else(
                || {
                    Problem::invalid_parameter(
                        "select",
                        format!("Record type '{name}' does not exist."),
                    )
                },
            )
        })
        .collect()
}

fn list(url: &str) -> Value {
    let items: Vec<_> = schema::all()
        .map(|known| json!({"name": known.name, "links": links(url, known.name)}))
        .collect();
    json!({"links": [{"rel": "self", "href": url}], "items": items})
}

fn links(url: &str, name: &str) -> Value {
    let href = format!("{url}/{name}");
    json!([
        {"rel": "canonical", "href": href, "mediaType": "application/json"},
        {"rel": "describes", "href": format!("{}/{name}", url.trim_end_matches(NAME).trim_end_matches('/'))},
        {"rel": "alternate", "href": href, "mediaType": "application/swagger+json"},
        {"rel": "alternate", "href": href, "mediaType": "application/schema+json"},
    ])
}

/// A record's inside.
fn json_schema(record_type: &RecordType) -> Value {
    let mut properties = properties(STANDARD_FIELDS);
    properties.extend(self::properties(record_type.fields));
    for sublist in record_type.sublists {
        let line = json!({"type": "object", "properties": self::properties(sublist.fields)});
        let shape = json!({
            "type": "object",
            "properties": {"items": {"type": "array", "items": line}},
        });
        properties.insert(sublist.name.to_owned(), shape);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": record_type.fields.iter().filter(|field| field.required).map(|field| field.name).collect::<Vec<_>>(),
        "$schema": "https://json-schema.org/draft-06/hyper-schema#",
    })
}

fn properties(fields: &[Field]) -> Map<String, Value> {
    let shape = |field: &Field| match field.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Number | Kind::Positive => json!({"type": "number", "format": "double"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Date => json!({"type": "string", "format": "date"}),
        Kind::Moment => json!({"type": "string", "format": "date-time"}),
        Kind::Reference => {
            json!({"type": "object", "properties": {"id": {"type": "string"}, "externalId": {"type": "string"}}})
        }
        Kind::Object => json!({"type": "object"}),
    };
    fields
        .iter()
        .map(|field| {
            let mut shape = shape(field);
            shape["title"] = Value::from(field.name);
            shape["nullable"] = Value::from(!field.required);
            (field.name.to_owned(), shape)
        })
        .collect()
}

/// The operations on records, and their shapes.
fn openapi(types: &[(String, &RecordType)]) -> Value {
    let operation = |summary: &str, status: &str| json!({"summary": summary, "responses": {status: {"description": summary}}});
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for (name, record_type) in types {
        let collection = json!({
            "get": operation("Get list of records", "200"),
            "post": operation("Insert record", "204"),
        });
        let single = json!({
            "get": operation("Get record", "200"),
            "patch": operation("Update record", "204"),
            "put": operation("Insert or update record", "204"),
            "delete": operation("Remove record", "204"),
        });
        paths.insert(format!("/{name}"), collection);
        paths.insert(format!("/{name}/{{id}}"), single);
        schemas.insert(name.clone(), json_schema(record_type));
    }
    json!({
        "openapi": "3.0.1",
        "info": {"title": "NetSuite REST Record API", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}
