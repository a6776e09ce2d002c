//! What the template takes care of: data, encryption, and that nobody may more than he must.

use crate::parsed::{addition, resources, template};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Each of these types holds something.
const STATEFUL: [&str; 3] = ["AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup"];

const TABLES: [&str; 2] = ["IdempotencyTable", "UsageTable"];

#[test]
fn the_records_the_usage_and_the_dead_letters_outlive_the_stack() {
    let template = template();
    let mut kept = BTreeSet::new();
    for (name, resource) in STATEFUL.into_iter().flat_map(|kind| resources(&template, kind)) {
        let policies = (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]);
        // A stack that was never whole leaves nothing behind.
        if policies == (&json!("RetainExceptOnCreate"), &json!("Retain")) {
            kept.insert(name);
        } else {
            assert_eq!(policies, (&json!("Delete"), &json!("Delete")), "{name}");
        }
    }
    assert_eq!(kept, BTreeSet::from(["DeadLetterQueue", "IdempotencyTable", "UsageTable"]));
    for name in TABLES {
        let table = &template["Resources"][name]["Properties"];
        assert_eq!(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
    }
}

#[test]
fn every_queue_refuses_requests_without_tls() {
    let template = template();
    let policy = &template["Resources"]["QueuesWantTls"]["Properties"];
    let named = policy["Queues"].to_string();
    let queues: Vec<_> = resources(&template, "AWS::SQS::Queue").collect();
    assert_eq!(queues.len(), 5);
    for (name, _) in queues {
        assert!(named.contains(&json!({ "Ref": name }).to_string()), "{name}");
    }
    let statement = &policy["PolicyDocument"]["Statement"][0];
    assert_eq!(statement["Effect"], "Deny");
    assert_eq!(statement["Condition"], json!({ "Bool": { "aws:SecureTransport": "false" } }));
}

/// A customer's key, where there is one, is for all that lies anywhere.
#[test]
fn a_key_of_ones_own_is_used_everywhere() {
    for (template, roles) in [
        (template(), &["EnqueuerRole", "WorkerRole"][..]),
        (addition("cascade"), &["CallerRole", "FrontDoorRole"]),
        (addition("reviews"), &["ReviewSentimentRole"]),
    ] {
        uses_a_key_of_ones_own(&template, roles);
    }
}

fn uses_a_key_of_ones_own(template: &Value, roles: &[&str]) {
    let own = json!({ "Fn::If": ["OwnKey", { "Ref": "KmsKeyArn" }, { "Ref": "AWS::NoValue" }] });
    for (kind, property) in [
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::Lambda::Function", "KmsKeyArn"),
    ] {
        for (name, resource) in resources(template, kind) {
            assert_eq!(resource["Properties"][property], own, "{name}");
        }
    }
    for (name, table) in resources(template, "AWS::DynamoDB::Table") {
        let encryption = &table["Properties"]["SSESpecification"];
        let key = &encryption["Fn::If"][1]["KMSMasterKeyId"];
        assert_eq!(key, &json!({ "Ref": "KmsKeyArn" }), "{name}");
    }
    for role in roles {
        let allowed: Vec<_> = statements(&template["Resources"][*role])
            .into_iter()
            .filter(|statement| statement["Resource"] == json!({ "Ref": "KmsKeyArn" }))
            .collect();
        let [statement] = allowed[..] else { panic!("{role}: {allowed:?}") };
        let actions = actions(statement);
        assert!(actions.contains("kms:Decrypt"), "{role}");
        // Whoever only runs with variables writes nothing under the key.
        let writes = !["CallerRole", "FrontDoorRole"].contains(role);
        assert_eq!(actions.contains("kms:GenerateDataKey"), writes, "{role}");
    }
}

/// Beside Slowlane's own stack nothing needs a statement that names no resource.
#[test]
fn no_statement_of_an_addition_is_wide() {
    for name in ["cascade", "reviews", "shared-limits"] {
        let template = addition(name);
        for (role, resource) in resources(&template, "AWS::IAM::Role") {
            for statement in statements(resource) {
                assert_eq!(statement["Effect"], "Allow", "{name}: {role}");
                assert!(!statement["Resource"].to_string().contains("\"*\""), "{name}: {role}");
                let actions = actions(statement);
                assert!(!actions.iter().any(|action| action.contains('*')), "{name}: {role}");
            }
        }
    }
}

/// No statement is wider than these. Each is of actions for which IAM knows no resource, or of
/// resources that are not there yet.
#[test]
fn no_statement_is_wider_than_it_must() {
    let wide = [
        ("EnqueuerRole", "xray:PutTelemetryRecords xray:PutTraceSegments"),
        (
            "StateMachineRole",
            "logs:CreateLogDelivery logs:DeleteLogDelivery logs:DescribeLogGroups \
             logs:DescribeResourcePolicies logs:GetLogDelivery logs:ListLogDeliveries \
             logs:PutResourcePolicy logs:UpdateLogDelivery",
        ),
        (
            "StateMachineRole",
            "xray:GetSamplingRules xray:GetSamplingTargets xray:PutTelemetryRecords \
             xray:PutTraceSegments",
        ),
        (
            "WorkerRole",
            "ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface \
             ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses",
        ),
        ("WorkerRole", "states:SendTaskFailure states:SendTaskHeartbeat states:SendTaskSuccess"),
        ("WorkerRole", "xray:PutTelemetryRecords xray:PutTraceSegments"),
    ];
    let template = template();
    let kinds = ["AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"];
    let mut found = Vec::new();
    for (name, resource) in kinds.into_iter().flat_map(|kind| resources(&template, kind)) {
        // Only the worker may have more rights than stand here, and only those that a team names.
        let more = match name {
            "WorkerRole" => json!({ "Fn::If": [
                "MoreRights",
                [{ "Ref": "WorkerPolicyArn" }],
                { "Ref": "AWS::NoValue" },
            ] }),
            _ => Value::Null,
        };
        assert_eq!(resource["Properties"]["ManagedPolicyArns"], more, "{name}");
        for statement in statements(resource) {
            let actions = actions(statement);
            assert!(!actions.iter().any(|action| action.contains('*')), "{name}: {actions:?}");
            assert_eq!(statement["Effect"], "Allow", "{name}");
            if statement["Resource"].to_string().contains("\"*\"") {
                let actions: Vec<_> = actions.into_iter().collect();
                found.push((name, actions.join(" ")));
            }
        }
    }
    found.sort();
    let wide = wide.map(|(role, actions)| (role, actions.to_owned()));
    assert_eq!(found, wide);
}

#[test]
fn workflows_log_no_input_and_no_output() {
    let template = template();
    let machines: BTreeMap<_, _> =
        resources(&template, "AWS::StepFunctions::StateMachine").collect();
    assert_eq!(machines.len(), 2);
    for (name, machine) in machines {
        let logging = &machine["Properties"]["LoggingConfiguration"];
        assert_eq!(logging["IncludeExecutionData"], false, "{name}");
        assert!(logging["Level"].is_object(), "{name}");
    }
}

/// Lambda's guard against endless loops is off for the worker alone, whose reserved concurrency
/// bounds what one could cost.
#[test]
fn an_endless_loop_is_bounded() {
    let template = template();
    let allowed: Vec<_> = resources(&template, "AWS::Lambda::Function")
        .filter(|(_, function)| function["Properties"]["RecursiveLoop"] == "Allow")
        .collect();
    let [(name, worker)] = allowed[..] else { panic!("{allowed:?}") };
    assert_eq!(name, "WorkerFunction");
    let bound = &worker["Properties"]["ReservedConcurrentExecutions"];
    assert_eq!(bound, &json!({ "Ref": "ApiConcurrency" }));
}

/// A mapping that somebody has switched off shows as drift.
#[test]
fn every_mapping_is_enabled_and_measured() {
    let template = template();
    let mappings: Vec<_> = resources(&template, "AWS::Lambda::EventSourceMapping").collect();
    assert_eq!(mappings.len(), 4);
    for (name, mapping) in mappings {
        assert_eq!(mapping["Properties"]["Enabled"], true, "{name}");
        assert_eq!(mapping["Properties"]["MetricsConfig"], json!({ "Metrics": ["EventCount"] }));
    }
}

/// The statements of a role or policy, those under a condition too.
fn statements(resource: &Value) -> Vec<&Value> {
    let properties = &resource["Properties"];
    let inline = properties["Policies"].as_array().into_iter().flatten();
    inline
        .map(|policy| &policy["PolicyDocument"])
        .chain(Some(&properties["PolicyDocument"]))
        .flat_map(|document| document["Statement"].as_array().into_iter().flatten())
        .map(|statement| match &statement["Fn::If"] {
            Value::Array(branches) => &branches[1],
            _ => statement,
        })
        .collect()
}

fn actions(statement: &Value) -> BTreeSet<&str> {
    match &statement["Action"] {
        Value::Array(actions) => actions.iter().map(|action| action.as_str().unwrap()).collect(),
        action => BTreeSet::from([action.as_str().unwrap()]),
    }
}
