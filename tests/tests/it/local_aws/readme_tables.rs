//! The tables of the guard's and the limiter's pages, made from the pages' own text and used.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::StackStatus;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_idempotency::{self as idempotency, Failure, Guard, Key, Request, Scope};
use slowlane_limiter::{self as limiter, Decision, LimitKey, Limiter, Quota, SlotId};

use super::setup::{local_aws, wait_until};
use crate::architecture::tables::{GUARD, LIMITER, block, table};

const STACK: &str = "readme-tables";

/// Longer than a record of a limit's is kept, or one of the guard's.
const LONGEST_KEPT: Duration = Duration::from_secs(100 * 24 * 3_600);

#[tokio::test]
async fn a_table_made_as_the_guards_page_says_keeps_its_records() -> anyhow::Result<()> {
    let sdk = local_aws("guards-table").await?;
    let (id, properties) = table(GUARD)?;
    let name = created(&sdk, &format!("{STACK}-guard"), GUARD, &id).await?;
    let client = aws_sdk_dynamodb::Client::new(&sdk);
    let store = idempotency::DynamoDbStore::new(client.clone(), &name);
    let guard = Guard::new(store.clone(), idempotency::Settings::default());
    let request = Request::new(Scope::new("orders")?, Key::new("1")?, &json!({ "total": 10 }))?;
    guard.run(&request, async |_| Ok::<_, Failure<String>>(json!({ "id": 1 }))).await?;
    check_time_to_live(&properties, &items(&client, &name).await?)?;

    idempotency::conformance::check(&store.unresolved_index("unresolved"), "suite").await?;
    check_types(&properties, &items(&client, &name).await?)
}

#[tokio::test]
async fn a_table_made_as_the_limiters_page_says_keeps_its_items() -> anyhow::Result<()> {
    let sdk = local_aws("limiters-table").await?;
    let (id, properties) = table(LIMITER)?;
    let name = created(&sdk, &format!("{STACK}-limiter"), LIMITER, &id).await?;
    let client = aws_sdk_dynamodb::Client::new(&sdk);
    let store = limiter::DynamoDbStore::new(client.clone(), &name);
    let quotas = vec![Quota::every(10, Duration::from_secs(3_600))];
    let settings = limiter::Settings { quotas, ..limiter::Settings::default() };
    let limit = Limiter::new(store.clone(), LimitKey::new("crm")?, SlotId::from(1), settings)?;
    ensure!(matches!(limit.reserve(1).await?, Decision::Granted(_)), "the first call is let go");
    check_time_to_live(&properties, &items(&client, &name).await?)?;

    limiter::conformance::check(&store, "suite").await?;
    check_types(&properties, &items(&client, &name).await?)
}

/// Deploys the resource of a page's template, and answers what the table is called.
async fn created(
    sdk: &SdkConfig,
    stack: &str,
    page: &'static str,
    logical_id: &str,
) -> anyhow::Result<String> {
    let client = aws_sdk_cloudformation::Client::new(sdk);
    let indented = block(page, "yaml")?.replace('\n', "\n  ");
    let template = format!("Resources:\n  {indented}\n");
    client.create_stack().stack_name(stack).template_body(template).send().await?;
    wait_until("the stack is there", async || {
        let described = client.describe_stacks().stack_name(stack).send().await?;
        let status = described.stacks().first().and_then(|stack| stack.stack_status());
        ensure!(status != Some(&StackStatus::CreateFailed), "{described:?}");
        Ok(status == Some(&StackStatus::CreateComplete))
    })
    .await?;
    let resource = client.describe_stack_resource().stack_name(stack);
    let resource = resource.logical_resource_id(logical_id).send().await?;
    let detail = resource.stack_resource_detail.context("the stack has the table")?;
    detail.physical_resource_id.context("the table has a name")
}

type Item = HashMap<String, AttributeValue>;

async fn items(client: &aws_sdk_dynamodb::Client, table: &str) -> anyhow::Result<Vec<Item>> {
    let items = client.scan().table_name(table).send().await?.items.unwrap_or_default();
    ensure!(!items.is_empty(), "nothing was written");
    Ok(items)
}

/// The attribute that ends an item is in each of them, in seconds since 1970, and still to come. The
/// local server does not look at it.
fn check_time_to_live(properties: &Value, items: &[Item]) -> anyhow::Result<()> {
    let ends = &properties["TimeToLiveSpecification"];
    ensure!(ends["Enabled"] == true, "{ends}");
    let name = ends["AttributeName"].as_str().context("it names an attribute")?;
    let now = Timestamp::now();
    for item in items {
        let Some(AttributeValue::N(ends)) = item.get(name) else {
            anyhow::bail!("{item:?} has no number {name}")
        };
        let kept = Timestamp::from_second(ends.parse()?)?.duration_since(now);
        let kept = Duration::try_from(kept);
        ensure!(kept.is_ok_and(|kept| kept < LONGEST_KEPT), "{item:?} ends at {ends}");
    }
    Ok(())
}

/// Every attribute of a key is written, and is of the type that the page says.
fn check_types(properties: &Value, items: &[Item]) -> anyhow::Result<()> {
    for defined in properties["AttributeDefinitions"].as_array().context("it has a key")? {
        let name = defined["AttributeName"].as_str().context("an attribute has a name")?;
        let written: Vec<_> = items.iter().filter_map(|item| item.get(name)).collect();
        ensure!(!written.is_empty(), "no item has {name}");
        for value in written {
            let kind = match value {
                AttributeValue::S(_) => "S",
                AttributeValue::N(_) => "N",
                _ => "another",
            };
            ensure!(defined["AttributeType"] == kind, "{name} is {value:?}, {defined}");
        }
    }
    Ok(())
}
