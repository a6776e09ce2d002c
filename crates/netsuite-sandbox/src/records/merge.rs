//! What an update makes of a record: the rules of sublists.
//!
//! Source: Oracle help, "Working with Sublists" (chapter_1545142407) and the query parameters
//! `replace` and `replaceSelectedFields` of the REST API browser.

use serde_json::{Map, Value, json};

use crate::{
    Request,
    problem::Problem,
    query::{flag, query_param},
    schema::{RecordType, Sublist, lines},
};

/// What an update says about lines and fields that its body does not name.
#[derive(Debug, Default)]
pub(crate) struct Replace {
    names: Vec<String>,
    /// `replaceSelectedFields=true`: a body field in `replace` that the body lacks is cleared.
    selected_fields: bool,
}

impl Replace {
    pub(crate) fn in_query(request: &Request) -> Result<Self, Problem> {
        let names = query_param(request, "replace").unwrap_or_default();
        Ok(Self {
            names: names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            selected_fields: flag(request, "replaceSelectedFields")?,
        })
    }
}

/// A record after an update.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) record: Map<String, Value>,
    /// Lines that a repeat of the update would add again.
    pub(crate) lines_added: usize,
}

/// Brings checked `changes` into a record.
pub(crate) fn merge(
    record_type: &RecordType,
    before: &Map<String, Value>,
    changes: Map<String, Value>,
    replace: &Replace,
) -> Result<Merged, Problem> {
    let mut after = before.clone();
    let mut lines_added = 0;
    if replace.selected_fields {
        after.retain(|name, _| !replace.names.contains(name));
    }
    for (name, value) in changes {
        let Some(sublist) = record_type.sublist(&name) else {
            match value {
                Value::Null => after.remove(&name),
                value => after.insert(name, value),
            };
            continue;
        };
        let given = match value {
            Value::Object(mut value) => match value.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let is_replaced = replace.names.contains(&name);
        let kept = if is_replaced { Vec::new() } else { lines(before, &name).to_vec() };
        let lines_before = kept.len();
        let merged = with_lines(sublist, kept, given)?;
        if !is_replaced {
            lines_added += merged.len() - lines_before;
        }
        after.insert(name, json!({ "items": merged }));
    }
    Ok(Merged { record: after, lines_added })
}

/// The lines after `given` ones met the `kept`: a given line with the key of a kept one changes
/// it, every other is added.
fn with_lines(
    sublist: &Sublist,
    mut kept: Vec<Value>,
    given: Vec<Value>,
) -> Result<Vec<Value>, Problem> {
    for (index, line) in given.into_iter().enumerate() {
        let Value::Object(mut line) = line else { continue };
        let Some(key) = sublist.key else {
            kept.push(Value::Object(line));
            continue;
        };
        match line.get(key).cloned() {
            Some(wanted) => {
                let old = kept
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .find(|old| old.get(key) == Some(&wanted))
                    .ok_or_else(|| {
                        let path = format!("{}.items[{index}].{key}", sublist.name);
                        Problem::invalid_content(
                            path,
                            format!("there is no line with {key} {wanted}"),
                        )
                    })?;
                old.extend(line);
                old.retain(|_, value| !value.is_null());
            }
            None => {
                let highest = kept.iter().filter_map(|line| line.get(key)?.as_u64()).max();
                line.insert(key.to_owned(), Value::from(highest.unwrap_or(0) + 1));
                kept.push(Value::Object(line));
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn merged(type_name: &str, before: Value, changes: Value, replace: &str) -> (Value, usize) {
        let (record_type, _) = schema::find(type_name).unwrap();
        let uri = format!("/x?{replace}");
        let request = http::Request::patch(uri).body(bytes::Bytes::new()).unwrap();
        let (Value::Object(before), Value::Object(changes)) = (before, changes) else {
            panic!("two objects")
        };
        let replace = Replace::in_query(&request).unwrap();
        let merged = merge(record_type, &before, changes, &replace).unwrap();
        (Value::Object(merged.record), merged.lines_added)
    }

    #[test]
    fn lines_of_a_sublist_without_a_key_are_added_unless_replaced() {
        let pricing = |groups: &[u32]| {
            let lines: Vec<_> =
                groups.iter().map(|group| json!({"group": {"id": group}})).collect();
            json!({"groupPricing": {"items": lines}})
        };
        let (after, added) = merged("customer", pricing(&[1]), pricing(&[1, 2]), "");
        assert_eq!((after, added), (pricing(&[1, 1, 2]), 2));
        let (after, added) =
            merged("customer", pricing(&[1]), pricing(&[1, 2]), "replace=groupPricing");
        assert_eq!((after, added), (pricing(&[1, 2]), 0));
    }

    #[test]
    fn lines_of_a_keyed_sublist_are_changed_by_key_and_added_without_one() {
        let before = json!({"item": {"items": [{"line": 1, "quantity": 2, "memo": "a"}]}});
        let by_key = json!({"item": {"items": [{"line": 1, "quantity": 5, "memo": null}]}});
        let (after, added) = merged("salesOrder", before.clone(), by_key, "");
        assert_eq!((after, added), (json!({"item": {"items": [{"line": 1, "quantity": 5}]}}), 0));

        let no_key = json!({"item": {"items": [{"quantity": 9}]}});
        let (after, added) = merged("salesOrder", before.clone(), no_key.clone(), "");
        assert_eq!(after["item"]["items"][1], json!({"line": 2, "quantity": 9}));
        assert_eq!(added, 1);
        let (after, added) = merged("salesOrder", before, no_key, "replace=item");
        assert_eq!((after, added), (json!({"item": {"items": [{"line": 1, "quantity": 9}]}}), 0));
    }

    #[test]
    fn replace_selected_fields_clears_what_the_body_leaves_out() {
        let before = json!({"memo": "old", "email": "a@b.example"});
        let (after, _) = merged(
            "salesOrder",
            before.clone(),
            json!({}),
            "replace=memo&replaceSelectedFields=true",
        );
        assert_eq!(after, json!({"email": "a@b.example"}));
        let (after, _) = merged("salesOrder", before, json!({}), "replace=memo");
        assert_eq!(after["memo"], "old");
    }
}
