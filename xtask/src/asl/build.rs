//! Puts a machine together from its files.

use super::jsonata;
use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// The file's JSON with every include in place.
pub(super) fn file(path: &Path) -> anyhow::Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let directory = path.parent().context("a source lies in a directory")?;
    expand(value, directory).with_context(|| format!("in {}", path.display()))
}

fn expand(value: Value, directory: &Path) -> anyhow::Result<Value> {
    match value {
        Value::Object(object) => expand_object(object, directory),
        Value::Array(items) => items.into_iter().map(|item| expand(item, directory)).collect(),
        leaf => Ok(leaf),
    }
}

fn expand_object(mut object: Map<String, Value>, directory: &Path) -> anyhow::Result<Value> {
    if let Some(name) = object.remove("$jsonata") {
        let name = name.as_str().context("$jsonata must name a file")?;
        if !object.is_empty() {
            bail!("$jsonata {name} stands for a string: it cannot have keys beside it");
        }
        return Ok(format!("{{% {} %}}", jsonata::file(&directory.join(name))?).into());
    }
    let mut result = match object.remove("$include") {
        Some(name) => {
            let name = name.as_str().context("$include must name a file")?;
            match file(&directory.join(name))? {
                Value::Object(included) => included,
                _ => bail!("{name} is included as an object and is none"),
            }
        }
        None => Map::new(),
    };
    for (key, value) in object {
        result.insert(key, expand(value, directory)?);
    }
    Ok(Value::Object(result))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(files: &[(&str, &str)]) -> anyhow::Result<Value> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        file(&directory.path().join("machine.json"))
    }

    #[test]
    fn an_include_gives_its_keys_and_what_stands_beside_it_wins() {
        let machine = build(&[
            (
                "machine.json",
                r#"{"States": {"A": {"$include": "call.json", "Next": "B", "Type": "Pass"}}}"#,
            ),
            ("call.json", r#"{"Type": "Task", "Arguments": {"x": {"$jsonata": "x.jsonata"}}}"#),
            ("x.jsonata", "/* why */ 1\n  + 2\n"),
        ]);
        let state = json!({"Type": "Pass", "Next": "B", "Arguments": {"x": "{% 1 + 2 %}"}});
        assert_eq!(machine.unwrap(), json!({"States": {"A": state}}));
    }

    #[test]
    fn a_missing_include_is_named() {
        let error =
            build(&[("machine.json", r#"{"States": {"$include": "cal.json"}}"#)]).unwrap_err();
        assert!(format!("{error:#}").contains("cal.json"), "{error:#}");
    }

    #[test]
    fn an_expression_cannot_have_keys_beside_it() {
        let files =
            [("machine.json", r#"{"$jsonata": "x.jsonata", "Next": "B"}"#), ("x.jsonata", "1")];
        assert!(build(&files).unwrap_err().root_cause().to_string().contains("cannot have keys"));
    }
}
