//! Errors as OData writes them, by Dataverse's codes.

use serde_json::json;

use super::table::{Key, Table};
use crate::service::Said;

pub(super) fn exists_already() -> Said {
    refused(412, "0x80060892", "A record with matching key values already exists.")
}

pub(super) fn missing(table: Table<'_>, key: &Key) -> Said {
    let name = table.logical_name();
    match key {
        Key::Id(id) => refused(404, "0x80040217", &format!("{name} With Id = {id} Does Not Exist")),
        Key::Alternate(_) => {
            let message =
                format!("A record with the specified key values does not exist in {name} entity");
            refused(404, "0x80060891", &message)
        }
    }
}

pub(super) fn no_entity() -> Said {
    refused(400, "0x80048d19", "Error identified in Payload provided by the user")
}

pub(super) fn not_allowed() -> Said {
    refused(405, "0x8006088a", "The HTTP method is not allowed here.")
}

pub(super) fn refused(status: u16, code: &str, message: &str) -> Said {
    Said::new(status, &json!({ "error": { "code": code, "message": message } }))
}

pub(super) fn no_such_place() -> Said {
    refused(404, "0x8006088a", "Resource not found for the segment.")
}

pub(super) fn bad_query(why: &str) -> Said {
    refused(400, "0x80060888", why)
}
