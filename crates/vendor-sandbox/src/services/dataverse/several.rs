//! Several rows in one call: actions on a table, and the `$batch` of JSON.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use slowlane_sandbox::Effect;

use super::{
    call::{AlternateKey, Call},
    error::{missing, no_entity},
    table::{Key, Table},
};
use crate::{records::Records, service::Said};

impl Call<'_> {
    /// `CreateMultiple`, `UpdateMultiple`, `UpsertMultiple`: all rows, or none.
    pub(super) fn act_on_several(
        &self,
        table: Table<'_>,
        action: &str,
        records: &mut Records,
    ) -> Said {
        let Some(targets) = self.asked.body["Targets"].as_array() else { return no_entity() };
        let before = records.clone();
        let mut ids = Vec::new();
        let mut effect = Effect::default();
        for target in targets {
            let said = self.act_on_one(table, action, target, records);
            if !said.response.status().is_success() {
                *records = before;
                return said;
            }
            let address = said.response.headers().get("odata-entityid");
            let address = address.and_then(|address| address.to_str().ok()).unwrap_or_default();
            ids.extend(address.rsplit_once('(').map(|(_, id)| id.trim_end_matches(')').to_owned()));
            effect.created.extend(said.effect.created);
        }
        let said = match action {
            "CreateMultiple" => Said::new(200, &json!({ "Ids": ids })),
            _ => Said::empty(204),
        };
        Said { effect, ..said }
    }

    fn act_on_one(
        &self,
        table: Table<'_>,
        action: &str,
        target: &Value,
        records: &mut Records,
    ) -> Said {
        let mut columns = target.as_object().cloned().unwrap_or_default();
        columns.retain(|name, _| name != "@odata.type");
        let key = columns.remove("@odata.id").and_then(|id| {
            let (_, key) = id.as_str()?.split_once('(')?;
            Key::parse(key.trim_end_matches(')'), table)
        });
        let own = columns.get(&table.id_column()).and_then(Value::as_str);
        let key = key.or_else(|| own.map(|id| Key::Id(id.to_owned())));
        match (action, key) {
            ("CreateMultiple", _) => self.create(table, columns, records),
            ("UpdateMultiple" | "UpsertMultiple", Some(key)) => match key.find(table, records) {
                Some(id) => self.change(table, &id, columns, records),
                None if action == "UpdateMultiple" => missing(table, &key),
                None => {
                    columns.extend(key.columns(table));
                    self.create(table, columns, records)
                }
            },
            _ => no_entity(),
        }
    }

    /// The parts of a `$batch` in JSON, each with its own status.
    pub(super) fn batch(&self, keys: &mut BTreeSet<AlternateKey>, records: &mut Records) -> Said {
        let Some(parts) = self.asked.body["requests"].as_array() else { return no_entity() };
        let mut effect = Effect::default();
        let mut answers = Vec::new();
        for part in parts {
            let said = match self.asked.part(part) {
                Some(asked) => {
                    let path = &asked.path[self.asked.path.len() - 1..];
                    Call { asked: &asked, path, root: self.root }.answer(keys, records)
                }
                None => no_entity(),
            };
            let body = serde_json::from_slice::<Value>(said.response.body()).ok();
            let status = said.response.status().as_u16();
            answers.push(json!({ "id": part["id"], "status": status, "body": body }));
            effect.created.extend(said.effect.created);
        }
        Said { effect, ..Said::new(200, &json!({ "responses": answers })) }
    }
}
