//! What is read beside a single row: lists, tables, who calls.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    call::Call,
    error::bad_query,
    table::{Table, literal, set_of},
};
use crate::{records::Records, service::Said};

/// The tables that are told of before any row is there.
const TABLES: [&str; 2] = ["accounts", "contacts"];

impl Call<'_> {
    /// The rows for which all of `$filter=a eq 'x' and b eq 2` holds.
    pub(super) fn list(&self, table: Table<'_>, records: &Records) -> Said {
        let known = ["$select", "$filter", "$top", "$count"];
        if let Some((name, _)) = self.asked.query.iter().find(|(name, _)| !known.contains(&&**name))
        {
            return bad_query(&format!("this sandbox does not serve {name}"));
        }
        let Some(wanted) = conditions(self.asked.query("$filter").unwrap_or_default()) else {
            return bad_query("this sandbox filters by eq and and");
        };
        let fits = |row: &Value| wanted.iter().all(|(name, value)| row[name] == *value);
        let found: Vec<&Value> =
            records.all(table.set).map(|(_, row)| row).filter(|row| fits(row)).collect();
        let top = self.asked.query("$top").and_then(|top| top.parse().ok()).unwrap_or(5_000);
        let rows: Vec<Value> = found.iter().take(top).map(|row| self.plain(table, row)).collect();
        let context = format!("{}/$metadata#{}", self.root, table.set);
        let mut answer = json!({ "@odata.context": context, "value": rows });
        if self.asked.query("$count") == Some("true") {
            answer["@odata.count"] = found.len().into();
        }
        Said::new(200, &answer)
    }

    pub(super) fn who_am_i(&self) -> Value {
        json!({
            "@odata.context": format!("{}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", self.root),
            "BusinessUnitId": "00000000-0000-4000-8000-0000000000b1",
            "UserId": "00000000-0000-4000-8000-0000000000a1",
            "OrganizationId": "00000000-0000-4000-8000-0000000000c1",
        })
    }

    /// What is told of tables: of one, of the one that the filter names, or of all. No column is told
    /// of.
    pub(super) fn definitions(&self, segment: &str, rest: &[&str], records: &Records) -> Said {
        if !rest.is_empty() {
            return Said::new(200, &json!({ "value": [] }));
        }
        let of = |name: &str| Table { set: &set_of(name) }.definition();
        if let Some((_, name)) = segment.split_once("(LogicalName='") {
            return Said::new(200, &of(name.trim_end_matches("')")));
        }
        let filter = self.asked.query("$filter").and_then(conditions).unwrap_or_default();
        let named = filter.iter().find(|(name, _)| name == "LogicalName");
        let all = match named.and_then(|(_, name)| name.as_str()) {
            Some(name) => vec![of(name)],
            None => {
                let held = records.counts().into_keys();
                let sets: BTreeSet<String> =
                    TABLES.map(str::to_owned).into_iter().chain(held).collect();
                sets.iter().map(|set| Table { set }.definition()).collect()
            }
        };
        Said::new(200, &json!({ "value": all }))
    }
}

/// The columns and values of `a eq 'x' and b eq 2`; nothing of another filter.
fn conditions(filter: &str) -> Option<Vec<(String, Value)>> {
    if filter.is_empty() {
        return Some(Vec::new());
    }
    let condition = |text: &str| {
        let (name, value) = text.trim().split_once(" eq ")?;
        Some((name.trim().to_owned(), literal(value.trim())?))
    };
    filter.split(" and ").map(condition).collect()
}
