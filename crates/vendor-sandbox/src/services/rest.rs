//! Records as plain HTTP has them: `POST /orders` makes one, `/orders/ID` is one.

use http::Method;
use serde_json::{Value, json};

use crate::{
    asked::Asked,
    records::{Records, merge, reads},
    service::{At, Said, Service},
};

/// Any collection of records, at any path.
#[derive(Debug, Default)]
pub(super) struct Rest;

impl Service for Rest {
    fn answer(&mut self, asked: &Asked, records: &mut Records, _: &At) -> Said {
        let collection = asked.path.join("/");
        let (parent, id) = match asked.path.split_last() {
            Some((id, parent)) => (parent.join("/"), id.as_str()),
            None => (String::new(), ""),
        };
        match asked.method {
            Method::POST => create(&collection, asked, records),
            Method::GET | Method::HEAD => match records.get(&parent, id) {
                Some(record) => Said::new(200, record),
                None if records.all(&collection).next().is_some() || asked.path.len() == 1 => {
                    Said::new(200, &list(&collection, asked, records))
                }
                None => missing(),
            },
            Method::PUT => {
                let record = with_id(id, &asked.body);
                match records.put(&parent, id, record.clone()) {
                    true => Said::new(201, &record).created(&parent),
                    false => Said::new(200, &record),
                }
            }
            Method::PATCH => match records.get_mut(&parent, id) {
                Some(record) => {
                    merge(record, &asked.body);
                    Said::new(200, record)
                }
                None => missing(),
            },
            Method::DELETE => match records.remove(&parent, id) {
                Some(_) => Said::empty(204),
                None => missing(),
            },
            _ => Said::new(405, &problem("method_not_allowed", "there is no such method here")),
        }
    }
}

fn create(collection: &str, asked: &Asked, records: &mut Records) -> Said {
    let id = records.number().to_string();
    let record = with_id(&id, &asked.body);
    records.put(collection, &id, record.clone());
    Said::new(201, &record).header("location", &format!("/{collection}/{id}")).created(collection)
}

/// The records whose fields are as the query says.
fn list(collection: &str, asked: &Asked, records: &Records) -> Value {
    let fits =
        |record: &&Value| asked.query.iter().all(|(name, wanted)| reads(&record[name], wanted));
    records.all(collection).map(|(_, record)| record).filter(fits).cloned().collect()
}

fn with_id(id: &str, body: &Value) -> Value {
    let mut record = json!({ "id": id });
    match body {
        Value::Object(_) => merge(&mut record, body),
        Value::Null => {}
        other => record["body"] = other.clone(),
    }
    record
}

fn missing() -> Said {
    Said::new(404, &problem("not_found", "there is no such record"))
}

fn problem(code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message })
}
