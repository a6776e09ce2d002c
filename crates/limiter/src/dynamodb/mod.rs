//! Limits in a DynamoDB table.

mod date;
mod item;
mod update;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};

use self::update::Update;
use crate::core::control::{Control, Record};
use crate::core::form::{Form, RateForm};
use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, Refund, Refusal, Reservation, Reserve};
use crate::core::register::Entry;
use crate::moment::Moment;
use crate::names::{LimitKey, SlotId};
use crate::store::{Error, Store};

pub use date::DateListener;

/// Writes of one reservation. The second follows a wrong guess and knows what is stored, so that a
/// third is needed only if somebody else came in between.
const ATTEMPTS: u32 = 5;

/// Limits of which this process remembers how they stood.
const REMEMBERED: usize = 1024;

/// Limits in a DynamoDB table.
///
/// The table needs a partition key of type S (default name `id`) and, to be tidied up, time to live
/// on the attribute `expires_at`. It may be shared with other data: every key begins with
/// `limiter#`. IAM: `dynamodb:UpdateItem` and `dynamodb:GetItem`.
///
/// A reservation is one conditional `UpdateItem` of one write unit, and a second one after a wrong
/// guess. One item takes about 1,000 write units a second: a limit that is asked more often hands
/// out [several grants](Reserve::calls) with each write.
///
/// Everybody who shares a limit must use the table in one Region: the replicas of a global table
/// decide conditional writes each for itself.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    client: Client,
    table: String,
    key_attribute: String,
    ttl_attribute: String,
    last: Arc<Mutex<HashMap<LimitKey, Last>>>,
}

/// How a limit stood when this process last asked.
#[derive(Clone, Debug, Default)]
struct Last {
    meter: Meter,
    fitted: Option<RateForm>,
}

/// What became of an update.
enum Sent {
    /// The attributes that were asked for.
    Applied(HashMap<String, AttributeValue>),
    /// Its condition did not hold; the item, if there is one.
    Refused(HashMap<String, AttributeValue>),
}

impl DynamoDbStore {
    /// A store on `table`, with partition key `id` and time to live attribute `expires_at`.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
            key_attribute: "id".into(),
            ttl_attribute: "expires_at".into(),
            last: Arc::default(),
        }
    }

    /// Another name for the partition key.
    #[must_use]
    pub fn key_attribute(mut self, name: impl Into<String>) -> Self {
        self.key_attribute = name.into();
        self
    }

    /// Another name for the time to live attribute (epoch seconds).
    #[must_use]
    pub fn ttl_attribute(mut self, name: impl Into<String>) -> Self {
        self.ttl_attribute = name.into();
        self
    }

    fn last(&self) -> MutexGuard<'_, HashMap<LimitKey, Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, limit: &LimitKey, meter: Meter, fitted: RateForm) {
        let mut last = self.last();
        if last.len() >= REMEMBERED && !last.contains_key(limit) {
            last.clear();
        }
        last.insert(limit.clone(), Last { meter, fitted: Some(fitted) });
    }

    fn key(&self, kind: &str, limit: &LimitKey) -> HashMap<String, AttributeValue> {
        let id = AttributeValue::S(format!("limiter#{kind}#{limit}"));
        HashMap::from([(self.key_attribute.clone(), id)])
    }

    async fn read(
        &self,
        kind: &str,
        limit: &LimitKey,
    ) -> Result<HashMap<String, AttributeValue>, Error> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let get = get.set_key(Some(self.key(kind, limit)));
        let answer = boxed(get.send()).await.map_err(|error| self.error(error))?;
        Ok(answer.item.unwrap_or_default())
    }

    /// `once`: not again after a lost reply.
    async fn send(
        &self,
        kind: &str,
        limit: &LimitKey,
        update: Update,
        returned: ReturnValue,
        once: bool,
    ) -> Result<Sent, Error> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(self.key(kind, limit)))
            .return_values(returned)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let request = update.into_request(request).customize();
        let request = match once {
            true => {
                let config = aws_sdk_dynamodb::config::Builder::new();
                request.config_override(config.retry_config(RetryConfig::disabled()))
            }
            false => request,
        };
        match boxed(request.send()).await {
            Ok(answer) => Ok(Sent::Applied(answer.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(Sent::Refused(refusal.item().cloned().unwrap_or_default()))
                }
                _ => Err(self.error(error)),
            },
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

impl Store for DynamoDbStore {
    async fn reserve(
        &self,
        limit: &LimitKey,
        reserve: &Reserve,
    ) -> Result<Result<Reservation, Refusal>, Error> {
        // Only a quota smaller than the call refuses where nothing was spent.
        let unspent = match Meter::default().reserve(reserve) {
            Ok(unspent) => unspent,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if reserve.rates.is_empty() && reserve.quotas.is_empty() {
            return Ok(Ok(unspent));
        }
        let Last { mut meter, fitted } = self.last().get(limit).cloned().unwrap_or_default();
        let mut form = Form::guess(&meter, fitted, reserve);
        for _ in 0..ATTEMPTS {
            let update = Update::reserve(&form, reserve, &self.ttl_attribute);
            match self.send("meter", limit, update, ReturnValue::AllOld, false).await? {
                Sent::Applied(old) => {
                    let before = item::meter(limit, &old)?;
                    let after = form.apply(&before, reserve);
                    let reserved = before.reserve(reserve).map(|r| Reservation { after, ..r });
                    if let Ok(reserved) = &reserved {
                        let found = form.rates.lasting(&before, reserve);
                        self.remember(limit, reserved.after.clone(), found);
                    }
                    return Ok(reserved);
                }
                Sent::Refused(found) => {
                    meter = item::meter(limit, &found)?;
                    form = Form::of(&meter, reserve);
                    self.remember(limit, meter.clone(), form.rates.lasting(&meter, reserve));
                    if let Err(refusal) = meter.reserve(reserve) {
                        return Ok(Err(refusal));
                    }
                }
            }
        }
        Err(Error::Contended { attempts: ATTEMPTS })
    }

    async fn refund(&self, limit: &LimitKey, refund: &Refund) -> Result<(), Error> {
        let Some(update) = Update::refund(refund) else { return Ok(()) };
        let Sent::Refused(found) =
            self.send("meter", limit, update, ReturnValue::None, true).await?
        else {
            return Ok(());
        };
        // A quota began anew, or a part was never taken: the rest is given back.
        let meter = item::meter(limit, &found)?;
        if let Some(update) = Update::refund(&meter.refundable(refund)) {
            self.send("meter", limit, update, ReturnValue::None, true).await?;
        }
        Ok(())
    }

    async fn undo(&self, limit: &LimitKey, before: &Meter, after: &Meter) -> Result<bool, Error> {
        let Some(update) = Update::undo(before, after) else { return Ok(true) };
        // Of one that was done and whose reply was lost, a second try would say that it was not. Then
        // what the grant took of quotas would be given back twice.
        let sent = self.send("meter", limit, update, ReturnValue::None, true).await?;
        Ok(matches!(sent, Sent::Applied(_)))
    }

    async fn ledger(&self, limit: &LimitKey) -> Result<Ledger, Error> {
        item::ledger(limit, &self.read("ledger", limit).await?)
    }

    async fn replace_ledger(&self, limit: &LimitKey, ledger: &Ledger) -> Result<bool, Error> {
        let update = Update::ledger(ledger, &self.ttl_attribute);
        let update = update.map_err(|error| Error::Failed(Box::new(error)))?;
        let sent = self.send("ledger", limit, update, ReturnValue::None, true).await?;
        Ok(matches!(sent, Sent::Applied(_)))
    }

    async fn meter(&self, limit: &LimitKey) -> Result<Meter, Error> {
        item::meter(limit, &self.read("meter", limit).await?)
    }

    async fn record(&self, limit: &LimitKey) -> Result<Record, Error> {
        item::record(limit, &self.read("control", limit).await?)
    }

    async fn control(&self, limit: &LimitKey, control: &Control) -> Result<bool, Error> {
        let update = Update::control(control).map_err(|error| Error::Failed(Box::new(error)))?;
        match self.send("control", limit, update, ReturnValue::None, false).await? {
            Sent::Applied(_) => Ok(true),
            // An earlier try of this very write, whose reply was lost.
            Sent::Refused(found) => Ok(item::record(limit, &found)?.control == *control),
        }
    }

    async fn enter(&self, limit: &LimitKey, slot: &SlotId, entry: Entry) -> Result<Record, Error> {
        let update = Update::enter(slot, entry);
        match self.send("control", limit, update, ReturnValue::AllNew, false).await? {
            Sent::Applied(item) | Sent::Refused(item) => item::record(limit, &item),
        }
    }

    async fn leave(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Result<(), Error> {
        let update = Update::leave(slot, if_lapsed_before);
        self.send("control", limit, update, ReturnValue::None, false).await?;
        Ok(())
    }
}

/// The SDK's futures nest so deep that callers would have to raise their `recursion_limit`;
/// a box ends the nesting, and beside a network request it costs nothing.
fn boxed<F: Future>(request: F) -> Pin<Box<F>> {
    Box::pin(request)
}
