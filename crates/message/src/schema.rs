//! The contract as JSON Schema (draft 2020-12), for those who build messages in other languages.
//!
//! The documents describe what a writer of [`SchemaVersion::CURRENT`](crate::SchemaVersion::CURRENT) may write. A reader takes a
//! little more: any case of a priority, and the fields of newer minor versions. They are checked
//! in under `schema/`; `cargo run -p slowlane-message --bin slowlane-message-schema -- --write`
//! renews them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::{EnqueueRequest, QueuedCall};

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
