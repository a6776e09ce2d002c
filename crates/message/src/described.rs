//! The JSON Schemas of a message's fields.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::text::{
    EXECUTION, HEADER_NAME, HEADER_VALUE, IDEMPOTENCY_KEY, MAX_HEADERS, RESOURCE, TASK_TOKEN,
    TENANT, TRACE_HEADER, TextRule,
};
use crate::{IdempotencyKey, SchemaVersion, TaskToken};

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
