//! What the local AWS must do for the other scenarios to mean anything.

use aws_sdk_sfn::types::{ExecutionStatus, StateMachineType};
use serde_json::json;

use crate::setup::{Scenario, settings};

/// On a busy machine a short expression takes long. AWS does not fail it for that.
#[tokio::test]
async fn an_expression_may_take_seconds() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("slow-expression", settings()).await?;
    let definition = json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Count",
        "States": {
            "Count": {
                "Type": "Pass",
                "Output": { "count": "{% $count([1..100000].($ * 2)) %}" },
                "End": true,
            },
        },
    });
    let machine = aws_sdk_sfn::Client::new(scenario.stack.sdk())
        .create_state_machine()
        .name("slow-expression")
        .definition(definition.to_string())
        .role_arn("arn:aws:iam::000000000000:role/slow-expression")
        .r#type(StateMachineType::Standard)
        .send()
        .await?;
    let ended = scenario.execute(&machine.state_machine_arn, &json!({})).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["count"], 100_000);
    Ok(())
}
