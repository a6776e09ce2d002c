//! A deployment's limit, steered while it runs: looked at, set, paused, drained, resumed.
//!
//! Each change goes into the limit's control record, with who made it and why. Every slot reads that
//! once a second and when it is woken. While calls are paused the rings on the doorbell sleep, so
//! whoever resumes rings: once for each slot.

mod forecast;
mod set;
mod standing;

use crate::{Deployed, aws};
use aws_config::SdkConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use slowlane_limiter::{
    AimdRules, Change, ControlRules, DynamoDbStore, LimitError, LimitKey, Limiter, Limits,
    NameError, Overrides, Scope, Settings, SlotId,
};
use slowlane_message::Ring;
use std::time::Duration;

pub use set::{InEffect, Setting, WasSet};
pub use slowlane_limiter::Author;
pub use standing::Standing;

/// The longest list of limits in JSON: the template's parameter `Limits` takes no more, because all
/// of a Lambda's environment has 4 KB.
pub const LIMITS_MAX_BYTES: usize = 1_024;

/// The entries of a batch request (API model).
const BATCH: u32 = 10;

/// The limit of one deployment.
#[derive(Debug)]
pub struct Limit {
    limiter: Limiter<DynamoDbStore>,
    name: LimitKey,
    sqs: aws_sdk_sqs::Client,
    /// Where to ring; the deferral wiring has none.
    doorbell: Option<String>,
    /// The worker's reserved concurrency, as it was deployed.
    ceiling: u32,
    /// The limits below it, as they were deployed.
    configured: Limits,
}

/// Why a limit was not shown or not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stack's name is none that a limit can have.
    #[error("the stack's name cannot be a limit's")]
    Name(#[from] NameError),
    /// The stack was deployed with limits that cannot be read.
    #[error("the stack's parameter Limits cannot be read; deploy it again with others")]
    Configured(#[source] LimitError),
    /// More at once than the worker's reserved concurrency.
    #[error(
        "{asked} calls at once are more than {ceiling}, which the worker's reserved concurrency lets \
         through; deploy a higher concurrency first"
    )]
    AboveCeiling {
        /// What was to be set.
        asked: u32,
        /// The most that can be set.
        ceiling: u32,
    },
    /// The control record could not be read or written.
    #[error("the control record of the limit was not changed")]
    Record(#[from] slowlane_limiter::Error),
    /// The control record could not be read.
    #[error("the control record of the limit could not be read")]
    Store(#[from] slowlane_limiter::StoreError),
    /// The change holds, and no slot was woken. Those that sleep look within eight minutes.
    #[error(
        "the change holds, but no ring was sent: slots that sleep find out within eight minutes; do \
         it once more to wake them now"
    )]
    NotRung(#[source] aws::Error),
}

impl Limit {
    /// The limit of a deployed stack: the template names it after the stack.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Record`].
    pub fn of(config: &SdkConfig, deployed: &Deployed) -> Result<Self, Error> {
        let outputs = &deployed.outputs;
        let ceiling = deployed.parameters.get("ApiConcurrency").and_then(|text| text.parse().ok());
        let ceiling = ceiling.unwrap_or(1);
        // A stack of an earlier version has no such parameter.
        let configured = deployed.parameters.get("Limits").map(|text| Limits::from_json(text));
        let configured = configured.transpose().map_err(Error::Configured)?.unwrap_or_default();
        let of_target = || configured.iter().filter(|limit| limit.scope == Scope::Target);
        let name = LimitKey::new(&deployed.stack_name)?;
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        let store = DynamoDbStore::new(dynamodb, &outputs.idempotency_table_name);
        let settings = Settings {
            ceiling,
            rates: of_target().filter_map(slowlane_limiter::Limit::rate).collect(),
            quotas: of_target().filter_map(slowlane_limiter::Limit::quota).collect(),
            rules: ControlRules {
                concurrency: configured.concurrency(),
                adaptive: configured.is_adaptive().then(|| AimdRules::up_to(ceiling)),
                ..ControlRules::default()
            },
            ..Settings::default()
        };
        Ok(Self {
            limiter: Limiter::new(store, name.clone(), SlotId::new("operator")?, settings)?,
            name,
            sqs: aws_sdk_sqs::Client::new(config),
            doorbell: outputs.doorbell_queue_url.clone(),
            ceiling,
            configured,
        })
    }

    /// How the limit stands.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn standing(&self) -> Result<Standing, Error> {
        let standings = self.limiter.standings().await?;
        Ok(Standing {
            name: self.name.clone(),
            now: self.limiter.now(),
            ceiling: self.ceiling,
            configured: self.configured.clone(),
            standings,
        })
    }

    /// Lets no further call be made, for so long or until somebody resumes. Calls at the API go on to
    /// their end.
    ///
    /// # Errors
    /// [`Error::Record`].
    pub async fn pause(&self, lasts: Option<Duration>, by: &Author) -> Result<(), Error> {
        let until = lasts.map(|lasts| self.limiter.now().plus(lasts));
        self.change(&Change::Pause { until }, by).await
    }

    /// As [`pause`](Self::pause), until somebody resumes, and noted as what precedes a change that
    /// needs quiet.
    ///
    /// # Errors
    /// [`Error::Record`].
    pub async fn drain(&self, by: &Author) -> Result<(), Error> {
        self.change(&Change::Drain, by).await
    }

    /// Lets calls be made again, and wakes the slots.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::NotRung`].
    pub async fn resume(&self, by: &Author) -> Result<(), Error> {
        self.change(&Change::Resume, by).await?;
        self.wake_slots().await
    }

    /// Sets limits, for everybody from within a second on, and wakes the slots: there may be more room
    /// than before. Answers what was set before and now.
    ///
    /// # Errors
    /// [`Error::AboveCeiling`], [`Error::Record`], [`Error::NotRung`].
    pub async fn set(&self, setting: &Setting, by: &Author) -> Result<WasSet, Error> {
        if let Some(asked) = setting.concurrency.filter(|asked| *asked > self.ceiling) {
            return Err(Error::AboveCeiling { asked, ceiling: self.ceiling });
        }
        let (before, control) = self.limiter.set_limits(|before| setting.over(before), by).await?;
        let was_set =
            WasSet { before: self.in_effect(&before), now: self.in_effect(&control.limits) };
        self.wake_slots().await?;
        Ok(was_set)
    }

    /// What is in effect where this was set.
    fn in_effect(&self, set: &Overrides) -> InEffect {
        InEffect::of(set, self.ceiling, &self.configured)
    }

    async fn wake_slots(&self) -> Result<(), Error> {
        let Some(doorbell) = &self.doorbell else { return Ok(()) };
        let mut left = self.ceiling.max(1);
        while left > 0 {
            let rings = left.min(BATCH);
            self.ring(doorbell, rings).await.map_err(Error::NotRung)?;
            left -= rings;
        }
        Ok(())
    }

    async fn change(&self, change: &Change, by: &Author) -> Result<(), Error> {
        self.limiter.change(change, by).await?;
        Ok(())
    }

    async fn ring(&self, doorbell: &str, rings: u32) -> Result<(), aws::Error> {
        let entries = (0..rings).filter_map(|id| {
            let entry = SendMessageBatchRequestEntry::builder().id(id.to_string());
            entry.message_body(Ring::default().to_body()).build().ok()
        });
        let request = self.sqs.send_message_batch().queue_url(doorbell);
        let sent = request.set_entries(Some(entries.collect())).send().await;
        sent.map(drop).map_err(aws::failed("sqs:SendMessage", "the doorbell queue"))
    }
}
