//! The idempotency guard's DynamoDB store on the local AWS.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ReturnConsumedCapacity,
    ScalarAttributeType,
};
use serde_json::json;
use slowlane_idempotency::{
    DynamoDbStore, Failure, Guard, Key, Layout, Offloading, PartitionValue, Request, S3Blobs,
    Scope, Settings, conformance,
};

use crate::setup::{Scenario, settings};

#[tokio::test]
async fn the_store_conforms_and_one_of_fifty_claimants_wins() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("guard", settings()).await?;
    let client = Client::new(scenario.stack.sdk());
    let store =
        DynamoDbStore::new(client.clone(), &scenario.stack.outputs().idempotency_table_name);
    conformance::check(&store, "suite").await?;
    let guard = Guard::new(store.clone(), Settings::default());
    for round in 0..5 {
        let (scope, key) = (Scope::new("race")?, Key::new(round.to_string())?);
        conformance::one_claimant_wins(&guard, scope, key, 50).await?;
    }

    let s3 = aws_sdk_s3::config::Builder::from(scenario.stack.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    s3.create_bucket().bucket("results").send().await?;
    let blobs = S3Blobs::new(s3.clone(), "results", "large/");
    conformance::check(&Offloading::new(store, blobs, 10_000), "offloading").await?;
    let objects = s3.list_objects_v2().bucket("results").prefix("large/").send().await?;
    assert!(objects.key_count() > Some(0), "{objects:?}");

    let shared = shared_table(&client).await?;
    for (value, namespace) in
        [(PartitionValue::Fixed("calls".into()), "fixed"), (PartitionValue::Scope, "scope")]
    {
        let layout = Layout::PartitionAndSort { partition: "pk".into(), value, sort: "sk".into() };
        let store = DynamoDbStore::new(client.clone(), &shared).layout(layout);
        conformance::check(&store, namespace).await?;
    }
    Ok(())
}

/// What the server says that it costs to write a record of ours.
#[tokio::test]
async fn a_record_is_one_write_unit() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("write-unit", settings()).await?;
    let client = Client::new(scenario.stack.sdk());
    let table = &scenario.stack.outputs().idempotency_table_name;
    let guard = Guard::new(DynamoDbStore::new(client.clone(), table), Settings::default());
    let request = Request::new(Scope::new("orders")?, Key::new("1")?, &json!({ "total": 10 }))?;
    let result = json!({ "status": 204, "id": "1001", "location": "l".repeat(300) });
    guard.run(&request, async |_| Ok::<_, Failure<String>>(result)).await?;

    let scanned = client.scan().table_name(table).send().await?;
    let item = scanned.items().first().cloned();
    let put = client.put_item().table_name(table).set_item(item);
    let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
    assert_eq!(put.consumed_capacity.and_then(|cost| cost.capacity_units), Some(1.0));
    Ok(())
}

/// A table with a sort key, as others have it.
async fn shared_table(client: &Client) -> anyhow::Result<String> {
    let mut create =
        client.create_table().table_name("shared").billing_mode(BillingMode::PayPerRequest);
    for (key, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(key);
        let element = KeySchemaElement::builder().attribute_name(key).key_type(kind);
        create = create
            .attribute_definitions(attribute.attribute_type(ScalarAttributeType::S).build()?)
            .key_schema(element.build()?);
    }
    create.send().await?;
    Ok("shared".to_owned())
}
