//! The JSON of a machine with every include in place.

use std::path::Path;

use serde_json::{Map, Value};

use super::files::{Error, Open, read};
use super::jsonata;

/// The file's JSON with every include in place.
///
/// # Errors
/// See [`Error`].
pub fn file(path: &Path) -> Result<Value, Error> {
    included(path, &mut Open::default())
}

fn included(path: &Path, open: &mut Open) -> Result<Value, Error> {
    open.within(path, |open| {
        let text = read(path)?;
        let value = serde_json::from_str(&text)
            .map_err(|source| Error::NotJson { file: path.to_owned(), source })?;
        expand(value, path, open)
    })
}

fn expand(value: Value, within: &Path, open: &mut Open) -> Result<Value, Error> {
    match value {
        Value::Object(object) => expand_object(object, within, open),
        Value::Array(items) => items.into_iter().map(|item| expand(item, within, open)).collect(),
        leaf => Ok(leaf),
    }
}

fn expand_object(
    mut object: Map<String, Value>,
    within: &Path,
    open: &mut Open,
) -> Result<Value, Error> {
    let bad = |what: String| Error::Include { file: within.to_owned(), what };
    if let Some(name) = object.remove("$jsonata") {
        let name = name.as_str().ok_or_else(|| bad("$jsonata must name a file".into()))?;
        if !object.is_empty() {
            return Err(bad(format!(
                "$jsonata {name} stands for a string: it cannot have keys beside it"
            )));
        }
        let expression = jsonata::file(&within.with_file_name(name), open)?;
        return Ok(format!("{{% {expression} %}}").into());
    }
    let mut result = match object.remove("$include") {
        Some(name) => {
            let name = name.as_str().ok_or_else(|| bad("$include must name a file".into()))?;
            match included(&within.with_file_name(name), open)? {
                Value::Object(included) => included,
                _ => return Err(bad(format!("{name} is included as an object and is none"))),
            }
        }
        None => Map::new(),
    };
    for (key, value) in object {
        result.insert(key, expand(value, within, open)?);
    }
    Ok(Value::Object(result))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn build(files: &[(&str, &str)]) -> Result<Value, Error> {
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
        assert!(error.to_string().contains("cal.json"), "{error}");
    }

    #[test]
    fn an_expression_cannot_have_keys_beside_it() {
        let files =
            [("machine.json", r#"{"$jsonata": "x.jsonata", "Next": "B"}"#), ("x.jsonata", "1")];
        assert!(build(&files).unwrap_err().to_string().contains("cannot have keys"));
    }

    #[test]
    fn a_circle_of_includes_is_an_error() {
        let files = [
            ("machine.json", r#"{"States": {"$jsonata": "x.jsonata"}}"#),
            ("x.jsonata", "$include('y.jsonata')"),
            ("y.jsonata", "1 + $include('x.jsonata')"),
        ];
        assert!(matches!(build(&files), Err(Error::Circle { .. })));
    }
}
