//! The simulator's shared vectors on the local AWS. What it answers otherwise than AWS's documents
//! say is listed, so that neither a new difference nor one that has gone passes unseen.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use slowlane_aws_simulator::vectors::{NewQueue, Place, Server, judge, observe};

use super::setup;

const POLL: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(30);

struct Local {
    sdk: SdkConfig,
    /// The execution that waits for each token.
    executions: RefCell<HashMap<String, String>>,
}

#[tokio::test]
async fn the_local_aws_differs_from_aws_only_as_listed() -> anyhow::Result<()> {
    let sdk = setup::local_aws("vectors").await?;
    let seen = observe(&Local { sdk, executions: RefCell::default() }).await;
    assert_eq!(judge(Server::MiniStack, &seen), Vec::<String>::new());
    Ok(())
}

impl Local {
    fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk)
    }

    fn states(&self) -> aws_sdk_sfn::Client {
        aws_sdk_sfn::Client::new(&self.sdk)
    }

    /// A state machine of one task, which puts its token on a queue and waits.
    async fn machine(&self, queue_url: &str, timeout: Duration) -> String {
        let definition = json!({
            "StartAt": "Wait",
            "States": {"Wait": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {
                    "QueueUrl": queue_url,
                    "MessageBody": {"token.$": "$$.Task.Token"},
                },
                "TimeoutSeconds": timeout.as_secs(),
                "End": true,
            }},
        });
        let name = format!("vectors-{}", self.executions.borrow().len());
        let machine = self.states().create_state_machine().name(name);
        let machine = machine.role_arn("arn:aws:iam::000000000000:role/any");
        machine.definition(definition.to_string()).send().await.unwrap().state_machine_arn
    }
}

impl Place for Local {
    fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    async fn create_queue(&self, queue: NewQueue<'_>) -> String {
        let seconds = queue.visibility_secs.to_string();
        let name = format!("vectors-{}", queue.name);
        let create = self.sqs().create_queue().queue_name(name);
        let mut create = create.attributes(QueueAttributeName::VisibilityTimeout, seconds);
        if let Some((dead, receives)) = queue.redrive {
            let get = self.sqs().get_queue_attributes().queue_url(dead);
            let got = get.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
            let arn = &got.attributes.unwrap()[&QueueAttributeName::QueueArn];
            let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": receives});
            create = create.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        }
        create.send().await.unwrap().queue_url.unwrap()
    }

    async fn create_table(&self, name: &str) {
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
        let id = AttributeDefinition::builder().attribute_name("id");
        aws_sdk_dynamodb::Client::new(&self.sdk)
            .create_table()
            .table_name(name)
            .key_schema(key.build().unwrap())
            .attribute_definitions(id.attribute_type(ScalarAttributeType::S).build().unwrap())
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
    }

    async fn begin_task(&self, timeout: Duration) -> String {
        let name = format!("tokens-{}", self.executions.borrow().len());
        let queue = NewQueue { name: &name, visibility_secs: 30, redrive: None };
        let url = self.create_queue(queue).await;
        let machine = self.machine(&url, timeout).await;
        let started = self.states().start_execution().state_machine_arn(machine).send().await;
        let poll = self.sqs().receive_message().queue_url(url).wait_time_seconds(20);
        let received = poll.send().await.unwrap().messages.unwrap_or_default();
        let body = received[0].body().unwrap_or_default();
        let body: Value = serde_json::from_str(body).unwrap();
        let token = body["token"].as_str().unwrap().to_owned();
        let execution = started.unwrap().execution_arn;
        self.executions.borrow_mut().insert(token.clone(), execution);
        token
    }

    async fn stop(&self, token: &str) {
        let execution = self.executions.borrow()[token].clone();
        self.states().stop_execution().execution_arn(execution).send().await.unwrap();
    }

    async fn end_of(&self, token: &str) -> String {
        let execution = self.executions.borrow()[token].clone();
        let started = Instant::now();
        loop {
            let describe = self.states().describe_execution().execution_arn(&execution);
            let seen = describe.send().await.unwrap();
            match seen.status {
                ExecutionStatus::Running if started.elapsed() < LONGEST => {
                    tokio::time::sleep(POLL).await;
                }
                ExecutionStatus::Succeeded => {
                    return format!("succeeded {}", seen.output.unwrap_or_default());
                }
                ExecutionStatus::Failed if seen.error() == Some("States.Timeout") => {
                    return "timed out".to_owned();
                }
                ExecutionStatus::Failed => {
                    return format!("failed {}", seen.error.unwrap_or_default());
                }
                ExecutionStatus::TimedOut => return "timed out".to_owned(),
                ExecutionStatus::Aborted => return "stopped".to_owned(),
                other => return format!("{other:?} after {LONGEST:?}"),
            }
        }
    }

    /// The local AWS ends a task in a thread of its own, some moments after it has answered.
    async fn until_acted_on(&self, token: &str) {
        let execution = &self.executions.borrow()[token].clone();
        let started = Instant::now();
        while started.elapsed() < LONGEST {
            let describe = self.states().describe_execution().execution_arn(execution);
            if describe.send().await.unwrap().status != ExecutionStatus::Running {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
