//! Whether what a Task calls exists and gets what it needs.

use super::report::{Report, nearest};
use crate::walk::State;

const CALL: &[&str] = &[""];
const CALLBACK: &[&str] = &["", ".waitForTaskToken"];
const JOB: &[&str] = &["", ".sync"];
const ANY: &[&str] = &["", ".sync", ".waitForTaskToken"];
const CHILD: &[&str] = &["", ".sync", ".sync:2", ".waitForTaskToken"];

/// The optimized integrations, with their patterns and the arguments without which they fail
/// (Developer Guide, "Integrating optimized services with Step Functions").
const INTEGRATIONS: &[(&str, &[&str], &[&str])] = &[
    ("apigateway:invoke", CALLBACK, &["ApiEndpoint", "Method"]),
    ("athena:getQueryExecution", CALL, &["QueryExecutionId"]),
    ("athena:getQueryResults", CALL, &["QueryExecutionId"]),
    ("athena:startQueryExecution", JOB, &["QueryString"]),
    ("athena:stopQueryExecution", CALL, &["QueryExecutionId"]),
    ("batch:submitJob", JOB, &["JobDefinition", "JobName", "JobQueue"]),
    ("bedrock:createModelCustomizationJob", JOB, &[]),
    ("bedrock:invokeModel", CALLBACK, &["ModelId"]),
    ("codebuild:batchDeleteBuilds", CALL, &[]),
    ("codebuild:batchGetReports", CALL, &[]),
    ("codebuild:deleteBuildBatch", CALL, &[]),
    ("codebuild:retryBuildBatch", JOB, &[]),
    ("codebuild:startBuild", JOB, &["ProjectName"]),
    ("codebuild:startBuildBatch", JOB, &["ProjectName"]),
    ("codebuild:stopBuild", CALL, &["Id"]),
    ("codebuild:stopBuildBatch", CALL, &["Id"]),
    ("databrew:startJobRun", JOB, &["Name"]),
    ("dynamodb:deleteItem", CALL, &["TableName", "Key"]),
    ("dynamodb:getItem", CALL, &["TableName", "Key"]),
    ("dynamodb:putItem", CALL, &["TableName", "Item"]),
    ("dynamodb:updateItem", CALL, &["TableName", "Key"]),
    ("ecs:runTask", ANY, &["TaskDefinition"]),
    ("eks:call", CALL, &[]),
    ("eks:createCluster", JOB, &[]),
    ("eks:createFargateProfile", JOB, &[]),
    ("eks:createNodegroup", JOB, &[]),
    ("eks:deleteCluster", JOB, &[]),
    ("eks:deleteFargateProfile", JOB, &[]),
    ("eks:deleteNodegroup", JOB, &[]),
    ("eks:runJob", JOB, &[]),
    ("elasticmapreduce:addStep", JOB, &["ClusterId", "Step"]),
    ("elasticmapreduce:cancelStep", CALL, &["ClusterId", "StepId"]),
    ("elasticmapreduce:createCluster", JOB, &["Name"]),
    ("elasticmapreduce:modifyInstanceFleetByName", CALL, &["ClusterId"]),
    ("elasticmapreduce:modifyInstanceGroupByName", CALL, &["ClusterId"]),
    ("elasticmapreduce:setClusterTerminationProtection", CALL, &["ClusterId"]),
    ("elasticmapreduce:terminateCluster", JOB, &["ClusterId"]),
    ("emr-containers:createVirtualCluster", CALL, &[]),
    ("emr-containers:deleteVirtualCluster", JOB, &[]),
    ("emr-containers:startJobRun", JOB, &[]),
    ("emr-serverless:cancelJobRun", JOB, &[]),
    ("emr-serverless:createApplication", JOB, &[]),
    ("emr-serverless:deleteApplication", JOB, &[]),
    ("emr-serverless:startApplication", JOB, &[]),
    ("emr-serverless:startJobRun", JOB, &[]),
    ("emr-serverless:stopApplication", JOB, &[]),
    ("events:putEvents", CALLBACK, &["Entries"]),
    ("glue:startJobRun", JOB, &["JobName"]),
    ("http:invoke", CALL, &["ApiEndpoint", "Method"]),
    ("lambda:invoke", CALLBACK, &["FunctionName"]),
    ("mediaconvert:createJob", JOB, &[]),
    ("sagemaker:createEndpoint", CALL, &[]),
    ("sagemaker:createEndpointConfig", CALL, &[]),
    ("sagemaker:createHyperParameterTuningJob", JOB, &[]),
    ("sagemaker:createLabelingJob", JOB, &[]),
    ("sagemaker:createModel", CALL, &[]),
    ("sagemaker:createProcessingJob", JOB, &[]),
    ("sagemaker:createTrainingJob", JOB, &[]),
    ("sagemaker:createTransformJob", JOB, &[]),
    ("sagemaker:updateEndpoint", CALL, &[]),
    // A message goes to one of TopicArn, TargetArn and PhoneNumber.
    ("sns:publish", CALLBACK, &["Message"]),
    ("sqs:sendMessage", CALLBACK, &["QueueUrl", "MessageBody"]),
    ("states:startExecution", CHILD, &["StateMachineArn"]),
];

pub(super) fn known(state: &State<'_>, report: &mut Report<'_>) {
    // The partition may be another one, or a substitution.
    let Some((arn, called)) = state.resource().split_once(":states:::") else { return };
    if !state.is("Task") || !arn.starts_with("arn:") {
        return;
    }
    if let Some(called) = called.strip_prefix("aws-sdk:") {
        return sdk(state, called, report);
    }
    let found = INTEGRATIONS.iter().find(|(name, patterns, _)| {
        called.strip_prefix(name).is_some_and(|pattern| patterns.contains(&pattern))
    });
    match found {
        Some((_, _, needed)) => arguments(state, called, needed, report),
        None => {
            let what = format!("there is no integration {called}");
            report.say("integration-unknown", state, &state.at("Resource"), what, mend(called));
        }
    }
}

fn mend(called: &str) -> String {
    let all: Vec<String> = INTEGRATIONS
        .iter()
        .flat_map(|(name, patterns, _)| patterns.iter().map(move |end| format!("{name}{end}")))
        .collect();
    if let Some(near) = nearest(called, all.iter().map(String::as_str)) {
        return format!("write {near}");
    }
    let name = called.split('.').next().unwrap_or_default();
    match INTEGRATIONS.iter().find(|(known, ..)| *known == name) {
        Some((_, patterns, _)) => {
            let ends: Vec<_> = patterns.iter().map(|end| format!("{name}{end}")).collect();
            format!("write one of {}", ends.join(", "))
        }
        None => "take a name of AWS's list of optimized integrations, or aws-sdk:SERVICE:action"
            .to_owned(),
    }
}

/// `SERVICE:action`, as in `dynamodb:transactWriteItems`.
fn sdk(state: &State<'_>, called: &str, report: &mut Report<'_>) {
    let name = called.strip_suffix(".waitForTaskToken").unwrap_or(called);
    let fits = name.split_once(':').is_some_and(|(service, action)| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !service.is_empty()
            && service.chars().all(plain)
            && action.starts_with(|c: char| c.is_ascii_lowercase())
            && action.chars().all(|c| c.is_ascii_alphanumeric())
    });
    if !fits {
        let what = format!("aws-sdk:{called} is no name of an SDK integration");
        let mend = "write aws-sdk:SERVICE:action, the service in lower case and the action in camel \
                    case, as in aws-sdk:dynamodb:transactWriteItems";
        report.say("integration-unknown", state, &state.at("Resource"), what, mend);
    }
}

fn arguments(state: &State<'_>, called: &str, needed: &[&str], report: &mut Report<'_>) {
    let (field, handed) = state.handed();
    // Without arguments the state's input is handed over, and one expression gives all of them.
    let Some(arguments) = handed.as_object() else { return };
    for argument in needed {
        let has = |key: &String| key.strip_suffix(".$").unwrap_or(key) == *argument;
        if !arguments.keys().any(has) {
            let what = format!("{called} needs the argument {argument}");
            let mend = format!("add {argument} to {field}");
            report.say("argument-missing", state, &state.at(field), what, mend);
        }
    }
}
