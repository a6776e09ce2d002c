//! Contacts and files attached to records: `!attach` and `!detach`.
//!
//! Source: Oracle help, "Attach and Detach Operations" (article_0113084334). It shows addresses and
//! bodies; what is answered is assumed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::problem::Problem;

/// A record by its type and internal id.
pub(crate) type Name = (String, u64);

/// What is attached to what, each with the contact's role if it has one.
#[derive(Debug, Default)]
pub(crate) struct Attachments(BTreeMap<(Name, Name), Option<String>>);

impl Attachments {
    /// Attaches `other` to `record`; again, it changes the role.
    pub(crate) fn attach(&mut self, record: Name, other: Name, role: Option<String>) {
        self.0.insert((record, other), role);
    }

    /// Takes an attachment back; nothing happens where there is none.
    pub(crate) fn detach(&mut self, record: Name, other: Name) {
        self.0.remove(&(record, other));
    }

    /// Forgets a record that was deleted.
    pub(crate) fn forget(&mut self, gone: &Name) {
        self.0.retain(|(record, other), _| record != gone && other != gone);
    }

    /// All of them in words: `customer/1001 contact/1002`, with ` as ` and the role.
    pub(crate) fn in_words(&self) -> Vec<String> {
        let words =
            |(((record, id), (other, other_id)), role): (&(Name, Name), &Option<String>)| {
                let role = role.as_ref().map(|role| format!(" as {role}")).unwrap_or_default();
                format!("{record}/{id} {other}/{other_id}{role}")
            };
        self.0.iter().map(words).collect()
    }
}

/// The types whose records are attached to others.
pub(crate) fn can_be_attached(type_name: &str) -> Result<(), Problem> {
    match type_name {
        "contact" | "file" => Ok(()),
        other => Err(Problem::invalid_request(format!(
            "Only contact and file records can be attached or detached, not {other}."
        ))),
    }
}

/// The role's internal id in a body such as `{"role": {"id": "-10"}}`; a body may be empty.
pub(crate) fn role_in(
    type_name: &str,
    body: &Map<String, Value>,
) -> Result<Option<String>, Problem> {
    match body.iter().next() {
        None => Ok(None),
        Some((name, role)) if name == "role" && type_name == "contact" => {
            let id = role["id"]
                .as_str()
                .map(str::to_owned)
                .or(role["id"].as_i64().map(|id| id.to_string()));
            id.map(Some).ok_or_else(|| Problem::invalid_content("role", "the role has no id"))
        }
        Some((name, _)) => Err(Problem::invalid_content(
            name.as_str(),
            format!("'{name}' is no attribute of an attachment"),
        )),
    }
}
