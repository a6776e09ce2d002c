//! Stripe v1: objects by their collections.

use http::Method;
use serde_json::{Value, json};

use crate::{
    asked::Asked,
    records::{Records, merge},
    service::{At, Said, Service},
};

/// A collection's path, its objects' word, and how their ids begin.
const COLLECTIONS: [(&str, &str, &str); 8] = [
    ("charges", "charge", "ch"),
    ("customers", "customer", "cus"),
    ("invoices", "invoice", "in"),
    ("payment_intents", "payment_intent", "pi"),
    ("prices", "price", "price"),
    ("products", "product", "prod"),
    ("refunds", "refund", "re"),
    ("subscriptions", "subscription", "sub"),
];

/// Fields that a new object must have.
const NEEDED: [(&str, &[&str]); 4] = [
    ("charge", &["amount", "currency"]),
    ("payment_intent", &["amount", "currency"]),
    ("price", &["currency"]),
    ("product", &["name"]),
];

/// Fields that are whole numbers, though a form knows only texts.
const NUMBERS: [&str; 4] = ["amount", "unit_amount", "quantity", "balance"];

/// A source whose charge is declined, as in Stripe's own test mode.
const DECLINED: &str = "tok_chargeDeclined";

#[derive(Debug)]
pub(super) struct Stripe;

impl Service for Stripe {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let path = asked.below(&["v1"]).unwrap_or_default();
        let collection = path
            .first()
            .and_then(|first| COLLECTIONS.into_iter().find(|(collection, ..)| collection == first));
        let Some((collection, object, prefix)) = collection else { return no_such_url(asked) };
        match (&asked.method, &path[1..]) {
            (&Method::POST, []) => create(object, prefix, asked, records, at),
            (&Method::GET, []) => {
                Said::new(200, &list(collection, records.all(object).map(|(_, one)| one)))
            }
            (&Method::GET, ["search"]) => search(collection, object, asked, records),
            (&Method::GET, [id]) => match records.get(object, id) {
                Some(record) => Said::new(200, record),
                None => missing(object, id),
            },
            (&Method::POST, [id]) => match records.get_mut(object, id) {
                Some(record) => {
                    merge(record, &typed(&asked.body));
                    Said::new(200, record)
                }
                None => missing(object, id),
            },
            (&Method::DELETE, [id]) => match records.remove(object, id) {
                Some(_) => Said::new(200, &json!({ "id": id, "object": object, "deleted": true })),
                None => missing(object, id),
            },
            _ => no_such_url(asked),
        }
    }
}

fn create(object: &str, prefix: &str, asked: &Asked, records: &mut Records, at: &At) -> Said {
    let needed = NEEDED.iter().find(|(name, _)| *name == object).map_or(&[][..], |(_, all)| all);
    if let Some(lacks) = needed.iter().find(|name| asked.body[**name].is_null()) {
        let message = format!("Missing required param: {lacks}.");
        return Said::new(400, &error("parameter_missing", Some(lacks), &message));
    }
    if asked.text("/source") == Some(DECLINED) {
        let mut declined = error("card_declined", None, "Your card was declined.");
        declined["error"]["type"] = "card_error".into();
        declined["error"]["decline_code"] = "generic_decline".into();
        return Said::new(402, &declined);
    }
    let id = format!("{prefix}_{:014}", records.number());
    let mut record = json!({
        "id": id,
        "object": object,
        "created": at.seconds(),
        "livemode": false,
        "metadata": {},
    });
    merge(&mut record, &typed(&asked.body));
    records.put(object, &id, record.clone());
    Said::new(200, &record).created(object)
}

/// `query=metadata['key']:'value'`, or a field's name in the place of `metadata['key']`.
fn search(collection: &str, object: &str, asked: &Asked, records: &Records) -> Said {
    let query = asked.query("query").unwrap_or_default();
    let Some((field, value)) = query.split_once(':') else {
        let message = "We were unable to parse your search query.";
        return Said::new(400, &error("invalid_request_error", Some("query"), message));
    };
    let value = value.trim_matches(['\'', '"']);
    let pointer = match field.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']')) {
        Some(key) => format!("/metadata/{}", key.trim_matches(['\'', '"'])),
        None => format!("/{field}"),
    };
    let ids = records.with(object, &pointer, value);
    let found = ids.iter().filter_map(|id| records.get(object, id));
    let mut result = list(&format!("{collection}/search"), found);
    result["object"] = "search_result".into();
    result["next_page"] = Value::Null;
    Said::new(200, &result)
}

fn list<'a>(path: &str, all: impl Iterator<Item = &'a Value>) -> Value {
    let data: Vec<&Value> = all.collect();
    json!({ "object": "list", "data": data, "has_more": false, "url": format!("/v1/{path}") })
}

/// A form's fields, with the numbers among them.
fn typed(body: &Value) -> Value {
    let mut typed = body.clone();
    for name in NUMBERS {
        let number = typed[name].as_str().and_then(|text| text.parse::<i64>().ok());
        if let Some(number) = number {
            typed[name] = number.into();
        }
    }
    if let Value::Object(members) = &mut typed {
        members.retain(|_, value| !value.is_null());
    }
    typed
}

fn missing(object: &str, id: &str) -> Said {
    let message = format!("No such {object}: '{id}'");
    Said::new(404, &error("resource_missing", Some("id"), &message))
}

fn no_such_url(asked: &Asked) -> Said {
    let path = asked.path.join("/");
    let message = format!("Unrecognized request URL ({}: /{path}).", asked.method);
    Said::new(404, &error("url_invalid", None, &message))
}

fn error(code: &str, parameter: Option<&str>, message: &str) -> Value {
    json!({
        "error": {
            "type": "invalid_request_error", "code": code, "param": parameter, "message": message,
        },
    })
}
