//! The two envelopes: what a workflow hands over, and what lies on a queue.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::described::{DateTime, Execution, RequestPriority, Tenant, TraceHeader, Units};
use crate::reader::Fields;
use crate::text::{EXECUTION, TENANT, TRACE_HEADER};
use crate::{Error, IdempotencyKey, Priority, SchemaVersion, TargetRequest, TaskToken};

/// What a state machine hands to the enqueuer: one call to make, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EnqueueRequest {
    /// The version of this message.
    pub version: SchemaVersion,
    /// The task token of the state that waits, `$states.context.Task.Token`.
    pub task_token: TaskToken,
    /// How urgent the call is. Any case is read, and MEDIUM as NORMAL.
    #[schemars(with = "RequestPriority")]
    pub priority: Priority,
    /// Calls of one tenant with the same key take effect once.
    pub idempotency_key: IdempotencyKey,
    /// The call itself.
    pub request: TargetRequest,
    /// From then on the call is of no use (RFC 3339, at most ten days ahead). Without it, the
    /// enqueuer's default applies.
    #[schemars(with = "Option<DateTime>")]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_millis")]
    pub deadline: Option<Timestamp>,
    /// On whose behalf the call is made; the fair-queue group of the message.
    #[schemars(with = "Option<Tenant>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The X-Ray trace header that the call continues. Without it the call continues the trace of
    /// the enqueuer's invocation.
    #[schemars(with = "Option<TraceHeader>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_header: Option<String>,
    /// What to do with a call that is not safe to repeat, if the API could not say afterwards
    /// whether it happened. Unless this is true, such a call is refused. If it is true, the call is
    /// sent once; if its answer is lost, a person must decide. For other calls it changes nothing.
    /// Since 1.1.
    #[schemars(default)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
    /// The ARN of the execution that waits, `$states.context.Execution.Id`. The log lines hold it, so
    /// that people find the workflow. Since 1.2.
    #[schemars(with = "Option<Execution>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// What the call counts for in limits that count units: of a model's tokens, an estimate of the
    /// input and the largest output. Limits that count calls do not look at it. Since 1.3.
    #[schemars(with = "Option<Units>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<NonZeroU32>,
}

const REQUEST_FIELDS: &[&str] = &[
    "version",
    "task_token",
    "priority",
    "idempotency_key",
    "request",
    "deadline",
    "tenant",
    "trace_header",
    "at_most_once",
    "execution",
    "units",
];

impl EnqueueRequest {
    /// Reads a request from the payload of the enqueuer.
    ///
    /// A field that is `null` counts as absent. The result is of [`SchemaVersion::CURRENT`]
    /// whichever version was read, because it holds no more than that version's fields.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`], or the first field that is unknown, missing or unfit.
    pub fn from_json(value: &Value) -> Result<EnqueueRequest, Error> {
        let fields = Fields::versioned(value, REQUEST_FIELDS)?;
        EnqueueRequest::read(&fields)
    }

    /// The call as it goes on a queue at `now`, with times cut to the millisecond they are
    /// written with. Without a deadline of its own it gets `now + default_deadline`.
    ///
    /// A deadline that has passed already is refused by [`QueuedCall::to_body`].
    pub fn into_queued(self, now: Timestamp, default_deadline: Duration) -> QueuedCall {
        let deadline = self
            .deadline
            .unwrap_or_else(|| now.checked_add(default_deadline).unwrap_or(Timestamp::MAX));
        QueuedCall {
            version: SchemaVersion::CURRENT,
            task_token: self.task_token,
            priority: self.priority,
            idempotency_key: self.idempotency_key,
            request: self.request,
            enqueued_at: to_millisecond(now),
            deadline: to_millisecond(deadline),
            tenant: self.tenant,
            trace_header: self.trace_header,
            at_most_once: self.at_most_once,
            execution: self.execution,
            units: self.units,
        }
    }

    fn read(fields: &Fields<'_>) -> Result<EnqueueRequest, Error> {
        Ok(EnqueueRequest {
            version: SchemaVersion::CURRENT,
            task_token: fields.required("task_token", TaskToken::EXPECTED, str::parse)?,
            priority: fields.required("priority", Priority::EXPECTED, str::parse)?,
            idempotency_key: fields.required(
                "idempotency_key",
                IdempotencyKey::EXPECTED,
                str::parse,
            )?,
            request: TargetRequest::read(&fields.object("request", TargetRequest::FIELDS)?)?,
            deadline: fields.optional_time("deadline")?,
            tenant: fields.optional("tenant", TENANT.expected, |text| TENANT.check(text))?,
            trace_header: fields
                .optional("trace_header", TRACE_HEADER.expected, |text| TRACE_HEADER.check(text))?,
            at_most_once: fields.optional_bool("at_most_once")?,
            execution: fields
                .optional("execution", EXECUTION.expected, |text| EXECUTION.check(text))?,
            units: fields.optional_count("units")?,
        })
    }
}

/// One call on a queue: the body of an SQS message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct QueuedCall {
    /// The version of this message.
    pub version: SchemaVersion,
    /// The task token of the state that waits.
    pub task_token: TaskToken,
    /// The priority, which is also the queue that the call lies on.
    pub priority: Priority,
    /// Calls of one tenant with the same key take effect once.
    pub idempotency_key: IdempotencyKey,
    /// The call itself.
    pub request: TargetRequest,
    /// When the enqueuer sent the call (RFC 3339, milliseconds).
    #[schemars(with = "DateTime")]
    #[serde(serialize_with = "millis")]
    pub enqueued_at: Timestamp,
    /// From then on the call must not be started (RFC 3339, milliseconds).
    #[schemars(with = "DateTime")]
    #[serde(serialize_with = "millis")]
    pub deadline: Timestamp,
    /// On whose behalf the call is made; the fair-queue group of the message.
    #[schemars(with = "Option<Tenant>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The X-Ray trace header that the call continues.
    #[schemars(with = "Option<TraceHeader>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_header: Option<String>,
    /// What to do with a call that is not safe to repeat, if the API could not say afterwards
    /// whether it happened. Unless this is true, such a call is refused. If it is true, the call is
    /// sent once; if its answer is lost, a person must decide. For other calls it changes nothing.
    /// Since 1.1.
    #[schemars(default)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
    /// The ARN of the execution that waits, `$states.context.Execution.Id`. The log lines hold it, so
    /// that people find the workflow. Since 1.2.
    #[schemars(with = "Option<Execution>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// What the call counts for in limits that count units: of a model's tokens, an estimate of the
    /// input and the largest output. Limits that count calls do not look at it. Since 1.3.
    #[schemars(with = "Option<Units>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<NonZeroU32>,
}

const QUEUED_FIELDS: &[&str] = &[
    "version",
    "task_token",
    "priority",
    "idempotency_key",
    "request",
    "enqueued_at",
    "deadline",
    "tenant",
    "trace_header",
    "at_most_once",
    "execution",
    "units",
];

impl QueuedCall {
    /// The guard's scope for calls of no tenant.
    pub const DEFAULT_SCOPE: &str = "calls";

    /// The largest body in bytes: the size limit of an SQS message, 1 MiB.
    pub const MAX_BODY_BYTES: usize = 1_048_576;

    /// Reads the body of an SQS message, as [`EnqueueRequest::from_json`] does. It also refuses a
    /// deadline before the enqueue time.
    ///
    /// # Errors
    /// [`Error::NotJson`], [`Error::UnsupportedVersion`], the first field that is unknown,
    /// missing or unfit, or [`Error::DeadlineBeforeEnqueue`]. [`salvage_token`](crate::salvage_token)
    /// still finds whom to tell then.
    pub fn parse(body: &str) -> Result<QueuedCall, Error> {
        let value: Value = serde_json::from_str(body).map_err(Error::NotJson)?;
        let fields = Fields::versioned(&value, QUEUED_FIELDS)?;
        let common = EnqueueRequest::read(&fields)?;
        let call = QueuedCall {
            version: common.version,
            task_token: common.task_token,
            priority: common.priority,
            idempotency_key: common.idempotency_key,
            request: common.request,
            enqueued_at: fields.required_time("enqueued_at")?,
            deadline: fields.required_time("deadline")?,
            tenant: common.tenant,
            trace_header: common.trace_header,
            at_most_once: common.at_most_once,
            execution: common.execution,
            units: common.units,
        };
        call.check_deadline()?;
        Ok(call)
    }

    /// The body to send. [`QueuedCall::parse`] reads back what this writes.
    ///
    /// # Errors
    /// [`Error::DeadlineBeforeEnqueue`], and [`Error::TooLarge`] beyond
    /// [`QueuedCall::MAX_BODY_BYTES`], which a large `request.body` can reach.
    pub fn to_body(&self) -> Result<String, Error> {
        self.check_deadline()?;
        let body = serde_json::to_string(self).map_err(Error::NotJson)?;
        // SQS takes any Unicode character but these two and the control characters, which JSON
        // escapes by itself. Outside ASCII a JSON text consists of strings only, so an escape
        // says the same.
        let body = body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
        if body.len() > QueuedCall::MAX_BODY_BYTES {
            return Err(Error::TooLarge { size: body.len(), limit: QueuedCall::MAX_BODY_BYTES });
        }
        Ok(body)
    }

    /// The scope of the guard's record of this call: within it the idempotency key counts.
    pub fn scope(&self) -> &str {
        self.tenant.as_deref().unwrap_or(QueuedCall::DEFAULT_SCOPE)
    }

    fn check_deadline(&self) -> Result<(), Error> {
        if self.deadline < self.enqueued_at {
            return Err(Error::DeadlineBeforeEnqueue {
                deadline: self.deadline,
                enqueued_at: self.enqueued_at,
            });
        }
        Ok(())
    }
}

fn to_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::new(time.as_second(), time.subsec_millisecond() * 1_000_000).unwrap_or(time)
}

fn millis<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn optional_millis<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => millis(time, serializer),
        None => serializer.serialize_none(),
    }
}
