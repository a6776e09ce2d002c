//! Asynchronous requests: handed in with a key that makes them happen once, and asked after.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Class, Client, Error, ExternalId, Invalid, Lines, RecordId, RecordKey, Records, Request,
    Response,
    ids::{checked_text, read_from_text},
    request::Service,
    response::last_segment,
};

/// The most records in one batch.
pub const MAX_BATCH: usize = 100;

/// Names an asynchronous request for ever, so that handing it in twice starts one job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Takes a UUID in its usual form (RFC 4122), which is what NetSuite asks for.
    ///
    /// # Errors
    /// When it is not one.
    pub fn new(uuid: impl AsRef<str>) -> Result<Self, Invalid> {
        let uuid = uuid.as_ref();
        let groups: Vec<&str> = uuid.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let hex = groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()));
        if lengths != [8, 4, 4, 4, 12] || !hex {
            return Err(Invalid::new("idempotency key", uuid, "a UUID"));
        }
        Ok(Self(uuid.to_ascii_lowercase()))
    }

    /// The UUID, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

checked_text!(IdempotencyKey);
read_from_text!(IdempotencyKey);

/// An asynchronous request that NetSuite has accepted; from [`Client::submit`], the `batch_…` calls
/// of [`Records`], or [`Client::job`].
#[derive(Debug, Clone)]
pub struct Job {
    client: Client,
    id: String,
    replayed: bool,
}

/// How a job or one of its tasks stands.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Progress {
    /// NetSuite's id of the job or task.
    pub id: String,
    /// Whether it has ended, well or not.
    pub completed: bool,
    /// NetSuite's word: `pending`, `processing`, `succeeded`, `failed`, or one yet unknown.
    pub progress: String,
    /// When it began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
}

/// How to ask after a job: at once, then at intervals that grow.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// The interval before the second question.
    pub first: Duration,
    /// By how much each interval is longer than the one before.
    pub factor: f64,
    /// The longest interval.
    pub longest: Duration,
    /// When to stop asking; `None` takes the client's
    /// [deadline](Client::with_deadline), if it has one. The job goes on all the same.
    pub deadline: Option<Instant>,
}

impl Default for Poll {
    /// After 1 second, then half as long again each time up to 30 seconds, with no deadline.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            factor: 1.5,
            longest: Duration::from_secs(30),
            deadline: None,
        }
    }
}

impl Client {
    /// Hands in a request to the record API for asynchronous execution (`Prefer: respond-async`).
    ///
    /// Safe to repeat with the same key: a key that NetSuite has seen gives back the job it
    /// started then. Queries cannot be run this way.
    ///
    /// # Errors
    /// See [`Error::class`]; `Unknown` also when NetSuite accepts the request without naming a job.
    pub async fn submit(&self, request: Request, key: &IdempotencyKey) -> Result<Job, Error> {
        let request = request
            .header("prefer", "respond-async")?
            .header("x-netsuite-idempotency-key", &key.0)?
            .repeatable();
        let (location, replayed) = match self.send(request.clone()).await {
            Ok(response) if response.status == StatusCode::ACCEPTED => (response.location, false),
            Ok(response) => {
                let why = format!("accepted with {} and not as a job", response.status.as_u16());
                return Err(Error::local(request.call(), Class::Unknown, why));
            }
            Err(error) if error.has_code("IDEMPOTENCY_ERROR") && error.location().is_some() => {
                (error.location().map(str::to_owned), true)
            }
            Err(error) => return Err(error),
        };
        let id = location.as_deref().and_then(last_segment);
        let id = id.ok_or_else(|| {
            Error::local(request.call(), Class::Unknown, "accepted, but the answer names no job")
        })?;
        Ok(Job { client: self.clone(), id, replayed })
    }

    /// A job of which only the id was kept.
    pub fn job(&self, id: impl Into<String>) -> Job {
        Job { client: self.clone(), id: id.into(), replayed: false }
    }
}

impl Job {
    /// NetSuite's id, to keep: the job can be asked after later, from anywhere.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether NetSuite had this idempotency key already, so that this is the job of an earlier
    /// request.
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    /// How the job stands.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn progress(&self) -> Result<Progress, Error> {
        self.read(&format!("job/{}", self.id)).await
    }

    /// Asks until the job has completed. A question that fails but is safe to repeat counts as
    /// "not yet".
    ///
    /// # Errors
    /// The first failure that is not safe to repeat; or, at the poll's deadline, the last failure
    /// or `Unknown`.
    pub async fn wait(&self, poll: &Poll) -> Result<Progress, Error> {
        let (mut interval, deadline) = (poll.first, poll.deadline.or(self.client.deadline()));
        loop {
            let outcome = self.progress().await;
            let not_yet = match outcome {
                Ok(progress) if progress.completed => return Ok(progress),
                Ok(_) => None,
                Err(error) if error.is_safe_to_repeat() => Some(error),
                Err(error) => return Err(error),
            };
            let next = Instant::now() + interval;
            if deadline.is_some_and(|deadline| next > deadline) {
                let request = Request::to(Service::Async, Method::GET, format!("job/{}", self.id))?;
                return Err(not_yet.unwrap_or_else(|| {
                    Error::local(
                        request.call(),
                        Class::Unknown,
                        "the job had not completed by the deadline",
                    )
                }));
            }
            tracing::debug!(job = %self.id, wait_ms = interval.as_millis(), "the job is not done yet");
            tokio::time::sleep_until(next).await;
            interval = interval.mul_f64(poll.factor.max(1.0)).min(poll.longest);
        }
    }

    /// The ids of the job's tasks: one for a single request, one for each record of a batch.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn tasks(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Tasks {
            items: Vec<Entry>,
        }
        // Oracle documents no body for this list; what other clients rely on is the link.
        #[derive(Deserialize)]
        struct Entry {
            id: Option<String>,
            #[serde(default)]
            links: Vec<Link>,
        }
        #[derive(Deserialize)]
        struct Link {
            href: String,
        }
        let id = |entry: Entry| entry.id.or_else(|| last_segment(&entry.links.first()?.href));
        let tasks: Tasks = self.read(&format!("job/{}/task", self.id)).await?;
        Ok(tasks.items.into_iter().filter_map(id).collect())
    }

    /// How one of the job's tasks stands.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn task(&self, task: &str) -> Result<Progress, Error> {
        self.read(&format!("job/{}/task/{task}", self.id)).await
    }

    /// What the task's request would have answered had it been synchronous, a refusal as an error.
    ///
    /// # Errors
    /// See [`Error::class`], which tells what became of the task's request; `Rejected` with
    /// `NONEXISTENT_ID` also while the task is not done. Whether it is
    /// [safe to repeat](Error::is_safe_to_repeat) speaks of this question, not of the task.
    pub async fn result(&self, task: &str) -> Result<Response, Error> {
        let path = format!("job/{}/task/{task}/result", self.id);
        let question = Request::to(Service::Async, Method::GET, path)?;
        self.client.send(question.about_a_write()).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let request = Request::to(Service::Async, Method::GET, path)?;
        let answer = self.client.execute(request.clone()).await?;
        answer.json(request.call())
    }
}

impl Records {
    /// Creates up to [`MAX_BATCH`] records in one job.
    ///
    /// # Errors
    /// `Rejected` without sending when there are none or too many, or one is not a JSON object;
    /// else see [`Client::submit`].
    pub async fn batch_create<B: Serialize>(
        &self,
        bodies: &[B],
        key: &IdempotencyKey,
    ) -> Result<Job, Error> {
        let items = bodies.iter().map(|body| (None, body));
        self.batch(Method::POST, items, &Lines::of_new_records(), key).await
    }

    /// Creates or updates up to [`MAX_BATCH`] records in one job, each by its external id.
    ///
    /// # Errors
    /// As [`batch_create`](Self::batch_create), and when `lines` and a body disagree.
    pub async fn batch_upsert<B: Serialize>(
        &self,
        records: &[(ExternalId, B)],
        lines: Lines,
        key: &IdempotencyKey,
    ) -> Result<Job, Error> {
        let items = records.iter().map(|(id, body)| (Some(id.into()), body));
        self.batch(Method::PUT, items, &lines, key).await
    }

    /// Updates up to [`MAX_BATCH`] records in one job.
    ///
    /// # Errors
    /// As [`batch_upsert`](Self::batch_upsert).
    pub async fn batch_update<K, B: Serialize>(
        &self,
        records: &[(K, B)],
        lines: Lines,
        key: &IdempotencyKey,
    ) -> Result<Job, Error>
    where
        K: Clone + Into<RecordKey>,
    {
        let items = records.iter().map(|(id, body)| (Some(id.clone().into()), body));
        self.batch(Method::PATCH, items, &lines, key).await
    }

    /// Deletes up to [`MAX_BATCH`] records in one job.
    ///
    /// # Errors
    /// As [`batch_create`](Self::batch_create).
    pub async fn batch_delete(&self, ids: &[RecordId], key: &IdempotencyKey) -> Result<Job, Error> {
        counted(ids.len())?;
        let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
        self.client()
            .submit(self.request(Method::DELETE, None)?.query("ids", ids.join(",")), key)
            .await
    }

    async fn batch<'a, B: Serialize + 'a>(
        &self,
        method: Method,
        items: impl Iterator<Item = (Option<RecordKey>, &'a B)>,
        lines: &Lines,
        key: &IdempotencyKey,
    ) -> Result<Job, Error> {
        let items: Vec<Value> = items.map(|(id, body)| item(id, body)).collect::<Result<_, _>>()?;
        counted(items.len())?;
        let request = lines.apply(self.request(method, None)?, &items)?;
        let collection =
            HeaderValue::from_static("application/vnd.oracle.resource+json; type=collection");
        let mut request = request.json(&json!({"items": items}))?;
        request.headers.insert(header::CONTENT_TYPE, collection);
        self.client().submit(request, key).await
    }
}

fn counted(records: usize) -> Result<(), Invalid> {
    if (1..=MAX_BATCH).contains(&records) {
        Ok(())
    } else {
        Err(Invalid::new("batch", &format!("{records} records"), format!("1 to {MAX_BATCH}")))
    }
}

/// A record of a batch, with the id it is known by written into it.
fn item(id: Option<RecordKey>, body: &impl Serialize) -> Result<Value, Invalid> {
    let mut value =
        serde_json::to_value(body).map_err(|e| Invalid::unquoted("body", e.to_string()))?;
    let fields = value
        .as_object_mut()
        .ok_or_else(|| Invalid::unquoted("body", "a JSON object for each record"))?;
    match id {
        Some(RecordKey::Id(id)) => fields.insert("id".into(), id.as_str().into()),
        Some(RecordKey::External(id)) => fields.insert("externalId".into(), id.as_str().into()),
        None => None,
    };
    Ok(value)
}
