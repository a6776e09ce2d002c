//! The stores against a real endpoint, if the environment names one:
//!
//! ```sh
//! IDEMPOTENCY_ENDPOINT=http://127.0.0.1:4566 cargo test -p slowlane-idempotency --test it endpoint
//! ```

use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ReturnConsumedCapacity,
    ScalarAttributeType,
};
use slowlane_idempotency::{
    DynamoDbStore, Guard, Key, Layout, Offloading, PartitionValue, S3Blobs, Scope, Settings,
    conformance,
};
use uuid::Uuid;

fn endpoint() -> Option<String> {
    let endpoint = std::env::var("IDEMPOTENCY_ENDPOINT").ok();
    if endpoint.is_none() {
        println!("not run: IDEMPOTENCY_ENDPOINT is not set");
    }
    endpoint
}

fn dynamodb(endpoint: &str) -> aws_sdk_dynamodb::Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// A new table with these key attributes.
async fn table(client: &aws_sdk_dynamodb::Client, keys: &[(&str, KeyType)]) -> String {
    let name = format!("idempotency-{}", Uuid::new_v4());
    let mut create =
        client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    for (key, kind) in keys {
        let definition = AttributeDefinition::builder()
            .attribute_name(*key)
            .attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder().attribute_name(*key).key_type(kind.clone());
        create = create
            .attribute_definitions(definition.build().unwrap())
            .key_schema(element.build().unwrap());
    }
    create.send().await.unwrap();
    name
}

#[tokio::test]
async fn dynamodb_conforms() {
    let Some(endpoint) = endpoint() else { return };
    let client = dynamodb(&endpoint);
    let simple = table(&client, &[("id", KeyType::Hash)]).await;
    conformance::check(&DynamoDbStore::new(client.clone(), simple), "suite").await.unwrap();

    let composite = table(&client, &[("pk", KeyType::Hash), ("sk", KeyType::Range)]).await;
    for (value, namespace) in
        [(PartitionValue::Fixed("calls".into()), "fixed"), (PartitionValue::Scope, "scope")]
    {
        let layout = Layout::PartitionAndSort { partition: "pk".into(), value, sort: "sk".into() };
        let store = DynamoDbStore::new(client.clone(), &composite).layout(layout);
        conformance::check(&store, namespace).await.unwrap();
    }
}

#[tokio::test]
async fn fifty_claimants_one_wins() {
    let Some(endpoint) = endpoint() else { return };
    let client = dynamodb(&endpoint);
    let table = table(&client, &[("id", KeyType::Hash)]).await;
    let guard = Guard::new(DynamoDbStore::new(client, table), Settings::default());
    for round in 0..5 {
        let (scope, key) = (Scope::new("race").unwrap(), Key::new(round.to_string()).unwrap());
        conformance::one_claimant_wins(&guard, scope, key, 50).await.unwrap();
    }
}

/// What DynamoDB itself says an item of ours costs to write.
#[tokio::test]
async fn a_record_is_one_write_unit() {
    let Some(endpoint) = endpoint() else { return };
    let client = dynamodb(&endpoint);
    let table = table(&client, &[("id", KeyType::Hash)]).await;
    let guard = Guard::new(DynamoDbStore::new(client.clone(), &table), Settings::default());
    let request = crate::order(1);
    let result = serde_json::json!({"status": 204, "id": "1001", "location": "l".repeat(300)});
    let call = async |_| Ok::<_, slowlane_idempotency::Failure<String>>(result);
    guard.run(&request, call).await.unwrap();

    let item = client.scan().table_name(&table).send().await.unwrap();
    let item = item.items()[0].clone();
    let put = client.put_item().table_name(&table).set_item(Some(item));
    let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total);
    let units = put.send().await.unwrap().consumed_capacity.unwrap().capacity_units;
    assert_eq!(units, Some(1.0));
}

#[tokio::test]
async fn large_results_go_to_s3() {
    let Some(endpoint) = endpoint() else { return };
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(&endpoint)
        .force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(config.build());
    let bucket = format!("idempotency-{}", Uuid::new_v4());
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let client = dynamodb(&endpoint);
    let table = table(&client, &[("id", KeyType::Hash)]).await;
    let blobs = S3Blobs::new(s3.clone(), &bucket, "results/");
    let store = Offloading::new(DynamoDbStore::new(client, table), blobs, 10_000);
    conformance::check(&store, "offloading").await.unwrap();
    let objects = s3.list_objects_v2().bucket(&bucket).send().await.unwrap();
    assert!(objects.key_count() > Some(0));
}
