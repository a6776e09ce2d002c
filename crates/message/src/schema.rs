//! The contract as JSON Schema (draft 2020-12), for those who build messages in other languages.
//!
//! The documents describe what a writer of [`SchemaVersion::CURRENT`] may write. A reader takes a
//! little more: any case of a priority, and the fields of newer minor versions. They are checked
//! in under `schema/`; `cargo run -p slowlane-message --bin slowlane-message-schema -- --write`
//! renews them.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::text::{
    EXECUTION, HEADER_NAME, HEADER_VALUE, IDEMPOTENCY_KEY, MAX_HEADERS, RESOURCE, TASK_TOKEN,
    TENANT, TRACE_HEADER, TextRule,
};
use crate::{EnqueueRequest, IdempotencyKey, QueuedCall, SchemaVersion, TaskToken};

/// A schema and the name of its file in `schema/`.
pub struct Document {
    /// For instance `queued-call.schema.json`.
    pub file_name: &'static str,
    /// The schema itself.
    pub schema: Schema,
}

impl Document {
    /// The schema as text, ending in a newline, as it is checked in.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.schema.as_value())
    }
}

/// The schemas of [`EnqueueRequest`] and [`QueuedCall`].
pub fn documents() -> [Document; 2] {
    [
        Document {
            file_name: "enqueue-request.schema.json",
            schema: schema_of::<EnqueueRequest>(),
        },
        Document { file_name: "queued-call.schema.json", schema: schema_of::<QueuedCall>() },
    ]
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
}

fn text_schema(rule: &TextRule) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": rule.max_chars,
        "pattern": rule.alphabet.pattern(),
    })
}

/// Gives a textual type its schema. Some of these types are only markers: they stand in for fields
/// that are a plain `String` or a foreign type in Rust.
macro_rules! described {
    ($($type:ident: $schema:expr;)+) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )+};
}

pub(crate) struct Resource;
pub(crate) struct Headers;
pub(crate) struct Tenant;
pub(crate) struct TraceHeader;
pub(crate) struct Execution;
pub(crate) struct Units;
pub(crate) struct DateTime;
pub(crate) struct RequestPriority;

described! {
    TaskToken: text_schema(&TASK_TOKEN);
    IdempotencyKey: text_schema(&IDEMPOTENCY_KEY);
    Resource: text_schema(&RESOURCE);
    Headers: json_schema!({
        "type": "object",
        "maxProperties": MAX_HEADERS,
        "propertyNames": text_schema(&HEADER_NAME),
        "additionalProperties": text_schema(&HEADER_VALUE),
    });
    Tenant: text_schema(&TENANT);
    TraceHeader: text_schema(&TRACE_HEADER);
    Execution: text_schema(&EXECUTION);
    Units: json_schema!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
    DateTime: json_schema!({"type": "string", "format": "date-time"});
    SchemaVersion: json_schema!({"const": SchemaVersion::CURRENT.to_string()});
    RequestPriority: json_schema!({"enum": ["HIGH", "NORMAL", "MEDIUM", "BATCH"]});
}
