//! The DynamoDB tables that the guard's and the limiter's pages define, as the pages say them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

/// The page of the guard, which works alone.
pub(crate) const GUARD: &str = include_str!("../../../../crates/idempotency/README.md");
/// The page of the limiter, which works alone.
pub(crate) const LIMITER: &str = include_str!("../../../../crates/limiter/README.md");

/// The one block of code in this language that a page has.
pub(crate) fn block(page: &'static str, language: &str) -> anyhow::Result<&'static str> {
    let opening = format!("\n```{language}\n");
    let (_, rest) = page.split_once(&opening).with_context(|| format!("no {language}"))?;
    let (block, after) = rest.split_once("\n```").context("the block does not end")?;
    ensure!(!after.contains(&opening), "several blocks of {language}");
    Ok(block)
}

/// The table that a page defines for CloudFormation: its logical id and its properties.
pub(crate) fn table(page: &'static str) -> anyhow::Result<(String, Value)> {
    let resources: BTreeMap<String, Value> = serde_yaml_ng::from_str(block(page, "yaml")?)?;
    let (id, resource) = resources.into_iter().next().context("the block has a resource")?;
    ensure!(resource["Type"] == "AWS::DynamoDB::Table", "{resource}");
    Ok((id, resource["Properties"].clone()))
}

/// The same table for the CDK: the arguments of its `TableV2`.
fn in_cdk(properties: &Value) -> anyhow::Result<Value> {
    let mut table = keys(properties, &properties["KeySchema"])?;
    table["timeToLiveAttribute"] = properties["TimeToLiveSpecification"]["AttributeName"].clone();
    let recovery = &properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"];
    table["pointInTimeRecoverySpecification"] = json!({ "pointInTimeRecoveryEnabled": recovery });
    let indexes = properties["GlobalSecondaryIndexes"].as_array().context("it has indexes")?;
    let index = |index: &Value| {
        let mut made = keys(properties, &index["KeySchema"])?;
        made["indexName"] = index["IndexName"].clone();
        let projection = index["Projection"]["ProjectionType"].as_str().unwrap_or_default();
        made["projectionType"] = format!("dynamodb.ProjectionType.{projection}").into();
        anyhow::Ok(made)
    };
    table["globalSecondaryIndexes"] = indexes.iter().map(index).collect::<Result<_, _>>()?;
    Ok(table)
}

/// The partition key, and the sort key if there is one.
fn keys(properties: &Value, schema: &Value) -> anyhow::Result<Value> {
    let mut keys = json!({});
    for key in schema.as_array().context("a key has attributes")? {
        let part = if key["KeyType"] == "HASH" { "partitionKey" } else { "sortKey" };
        let mut defined = properties["AttributeDefinitions"].as_array().into_iter().flatten();
        let attribute = defined.find(|one| one["AttributeName"] == key["AttributeName"]);
        let kind = match attribute.and_then(|one| one["AttributeType"].as_str()) {
            Some("S") => "dynamodb.AttributeType.STRING",
            Some("N") => "dynamodb.AttributeType.NUMBER",
            kind => anyhow::bail!("{key} is of the type {kind:?}"),
        };
        keys[part] = json!({ "name": key["AttributeName"], "type": kind });
    }
    Ok(keys)
}

#[test]
fn the_guards_table_is_the_same_for_cloudformation_and_for_the_cdk() -> anyhow::Result<()> {
    let code = block(GUARD, "typescript")?;
    let (_, arguments) = code.split_once("new dynamodb.TableV2(").context("a table is made")?;
    let (arguments, _) = arguments.split_once(");").context("its arguments end")?;
    let (_, arguments) = arguments.split_once("'Calls', ").context("it is called Calls")?;
    // What stands there is YAML as well.
    let written: Value = serde_yaml_ng::from_str(arguments)?;
    let (id, properties) = table(GUARD)?;
    assert_eq!((id.as_str(), written), ("Calls", in_cdk(&properties)?));
    // A table of the CDK's is billed so unless it is told otherwise.
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
    Ok(())
}
