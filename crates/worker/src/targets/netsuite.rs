//! NetSuite as a target.
//!
//! A call's resource names a record. It is `salesOrder` (with `POST`, a create),
//! `salesOrder/eid:order-1` (with `PUT`, an upsert by external id) or `salesOrder/123`. Each may
//! have a query (`?replace=item`). What can be done when an answer is lost:
//!
//! | Call | After a lost answer |
//! |---|---|
//! | `GET` | made again |
//! | `PUT`, `PATCH` that brings no sublist, or names each one it brings in `replace=` | made again |
//! | `PUT`, `PATCH` that adds lines, one of them with the idempotency key in a custom column | the record's lines are asked for that key |
//! | `POST` of a record with an `externalId`, a transform too | the record with that external id is looked for |
//! | `DELETE` | the record is looked for |
//! | any other | nothing: refused, or made at most once |
//!
//! NetSuite *adds* the lines of a sublist that `replace=` does not name. So an update that was
//! executed and is made again adds them twice. And a record does not tell whether it has had an
//! update. Its lines can: put the call's idempotency key into a column of your own
//! (`"custcol_call": "order-1/shipment-2"`). One line is enough, since NetSuite saves an update as
//! a whole or not at all. The record is read with its lines rather than found by SuiteQL, which
//! would need one more permission and tell no more.
//!
//! NetSuite gives a request up after 15 minutes ("Concurrency Governance and Session Management",
//! subsect_1559222360), so that is how long a lost call may still come up.
//!
//! # Refusals that may be none
//!
//! A script of the account can fail after a record was saved, and its error is a 400 `USER_ERROR`
//! like that of a missing field. An answer ends a request, though. So a call that is refused with
//! an error that may be a script's is looked for at once, in the same slot. What is not there was
//! refused ([`Outcome::Rejected`]). Whatever else NetSuite shows leaves it [`Outcome::Unknown`]. An
//! upsert that replaces its lines is looked for by its external id, which tells about the one that
//! would have created the record. Any other repeatable update stays unknown and is made again.

mod from_env;
mod origin;

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slowlane_lambda::logs::chain;
use slowlane_message::{Content, Method, QueuedCall};
use slowlane_netsuite::{Class, Client, Invalid, Request, StatusCode};
use slowlane_policy::settle::{Outcome, Why};

use self::origin::{Dated, Origin};
use crate::target::{AfterLoss, Reconciled, Target, TargetResponse};

pub use self::origin::Error;

/// After how long NetSuite gives a request up.
const SERVER_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Calls NetSuite's record API.
#[derive(Debug)]
pub struct NetSuite {
    client: RwLock<Dated>,
    /// Where another client with the secret of that time comes from, if it can be had.
    origin: Option<Origin>,
    settles_after: Duration,
}

impl NetSuite {
    /// Calls NetSuite through `client`.
    pub fn new(client: Client) -> Self {
        Self::dated(Dated { client, ends: None })
    }

    fn dated(client: Dated) -> Self {
        NetSuite { client: RwLock::new(client), origin: None, settles_after: SERVER_TIMEOUT }
    }

    /// How long NetSuite may still be at work on a call that nobody waits for any more, if not a
    /// quarter of an hour. A sandbox server is done sooner.
    #[must_use]
    pub fn settling_after(mut self, settles_after: Duration) -> Self {
        self.settles_after = settles_after;
        self
    }

    fn client(&self) -> Client {
        self.kept().client
    }

    fn kept(&self) -> Dated {
        // Nothing in a locked section can panic half-way, so a poisoned client is a whole one.
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look(&self, lookup: Lookup<'_>) -> Reconciled {
        match self.client().send(lookup.request).await {
            Ok(response) => lookup.sign.in_record(&response.body.unwrap_or_default()),
            Err(error) if error.has_code("NONEXISTENT_ID") => lookup.sign.without_record(),
            Err(error) => Reconciled::TryAgain(error.to_string()),
        }
    }

    /// Whether NetSuite shows that a call it has answered had no effect.
    async fn shows_no_effect(&self, call: &QueuedCall) -> bool {
        match Lookup::of_an_answered(call) {
            Ok(lookup) => self.look(lookup).await == Reconciled::NotDone,
            Err(_) => false,
        }
    }

    fn request(&self, call: &QueuedCall) -> Result<Request, Invalid> {
        let (path, query) = split_query(&call.request.resource);
        let mut request = Request::new(method(call.request.method), path)?;
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(body) = &call.request.body {
            request = request.json(body)?;
        }
        if after_loss(call) == AfterLoss::Repeat {
            request = request.repeatable();
        }
        // For people who look at a call from the API's side. NetSuite ignores them.
        request
            .header("x-slowlane-enqueued-at", &format!("{:.3}", call.enqueued_at))?
            .header("x-slowlane-priority", call.priority.as_str())?
            .header("x-slowlane-idempotency-key", call.idempotency_key.as_str())
    }
}

impl Target for NetSuite {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        if let Some(why) = not_taken(call) {
            return Outcome::Rejected(why.into());
        }
        let request = match self.request(call) {
            Ok(request) => request,
            Err(invalid) => return Outcome::Rejected(invalid.to_string().into()),
        };
        match self.client().send(request).await {
            Ok(response) => Outcome::Succeeded(TargetResponse {
                id: response.id.map(|id| id.to_string()),
                body: response.body,
                ..TargetResponse::new(response.status.as_u16())
            }),
            Err(error) if may_be_a_scripts(&error) && self.shows_no_effect(call).await => {
                Outcome::Rejected(why(&error))
            }
            Err(error) => outcome(&error),
        }
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        after_loss(call)
    }

    fn settles_after(&self, _: &QueuedCall) -> Duration {
        self.settles_after
    }

    async fn renew_credentials(&self) {
        let Some(origin) = &self.origin else { return };
        match origin.client().await {
            Ok(new) => *self.client.write().unwrap_or_else(PoisonError::into_inner) = new,
            Err(error) => {
                tracing::warn!(error = chain(&error), "the credentials could not be read anew");
            }
        }
    }

    fn secret_ends(&self) -> Option<Timestamp> {
        self.kept().ends
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        match Lookup::of(call) {
            Ok(lookup) => self.look(lookup).await,
            Err(why) => Reconciled::Undecidable(why),
        }
    }
}

/// What NetSuite's record API does not take, and must not be left out in silence.
fn not_taken(call: &QueuedCall) -> Option<&'static str> {
    if !call.request.headers.is_empty() {
        return Some("NetSuite takes no headers of a call's own: take `headers` out");
    }
    let json = call.request.content.is_none_or(|content| content == Content::Json);
    (!json).then_some("NetSuite takes bodies as JSON only: take `content` out")
}

fn after_loss(call: &QueuedCall) -> AfterLoss {
    let repeatable = match call.request.method {
        Method::Get => true,
        Method::Put | Method::Patch => added_sublists(call).next().is_none(),
        Method::Post | Method::Delete => false,
    };
    if repeatable {
        return AfterLoss::Repeat;
    }
    match Lookup::of(call) {
        Ok(_) => AfterLoss::Reconcile,
        Err(why) => AfterLoss::Nothing(why),
    }
}

/// The question that shows whether a call had its effect.
struct Lookup<'a> {
    request: Request,
    sign: Sign<'a>,
}

/// What tells that a call had its effect.
enum Sign<'a> {
    /// The record is there.
    Present,
    /// The record is gone.
    Absent,
    /// A line of this sublist has this text in this column.
    Line { sublist: &'a str, column: &'a str, text: &'a str },
}

impl<'a> Lookup<'a> {
    /// # Errors
    /// Why there is none, in words.
    fn of(call: &'a QueuedCall) -> Result<Self, String> {
        let (path, _) = split_query(&call.request.resource);
        let (path, sign) = match call.request.method {
            Method::Post => (created(call, path)?, Sign::Present),
            Method::Delete => (path.to_owned(), Sign::Absent),
            Method::Get | Method::Put | Method::Patch => (path.to_owned(), marked_line(call)?),
        };
        Self::for_sign(path, sign)
    }

    /// The same for a call that NetSuite has answered, so that nothing of it is still to come.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn of_an_answered(call: &'a QueuedCall) -> Result<Self, String> {
        let (path, _) = split_query(&call.request.resource);
        match call.request.method {
            // An upsert has not been executed if its record is not there.
            Method::Put if after_loss(call) == AfterLoss::Repeat => {
                Self::for_sign(path.to_owned(), Sign::Present)
            }
            _ => Self::of(call),
        }
    }

    fn for_sign(path: String, sign: Sign<'a>) -> Result<Self, String> {
        let request = Request::new(slowlane_netsuite::Method::GET, &path)
            .map_err(|invalid| format!("{path} cannot be asked for: {invalid}"))?;
        let request = match sign {
            Sign::Line { .. } => request.query("expandSubResources", "true"),
            Sign::Present | Sign::Absent => request,
        };
        Ok(Lookup { request, sign })
    }
}

/// Where to find the record that a `POST` creates: of the type itself, or of the one that
/// another record is transformed into.
fn created(call: &QueuedCall, path: &str) -> Result<String, String> {
    let record_type = path.rsplit_once("/!transform/").map_or(path, |(_, target)| target);
    let external_id = call.request.body.as_ref().and_then(|body| body["externalId"].as_str());
    match external_id {
        Some(external_id) if !record_type.contains('/') => {
            Ok(format!("{record_type}/eid:{external_id}"))
        }
        _ => Err(format!("POST {path} has no externalId by which its record could be found")),
    }
}

/// The line by which an update that adds lines can be recognised.
fn marked_line(call: &QueuedCall) -> Result<Sign<'_>, String> {
    let text = call.idempotency_key.as_str();
    let marked = added_sublists(call).find_map(|(sublist, lines)| {
        let columns = lines.iter().filter_map(Value::as_object).flatten();
        columns
            .filter(|(name, value)| name.starts_with("custcol") && *value == text)
            .map(|(column, _)| Sign::Line { sublist, column, text })
            .next()
    });
    marked.ok_or_else(|| {
        let request = &call.request;
        format!(
            "{} {} adds lines, and no custcol of theirs holds the idempotency key",
            request.method, request.resource
        )
    })
}

impl Sign<'_> {
    /// What the record says.
    fn in_record(&self, record: &Value) -> Reconciled {
        let done = Reconciled::Done(TargetResponse {
            id: record["id"].as_str().map(str::to_owned),
            ..TargetResponse::new(204)
        });
        match self {
            Sign::Present => done,
            Sign::Absent => Reconciled::NotDone,
            Sign::Line { sublist, column, text } => {
                let all = &record[*sublist];
                let lines = all["items"].as_array().map_or(&[][..], Vec::as_slice);
                let total = all["totalResults"].as_u64().unwrap_or(0);
                if lines.iter().any(|line| line[*column] == *text) {
                    done
                } else if total > lines.len() as u64 {
                    Reconciled::Undecidable(format!(
                        "NetSuite shows {} of {total} lines of {sublist}",
                        lines.len()
                    ))
                } else {
                    Reconciled::NotDone
                }
            }
        }
    }

    /// What it means that there is no such record.
    fn without_record(&self) -> Reconciled {
        match self {
            Sign::Present | Sign::Line { .. } => Reconciled::NotDone,
            Sign::Absent => Reconciled::Done(TargetResponse::new(204)),
        }
    }
}

/// Whether an error is an answer that does not tell NetSuite's refusal from a script's error.
fn may_be_a_scripts(error: &slowlane_netsuite::Error) -> bool {
    let is_refusal =
        |status: StatusCode| status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
    error.class() == Class::Unknown && error.status().is_some_and(is_refusal)
}

fn why(error: &slowlane_netsuite::Error) -> Why {
    Why {
        message: error.to_string(),
        status: error.status().map(|status| status.as_u16()),
        code: error.details().first().and_then(|detail| detail.code.clone()),
    }
}

fn outcome(error: &slowlane_netsuite::Error) -> Outcome<TargetResponse> {
    let why = why(error);
    match error.class() {
        Class::Rejected => Outcome::Rejected(why),
        Class::AlreadyExists => Outcome::AlreadyExists(why),
        Class::Throttled => Outcome::Throttled { retry_after: error.retry_after() },
        Class::Unauthorized => Outcome::Unauthorized(why),
        // Somebody else changed the record in between: the same call may go through now.
        Class::ChangedUnderUs | Class::NotSent => Outcome::Transient(why),
        _ => Outcome::Unknown(why),
    }
}

/// The sublists to which the call would add lines once more if it were made again: those in its
/// body that `replace=` does not name.
fn added_sublists(call: &QueuedCall) -> impl Iterator<Item = (&str, &[Value])> {
    let (_, query) = split_query(&call.request.resource);
    let replaced: Vec<&str> = query
        .into_iter()
        .filter(|(name, _)| *name == "replace")
        .flat_map(|(_, names)| names.split(','))
        .collect();
    let body = call.request.body.as_ref().and_then(Value::as_object);
    body.into_iter().flatten().filter_map(move |(name, value)| {
        let lines = value["items"].as_array()?;
        let adds = !lines.is_empty() && !replaced.contains(&name.as_str());
        adds.then_some((name.as_str(), lines.as_slice()))
    })
}

fn split_query(resource: &str) -> (&str, Vec<(&str, &str)>) {
    let (path, query) = resource.split_once('?').unwrap_or((resource, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    (path, pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
}

fn method(method: Method) -> slowlane_netsuite::Method {
    use slowlane_netsuite::Method as Http;
    match method {
        Method::Get => Http::GET,
        Method::Post => Http::POST,
        Method::Put => Http::PUT,
        Method::Patch => Http::PATCH,
        Method::Delete => Http::DELETE,
    }
}

#[cfg(test)]
mod tests;
