//! SAP's OData services, V2 and V4: entity sets, CSRF tokens, ETags, `$filter` and the `$batch` of JSON.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::{
    asked::Asked,
    records::{Records, merge, reads},
    service::{At, Said, Service},
};

/// The field in which a record keeps its version, which no answer shows.
const VERSION: &str = "__version";

/// The cookie of the session that a CSRF token belongs to.
const SESSION: &str = "SAP_SESSIONID_SBX_100";

#[derive(Debug, Default)]
pub(super) struct OData {
    tokens: BTreeSet<String>,
    given: u64,
}

impl Service for OData {
    /// A write needs the token of its session, which a read has fetched before.
    fn admit(&mut self, asked: &Asked) -> Result<(), Box<Said>> {
        let reads = matches!(asked.method, Method::GET | Method::HEAD);
        let token = asked.header("x-csrf-token").unwrap_or_default();
        let session = format!("{SESSION}={token}");
        let cookies = asked.header("cookie").unwrap_or_default();
        let is_its = cookies.split(';').any(|cookie| cookie.trim() == session);
        match reads || (self.tokens.contains(token) && is_its) {
            true => Ok(()),
            false => {
                let text = "CSRF token validation failed";
                let mut said = Said::empty(403).header("x-csrf-token", "Required");
                *said.response.body_mut() = text.into();
                Err(Box::new(said.header("content-type", "text/plain; charset=utf-8")))
            }
        }
    }

    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let said = Call::new(asked, at).answer(records);
        match asked.header("x-csrf-token") {
            Some(fetch) if fetch.eq_ignore_ascii_case("fetch") => {
                self.given += 1;
                let token = format!("sbx-{:08}", self.given);
                let cookie = format!("{SESSION}={token}; path=/; HttpOnly");
                self.tokens.insert(token.clone());
                said.header("x-csrf-token", &token).header("set-cookie", &cookie)
            }
            _ => said,
        }
    }
}

/// A call, taken apart as OData has it.
struct Call<'a> {
    asked: &'a Asked,
    /// The path of the service, and of all that comes before the entity set.
    root: String,
    /// `A_SalesOrder`; empty for the service itself.
    set: &'a str,
    key: Option<String>,
    is_v4: bool,
}

impl<'a> Call<'a> {
    fn new(asked: &'a Asked, at: &At) -> Self {
        let last = asked.path.last().map_or("", String::as_str);
        // The service's own document is asked for at its root; a set has a name of its own.
        let is_root = last.contains("_SRV") || asked.path.len() < 5 && !last.contains('(');
        let (set, key) = match last.split_once('(') {
            Some((set, key)) => (set, Some(key_of(key))),
            None if is_root && asked.method != Method::POST => ("", None),
            None => (last, None),
        };
        let before = asked.path.len() - usize::from(!set.is_empty());
        let root = format!("{}/{}", at.base_url, asked.path[..before].join("/"));
        let is_v4 = asked.path.iter().any(|segment| segment.starts_with("odata4"));
        Self { asked, root, set, key, is_v4 }
    }

    fn answer(&self, records: &mut Records) -> Said {
        match (&self.asked.method, self.set, &self.key) {
            (&Method::POST, "$batch", _) => self.batch(records),
            (&Method::GET | &Method::HEAD, "" | "$metadata", _) => {
                Said::new(200, &json!({ "d": { "EntitySets": [] } }))
            }
            (&Method::POST, set, None) => self.create(set, records),
            (&Method::GET | &Method::HEAD, set, None) => self.list(set, records),
            (&Method::GET | &Method::HEAD, set, Some(key)) => match records.get(set, key) {
                Some(record) => {
                    Said::new(200, &self.shown(key, record)).header("etag", &etag(record))
                }
                None => self.missing(),
            },
            (&Method::PATCH | &Method::PUT | &Method::DELETE, set, Some(key)) => {
                self.change(set, key, records)
            }
            _ => self.refused(405, "/IWFND/CM_BEC/026", "the method is not allowed"),
        }
    }

    fn create(&self, set: &str, records: &mut Records) -> Said {
        if !self.asked.body.is_object() {
            return self.refused(400, "/IWBEP/CM_MGW_RT/020", "the body is no entity");
        }
        let field = key_field(set);
        let key = match self.asked.body[field].as_str() {
            Some(key) => key.to_owned(),
            None => format!("{:010}", records.number()),
        };
        if records.get(set, &key).is_some() {
            return self.refused(400, "/IWBEP/CM_MGW_RT/116", "the entity exists already");
        }
        let mut record = json!({ field: key, VERSION: 1 });
        merge(&mut record, &self.asked.body);
        records.put(set, &key, record.clone());
        let location = format!("{}/{set}('{key}')", self.root);
        Said::new(201, &self.shown(&key, &record))
            .header("location", &location)
            .header("etag", &etag(&record))
            .created(set)
    }

    /// What changes a record must say which version it means.
    fn change(&self, set: &str, key: &str, records: &mut Records) -> Said {
        let Some(record) = records.get_mut(set, key) else { return self.missing() };
        match self.asked.header("if-match") {
            None => {
                let message = "the precondition header If-Match is missing";
                return self.refused(428, "/IWBEP/CM_MGW_RT/175", message);
            }
            Some(wanted) if wanted != "*" && wanted != etag(record) => {
                return self.refused(412, "/IWBEP/CM_MGW_RT/176", "the entity has changed");
            }
            Some(_) => {}
        }
        if self.asked.method == Method::DELETE {
            records.remove(set, key);
            return Said::empty(204);
        }
        merge(record, &self.asked.body);
        record[VERSION] = (record[VERSION].as_u64().unwrap_or(0) + 1).into();
        Said::empty(204).header("etag", &etag(record))
    }

    /// All entities, or those with `$filter=Field eq 'value'`.
    fn list(&self, set: &str, records: &Records) -> Said {
        let filter = self.asked.query("$filter");
        let wanted = filter.and_then(|filter| filter.split_once(" eq "));
        if filter.is_some() && wanted.is_none() {
            return self.refused(400, "/IWBEP/CM_MGW_RT/171", "the $filter is not understood");
        }
        let fits = |record: &Value| match wanted {
            Some((field, value)) => reads(&record[field.trim()], value.trim().trim_matches('\'')),
            None => true,
        };
        let found = records.all(set).filter(|(_, record)| fits(record));
        let all: Vec<Value> = found.map(|(key, record)| self.plain(key, record)).collect();
        match self.is_v4 {
            true => Said::new(200, &json!({ "@odata.context": "$metadata", "value": all })),
            false => Said::new(200, &json!({ "d": { "results": all } })),
        }
    }

    /// The parts of a `$batch` in JSON (V4), each with its own status.
    fn batch(&self, records: &mut Records) -> Said {
        let Some(parts) = self.asked.body["requests"].as_array() else {
            return self.refused(400, "/IWFND/CM_BEC/001", "only a $batch in JSON is served here");
        };
        let mut effect = slowlane_sandbox::Effect::default();
        let mut answers = Vec::new();
        for part in parts {
            let said = self.part(part, records);
            let body = serde_json::from_slice::<Value>(said.response.body()).ok();
            let status = said.response.status().as_u16();
            answers.push(json!({ "id": part["id"], "status": status, "body": body }));
            effect.created.extend(said.effect.created);
        }
        Said { effect, ..Said::new(200, &json!({ "responses": answers })) }
    }

    fn part(&self, part: &Value, records: &mut Records) -> Said {
        let Some(asked) = self.asked.part(part) else {
            return self.refused(400, "/IWFND/CM_BEC/001", "a part has no method, or no url");
        };
        let last = asked.path.last().map_or("", String::as_str);
        let (set, key) = match last.split_once('(') {
            Some((set, key)) => (set, Some(key_of(key))),
            None => (last, None),
        };
        let root = self.root.clone();
        Call { asked: &asked, root, set, key, is_v4: self.is_v4 }.answer(records)
    }

    /// A record as its version of OData shows it.
    fn shown(&self, key: &str, record: &Value) -> Value {
        match self.is_v4 {
            true => self.plain(key, record),
            false => json!({ "d": self.plain(key, record) }),
        }
    }

    fn plain(&self, key: &str, record: &Value) -> Value {
        let mut shown = match self.is_v4 {
            true => json!({ "@odata.etag": etag(record) }),
            false => {
                let uri = format!("{}/{}('{key}')", self.root, self.set);
                json!({ "__metadata": { "uri": uri, "etag": etag(record) } })
            }
        };
        merge(&mut shown, record);
        if let Value::Object(members) = &mut shown {
            members.remove(VERSION);
        }
        shown
    }

    fn missing(&self) -> Said {
        self.refused(404, "/IWBEP/CM_MGW_RT/001", "Resource not found")
    }

    fn refused(&self, status: u16, code: &str, message: &str) -> Said {
        let message = match self.is_v4 {
            true => json!(message),
            false => json!({ "lang": "en", "value": message }),
        };
        Said::new(status, &json!({ "error": { "code": code, "message": message } }))
    }
}

/// `'1'` or `SalesOrder='1'`, of what stands in the parentheses.
fn key_of(text: &str) -> String {
    let text = text.trim_end_matches(')');
    text.rsplit_once('=').map_or(text, |(_, key)| key).trim_matches('\'').to_owned()
}

/// The field that holds the key: `SalesOrder` of `A_SalesOrder`.
fn key_field(set: &str) -> &str {
    set.strip_prefix("A_").unwrap_or("ID")
}

fn etag(record: &Value) -> String {
    format!("W/\"SADL-{}\"", record[VERSION])
}
