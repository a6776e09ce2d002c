//! Salesforce's REST API: sObjects, upserts by external id, queries, composites.

use http::Method;
use serde_json::{Value, json};
use slowlane_sandbox::{Created, Effect};

use super::soql::Query;
use crate::{
    asked::Asked,
    records::{Records, merge},
    service::{At, Said, Service},
};

/// How the ids of some types begin; those of other types are custom objects here.
const PREFIXES: [(&str, &str); 5] = [
    ("Account", "001"),
    ("Contact", "003"),
    ("Opportunity", "006"),
    ("Lead", "00Q"),
    ("Case", "500"),
];

#[derive(Debug)]
pub(super) struct Salesforce;

impl Service for Salesforce {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let path = asked.below(&["services", "data"]).unwrap_or_default();
        match (&asked.method, &path[..]) {
            (&Method::GET, []) if asked.path.len() == 2 => {
                let version = json!({
                    "label": "Spring '25", "url": "/services/data/v63.0", "version": "63.0",
                });
                Said::new(200, &json!([version]))
            }
            (method, [version, rest @ ..]) => {
                let call = Call { method, version, rest, asked };
                call.answer(records, at)
            }
            _ => not_found(),
        }
    }

    /// A query by POST does not exist here; all else but GET writes.
    fn is_write(&self, asked: &Asked) -> bool {
        !matches!(asked.method, Method::GET | Method::HEAD)
    }
}

/// A call below `/services/data/vNN.0`.
#[derive(Clone, Copy)]
struct Call<'a> {
    method: &'a Method,
    version: &'a str,
    rest: &'a [&'a str],
    asked: &'a Asked,
}

impl Call<'_> {
    fn answer(&self, records: &mut Records, at: &At) -> Said {
        let body = &self.asked.body;
        match (self.method, self.rest) {
            (&Method::GET, ["limits"]) => Said::new(
                200,
                &json!({ "DailyApiRequests": { "Max": 100_000, "Remaining": 99_000 } }),
            ),
            (&Method::GET, ["query" | "queryAll"]) => self.query(records),
            (&Method::POST, ["composite"]) => self.composite(records, at),
            (&Method::POST, ["sobjects", record_type]) => create(record_type, body, records),
            (method, ["sobjects", record_type, id]) => match *method {
                Method::GET => match records.get(record_type, id) {
                    Some(record) => Said::new(200, &self.shown(record_type, id, record)),
                    None => not_found(),
                },
                Method::PATCH => update(record_type, id, body, records),
                Method::DELETE => match records.remove(record_type, id) {
                    Some(_) => Said::empty(204),
                    None => not_found(),
                },
                _ => not_allowed(method),
            },
            (method, ["sobjects", record_type, field, value]) => {
                self.by_external_id(method, (record_type, field, value), records)
            }
            _ => not_found(),
        }
    }

    /// `/sobjects/Type/Field__c/value`.
    fn by_external_id(
        &self,
        method: &Method,
        (record_type, field, value): (&str, &str, &str),
        records: &mut Records,
    ) -> Said {
        let ids = records.with(record_type, &format!("/{field}"), value);
        let url = |id: &String| self.url(record_type, id);
        match (method, &ids[..]) {
            (_, [_, _, ..]) => Said::new(300, &ids.iter().map(url).collect()),
            (&Method::GET, [id]) => match records.get(record_type, id) {
                Some(record) => Said::new(200, &self.shown(record_type, id, record)),
                None => not_found(),
            },
            (&Method::DELETE, [id]) => {
                records.remove(record_type, id);
                Said::empty(204)
            }
            (&Method::PATCH, [id]) => match update(record_type, id, &self.asked.body, records) {
                said if said.response.status() == 204 => Said::new(200, &saved(id, Some(false))),
                refused => refused,
            },
            (&Method::PATCH, []) if self.asked.query("updateOnly") != Some("true") => {
                let mut body = self.asked.body.clone();
                if !body.is_object() {
                    return malformed("a JSON object was expected");
                }
                body[field] = value.into();
                let mut said = create(record_type, &body, records);
                let made =
                    serde_json::from_slice::<Value>(said.response.body()).unwrap_or_default();
                if let Some(id) = made["id"].as_str() {
                    let body = saved(id, Some(true));
                    said.response = crate::answer::json(201, Some(&body));
                }
                said
            }
            (&Method::GET | &Method::PATCH | &Method::DELETE, _) => not_found(),
            (method, _) => not_allowed(method),
        }
    }

    fn query(&self, records: &Records) -> Said {
        let query = match Query::parse(self.asked.query("q").unwrap_or_default()) {
            Ok(query) => query,
            Err(why) => return refused(400, "MALFORMED_QUERY", &why),
        };
        let rows: Vec<Value> = records
            .all(&query.record_type)
            .filter(|(_, record)| query.holds_for(record))
            .map(|(id, record)| query.fields_of(record, &self.url(&query.record_type, id)))
            .collect();
        Said::new(200, &json!({ "totalSize": rows.len(), "done": true, "records": rows }))
    }

    /// Several calls in one: with `allOrNone` one that is refused takes the others back.
    fn composite(&self, records: &mut Records, at: &At) -> Said {
        let Some(calls) = self.asked.body["compositeRequest"].as_array() else {
            return malformed("compositeRequest is missing");
        };
        let before = records.clone();
        let mut effect = Effect::default();
        let mut answers = Vec::new();
        for call in calls {
            let said = self.part(call, records, at);
            effect.created.extend(said.effect.created.into_iter().map(|created| Created {
                external_id: call["referenceId"].as_str().map(str::to_owned),
                ..created
            }));
            let body = serde_json::from_slice::<Value>(said.response.body()).unwrap_or_default();
            answers.push(json!({
                "body": body,
                "httpHeaders": {},
                "httpStatusCode": said.response.status().as_u16(),
                "referenceId": call["referenceId"],
            }));
        }
        let is_refused = |answer: &Value| answer["httpStatusCode"].as_u64() >= Some(300);
        if self.asked.body["allOrNone"] == true && answers.iter().any(is_refused) {
            *records = before;
            effect = Effect::default();
            for answer in answers.iter_mut().filter(|answer| !is_refused(answer)) {
                answer["httpStatusCode"] = 400.into();
                let message = "The transaction was rolled back since another operation in the same \
                               transaction failed.";
                answer["body"] = errors("PROCESSING_HALTED", message);
            }
        }
        Said { effect, ..Said::new(200, &json!({ "compositeResponse": answers })) }
    }

    fn part(&self, call: &Value, records: &mut Records, at: &At) -> Said {
        let text = |name: &str| call[name].as_str().unwrap_or_default();
        let Ok(method) = text("method").parse::<Method>() else { return malformed("no method") };
        let (path, query) = text("url").split_once('?').unwrap_or((text("url"), ""));
        let asked = Asked {
            method,
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: self.asked.headers.clone(),
            body: call["body"].clone(),
            is_malformed: false,
        };
        match asked.below(&["services", "data", self.version]).as_deref() {
            Some(rest) if rest != ["composite"] => {
                Call { method: &asked.method, rest, asked: &asked, ..*self }.answer(records, at)
            }
            _ => not_found(),
        }
    }

    fn url(&self, record_type: &str, id: &str) -> String {
        format!("/services/data/{}/sobjects/{record_type}/{id}", self.version)
    }

    fn shown(&self, record_type: &str, id: &str, record: &Value) -> Value {
        let attributes = json!({ "type": record_type, "url": self.url(record_type, id) });
        let mut shown = json!({ "attributes": attributes });
        merge(&mut shown, record);
        shown
    }
}

fn create(record_type: &str, body: &Value, records: &mut Records) -> Said {
    if !body.is_object() {
        return malformed("a JSON object was expected");
    }
    if body.get("Id").is_some() {
        return refused(
            400,
            "INVALID_FIELD",
            "The Id field should not be specified in the sobject data.",
        );
    }
    let prefix = PREFIXES.iter().find(|(name, _)| *name == record_type).map_or("a00", |(_, it)| it);
    let id = format!("{prefix}{:012}AAA", records.number());
    let mut record = json!({ "Id": id });
    merge(&mut record, body);
    records.put(record_type, &id, record);
    Said::new(201, &saved(&id, None)).created(record_type)
}

fn update(record_type: &str, id: &str, body: &Value, records: &mut Records) -> Said {
    match records.get_mut(record_type, id) {
        Some(record) if body.is_object() => {
            merge(record, body);
            Said::empty(204)
        }
        Some(_) => malformed("a JSON object was expected"),
        None => not_found(),
    }
}

fn saved(id: &str, created: Option<bool>) -> Value {
    let mut saved = json!({ "id": id, "success": true, "errors": [] });
    if let Some(created) = created {
        saved["created"] = created.into();
    }
    saved
}

fn not_found() -> Said {
    refused(404, "NOT_FOUND", "The requested resource does not exist")
}

fn not_allowed(method: &Method) -> Said {
    refused(405, "METHOD_NOT_ALLOWED", &format!("HTTP Method '{method}' not allowed."))
}

fn malformed(message: &str) -> Said {
    refused(400, "JSON_PARSER_ERROR", message)
}

fn refused(status: u16, code: &str, message: &str) -> Said {
    Said::new(status, &errors(code, message))
}

fn errors(code: &str, message: &str) -> Value {
    json!([{ "message": message, "errorCode": code }])
}
