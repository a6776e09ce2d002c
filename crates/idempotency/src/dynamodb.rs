//! The DynamoDB store: one `UpdateItem` for every write of the guard.
//!
//! Every attribute that a record has is set and every one it lacks is removed, under a
//! condition expression that says the same as [`Write::permitted`]. A refused condition
//! answers with the item (`ALL_OLD`, which costs no read), so a claim is at the same
//! time the question what is known.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::payload::PayloadHash;
use crate::record::{Record, Status, StoredResult, When, Write};
use crate::store::{Cursor, Error, Page, Store, Written, boxed};

mod item;
mod listing;

use item::attributes;
use item::name;

/// The largest result that fits an item next to everything else in it: an item may
/// have 400 KB, names included (AWS documentation, "Quotas in Amazon DynamoDB").
pub const MAX_RESULT_BYTES: usize = 400 * 1024 - 4 * 1024;

/// Records in a DynamoDB table.
///
/// The table needs a partition key of type S (default name `id`) and, to be tidied up,
/// time to live on the attribute `expires_at`. IAM: `dynamodb:UpdateItem`; `GetItem` for
/// [`Guard::read`](crate::Guard::read); `Scan` for
/// [`Guard::list_unresolved`](crate::Guard::list_unresolved), or `GetItem`, and `Query` on
/// the index, [if there is one](Self::unresolved_index).
///
/// All claimants of a key must use the table in one Region. The replicas of a global table
/// decide conditional writes each for itself and replicate afterwards, so that in two
/// Regions both of two claimants would run.
///
/// The client's own retries are welcome: a write that was applied though its reply was
/// lost is recognised. Its time-outs are the caller's choice.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    client: Client,
    table: String,
    layout: Layout,
    ttl_attribute: String,
    unresolved_index: Option<String>,
}

/// How a record's id becomes the table's primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A partition key that holds `{scope}#{key}`.
    Partition {
        /// The key attribute.
        name: String,
    },
    /// A partition key and a sort key, for a table shared with other data. The sort key
    /// holds `{scope}#{key}`.
    PartitionAndSort {
        /// The partition key attribute.
        partition: String,
        /// What it holds.
        value: PartitionValue,
        /// The sort key attribute.
        sort: String,
    },
}

/// What the partition key holds beside a sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionValue {
    /// Always this text. All calls then share one partition: about 1,000 writes a second.
    Fixed(String),
    /// The scope.
    Scope,
}

impl DynamoDbStore {
    /// A store on `table`, with the default layout: partition key `id`, time to live
    /// attribute `expires_at`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
            layout: Layout::Partition { name: "id".into() },
            ttl_attribute: "expires_at".into(),
            unresolved_index: None,
        }
    }

    /// Another layout of the primary key.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Another name for the time to live attribute (epoch seconds).
    #[must_use]
    pub fn ttl_attribute(mut self, name: impl Into<String>) -> Self {
        self.ttl_attribute = name.into();
        self
    }

    /// The table has an index of this name with partition key `unresolved` (S), sort key
    /// `unresolved_from_ms` (N) and the projection `KEYS_ONLY`. Listing and counting then
    /// read that, where they would scan the table otherwise.
    ///
    /// A record has these attributes only as long as it may be unresolved, so that the index
    /// holds what is running and what is left. Entering and leaving it costs a call two
    /// write units more. Records written without this are not in it: after adding an index
    /// to a table in use, list once with a store that does not know of it.
    #[must_use]
    pub fn unresolved_index(mut self, name: impl Into<String>) -> Self {
        self.unresolved_index = Some(name.into());
        self
    }

    fn key(&self, id: &RecordId) -> HashMap<String, AttributeValue> {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        match &self.layout {
            Layout::Partition { name } => HashMap::from([(name.clone(), text(id.as_str()))]),
            Layout::PartitionAndSort { partition, value, sort } => {
                let value = match value {
                    PartitionValue::Fixed(value) => value,
                    PartitionValue::Scope => id.scope(),
                };
                HashMap::from([(partition.clone(), text(value)), (sort.clone(), text(id.as_str()))])
            }
        }
    }

    /// The key attribute that holds the whole id.
    fn id_attribute(&self) -> &str {
        match &self.layout {
            Layout::Partition { name } => name,
            Layout::PartitionAndSort { sort, .. } => sort,
        }
    }
}

impl Store for DynamoDbStore {
    async fn write(&self, write: &Write) -> Result<Written, Error> {
        check_size(&write.record)?;
        let mut update = Update::new();
        update.replace(write, &self.ttl_attribute);
        if self.unresolved_index.is_some() {
            update.index(&write.record);
        }
        let condition = update.condition(write, self.id_attribute());
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(self.key(&write.record.id)))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = match boxed(update.into_request(request, write).send()).await {
            Ok(answer) => answer,
            Err(error) => return self.refused(error, &write.record.id),
        };
        let replaced = answer.attributes.filter(|item| !item.is_empty());
        let replaced = replaced.map(|item| item::read(write.record.id.clone(), &item));
        Ok(Written::Applied { replaced: replaced.transpose()?.map(Box::new) })
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, Error> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(self.key(id)))
            .consistent_read(true);
        let answer = boxed(get.send()).await.map_err(|error| self.error(error))?;
        let item = answer.item.as_ref();
        item.map(|item| item::read(id.clone(), item)).transpose()
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, Error> {
        match &self.unresolved_index {
            Some(index) => self.list_by_index(index, lapsed_before, most, after).await,
            None => self.list_by_scan(lapsed_before, most, after).await,
        }
    }

    async fn count_unresolved(&self, lapsed_before: EpochMs) -> Result<u64, Error> {
        match &self.unresolved_index {
            Some(index) => self.count_by_index(index, lapsed_before).await,
            None => self.count_by_scan(lapsed_before).await,
        }
    }
}

impl DynamoDbStore {
    /// A failed condition is an answer; anything else is an error.
    fn refused(&self, error: SdkError<UpdateItemError>, id: &RecordId) -> Result<Written, Error> {
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                let found = refusal.item().filter(|item| !item.is_empty());
                let record = found.map(|item| item::read(id.clone(), item)).transpose()?;
                Ok(Written::Refused(record.map(Box::new)))
            }
            _ => Err(self.error(error)),
        }
    }

    fn error<E>(&self, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        const THROTTLES: [&str; 3] = [
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "ThrottlingException",
        ];
        match error.code() {
            Some(code) if THROTTLES.contains(&code) => Error::Throttled(Box::new(error)),
            Some("ResourceNotFoundException") => {
                let what = format!("table {:?} in this account and Region", self.table);
                Error::NotFound { what, source: Box::new(error) }
            }
            _ => Error::Failed(Box::new(error)),
        }
    }
}

/// The expressions of one `UpdateItem`, with a `#name` for every attribute used and a `:value` for
/// every value. DynamoDB refuses a request that defines one without using it.
struct Update {
    set: Clause,
    remove: Clause,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    fn new() -> Self {
        Self {
            set: Clause::new("SET "),
            remove: Clause::new(" REMOVE "),
            names: HashMap::with_capacity(24),
            values: HashMap::with_capacity(24),
        }
    }

    /// Makes the item what the record says, whatever it was.
    fn replace(&mut self, write: &Write, ttl_attribute: &str) {
        for (name, value) in attributes(&write.record) {
            self.assign(name, name, value);
        }
        self.assign("ttl", ttl_attribute, item::time_to_live(&write.record));
        match write.when {
            When::Free { .. } => {
                self.name_as(name::ATTEMPT, name::ATTEMPT);
                self.value("zero", AttributeValue::N("0".into()));
                self.value("one", AttributeValue::N("1".into()));
                self.set.push(&["#attempt = if_not_exists(#attempt, :zero) + :one"]);
            }
            When::Held { .. } => {
                let number = AttributeValue::N(write.record.holder.attempt.to_string());
                self.assign(name::ATTEMPT, name::ATTEMPT, Some(number));
                for (name, value) in item::about_earlier_attempts(&write.record) {
                    self.assign(name, name, value);
                }
            }
        }
    }

    /// Enters the record into the index of unresolved ones, or takes it out.
    fn index(&mut self, record: &Record) {
        for (name, value) in item::unresolved(record) {
            self.assign(name, name, value);
        }
    }

    fn assign(&mut self, placeholder: &str, attribute: &str, value: Option<AttributeValue>) {
        self.name_as(placeholder, attribute);
        match value {
            Some(value) => {
                self.value(placeholder, value);
                self.set.push(&["#", placeholder, " = :", placeholder]);
            }
            None => self.remove.push(&["#", placeholder]),
        }
    }

    /// [`Write::permitted`] in DynamoDB's words.
    fn condition(&mut self, write: &Write, id_attribute: &str) -> String {
        match write.when {
            When::Held { by, from } => {
                self.value("held_by", AttributeValue::S(by.owner.to_string()));
                self.value("held_attempt", AttributeValue::N(by.attempt.to_string()));
                let from: Vec<_> = from.iter().map(|status| self.status(*status)).collect();
                format!(
                    "#owner = :held_by AND #attempt = :held_attempt AND #status IN ({})",
                    from.join(", ")
                )
            }
            When::Free { lapsed_before, earlier_payload } => {
                self.name_as("id", id_attribute);
                self.free(lapsed_before);
                let claimed = self.status(Status::Claimed);
                let completed = self.status(Status::Completed);
                let released = self.status(Status::Released);
                let unknown = self.status(Status::Unknown);
                let abandoned =
                    format!("(#status = {claimed} AND #lease_until_ms < :lapsed_before)");
                let mut condition = format!(
                    "attribute_not_exists(#id) \
                     OR #status = {released} \
                     OR ({abandoned} AND #repeatable = :no) \
                     OR (#kept_until_ms < :lapsed_before AND (#status = {completed} \
                     OR (#repeatable = :yes AND ({abandoned} OR #status = {unknown}))))"
                );
                if write.record.repeatable {
                    let payloads = self.payloads(earlier_payload);
                    condition.push_str(&format!(
                        " OR (#repeatable = :yes AND #payload_sha256 {payloads} \
                         AND ({abandoned} OR #status = {unknown}))"
                    ));
                }
                condition
            }
        }
    }

    /// The values that every claim's condition compares with.
    fn free(&mut self, lapsed_before: EpochMs) {
        let before = AttributeValue::N(lapsed_before.as_millis().to_string());
        self.value("lapsed_before", before);
        self.value("no", AttributeValue::Bool(false));
        self.value("yes", AttributeValue::Bool(true));
    }

    /// Compares with the payload that is written, by whichever hash.
    fn payloads(&mut self, earlier: Option<PayloadHash>) -> &'static str {
        match earlier {
            None => "= :payload_sha256",
            Some(earlier) => {
                self.value("earlier_payload", AttributeValue::S(earlier.to_string()));
                "IN (:payload_sha256, :earlier_payload)"
            }
        }
    }

    /// Makes `#placeholder` stand for an attribute.
    fn name_as(&mut self, placeholder: &str, attribute: &str) {
        self.names.insert(["#", placeholder].concat(), attribute.to_owned());
    }

    /// Makes `:placeholder` stand for a value.
    fn value(&mut self, placeholder: &str, value: AttributeValue) {
        self.values.insert([":", placeholder].concat(), value);
    }

    /// A status as a condition names it.
    fn status(&mut self, status: Status) -> String {
        let placeholder = format!(":is_{}", status.as_str().to_lowercase());
        self.values.insert(placeholder.clone(), AttributeValue::S(status.to_string()));
        placeholder
    }

    fn into_request(
        self,
        request: UpdateItemFluentBuilder,
        write: &Write,
    ) -> UpdateItemFluentBuilder {
        let expression = self.set.text + &self.remove.text;
        let returned = match write.when {
            When::Free { .. } => ReturnValue::AllOld,
            When::Held { .. } => ReturnValue::None,
        };
        request
            .update_expression(expression)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values))
            .return_values(returned)
    }
}

/// A clause of an update expression; without members it is empty.
struct Clause {
    word: &'static str,
    text: String,
}

impl Clause {
    fn new(word: &'static str) -> Self {
        Self { word, text: String::with_capacity(512) }
    }

    /// Adds a member, of which these are the parts.
    fn push(&mut self, member: &[&str]) {
        self.text.push_str(if self.text.is_empty() { self.word } else { ", " });
        self.text.extend(member.iter().copied());
    }
}

fn check_size(record: &Record) -> Result<(), Error> {
    match &record.result {
        Some(StoredResult::Inline(json)) if json.len() > MAX_RESULT_BYTES => {
            Err(Error::TooLarge { bytes: json.len(), limit: MAX_RESULT_BYTES })
        }
        _ => Ok(()),
    }
}
