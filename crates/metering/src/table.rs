//! Usage in a DynamoDB table.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};

use crate::item::{self, Item, Read, Update};
use crate::period::Period;
use crate::used::Tally;

/// The partition key.
const KEY: &str = "id";

/// Whoever adds to usage, such as one process: no two may have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterId(String);

impl From<u64> for WriterId {
    fn from(number: u64) -> Self {
        Self(format!("{number:016x}"))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose usage, and when. It is the key of an item: `2026-11-30#acme`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account {
    /// The day or the month.
    pub(crate) period: Period,
    /// The tenant; empty for calls of no tenant.
    pub(crate) tenant: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.period, self.tenant)
    }
}

/// What was used by one tenant in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The day or the month.
    pub period: Period,
    /// The tenant; empty for calls of no tenant.
    pub tenant: String,
    /// By model.
    pub used: Tally,
}

/// A request that the table did not answer, or refused.
#[derive(Debug, thiserror::Error)]
#[error("the table {table:?} of usage could not be {asked}")]
pub struct Error {
    table: String,
    asked: &'static str,
    source: Box<dyn StdError + Send + Sync>,
}

/// A DynamoDB table of usage. It needs a partition key `id` of type S and, to be tidied up, time to
/// live on the attribute `expires_at`. IAM: `dynamodb:UpdateItem` and `dynamodb:GetItem`; who lists
/// needs `dynamodb:Scan`.
#[derive(Clone, Debug)]
pub struct UsageTable {
    client: Client,
    name: String,
}

impl UsageTable {
    /// A table of this name.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Adds to an account, once: a repeat of the same write by the same writer changes nothing.
    /// Answers what the account has afterwards.
    pub(crate) async fn add(
        &self,
        account: &Account,
        tally: &Tally,
        (writer, at_ms): (&WriterId, i64),
        forgotten: &[String],
    ) -> Result<Read, Error> {
        let update = Update::adding(tally, &writer.0, at_ms, forgotten);
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(KEY, AttributeValue::S(account.to_string()))
            .update_expression(update.expression)
            .condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        match Box::pin(request.send()).await {
            Ok(answer) => Ok(read(answer.attributes)),
            Err(error) => match error.as_service_error() {
                // It was made before, and its answer was lost.
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(read(refusal.item.clone()))
                }
                _ => Err(self.error("written", error)),
            },
        }
    }

    pub(crate) async fn read(&self, account: &Account) -> Result<Tally, Error> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true);
        let request = request.key(KEY, AttributeValue::S(account.to_string()));
        let answer = Box::pin(request.send()).await.map_err(|error| self.error("read", error))?;
        Ok(read(answer.item).tally)
    }

    /// What was used in a period, by tenants' names: by one tenant, or by all. Calls of no tenant are
    /// those of the tenant `""`. A month's days are added up.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn usage(&self, period: Period, tenant: Option<&str>) -> Result<Vec<Usage>, Error> {
        let mut found: Vec<Usage> = Vec::new();
        match tenant {
            Some(tenant) => {
                for day in period.days() {
                    let account = Account { period: Period::Day(day), tenant: tenant.to_owned() };
                    let used = self.read(&account).await?;
                    add(&mut found, period, tenant, &used);
                }
            }
            None => {
                let days = match period {
                    Period::Day(day) => format!("{day}#"),
                    // The month's own account has the next letter `#`.
                    Period::Month(_) => format!("{period}-"),
                };
                for item in self.scan(&days).await? {
                    let id = item.get(KEY).and_then(|id| id.as_s().ok());
                    let Some((_, tenant)) = id.and_then(|id| id.split_once('#')) else { continue };
                    add(&mut found, period, tenant, &item::read(&item).tally);
                }
            }
        }
        found.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        Ok(found)
    }

    async fn scan(&self, begins: &str) -> Result<Vec<Item>, Error> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let request = self
                .client
                .scan()
                .table_name(&self.name)
                .filter_expression("begins_with(#id, :begins)")
                .expression_attribute_names("#id", KEY)
                .expression_attribute_values(":begins", AttributeValue::S(begins.to_owned()))
                .set_exclusive_start_key(from);
            let page = Box::pin(request.send()).await.map_err(|error| self.error("read", error))?;
            found.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }

    fn error(&self, asked: &'static str, error: impl StdError + Send + Sync + 'static) -> Error {
        Error { table: self.name.clone(), asked, source: Box::new(error) }
    }
}

fn read(item: Option<Item>) -> Read {
    item.map(|item| item::read(&item)).unwrap_or_default()
}

fn add(found: &mut Vec<Usage>, period: Period, tenant: &str, used: &Tally) {
    if used.is_empty() {
        return;
    }
    match found.iter_mut().find(|usage| usage.tenant == tenant) {
        Some(usage) => usage.used.add_all(used),
        None => found.push(Usage { period, tenant: tenant.to_owned(), used: used.clone() }),
    }
}
