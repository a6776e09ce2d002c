//! The records that the sandbox holds, and the record service's operations on them.

mod attach;
mod filter;
mod merge;
mod seed;
mod target;
mod view;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use slowlane_sandbox::{Created, Effect};

pub use self::seed::Seed;
use self::target::{Key, Operation, Target};
pub(crate) use self::target::{external_id, segments};
use self::{
    attach::{Attachments, Name, can_be_attached, role_in},
    filter::Filter,
    merge::{Merged, Replace, merge},
};
use crate::{
    Request, Response,
    paging::Page,
    problem::{Place, Problem, json_response},
    query::query_param,
    route::{self, text_header},
    schema::{RecordType, UnknownNames},
};

/// The first internal id that is given out.
const FIRST_ID: u64 = 1001;

/// All records, by type.
#[derive(Debug)]
pub(crate) struct Store {
    tables: BTreeMap<String, Table>,
    next_id: u64,
    /// Counts all changes; a record's version is the count at its last one.
    changes: u64,
    attachments: Attachments,
}

/// The records of one type.
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<u64, Record>,
    by_external_id: HashMap<String, u64>,
}

#[derive(Debug)]
struct Record {
    fields: Map<String, Value>,
    version: u64,
}

/// An answer and what it took to give it.
pub(crate) type Done = Result<(Response, Effect), Problem>;

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
            next_id: FIRST_ID,
            changes: 0,
            attachments: Attachments::default(),
        }
    }

    /// What is attached to what, in words.
    pub(crate) fn attachments(&self) -> Vec<String> {
        self.attachments.in_words()
    }

    /// How many records there are of each type.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.tables.iter().map(|(name, table)| (name.clone(), table.records.len() as u64)).collect()
    }

    /// The tables whose names a predicate picks, each with its name.
    pub(crate) fn tables(
        &self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&str, &Table)> {
        self.tables
            .iter()
            .map(|(name, table)| (name.as_str(), table))
            .filter(move |(name, _)| is_wanted(name))
    }

    /// Does what a request asks for.
    pub(crate) fn execute(&mut self, request: &Request, now: Duration) -> Done {
        let Target { record_type, type_name, operation } = Target::of(request)?;
        let only = |response| Ok((response, Effect::default()));
        match operation {
            Operation::List => only(self.list(request, record_type, &type_name)?),
            Operation::Create => {
                let body = object_in(request)?;
                self.create(request, record_type, &type_name, body, now)
            }
            Operation::Get(key) => {
                let (id, record) = self.find(request, &type_name, &key)?;
                let url = record_url(request, &type_name, id);
                let body = view::record(record_type, &record.fields, &url, request)?;
                only(json_response(StatusCode::OK, &body))
            }
            Operation::Subresource(key, below) => {
                let (id, record) = self.find(request, &type_name, &key)?;
                let url = record_url(request, &type_name, id);
                let body = view::subresource(record_type, &record.fields, &below, &url)?;
                only(json_response(StatusCode::OK, &body))
            }
            Operation::Update(key) => self.update(request, record_type, &type_name, &key, now),
            Operation::Upsert(external_id) => {
                let key = Key::External(external_id.clone());
                if self.find(request, &type_name, &key).is_ok() {
                    return self.update(request, record_type, &type_name, &key, now);
                }
                let mut body = object_in(request)?;
                body.insert("externalId".to_owned(), Value::from(external_id));
                self.create(request, record_type, &type_name, body, now)
            }
            Operation::Delete(key) => only(self.delete(request, &type_name, &key)?),
            Operation::Transform(key, target) => {
                self.transform(request, &type_name, &key, &target, now)
            }
            Operation::Attach(key, other, other_key) => {
                let (record, other) =
                    self.relation(request, type_name, &key, &other, &other_key)?;
                let body = if request.body().is_empty() { Map::new() } else { object_in(request)? };
                let role = role_in(&other.0, &body)?;
                self.attachments.attach(record, other, role);
                only(no_content())
            }
            Operation::Detach(key, other, other_key) => {
                let (record, other) =
                    self.relation(request, type_name, &key, &other, &other_key)?;
                self.attachments.detach(record, other);
                only(no_content())
            }
        }
    }

    /// Ids and addresses only: `GET /{type}?q=…&limit=…&offset=…`.
    fn list(
        &self,
        request: &Request,
        record_type: &RecordType,
        type_name: &str,
    ) -> Result<Response, Problem> {
        let page = Page::in_query(request)?;
        let filter =
            query_param(request, "q").map(|text| Filter::parse(&text, record_type)).transpose()?;
        let passes =
            |record: &Record| filter.as_ref().is_none_or(|filter| filter.passes(&record.fields));
        let ids: Vec<u64> = self
            .tables
            .get(type_name)
            .into_iter()
            .flat_map(|table| table.records.iter())
            .filter(|(_, record)| passes(record))
            .map(|(id, _)| *id)
            .collect();
        let url = format!("{}{}{type_name}", route::base_url(request), route::RECORD_PATH);
        let items = ids[page.range(ids.len())]
            .iter()
            .map(|id| view::list_item(*id, &record_url(request, type_name, *id)))
            .collect();
        Ok(json_response(StatusCode::OK, &page.body(&url, ids.len(), items)))
    }

    /// Creates a record from a body that is not yet checked.
    pub(crate) fn create(
        &mut self,
        request: &Request,
        record_type: &RecordType,
        type_name: &str,
        body: Map<String, Value>,
        now: Duration,
    ) -> Done {
        let body = record_type.admit(body, unknown_names(request)?)?;
        // A new record is an empty one with all lines added.
        let Merged { record, .. } = merge(record_type, &Map::new(), body, &Replace::default())?;
        let (id, created) = self.insert(record_type, type_name, record, now)?;
        let effect = Effect { created: vec![created], additions: 0 };
        Ok((no_content_at(request, type_name, id), effect))
    }

    /// Saves a new record; gives its id, and its type and external id if it has one.
    fn insert(
        &mut self,
        record_type: &RecordType,
        type_name: &str,
        mut record: Map<String, Value>,
        now: Duration,
    ) -> Result<(u64, Created), Problem> {
        record_type.complete(&record)?;
        let table = self.tables.entry(type_name.to_owned()).or_default();
        let id = self.next_id;
        let external_id = external_id_of(&record);
        if let Some(external_id) = &external_id {
            table.claim_external_id(external_id, id, record_type)?;
        }
        self.next_id += 1;
        self.changes += 1;
        record.insert("id".to_owned(), Value::from(id.to_string()));
        stamp(&mut record, "createdDate", now);
        stamp(&mut record, "lastModifiedDate", now);
        table.records.insert(id, Record { fields: record, version: self.changes });
        Ok((id, Created { record_type: type_name.to_owned(), external_id }))
    }

    fn update(
        &mut self,
        request: &Request,
        record_type: &RecordType,
        type_name: &str,
        key: &Key,
        now: Duration,
    ) -> Done {
        let changes = record_type.admit(object_in(request)?, unknown_names(request)?)?;
        let replace = Replace::in_query(request)?;
        let (id, before) = self.find(request, type_name, key)?;
        let Merged { record: mut after, lines_added } =
            merge(record_type, &before.fields, changes, &replace)?;
        record_type.complete(&after)?;

        let (old, new) = (external_id_of(&before.fields), external_id_of(&after));
        let table = self.tables.entry(type_name.to_owned()).or_default();
        if old != new {
            if let Some(external_id) = &new {
                table.claim_external_id(external_id, id, record_type)?;
            }
            if let Some(external_id) = &old {
                table.by_external_id.remove(external_id);
            }
        }
        self.changes += 1;
        stamp(&mut after, "lastModifiedDate", now);
        table.records.insert(id, Record { fields: after, version: self.changes });
        Ok((
            no_content_at(request, type_name, id),
            Effect { created: Vec::new(), additions: lines_added },
        ))
    }

    fn delete(
        &mut self,
        request: &Request,
        type_name: &str,
        key: &Key,
    ) -> Result<Response, Problem> {
        let (id, _) = self.find(request, type_name, key)?;
        if let Some(table) = self.tables.get_mut(type_name)
            && let Some(record) = table.records.remove(&id)
            && let Some(external_id) = external_id_of(&record.fields)
        {
            table.by_external_id.remove(&external_id);
        }
        self.attachments.forget(&(type_name.to_owned(), id));
        Ok(no_content())
    }

    /// Makes a record of another type from one: what both types have is carried over, then the
    /// body is brought in as an update.
    fn transform(
        &mut self,
        request: &Request,
        type_name: &str,
        key: &Key,
        target: &str,
        now: Duration,
    ) -> Done {
        let (target_type, target_name) =
            RecordType::transformed(type_name, target).ok_or_else(|| {
                Problem::invalid_request(format!(
                    "A record of type {type_name} cannot be transformed to {target}."
                ))
            })?;
        let (id, source) = self.find(request, type_name, key)?;
        let mut carried: Map<String, Value> = source
            .fields
            .iter()
            .filter(|(name, _)| target_type.carries(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        carried.insert("createdFrom".to_owned(), serde_json::json!({"id": id.to_string()}));
        let body = if request.body().is_empty() { Map::new() } else { object_in(request)? };
        let changes = target_type.admit(body, unknown_names(request)?)?;
        let replace = Replace::in_query(request)?;
        let Merged { record, .. } = merge(target_type, &carried, changes, &replace)?;
        let (id, created) = self.insert(target_type, &target_name, record, now)?;
        Ok((
            no_content_at(request, &target_name, id),
            Effect { created: vec![created], additions: 0 },
        ))
    }

    /// The two records that an attachment is between.
    fn relation(
        &self,
        request: &Request,
        type_name: String,
        key: &Key,
        other_type: &str,
        other_key: &Key,
    ) -> Result<(Name, Name), Problem> {
        can_be_attached(other_type)?;
        let (id, _) = self.find(request, &type_name, key)?;
        let (other_id, _) = self.find(request, other_type, other_key)?;
        Ok(((type_name, id), (other_type.to_owned(), other_id)))
    }

    fn find(
        &self,
        request: &Request,
        type_name: &str,
        key: &Key,
    ) -> Result<(u64, &Record), Problem> {
        self.tables
            .get(type_name)
            .and_then(|table| table.find(key))
            .ok_or_else(|| Problem::nonexistent_id(request.uri().path()))
    }

    /// The version of the record that an update or an upsert is about: 0 if there is none yet,
    /// nothing if the request is not about one.
    pub(crate) fn version(&self, request: &Request) -> Option<u64> {
        let target = Target::of(request).ok()?;
        let key = match target.operation {
            Operation::Update(key) => key,
            Operation::Upsert(external_id) => Key::External(external_id),
            _ => return None,
        };
        let record = self.tables.get(&target.type_name).and_then(|table| table.find(&key));
        Some(record.map_or(0, |(_, record)| record.version))
    }
}

impl Table {
    fn find(&self, key: &Key) -> Option<(u64, &Record)> {
        let id = match key {
            Key::Internal(id) => id,
            Key::External(external_id) => self.by_external_id.get(external_id)?,
        };
        self.records.get(id).map(|record| (*id, record))
    }

    /// The fields of all records from an internal id on, by internal id.
    pub(crate) fn rows_from(&self, id: u64) -> impl Iterator<Item = (u64, &Map<String, Value>)> {
        self.records.range(id..).map(|(id, record)| (*id, &record.fields))
    }

    /// An external id belongs to one record of a type.
    fn claim_external_id(
        &mut self,
        external_id: &str,
        id: u64,
        record_type: &RecordType,
    ) -> Result<(), Problem> {
        if self.by_external_id.contains_key(external_id) {
            let what = if record_type.is_entity() { "entity" } else { "record" };
            return Err(Problem::already_exists(what));
        }
        self.by_external_id.insert(external_id.to_owned(), id);
        Ok(())
    }
}

/// The JSON object in a body.
pub(crate) fn object_in(request: &Request) -> Result<Map<String, Value>, Problem> {
    if text_header(request, "content-type").is_some_and(|value| !value.contains("json")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "INVALID_HEADER",
            "The content type must be application/json.",
        )
        .at(Place::Header("Content-Type")));
    }
    serde_json::from_slice(request.body()).map_err(|error| {
        let detail = format!("The body is not a JSON object: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "INVALID_CONTENT", detail)
    })
}

fn unknown_names(request: &Request) -> Result<UnknownNames, Problem> {
    const NAME: &str = "X-NetSuite-PropertyNameValidation";
    match text_header(request, NAME).map(str::to_lowercase).as_deref() {
        Some("error") => Ok(UnknownNames::Refuse),
        None | Some("warning" | "ignore") => Ok(UnknownNames::Drop),
        Some(other) => Err(Problem::invalid_header(
            NAME,
            format!("'{other}' is none of Error, Warning, Ignore."),
        )),
    }
}

fn external_id_of(record: &Map<String, Value>) -> Option<String> {
    record.get("externalId").and_then(Value::as_str).map(str::to_owned)
}

fn stamp(record: &mut Map<String, Value>, field: &str, now: Duration) {
    record.insert(field.to_owned(), Value::from(timestamp(now)));
}

/// A time as records and jobs show it: RFC 3339, UTC, whole seconds.
pub(crate) fn timestamp(now: Duration) -> String {
    let at = jiff::Timestamp::UNIX_EPOCH.saturating_add(now).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.0}")
}

fn record_url(request: &Request, type_name: &str, id: u64) -> String {
    format!("{}{}{type_name}/{id}", route::base_url(request), route::RECORD_PATH)
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
