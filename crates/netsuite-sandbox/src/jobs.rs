//! Asynchronous requests: jobs, their tasks, idempotency keys, and batches.
//!
//! Source: Oracle help, "REST Web Services Request Processing" (chapter_161251386312), "Sending an
//! Asynchronous Request Using an Idempotency Key" (subsect_164494900632) and "Batch Operations"
//! (article_0127092747).

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    Request, Response,
    problem::{Problem, json_response},
    query::{query_param, query_params},
    records::{object_in, segments, timestamp},
    route::{self, JOB_PATH, RECORD_PATH, text_header},
};

/// The most records in one batch.
const MAX_BATCH: usize = 100;

/// All jobs that were submitted.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: BTreeMap<u64, Job>,
    by_key: HashMap<String, u64>,
    /// The account has one asynchronous processor; it is busy until then.
    busy_until: Duration,
}

#[derive(Debug)]
struct Job {
    key: Option<String>,
    starts_at: Duration,
    ends_at: Duration,
    tasks: Vec<Task>,
}

/// One request of a job: the job's own, or one record's of a batch.
#[derive(Debug)]
struct Task {
    request: Request,
    answer: Option<Response>,
}

/// A task whose time has come.
#[derive(Debug)]
pub(crate) struct Due {
    job: u64,
    task: usize,
    pub(crate) request: Request,
    /// Its own name under its job's idempotency key.
    pub(crate) key: Option<String>,
    pub(crate) at: Duration,
}

impl Jobs {
    /// Queues a request that takes `takes`, once the processor is free, and answers 202.
    pub(crate) fn submit(
        &mut self,
        request: &Request,
        takes: Duration,
        now: Duration,
    ) -> Result<Response, Problem> {
        let key = text_header(request, "x-netsuite-idempotency-key").map(str::to_owned);
        if let Some(job) = key.as_ref().and_then(|key| self.by_key.get(key)) {
            return Err(Problem::idempotency_error(format!("{JOB_PATH}{job}")));
        }
        let tasks = tasks_of(request)?;
        let id = self.jobs.len() as u64 + 1;
        let starts_at = self.busy_until.max(now);
        self.busy_until = starts_at + takes;
        if let Some(key) = &key {
            self.by_key.insert(key.clone(), id);
        }
        let tasks = tasks.into_iter().map(|request| Task { request, answer: None }).collect();
        self.jobs.insert(id, Job { key, starts_at, ends_at: self.busy_until, tasks });

        let mut response = Response::default();
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
        if let Ok(location) =
            HeaderValue::try_from(format!("{}{JOB_PATH}{id}", route::base_url(request)))
        {
            headers.insert(header::LOCATION, location);
        }
        Ok(response)
    }

    /// The next task that is done by `now` and not executed yet, the earliest first.
    pub(crate) fn next_due(&self, now: Duration) -> Option<Due> {
        // One processor ends jobs in the order in which they were submitted.
        self.jobs.iter().take_while(|(_, job)| job.ends_at <= now).find_map(|(id, job)| {
            let task = job.tasks.iter().position(|task| task.answer.is_none())?;
            Some(Due {
                job: *id,
                task,
                request: job.tasks.get(task)?.request.clone(),
                key: job.key.as_ref().map(|key| format!("{key} task {}", task + 1)),
                at: job.ends_at,
            })
        })
    }

    /// Keeps the answer of a task.
    pub(crate) fn settle(&mut self, due: &Due, answer: Response) {
        if let Some(task) = self.jobs.get_mut(&due.job).and_then(|job| job.tasks.get_mut(due.task))
        {
            task.answer = Some(answer);
        }
    }

    /// `GET /job/{id}`, `…/task`, `…/task/{n}`, `…/task/{n}/result`.
    pub(crate) fn answer(&self, request: &Request, now: Duration) -> Result<Response, Problem> {
        if request.method() != Method::GET {
            return Err(Problem::method_not_allowed());
        }
        let path = request.uri().path().trim_end_matches('/');
        let missing = || Problem::nonexistent_id(path);
        let below: Vec<&str> = path.strip_prefix(JOB_PATH).unwrap_or_default().split('/').collect();
        let (id, below) = below.split_first().ok_or_else(missing)?;
        let job = id.parse().ok().and_then(|id: u64| self.jobs.get(&id)).ok_or_else(missing)?;
        let job_url = format!("{}{JOB_PATH}{id}", route::base_url(request));
        let task_of = |number: &str| {
            let number: usize = number.parse().ok()?;
            job.tasks.get(number.checked_sub(1)?).map(|task| (number, task))
        };
        match below {
            [] => Ok(json_response(StatusCode::OK, &job.body(id, &job_url, now))),
            ["task"] => {
                let items: Vec<Value> = job
                    .tasks
                    .iter()
                    .enumerate()
                    .map(|(at, task)| job.task_body(task, at + 1, &job_url, now))
                    .collect();
                let body = json!({
                    "links": [{"rel": "self", "href": format!("{job_url}/task")}],
                    "count": items.len(),
                    "hasMore": false,
                    "offset": 0,
                    "totalResults": items.len(),
                    "items": items,
                });
                Ok(json_response(StatusCode::OK, &body))
            }
            ["task", number] => {
                let (number, task) = task_of(number).ok_or_else(missing)?;
                Ok(json_response(StatusCode::OK, &job.task_body(task, number, &job_url, now)))
            }
            ["task", number, "result"] => {
                let (_, task) = task_of(number).ok_or_else(missing)?;
                task.answer.clone().ok_or_else(missing)
            }
            _ => Err(missing()),
        }
    }
}

impl Job {
    fn body(&self, id: &str, url: &str, now: Duration) -> Value {
        let has_failed = self.tasks.iter().any(Task::has_failed);
        let mut body = self.state(has_failed, now);
        body.insert("links".to_owned(), json!([{"rel": "self", "href": url}]));
        body.insert("id".to_owned(), Value::from(id));
        body.insert(
            "task".to_owned(),
            json!({"links": [{"rel": "self", "href": format!("{url}/task")}]}),
        );
        Value::Object(body)
    }

    fn task_body(&self, task: &Task, number: usize, job_url: &str, now: Duration) -> Value {
        let url = format!("{job_url}/task/{number}");
        let mut body = self.state(task.has_failed(), now);
        body.insert("links".to_owned(), json!([{"rel": "self", "href": url}]));
        body.insert("id".to_owned(), Value::from(number.to_string()));
        body.insert(
            "result".to_owned(),
            json!({"links": [{"rel": "self", "href": format!("{url}/result")}]}),
        );
        Value::Object(body)
    }

    fn state(&self, has_failed: bool, now: Duration) -> Map<String, Value> {
        let completed = now >= self.ends_at;
        let progress = match (completed, has_failed) {
            (true, true) => "failed",
            (true, false) => "succeeded",
            (false, _) if now >= self.starts_at => "processing",
            (false, _) => "pending",
        };
        let mut state = Map::new();
        state.insert("completed".to_owned(), Value::from(completed));
        state.insert("progress".to_owned(), Value::from(progress));
        if now >= self.starts_at {
            state.insert("startTime".to_owned(), Value::from(timestamp(self.starts_at)));
        }
        if completed {
            state.insert("endTime".to_owned(), Value::from(timestamp(self.ends_at)));
        }
        state
    }
}

impl Task {
    fn has_failed(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.status().is_success())
    }
}

/// Whether the request is about several records: header `Content-Type: …; type=collection`, or the
/// query parameter `ids`.
pub(crate) fn is_batch(request: &Request) -> bool {
    text_header(request, "content-type").is_some_and(|value| value.contains("type=collection"))
        || query_param(request, "ids").is_some()
}

/// The requests that an asynchronous request stands for: itself, or one for each record.
fn tasks_of(request: &Request) -> Result<Vec<Request>, Problem> {
    if !is_batch(request) {
        return Ok(vec![request.clone()]);
    }
    let segments = segments(request.uri().path());
    let [record_type] = segments.as_slice() else {
        return Err(Problem::invalid_request("A batch is addressed to a record type."));
    };
    let tasks: Vec<Request> = match *request.method() {
        Method::GET | Method::DELETE => query_param(request, "ids")
            .unwrap_or_default()
            .split(',')
            .map(|id| single(request, record_type, Some(id.trim()), Bytes::new()))
            .collect::<Result<_, _>>()?,
        _ => items_in(request)?
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                let key = key_of(request.method(), &item, index)?;
                single(request, record_type, key.as_deref(), Value::Object(item).to_string().into())
            })
            .collect::<Result<_, _>>()?,
    };
    match tasks.len() {
        1..=MAX_BATCH => Ok(tasks),
        many => Err(Problem::invalid_request(format!(
            "A batch has 1 to {MAX_BATCH} records; this one has {many}."
        ))),
    }
}

fn items_in(request: &Request) -> Result<Vec<Map<String, Value>>, Problem> {
    let mut body = object_in(request)?;
    let Some(Value::Array(items)) = body.remove("items") else {
        return Err(Problem::invalid_content("items", "a batch has a list 'items'"));
    };
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| match item {
            Value::Object(item) => Ok(item),
            _ => Err(Problem::invalid_content(format!("items[{index}]"), "a record is an object")),
        })
        .collect()
}

/// The record that an item of a batch is about: the internal id before the external one; a PUT
/// takes the external id only.
fn key_of(
    method: &Method,
    item: &Map<String, Value>,
    index: usize,
) -> Result<Option<String>, Problem> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let external_id = text("externalId").map(|id| format!("eid:{id}"));
    match *method {
        Method::POST => Ok(None),
        Method::PUT if external_id.is_some() => Ok(external_id),
        Method::PATCH => match text("id").map(str::to_owned).or(external_id) {
            Some(key) => Ok(Some(key)),
            None => Err(Problem::invalid_content(
                format!("items[{index}].id"),
                "the item names no record",
            )),
        },
        Method::PUT => Err(Problem::invalid_content(
            format!("items[{index}].externalId"),
            "the item has no external ID",
        )),
        _ => Err(Problem::method_not_allowed()),
    }
}

/// One record's request, with the batch's query (such as `replace`) and headers.
fn single(
    batch: &Request,
    record_type: &str,
    key: Option<&str>,
    body: Bytes,
) -> Result<Request, Problem> {
    let mut path = format!("{RECORD_PATH}{record_type}");
    if let Some(key) = key {
        path = format!("{path}/{key}");
    }
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(
            query_params(batch).filter(|(name, _)| name != "ids" && name != "expandRecords"),
        )
        .finish();
    if !query.is_empty() {
        path = format!("{path}?{query}");
    }
    let uri = path
        .parse()
        .map_err(|_| Problem::invalid_request(format!("'{path}' is not an address.")))?;
    let mut request = batch.clone();
    *request.uri_mut() = uri;
    *request.body_mut() = body;
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(request)
}
