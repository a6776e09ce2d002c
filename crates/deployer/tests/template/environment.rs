//! All that a Lambda is told has 4 KB, so each parameter that reaches it has a longest value.

use crate::parsed::template;
use serde_json::Value;
use slowlane_deployer::limits::LIMITS_MAX_BYTES;
use slowlane_metering::{Budgets, Money};

/// The most bytes of a function's variables, names and values together (AWS, Lambda quotas).
const MOST: usize = 4_096;
/// The longest name of a stack and of a queue (API models).
const STACK: usize = 128;
const QUEUE: usize = 80;
/// What CloudFormation adds to the names of the stack and of the resource, if a table has none of its own:
/// `STACK-RESOURCE-1ABCDEFGHIJKL`.
const SUFFIX: usize = 15;

#[test]
fn a_lambdas_environment_fits_with_the_longest_values() {
    let template = template();
    for function in ["WorkerFunction", "EnqueuerFunction"] {
        let variables = &template["Resources"][function]["Properties"]["Environment"]["Variables"];
        let variables = variables.as_object().unwrap();
        let longest = variables.iter().map(|(name, value)| name.len() + longest(&template, value));
        let total: usize = longest.sum();
        assert!(total <= MOST, "{function}: {total} bytes");
        assert!(total > MOST / 2, "{function}: {total} bytes are not all");
    }
}

#[test]
fn as_many_limits_fit_as_the_template_takes() {
    assert_eq!(template()["Parameters"]["Limits"]["MaxLength"], LIMITS_MAX_BYTES);
}

#[test]
fn as_many_budgets_fit_as_there_are_kinds() {
    let tokens = format!("\"tokens\":\"{}", u64::MAX);
    let money = format!("\"money\":\"{}", Money::from_billionths(u64::MAX));
    let kinds = [&tokens, &money].map(|most| format!("{{{most}/day\"}},{{{most}/month\"}}"));
    let text = format!("[{}]", kinds.join(","));
    let budgets = Budgets::from_json(&text).unwrap();
    assert_eq!((budgets.len(), budgets.to_json()), (4, text.clone()));
    let most = template()["Parameters"]["Budgets"]["MaxLength"].as_u64().unwrap();
    assert!(text.len() as u64 <= most, "{} bytes", text.len());
}

/// How long a variable's value can be.
fn longest(template: &Value, value: &Value) -> usize {
    let Some((function, of)) = value.as_object().and_then(|map| map.iter().next()) else {
        return value.as_str().unwrap().len();
    };
    match function.as_str() {
        "Ref" => longest_ref(template, of.as_str().unwrap()),
        "Fn::If" => of.as_array().unwrap()[1..].iter().map(|v| longest(template, v)).max().unwrap(),
        "Fn::FindInMap" => longest_text(&template["Mappings"][of[0].as_str().unwrap()]),
        "Fn::Sub" => {
            let text = of.as_str().unwrap();
            assert_eq!(text.matches("${").count(), text.matches("${AWS::StackName}").count());
            text.len() + text.matches("${").count() * STACK
        }
        other => panic!("{other}"),
    }
}

fn longest_ref(template: &Value, name: &str) -> usize {
    if name == "AWS::StackName" {
        return STACK;
    }
    let parameter = &template["Parameters"][name];
    if let Some(values) = parameter["AllowedValues"].as_array() {
        return values.iter().map(longest_text).max().unwrap();
    }
    match (parameter["Type"].as_str(), template["Resources"][name]["Type"].as_str()) {
        (Some("Number"), _) => 10,
        (Some(_), _) => {
            let most = parameter["MaxLength"].as_u64();
            most.unwrap_or_else(|| panic!("{name} has no MaxLength")).try_into().unwrap()
        }
        (None, Some("AWS::SQS::Queue")) => {
            "https://sqs.ap-southeast-99.amazonaws.com.cn/123456789012/".len() + QUEUE
        }
        (None, Some("AWS::DynamoDB::Table")) => {
            let table = &template["Resources"][name]["Properties"]["TableName"];
            assert!(table.is_null(), "{name} has a name of its own: {table}");
            STACK + name.len() + SUFFIX
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// The longest text in a value, however deep.
fn longest_text(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.values().map(longest_text).max().unwrap_or(0),
        plain => plain.to_string().trim_matches('"').len(),
    }
}
