//! The records that the sandbox holds, and the operations on them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    Request, Response,
    problem::{Place, Problem, json_response},
    route::{self, Key, Operation, query_param},
    schema::{self, RecordType, Sublist, UnknownNames, lines},
};

/// The first internal id that is given out.
const FIRST_ID: u64 = 1001;

/// All records, by type.
#[derive(Debug)]
pub(crate) struct Store {
    tables: BTreeMap<String, Table>,
    next_id: u64,
}

#[derive(Debug, Default)]
struct Table {
    records: BTreeMap<u64, Map<String, Value>>,
    by_external_id: HashMap<String, u64>,
}

/// What a call changed that a repeat of it would change a second time.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Effect {
    /// A created record's type and external id, if it has one.
    pub(crate) created: Vec<Option<String>>,
    /// Lines added to sublists of records that were there before.
    pub(crate) lines_added: usize,
}

impl Effect {
    pub(crate) fn is_none(&self) -> bool {
        self.created.is_empty() && self.lines_added == 0
    }
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { tables: BTreeMap::new(), next_id: FIRST_ID }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.tables.iter().map(|(name, table)| (name.clone(), table.records.len() as u64)).collect()
    }

    /// Does what a request asks for.
    pub(crate) fn execute(
        &mut self,
        request: &Request,
        now: Duration,
    ) -> Result<(Response, Effect), Problem> {
        match route::operation(request)? {
            Operation::Create { record_type } => self.create(request, &record_type, None, now),
            Operation::Get { record_type, key } => self.get(request, &record_type, &key),
            Operation::Update { record_type, key } => self.update(request, &record_type, &key, now),
            Operation::Delete { record_type, key } => self.delete(&record_type, &key),
            Operation::Upsert { record_type, external_id } => {
                let key = Key::External(external_id.clone());
                match self.find(&record_type, &key) {
                    Ok(_) => self.update(request, &record_type, &key, now),
                    Err(_) => self.create(request, &record_type, Some(external_id), now),
                }
            }
        }
    }

    fn create(
        &mut self,
        request: &Request,
        type_name: &str,
        external_id: Option<String>,
        now: Duration,
    ) -> Result<(Response, Effect), Problem> {
        let record_type = known(type_name)?;
        let mut record = record_type.admit(object_in(request)?, unknown_names(request)?)?;
        if let Some(external_id) = external_id {
            record.insert("externalId".to_owned(), Value::from(external_id));
        }
        record.retain(|_, value| !value.is_null());
        for sublist in record_type.sublists {
            let added = lines(&record, sublist.name).to_vec();
            if !added.is_empty() {
                record.insert(sublist.name.to_owned(), sublist.with_lines(Vec::new(), added)?);
            }
        }
        record_type.complete(&record)?;
        stamp(&mut record, "createdDate", now);
        let external_id = external_id_of(&record);
        let id = self.insert(type_name, record, now)?;
        let name = external_id.map(|external_id| format!("{type_name}/eid:{external_id}"));
        let effect = Effect { created: vec![name], lines_added: 0 };
        Ok((no_content_at(request, type_name, id), effect))
    }

    fn insert(
        &mut self,
        type_name: &str,
        mut record: Map<String, Value>,
        now: Duration,
    ) -> Result<u64, Problem> {
        let table = self.tables.entry(type_name.to_owned()).or_default();
        let id = self.next_id;
        if let Some(external_id) = external_id_of(&record) {
            table.claim_external_id(&external_id, id)?;
        }
        self.next_id += 1;
        stamp(&mut record, "lastModifiedDate", now);
        record.insert("id".to_owned(), Value::from(id.to_string()));
        table.records.insert(id, record);
        Ok(id)
    }

    fn get(
        &self,
        request: &Request,
        type_name: &str,
        key: &Key,
    ) -> Result<(Response, Effect), Problem> {
        let id = self.find(type_name, key)?;
        let record_type = known(type_name)?;
        let record = self
            .tables
            .get(type_name)
            .and_then(|table| table.records.get(&id))
            .ok_or_else(|| Problem::nonexistent_id(type_name))?;
        let url = record_url(request, type_name, id);
        let fields = query_param(request, "fields");
        let wanted = |name: &str| match &fields {
            Some(fields) => fields.split(',').any(|field| field.trim() == name),
            None => true,
        };
        let expand = flag(request, "expandSubResources")?;
        let mut body = Map::new();
        body.insert("links".to_owned(), json!([{"rel": "self", "href": url}]));
        for (name, value) in record.iter().filter(|(name, _)| wanted(name)) {
            let value = match record_type.sublist(name) {
                Some(_) if !expand => {
                    json!({"links": [{"rel": "self", "href": format!("{url}/{name}")}]})
                }
                Some(_) => expanded(&format!("{url}/{name}"), lines(record, name)),
                None => value.clone(),
            };
            body.insert(name.clone(), value);
        }
        Ok((json_response(StatusCode::OK, &Value::Object(body)), Effect::default()))
    }

    fn update(
        &mut self,
        request: &Request,
        type_name: &str,
        key: &Key,
        now: Duration,
    ) -> Result<(Response, Effect), Problem> {
        let id = self.find(type_name, key)?;
        let record_type = known(type_name)?;
        let changes = record_type.admit(object_in(request)?, unknown_names(request)?)?;
        let replace = Replace::in_query(request)?;
        let table = self.tables.entry(type_name.to_owned()).or_default();
        let before = table.records.get(&id).ok_or_else(|| Problem::nonexistent_id(type_name))?;
        let (mut after, lines_added) = merge(record_type, before, changes, &replace)?;
        record_type.complete(&after)?;

        let (old_external_id, new_external_id) = (external_id_of(before), external_id_of(&after));
        if old_external_id != new_external_id {
            if let Some(external_id) = &new_external_id {
                table.claim_external_id(external_id, id)?;
            }
            if let Some(external_id) = old_external_id {
                table.by_external_id.remove(&external_id);
            }
        }
        stamp(&mut after, "lastModifiedDate", now);
        table.records.insert(id, after);
        Ok((no_content_at(request, type_name, id), Effect { created: Vec::new(), lines_added }))
    }

    fn delete(&mut self, type_name: &str, key: &Key) -> Result<(Response, Effect), Problem> {
        let id = self.find(type_name, key)?;
        if let Some(table) = self.tables.get_mut(type_name)
            && let Some(record) = table.records.remove(&id)
            && let Some(external_id) = external_id_of(&record)
        {
            table.by_external_id.remove(&external_id);
        }
        Ok((no_content(), Effect::default()))
    }

    /// The internal id of a record that exists.
    fn find(&self, type_name: &str, key: &Key) -> Result<u64, Problem> {
        known(type_name)?;
        let table = self.tables.get(type_name);
        let found = match key {
            Key::Internal(id) => table.filter(|table| table.records.contains_key(id)).map(|_| *id),
            Key::External(external_id) => {
                table.and_then(|table| table.by_external_id.get(external_id)).copied()
            }
        };
        found.ok_or_else(|| {
            Problem::nonexistent_id(&match key {
                Key::Internal(id) => format!("{type_name}/{id}"),
                Key::External(external_id) => format!("{type_name}/eid:{external_id}"),
            })
        })
    }
}

impl Table {
    /// An external id belongs to one record of a type.
    fn claim_external_id(&mut self, external_id: &str, id: u64) -> Result<(), Problem> {
        match self.by_external_id.get(external_id) {
            Some(_) => Err(Problem::invalid_content(
                "externalId",
                format!("This entity already exists: a record has the external ID {external_id}."),
            )),
            None => {
                self.by_external_id.insert(external_id.to_owned(), id);
                Ok(())
            }
        }
    }
}

/// What an update says about lines and fields that its body does not name.
struct Replace {
    names: Vec<String>,
    /// `replaceSelectedFields=true`: a body field in `replace` that the body lacks is cleared.
    selected_fields: bool,
}

impl Replace {
    fn in_query(request: &Request) -> Result<Self, Problem> {
        let names = query_param(request, "replace").unwrap_or_default();
        Ok(Self {
            names: names
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            selected_fields: flag(request, "replaceSelectedFields")?,
        })
    }
}

/// The record after an update, and how many lines it gained.
fn merge(
    record_type: &RecordType,
    before: &Map<String, Value>,
    changes: Map<String, Value>,
    replace: &Replace,
) -> Result<(Map<String, Value>, usize), Problem> {
    let mut after = before.clone();
    let mut lines_added = 0;
    if replace.selected_fields {
        after.retain(|name, _| !replace.names.contains(name));
    }
    for (name, value) in changes {
        let Some(sublist) = record_type.sublist(&name) else {
            match value {
                Value::Null => after.remove(&name),
                value => after.insert(name, value),
            };
            continue;
        };
        let given = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let kept = match replace.names.contains(&name) {
            true => Vec::new(),
            false => lines(before, &name).to_vec(),
        };
        let lines_before = kept.len();
        let merged = sublist.with_lines(kept, given)?;
        // Replaced lines are the same after a repeat: only growth of what was kept is an effect.
        if !replace.names.contains(&name) {
            lines_added += merged["items"].as_array().map_or(0, Vec::len) - lines_before;
        }
        after.insert(name, merged);
    }
    Ok((after, lines_added))
}

impl Sublist {
    /// The sublist after `given` lines met the `kept` ones: a line with the key of a kept line
    /// changes it, every other line is added.
    fn with_lines(&self, mut kept: Vec<Value>, given: Vec<Value>) -> Result<Value, Problem> {
        for (index, line) in given.into_iter().enumerate() {
            let Value::Object(mut line) = line else { continue };
            let Some(key) = self.key else {
                kept.push(Value::Object(line));
                continue;
            };
            match line.get(key).cloned() {
                Some(wanted) => {
                    let found = kept
                        .iter_mut()
                        .filter_map(Value::as_object_mut)
                        .find(|old| old.get(key) == Some(&wanted));
                    let old = found.ok_or_else(|| {
                        let path = format!("{}.items[{index}].{key}", self.name);
                        Problem::invalid_content(
                            path,
                            format!("there is no line with {key} {wanted}"),
                        )
                    })?;
                    old.extend(line);
                    old.retain(|_, value| !value.is_null());
                }
                None => {
                    let highest = kept.iter().filter_map(|line| line.get(key)?.as_u64()).max();
                    line.insert(key.to_owned(), Value::from(highest.unwrap_or(0) + 1));
                    kept.push(Value::Object(line));
                }
            }
        }
        Ok(json!({ "items": kept }))
    }
}

fn known(type_name: &str) -> Result<&'static RecordType, Problem> {
    schema::find(type_name).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            format!("Record type '{type_name}' does not exist."),
        )
        .at(Place::Url(type_name.to_owned()))
    })
}

fn object_in(request: &Request) -> Result<Map<String, Value>, Problem> {
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|value| !value.contains("json")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "INVALID_HEADER",
            "The content type must be application/json.",
        )
        .at(Place::Header("Content-Type")));
    }
    serde_json::from_slice(request.body()).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "INVALID_CONTENT",
            format!("The body is not a JSON object: {error}"),
        )
    })
}

/// A query parameter that is `true`, `false` or not there.
fn flag(request: &Request, name: &'static str) -> Result<bool, Problem> {
    match query_param(request, name).as_deref() {
        Some("true") => Ok(true),
        None | Some("false") => Ok(false),
        Some(other) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "INVALID_PARAMETER",
            format!("'{other}' is neither true nor false."),
        )
        .at(Place::QueryParam(name))),
    }
}

fn unknown_names(request: &Request) -> Result<UnknownNames, Problem> {
    const NAME: &str = "X-NetSuite-PropertyNameValidation";
    let value = request.headers().get(NAME).and_then(|value| value.to_str().ok());
    match value.map(str::to_lowercase).as_deref() {
        Some("error") => Ok(UnknownNames::Refuse),
        None | Some("warning" | "ignore") => Ok(UnknownNames::Drop),
        Some(other) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "INVALID_HEADER",
            format!("'{other}' is none of Error, Warning, Ignore."),
        )
        .at(Place::Header(NAME))),
    }
}

fn external_id_of(record: &Map<String, Value>) -> Option<String> {
    record.get("externalId").and_then(Value::as_str).map(str::to_owned)
}

fn stamp(record: &mut Map<String, Value>, field: &str, now: Duration) {
    let at = jiff::Timestamp::UNIX_EPOCH.saturating_add(now).unwrap_or(jiff::Timestamp::MAX);
    record.insert(field.to_owned(), Value::from(format!("{at:.0}")));
}

fn record_url(request: &Request, type_name: &str, id: u64) -> String {
    format!("{}/services/rest/record/v1/{type_name}/{id}", route::base_url(request))
}

/// A sublist as `expandSubResources=true` shows it.
fn expanded(url: &str, lines: &[Value]) -> Value {
    json!({
        "links": [{"rel": "self", "href": url}],
        "items": lines,
        "totalResults": lines.len(),
    })
}

fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn no_content_at(request: &Request, type_name: &str, id: u64) -> Response {
    let mut response = no_content();
    if let Ok(location) = HeaderValue::try_from(record_url(request, type_name, id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
