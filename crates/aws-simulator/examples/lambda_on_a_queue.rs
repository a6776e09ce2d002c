//! A Lambda that reads orders from SQS and writes them into DynamoDB, in a minute of virtual time.

use std::time::Duration;

use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use slowlane_aws_simulator::cloud::dynamodb::TableSettings;
use slowlane_aws_simulator::cloud::lambda::FunctionSettings;
use slowlane_aws_simulator::cloud::mapping::MappingSettings;
use slowlane_aws_simulator::cloud::sqs::{QueueSettings, queue_url};
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings, Context, Functions};
use slowlane_aws_simulator::time::{Skew, in_virtual_time};
use slowlane_aws_simulator::transcript::Caller;

/// The Lambda.
async fn store(
    table: &aws_sdk_dynamodb::Client,
    event: SqsEvent,
) -> Result<(), aws_sdk_dynamodb::Error> {
    for order in event.records {
        let id = AttributeValue::S(order.body.unwrap_or_default());
        table.put_item().table_name("orders").item("id", id).send().await?;
    }
    Ok(())
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    in_virtual_time(async {
        let cloud = Cloud::new(CloudSettings::new(1));
        let queue = cloud.create_queue(QueueSettings::new("orders"));
        cloud.create_table(TableSettings::new("orders", "id"));
        let functions = Functions::new(cloud.clone());
        let function = functions.lambda(FunctionSettings::new("store"), |sdk| {
            let table = aws_sdk_dynamodb::Client::new(&sdk);
            async move |event: SqsEvent, _: Context| store(&table, event).await
        });
        functions.create_mapping(MappingSettings::new(queue, function));

        let sqs = aws_sdk_sqs::Client::new(&cloud.sdk(Caller::Person, Skew::NONE));
        sqs.send_message().queue_url(queue_url("orders")).message_body("1").send().await?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(cloud.state().dynamo.len("orders")?, 1);
        Ok(())
    })?
}
