//! Mistakes in a machine that no validator finds.
//!
//! cfn-lint and asl-validator pass all of these: a task token that is never handed over, an
//! integration that does not exist, an argument that it needs, a heartbeat that is no shorter than
//! the time-out, a variable that nothing has assigned, and `$states.result` where there is none.
//! Beyond them: a wait for a token without an end.

use super::jsonata::{Token, tokens};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The integrations in use, with the arguments each must have. One that is missing here is
/// added here, with its name copied from AWS's list of optimized integrations.
const INTEGRATIONS: [(&str, &[&str], &[&str]); 9] = [
    ("lambda:invoke", &["", ".waitForTaskToken"], &["FunctionName"]),
    ("sqs:sendMessage", &["", ".waitForTaskToken"], &["QueueUrl", "MessageBody"]),
    ("states:startExecution", &["", ".sync", ".sync:2", ".waitForTaskToken"], &["StateMachineArn"]),
    ("sns:publish", &["", ".waitForTaskToken"], &["Message"]),
    ("events:putEvents", &["", ".waitForTaskToken"], &["Entries"]),
    ("dynamodb:getItem", &[""], &["TableName", "Key"]),
    ("dynamodb:putItem", &[""], &["TableName", "Item"]),
    ("dynamodb:updateItem", &[""], &["TableName", "Key"]),
    ("dynamodb:deleteItem", &[""], &["TableName", "Key"]),
];

/// The functions of JSONata 2.0.6 without `$eval`, and the six that Step Functions adds.
const FUNCTIONS: &str = "abs append assert average base64decode base64encode boolean ceil contains count \
    decodeUrl decodeUrlComponent distinct each encodeUrl encodeUrlComponent error exists filter floor \
    formatBase formatInteger formatNumber fromMillis join keys length lookup lowercase map match max merge \
    millis min not now number pad parseInteger power reduce replace reverse round shuffle sift single sort \
    split spread sqrt string substring substringAfter substringBefore sum toMillis trim type uppercase zip \
    hash parse partition random range uuid";

/// What is wrong with the machine, a sentence each.
pub(super) fn problems(machine: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check_machine(machine, &BTreeSet::new(), &mut problems);
    problems
}

type Variables = BTreeSet<String>;

fn check_machine(machine: &Value, inherited: &Variables, problems: &mut Vec<String>) {
    let Some(states) = machine["States"].as_object() else {
        return problems.push("the machine has no States".into());
    };
    let assigned = assigned_before(machine, states, inherited);
    for (name, state) in states {
        let mut say = |problem: String| problems.push(format!("{name}: {problem}"));
        let Some(variables) = assigned.get(name.as_str()) else {
            say("no path leads here".into());
            continue;
        };
        check_task(state, &mut say);
        check_expressions(state, variables, &mut say);
        let branches = state["Branches"].as_array().into_iter().flatten();
        for inner in branches.chain(state.get("ItemProcessor")) {
            check_machine(inner, variables, problems);
        }
    }
}

fn check_task(state: &Value, say: &mut impl FnMut(String)) {
    let (timeout, heartbeat) = (&state["TimeoutSeconds"], &state["HeartbeatSeconds"]);
    if let (Some(timeout), Some(heartbeat)) = (timeout.as_f64(), heartbeat.as_f64())
        && heartbeat >= timeout
    {
        say(format!("HeartbeatSeconds {heartbeat} must be less than TimeoutSeconds {timeout}"));
    }
    let Some(resource) = state["Resource"].as_str() else { return };
    let arguments = &state["Arguments"];
    if resource.ends_with(".waitForTaskToken") {
        if !arguments.to_string().contains("$states.context.Task.Token") {
            say("waits for a task token that Arguments never hands over ($states.context.Task.Token)".into());
        }
        if timeout.is_null() {
            say("waits for a task token without TimeoutSeconds: a lost answer would hang it for a year".into());
        }
    }
    let Some(called) = resource.strip_prefix("arn:aws:states:::") else { return };
    if called.starts_with("aws-sdk:") {
        return;
    }
    let integration = INTEGRATIONS.iter().find(|(name, patterns, _)| {
        called.strip_prefix(name).is_some_and(|pattern| patterns.contains(&pattern))
    });
    let Some((_, _, needed)) = integration else {
        return say(format!("{resource} is no integration that is known here"));
    };
    // Arguments that are one expression are not looked into.
    if !arguments.is_string() {
        for argument in needed.iter().filter(|argument| arguments.get(**argument).is_none()) {
            say(format!("{called} needs the argument {argument}"));
        }
    }
}

/// For each state that can be reached, the variables that every path to it has assigned.
fn assigned_before<'a>(
    machine: &'a Value,
    states: &'a Map<String, Value>,
    inherited: &Variables,
) -> BTreeMap<&'a str, Variables> {
    let mut assigned: BTreeMap<&str, Variables> = BTreeMap::new();
    let mut open = vec![(machine["StartAt"].as_str().unwrap_or_default(), inherited.clone())];
    while let Some((name, variables)) = open.pop() {
        let Some((name, state)) = states.get_key_value(name) else { continue };
        let common = match assigned.get(name.as_str()) {
            Some(before) => before.intersection(&variables).cloned().collect(),
            None => variables,
        };
        if assigned.get(name.as_str()) == Some(&common) {
            continue;
        }
        for (next, assign) in ways_on(state) {
            let more = assign.as_object().into_iter().flat_map(Map::keys).cloned();
            open.push((next, common.iter().cloned().chain(more).collect()));
        }
        assigned.insert(name, common);
    }
    assigned
}

/// Each next state, with what is assigned on the way there.
fn ways_on(state: &Value) -> Vec<(&str, &Value)> {
    let rules = ["Choices", "Catch"]
        .into_iter()
        .flat_map(|key| state[key].as_array().into_iter().flatten());
    let mut ways: Vec<_> =
        rules.filter_map(|rule| Some((rule["Next"].as_str()?, &rule["Assign"]))).collect();
    let own = ["Next", "Default"].into_iter().filter_map(|key| state[key].as_str());
    ways.extend(own.map(|next| (next, &state["Assign"])));
    ways
}

fn check_expressions(state: &Value, variables: &Variables, say: &mut impl FnMut(String)) {
    let has_result = matches!(state["Type"].as_str(), Some("Task" | "Parallel" | "Map"));
    for (key, value) in state.as_object().into_iter().flatten() {
        let is_after = matches!(key.as_str(), "Output" | "Assign");
        match key.as_str() {
            "Branches" | "ItemProcessor" => {}
            "Catch" => {
                check_within(key, value, &["input", "context", "errorOutput"], variables, say)
            }
            _ if is_after && has_result => {
                check_within(key, value, &["input", "context", "result"], variables, say);
            }
            _ => check_within(key, value, &["input", "context"], variables, say),
        }
    }
}

/// Every expression below `value`, which may use these fields of `$states`.
fn check_within(
    place: &str,
    value: &Value,
    fields: &[&str],
    variables: &Variables,
    say: &mut impl FnMut(String),
) {
    match value {
        Value::Object(object) => {
            object.values().for_each(|value| check_within(place, value, fields, variables, say))
        }
        Value::Array(items) => {
            items.iter().for_each(|value| check_within(place, value, fields, variables, say))
        }
        Value::String(text) => {
            if let Some(expression) =
                text.strip_prefix("{%").and_then(|rest| rest.strip_suffix("%}"))
            {
                check_expression(place, &tokens(expression), fields, variables, say);
            }
        }
        _ => {}
    }
}

fn check_expression(
    place: &str,
    tokens: &[Token<'_>],
    fields: &[&str],
    variables: &Variables,
    say: &mut impl FnMut(String),
) {
    let local = local_names(tokens);
    for (at, token) in tokens.iter().enumerate() {
        let Token::Variable(name) = token else { continue };
        let name = &name[1..];
        let after = &tokens[at + 1..];
        if name == "states" {
            if let [Token::Sign("."), Token::Word(field), ..] = after
                && !fields.contains(field)
            {
                say(format!("{place} has no $states.{field} (only {})", fields.join(", ")));
            }
        } else if !["", "$"].contains(&name)
            && !local.contains(name)
            && !variables.contains(name)
            && !FUNCTIONS.split_whitespace().any(|function| function == name)
        {
            let kind =
                if after.first() == Some(&Token::Sign("(")) { "function" } else { "variable" };
            say(format!("{place} uses the {kind} ${name}, which not every path here has assigned"));
        }
    }
}

/// Names that the expression binds itself: `$x :=`, `function($x)`, `@$x` and `#$x`.
fn local_names<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        match (token, &tokens[at + 1..]) {
            (Token::Variable(name), [Token::Sign(":="), ..])
            | (Token::Sign("@" | "#"), [Token::Variable(name), ..]) => {
                names.insert(&name[1..]);
            }
            (Token::Word("function"), parameters) => {
                let parameters = parameters.iter().take_while(|token| **token != Token::Sign(")"));
                names.extend(parameters.filter_map(|token| match token {
                    Token::Variable(name) => Some(&name[1..]),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A machine of one good task, with `change` laid over the task.
    fn with(change: Value) -> Value {
        let mut task = json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Arguments": {"FunctionName": "f", "Payload": "{% {'token': $states.context.Task.Token} %}"},
            "TimeoutSeconds": 60,
            "Output": "{% $states.result %}",
            "End": true,
        });
        for (key, value) in change.as_object().unwrap() {
            task[key] = value.clone();
        }
        json!({"StartAt": "Call", "States": {"Call": task}})
    }

    fn found(machine: &Value) -> String {
        problems(machine).join("\n")
    }

    #[test]
    fn a_good_task_has_no_problem() {
        assert_eq!(found(&with(json!({}))), "");
    }

    #[test]
    fn a_token_that_is_never_handed_over() {
        let arguments = json!({"FunctionName": "f", "Payload": "{% $states.input %}"});
        assert!(found(&with(json!({"Arguments": arguments}))).contains("never hands over"));
    }

    #[test]
    fn a_wait_without_end() {
        assert!(found(&with(json!({"TimeoutSeconds": null}))).contains("without TimeoutSeconds"));
    }

    #[test]
    fn a_misspelt_integration() {
        for name in [
            "lambda:invok.waitForTaskToken",
            "lambda:invoke.waitForTasktoken",
            "lambda:invoke.sync",
        ] {
            let resource = format!("arn:aws:states:::{name}");
            assert!(
                found(&with(json!({"Resource": resource}))).contains("no integration"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_missing_argument() {
        let token = "{% $states.context.Task.Token %}";
        let call = with(json!({"Arguments": {"Payload": token}}));
        assert!(found(&call).contains("needs the argument FunctionName"));
        let send = with(json!({
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Arguments": {"MessageBody": token},
        }));
        assert!(found(&send).contains("needs the argument QueueUrl"));
    }

    #[test]
    fn a_heartbeat_that_is_no_shorter_than_the_timeout() {
        assert!(found(&with(json!({"HeartbeatSeconds": 60}))).contains("must be less than"));
        assert_eq!(found(&with(json!({"HeartbeatSeconds": 59}))), "");
    }

    #[test]
    fn a_result_where_there_is_none() {
        let arguments = json!({
            "FunctionName": "f",
            "Payload": "{% {'token': $states.context.Task.Token, 'last': $states.result} %}",
        });
        assert!(
            found(&with(json!({"Arguments": arguments})))
                .contains("Arguments has no $states.result")
        );
        assert!(
            found(&with(json!({"Output": "{% $states.errorOutput %}"}))).contains("Output has no")
        );
    }

    #[test]
    fn a_variable_that_nothing_has_assigned() {
        assert!(
            found(&with(json!({"Output": "{% $order_id %}"}))).contains("the variable $order_id")
        );
        assert!(
            found(&with(json!({"Output": "{% $uppercas('x') %}"})))
                .contains("the function $uppercas")
        );
        assert_eq!(found(&with(json!({"Output": "{% '$text' & /* $comment */ 'x' %}"}))), "");
        let locals =
            "{% ($f := function($a) { $a }; $map([1], function($v, $i) { $f($v) + $i })) %}";
        assert_eq!(found(&with(json!({"Output": locals}))), "");
    }

    #[test]
    fn a_variable_that_only_one_of_two_paths_has_assigned() {
        let mut machine = json!({
            "StartAt": "Choose",
            "States": {
                "Choose": {
                    "Type": "Choice",
                    "Choices": [{"Condition": "{% true %}", "Assign": {"id": 1}, "Next": "Use"}],
                    "Default": "Use",
                },
                "Use": {"Type": "Pass", "Output": "{% $id %}", "End": true},
            },
        });
        assert!(found(&machine).contains("Use: Output uses the variable $id"));
        machine["States"]["Choose"]["Assign"] = json!({"id": 2});
        assert_eq!(found(&machine), "");
    }

    #[test]
    fn a_loop_and_an_inner_machine_are_followed() {
        let inner = json!({"StartAt": "In", "States": {
            "In": {"Type": "Pass", "Output": "{% $id & $none %}", "End": true},
        }});
        let machine = json!({"StartAt": "A", "States": {
            "A": {"Type": "Pass", "Assign": {"id": 1}, "Next": "B"},
            "B": {"Type": "Map", "ItemProcessor": inner, "Next": "A"},
            "C": {"Type": "Succeed"},
        }});
        assert_eq!(
            problems(&machine),
            [
                "In: Output uses the variable $none, which not every path here has assigned",
                "C: no path leads here"
            ],
        );
    }
}
