//! A Lambda that reads orders from SQS and writes them into DynamoDB, for hours of virtual time in
//! which everything goes wrong.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use slowlane_aws_simulator::chance::Dice;
use slowlane_aws_simulator::cloud::dynamodb::TableSettings;
use slowlane_aws_simulator::cloud::lambda::FunctionSettings;
use slowlane_aws_simulator::cloud::mapping::MappingSettings;
use slowlane_aws_simulator::cloud::sqs::{QueueSettings, queue_url};
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings, Context, Functions};
use slowlane_aws_simulator::faults::{Fault, Faults, Rates};
use slowlane_aws_simulator::time::{Skew, in_virtual_time};
use slowlane_aws_simulator::transcript::Caller;

const ORDERS: usize = 30;

/// The Lambda. An order that comes twice is written twice, to the same item.
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
    for seed in 1..=3 {
        let (stored, strikes) = in_virtual_time(run(seed))??;
        writeln!(std::io::stdout(), "seed {seed}: {stored} orders stored, {strikes} faults")?;
        assert_eq!(stored, ORDERS, "seed {seed}");
    }
    Ok(())
}

/// How many orders were stored, and how many faults struck meanwhile.
async fn run(seed: u64) -> Result<(usize, u64), Box<dyn std::error::Error>> {
    let mut rates = Rates::default();
    for fault in Fault::ALL {
        // These two strike everybody, for up to ten minutes and for up to an hour.
        let lasts = matches!(fault, Fault::ReceiveRefused | Fault::TableUnreachable);
        rates.set(fault, if lasts { 0.002 } else { 0.1 });
    }
    let faults = Faults::new(rates, BTreeSet::new(), Dice::new(seed, 3));
    // No client tries a request again: only the queue does, by handing the message out once more.
    let settings = CloudSettings { faults, sdk_attempts: 1, ..CloudSettings::new(seed) };
    let cloud = Cloud::new(settings);
    let queue = cloud.create_queue(QueueSettings::new("orders"));
    cloud.create_table(TableSettings::new("orders", "id"));

    let functions = Functions::new(cloud.clone());
    let settings =
        FunctionSettings { timeout: Duration::from_secs(30), ..FunctionSettings::new("store") };
    let function = functions.lambda(settings, |sdk| {
        let table = aws_sdk_dynamodb::Client::new(&sdk);
        async move |event: SqsEvent, _: Context| store(&table, event).await
    });
    functions.create_mapping(MappingSettings::new(queue, function));

    let sqs = aws_sdk_sqs::Client::new(&cloud.sdk(Caller::Person, Skew::NONE));
    for order in 0..ORDERS {
        let send =
            sqs.send_message().queue_url(queue_url("orders")).message_body(order.to_string());
        // A client whose tries are used up tries again: twice sent is stored once.
        while send.clone().send().await.is_err() {}
    }
    // Longer than the table can be out of reach.
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    let state = cloud.state();
    Ok((state.dynamo.len("orders")?, state.faults.struck().total()))
}
