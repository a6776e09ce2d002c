//! The idempotency guard's DynamoDB store on the local AWS.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ReturnConsumedCapacity, ScalarAttributeType,
};
use serde_json::json;
use slowlane_idempotency::{
    DynamoDbStore, Failure, Guard, Key, Layout, Offloading, PartitionValue, Request, S3Blobs,
    Scope, Settings, conformance,
};

use super::setup::{Scenario, settings};

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

    let shared = table_with_index(&client, "shared", &["pk", "sk"]).await?;
    for (value, namespace) in
        [(PartitionValue::Fixed("calls".into()), "fixed"), (PartitionValue::Scope, "scope")]
    {
        let layout = Layout::PartitionAndSort { partition: "pk".into(), value, sort: "sk".into() };
        let store = DynamoDbStore::new(client.clone(), &shared).layout(layout);
        conformance::check(&store, namespace).await?;
        let indexed = store.unresolved_index("unresolved");
        conformance::check(&indexed, &format!("{namespace}-indexed")).await?;
    }
    let indexed = table_with_index(&client, "indexed", &["id"]).await?;
    let store = DynamoDbStore::new(client, indexed).unresolved_index("unresolved");
    conformance::check(&store, "indexed").await?;
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

/// A table with these text attributes as its key, and the index of the guard's README.
async fn table_with_index(client: &Client, name: &str, key: &[&str]) -> anyhow::Result<String> {
    let index = GlobalSecondaryIndex::builder()
        .index_name("unresolved")
        .set_key_schema(Some(key_schema(&["unresolved", "unresolved_from_ms"])?))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
    let create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(key_schema(key)?))
        .global_secondary_indexes(index.build()?)
        .attribute_definitions(attribute("unresolved_from_ms", ScalarAttributeType::N)?);
    let texts = key.iter().chain(&["unresolved"]);
    let create = texts
        .map(|name| attribute(name, ScalarAttributeType::S))
        .try_fold(create, |create, attribute| {
            anyhow::Ok(create.attribute_definitions(attribute?))
        })?;
    create.send().await?;
    Ok(name.to_owned())
}

fn attribute(name: &str, kind: ScalarAttributeType) -> anyhow::Result<AttributeDefinition> {
    Ok(AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()?)
}

/// A partition key, and a sort key if there is a second name.
fn key_schema(names: &[&str]) -> anyhow::Result<Vec<KeySchemaElement>> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let element = |(name, kind): (&&str, KeyType)| {
        Ok(KeySchemaElement::builder().attribute_name(*name).key_type(kind).build()?)
    };
    names.iter().zip(kinds).map(element).collect()
}
