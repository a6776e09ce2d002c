//! The template as JSON: `!Ref X` is `{"Ref": "X"}`, as CloudFormation itself has it.

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

/// The whole template.
pub(crate) fn template() -> Value {
    to_json(serde_yaml_ng::from_str(&crate::template()).unwrap())
}

/// The template of a stack beside Slowlane's own, such as `cascade`.
pub(crate) fn addition(name: &str) -> Value {
    let path = format!("{}/../../infra/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    to_json(serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

/// The resources of a type, by name.
pub(crate) fn resources<'a>(
    template: &'a Value,
    resource_type: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let resources = template["Resources"].as_object().unwrap().iter();
    resources
        .filter(move |(_, resource)| resource["Type"] == resource_type)
        .map(|(name, resource)| (name.as_str(), resource))
}

fn to_json(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let function = match tag.trim_start_matches('!') {
                short @ ("Ref" | "Condition") => short.to_owned(),
                name => format!("Fn::{name}"),
            };
            json!({ function: to_json(tagged.value) })
        }
        Yaml::Mapping(mapping) => {
            let entries = mapping.into_iter().map(|(key, value)| {
                let key = match key {
                    Yaml::String(key) => key,
                    key => serde_yaml_ng::to_string(&key).unwrap().trim().to_owned(),
                };
                (key, to_json(value))
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Yaml::Sequence(items) => items.into_iter().map(to_json).collect(),
        plain => serde_json::to_value(plain).unwrap(),
    }
}
