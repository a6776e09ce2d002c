//! On an answer in the format that AWS documents for `DescribeChangeSet` with property values (API
//! Reference, `ResourceChange`, `ResourceTargetDefinition`), which the local servers do not give.

use crate::stack::{Conduct, Stack, Wanted};
use crate::wire::Wire;
use crate::{Progress, Values};
use std::time::Duration;

/// A member of `Details`.
fn detail(path: &str, recreation: &str, before: &str, after: &str) -> String {
    format!(
        "<member><Target><Attribute>Properties</Attribute><Path>{path}</Path>\
         <RequiresRecreation>{recreation}</RequiresRecreation><BeforeValue>{before}</BeforeValue>\
         <AfterValue>{after}</AfterValue></Target><Evaluation>Static</Evaluation></member>"
    )
}

/// A member of `Changes`.
fn change(head: &str, id: &str, resource_type: &str, tail: &str, details: &[String]) -> String {
    format!(
        "<member><Type>Resource</Type><ResourceChange>{head}\
         <LogicalResourceId>{id}</LogicalResourceId><ResourceType>{resource_type}</ResourceType>\
         {tail}<Details>{}</Details></ResourceChange></member>",
        details.concat()
    )
}

const MODIFY: &str = "<Action>Modify</Action>";
const STACK: &str = "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>\
    <StackName>prod</StackName><StackId>arn:prod</StackId><StackStatus>UPDATE_COMPLETE</StackStatus>\
    <CreationTime>2026-11-01T00:00:00Z</CreationTime><Parameters><member>\
    <ParameterKey>ApiConcurrency</ParameterKey><ParameterValue>5</ParameterValue></member><member>\
    <ParameterKey>MaxAttempts</ParameterKey><ParameterValue>5</ParameterValue></member></Parameters>\
    </member></Stacks></DescribeStacksResult></DescribeStacksResponse>";
const RESOURCES: &str = "<DescribeStackResourcesResponse><DescribeStackResourcesResult>\
    </DescribeStackResourcesResult></DescribeStackResourcesResponse>";
const CREATED: &str = "<CreateChangeSetResponse><CreateChangeSetResult><Id>arn:set</Id>\
    </CreateChangeSetResult></CreateChangeSetResponse>";

fn summary(max_attempts: &str) -> String {
    let parameter = |name: &str, default: &str| {
        format!(
            "<member><ParameterKey>{name}</ParameterKey><DefaultValue>{default}</DefaultValue>\
             </member>"
        )
    };
    format!(
        "<GetTemplateSummaryResponse><GetTemplateSummaryResult><Parameters>{}{}</Parameters>\
         </GetTemplateSummaryResult></GetTemplateSummaryResponse>",
        parameter("ApiConcurrency", "5"),
        parameter("MaxAttempts", max_attempts)
    )
}

fn described(status: &str, reason: &str, changes: &str) -> String {
    format!(
        "<DescribeChangeSetResponse><DescribeChangeSetResult><Status>{status}</Status>\
         <StatusReason>{reason}</StatusReason><Changes>{changes}</Changes>\
         <ChangeSetId>arn:set</ChangeSetId></DescribeChangeSetResult></DescribeChangeSetResponse>"
    )
}

/// The answers until the change set is asked for: `new` and `old` are the summaries of the templates.
fn asked_for<'a>(new: &'a str, old: &'a str) -> [(u16, &'a str); 6] {
    [STACK, STACK, RESOURCES, new, old, CREATED].map(|answer| (200, answer))
}

async fn prepare(wire: &Wire) -> Result<Option<crate::stack::ChangeSet>, crate::stack::Error> {
    prepare_by(wire, &Conduct::default()).await
}

async fn prepare_by(
    wire: &Wire,
    conduct: &Conduct,
) -> Result<Option<crate::stack::ChangeSet>, crate::stack::Error> {
    let config = wire.config();
    let stack = Stack::new(&config, "prod", Duration::ZERO);
    let parameters = Values::from([("ApiConcurrency".into(), "10".into())]);
    let wanted = Wanted {
        template_url: "https://bucket/key",
        parameters: &parameters,
        tags: &Values::new(),
        conduct,
    };
    stack.prepare(wanted, &Progress::hidden()).await
}

#[tokio::test]
async fn each_change_is_told_with_its_values() {
    let changes = [
        change(
            MODIFY,
            "WorkerFunction",
            "AWS::Lambda::Function",
            "<Replacement>False</Replacement>",
            &[
                detail("/Properties/ReservedConcurrentExecutions", "Never", "5", "10"),
                // Once by its parameter, and once by the function itself.
                detail("/Properties/ReservedConcurrentExecutions", "Never", "5", "10"),
                detail("/Properties/Environment/Variables/API_BASE_URL", "Never", "", "https://x"),
            ],
        ),
        change(
            MODIFY,
            "IdempotencyTable",
            "AWS::DynamoDB::Table",
            "<PolicyAction>ReplaceAndRetain</PolicyAction><Replacement>True</Replacement>",
            &[detail(
                "/Properties/TableName",
                "Always",
                "calls",
                "{{changeSet:KNOWN_AFTER_APPLY}}",
            )],
        ),
        change(
            MODIFY,
            "HighQueue",
            "AWS::SQS::Queue",
            "<PolicyAction>ReplaceAndDelete</PolicyAction><Replacement>Conditional</Replacement>",
            &[],
        ),
        change("<Action>Add</Action>", "DeadLetters", "AWS::CloudWatch::Alarm", "", &[]),
        change(
            "<Action>Remove</Action>",
            "DoorbellQueue",
            "AWS::SQS::Queue",
            "<PolicyAction>Delete</PolicyAction>",
            &[],
        ),
        change(
            "<Action>Remove</Action>",
            "DeadLetterQueue",
            "AWS::SQS::Queue",
            "<PolicyAction>Retain</PolicyAction>",
            &[],
        ),
    ];
    let complete = described("CREATE_COMPLETE", "", &changes.concat());
    let (new, old) = (summary("8"), summary("5"));
    let wire = Wire::answering(asked_for(&new, &old).into_iter().chain([
        (200, &*complete),
        (200, STACK),
        (200, &complete),
    ]));
    let change_set = prepare(&wire).await.unwrap().unwrap();
    insta::assert_snapshot!(change_set.changes(), @"
    stack prod will be changed

    parameters
      ApiConcurrency: 5 -> 10

    defaults that have changed, which this stack does not take by itself
      MaxAttempts stays 5; for the new one give -p MaxAttempts=8

    resources
      ~ WorkerFunction (AWS::Lambda::Function)
          Properties.ReservedConcurrentExecutions: 5 -> 10
          Properties.Environment.Variables.API_BASE_URL: (empty) -> https://x
      ! IdempotencyTable (AWS::DynamoDB::Table) REPLACED: the old one stays, outside of the stack
          Properties.TableName: calls -> (known afterwards) (replaces it)
      ~ HighQueue (AWS::SQS::Queue) may be replaced
      + DeadLetters (AWS::CloudWatch::Alarm)
      - DoorbellQueue (AWS::SQS::Queue)
      - DeadLetterQueue (AWS::SQS::Queue) leaves the stack, and stays

    1 to add, 1 to change, 1 perhaps to replace, 1 to replace, 2 to remove
    ");
    let at_risk: Vec<_> =
        change_set.changes().data_at_risk().into_iter().map(|one| &one.logical_id).collect();
    assert_eq!(at_risk, ["IdempotencyTable", "HighQueue", "DeadLetterQueue"]);
}

/// The change set's reason only says that there was something; what it was stands in the events. What
/// is left of it is removed.
#[tokio::test]
async fn a_refusal_is_told_with_what_the_validation_found() {
    let refused = described("FAILED", "Validation failed with 1 error(s).", "");
    let events = "<DescribeEventsResponse><DescribeEventsResult><OperationEvents><member>\
        <EventId>1</EventId><LogicalResourceId>HighQueue</LogicalResourceId>\
        <ValidationName>NAME_CONFLICT_VALIDATION</ValidationName>\
        <ValidationStatus>FAILED</ValidationStatus>\
        <ValidationStatusReason>a queue of this name exists</ValidationStatusReason>\
        <ValidationPath>/Resources/HighQueue/Properties/QueueName</ValidationPath></member>\
        </OperationEvents></DescribeEventsResult></DescribeEventsResponse>";
    let deleted = "<DeleteChangeSetResponse><DeleteChangeSetResult></DeleteChangeSetResult>\
        </DeleteChangeSetResponse>";
    let same = summary("5");
    let wire = Wire::answering(asked_for(&same, &same).into_iter().chain([
        (200, &*refused),
        (200, events),
        (200, deleted),
    ]));
    let error = prepare(&wire).await.unwrap_err();
    insta::assert_snapshot!(error, @"
    CloudFormation refuses the change of stack prod: Validation failed with 1 error(s).
      /Resources/HighQueue/Properties/QueueName: a queue of this name exists
    ");
    let body = wire.bodies().pop().unwrap();
    assert!(body.contains("DeleteChangeSet"), "{body}");
}

/// What is said goes with the request; what is not said is left as CloudFormation has it.
#[tokio::test]
async fn a_role_topics_and_alarms_are_handed_to_cloudformation() {
    let conduct = Conduct {
        role_arn: Some("arn:role".into()),
        notification_arns: vec!["arn:topic".into()],
        rollback_alarms: vec!["arn:alarm-1".into(), "arn:alarm-2".into()],
        watched_minutes: 15,
        revert_drift: true,
    };
    let told = [
        "RoleARN=arn%3Arole",
        "NotificationARNs.member.1=arn%3Atopic",
        "RollbackConfiguration.RollbackTriggers.member.1.Arn=arn%3Aalarm-1",
        "RollbackConfiguration.RollbackTriggers.member.1.Type=AWS%3A%3ACloudWatch%3A%3AAlarm",
        "RollbackConfiguration.RollbackTriggers.member.2.Arn=arn%3Aalarm-2",
        "RollbackConfiguration.MonitoringTimeInMinutes=15",
        "DeploymentMode=REVERT_DRIFT",
    ];
    let asked = creation_by(&conduct).await;
    for part in told {
        assert!(asked.split('&').any(|asked| asked == part), "{part} is not in {asked}");
    }
    let asked = creation_by(&Conduct::default()).await;
    for name in ["RoleARN", "NotificationARNs", "RollbackConfiguration", "DeploymentMode"] {
        assert!(!asked.contains(name), "{name} is in {asked}");
    }
}

/// The request for a change set that is gone about so.
async fn creation_by(conduct: &Conduct) -> String {
    let (complete, same) = (described("CREATE_COMPLETE", "", ""), summary("5"));
    let wire = Wire::answering(asked_for(&same, &same).into_iter().chain([
        (200, &*complete),
        (200, STACK),
        (200, &complete),
    ]));
    prepare_by(&wire, conduct).await.unwrap();
    wire.bodies().into_iter().find(|body| body.contains("Action=CreateChangeSet")).unwrap()
}
