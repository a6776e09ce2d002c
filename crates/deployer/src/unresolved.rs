//! Calls that may or may not have been executed: to look at, and to decide.
//!
//! A worker decides most of them itself, by asking the API. What it cannot decide it leaves to a
//! person. The call's workflow fails with `Slowlane.NeedsPerson`, and its record stays in the
//! guard's table without an expiry. No new run of the workflow makes the call before somebody has
//! looked at the API and said what is there.

use crate::dead_letters::Letter;
use crate::text;
use aws_config::SdkConfig;
use serde_json::{Value, json};
use slowlane_idempotency::{
    DynamoDbStore, Guard, Key, Record, RequestError, Scope, Settings, Unknown, resolve, store,
};
use slowlane_message::TargetResponse;
use slowlane_policy::timing::RECORD_EXPIRY;

/// The unresolved calls of one deployment.
#[derive(Debug)]
pub struct Unresolved {
    guard: Guard<DynamoDbStore>,
}

/// Names a call.
#[derive(Clone, Debug)]
pub struct CallName {
    pub(crate) scope: Scope,
    pub(crate) key: Key,
}

/// Why nothing was listed or decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No call can have this name.
    #[error(transparent)]
    Name(#[from] RequestError),
    /// There is no record of it.
    #[error("there is no call {key:?} in the scope {scope:?}")]
    NoSuchCall {
        /// Its scope.
        scope: String,
        /// Its key.
        key: String,
    },
    /// It is known what became of it, or its worker is still at it.
    #[error("there is nothing to decide: {id} is {record}")]
    NothingToDecide {
        /// Scope and key.
        id: String,
        /// What its record says.
        record: String,
    },
    /// The guard did not take the decision; the source says why.
    #[error("nothing was decided")]
    NotDecided(#[from] resolve::Error),
    /// The table could not be read.
    #[error("the table of the idempotency guard could not be read")]
    Store(#[from] store::Error),
}

impl CallName {
    /// The call with this idempotency key; its scope is its tenant, or [`slowlane_message::QueuedCall::DEFAULT_SCOPE`].
    ///
    /// # Errors
    /// When one is empty or too long, or the scope has a `#`.
    pub fn new(scope: &str, key: &str) -> Result<Self, Error> {
        Ok(Self { scope: Scope::new(scope)?, key: Key::new(key)? })
    }
}

impl Unresolved {
    /// The calls in a guard's table, the stack's output `IdempotencyTableName`.
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        let store = DynamoDbStore::new(aws_sdk_dynamodb::Client::new(config), table);
        // What a person has decided is remembered as long as what a worker has: a dead letter may be
        // restarted weeks later.
        let settings = Settings { expiry: RECORD_EXPIRY, ..Settings::default() };
        Self { guard: Guard::new(store, settings) }
    }

    /// Up to `most` of them, the oldest first. It scans the table.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, most: usize) -> Result<Vec<Record>, Error> {
        let mut records = self.guard.list_unresolved(most).await?;
        records.sort_by_key(Record::uncertain_since);
        Ok(records)
    }

    /// The API has executed the call, and this was its answer, or would have been: `status`,
    /// the record's `id`, the `body`. A new run of the workflow gets it without a call.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub async fn done(
        &self,
        call: &CallName,
        status: u16,
        id: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(), Error> {
        let answer = TargetResponse {
            id: id.map(str::to_owned),
            body: body.cloned(),
            ..TargetResponse::new(status)
        };
        Ok(self.find(call).await?.adopt(&answer).await?)
    }

    /// The API has not executed the call: a new run of the workflow makes it.
    ///
    /// # Errors
    /// See [`enum@Error`]; among them that the API may still be at work on it.
    pub async fn not_done(&self, call: &CallName) -> Result<(), Error> {
        Ok(self.find(call).await?.release().await?)
    }

    async fn find(&self, call: &CallName) -> Result<Unknown<DynamoDbStore>, Error> {
        let CallName { scope, key } = call;
        if let Some(unknown) = self.guard.find_unresolved(scope, key).await? {
            return Ok(unknown);
        }
        match self.guard.read(scope, key).await? {
            Some(record) => Err(Error::NothingToDecide {
                id: record.id.to_string(),
                record: record.to_string(),
            }),
            None => Err(Error::NoSuchCall { scope: scope.to_string(), key: key.to_string() }),
        }
    }
}

/// An unresolved call, with what it was to do where that is known: the guard's record has only the
/// hash of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The guard's record.
    pub record: Record,
    /// The method and the resource of its request.
    pub request: Option<(String, String)>,
}

/// The records, each with its request if there is a dead letter of the same call.
pub fn with_requests(records: Vec<Record>, letters: &[Letter]) -> Vec<Call> {
    let request_of = |record: &Record| {
        let calls = letters.iter().filter_map(|letter| letter.call.as_ref().ok());
        let mut same = calls.filter(|call| {
            call.idempotency_key.as_str() == record.id.key() && call.scope() == record.id.scope()
        });
        let request = &same.next()?.request;
        Some((request.method.to_string(), request.resource.clone()))
    };
    let call = |record| Call { request: request_of(&record), record };
    records.into_iter().map(call).collect()
}

/// The calls as a table for people.
pub fn table(calls: &[Call]) -> String {
    let row = |Call { record, request }: &Call| {
        [
            record.id.key().to_owned(),
            record.id.scope().to_owned(),
            match request {
                Some((method, resource)) => format!("{method} {resource}"),
                None => format!("sha256 {}", &record.payload.to_string()[..12]),
            },
            record.status.to_string(),
            record.uncertain_since().to_string(),
            record.why.clone().unwrap_or_else(|| "its worker did not come back".to_owned()),
        ]
    };
    text::table(
        ["key", "scope", "request", "state", "since", "why"],
        calls.iter().map(row).collect(),
    )
}

/// The calls as a JSON array, for programs.
pub fn as_json(calls: &[Call]) -> Value {
    let one = |Call { record, request }: &Call| {
        let (method, resource) = request.as_ref().map(|(a, b)| (a, b)).unzip();
        json!({
            "key": record.id.key(),
            "scope": record.id.scope(),
            "method": method,
            "resource": resource,
            "state": record.status.as_str(),
            "since": record.uncertain_since().to_string(),
            "why": record.why,
            "payload_sha256": record.payload.to_string(),
            "attempt": record.holder.attempt,
        })
    };
    calls.iter().map(one).collect()
}
