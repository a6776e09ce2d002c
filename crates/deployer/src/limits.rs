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
    MAX_KEY_BYTES, NO_CEILING, NameError, Overrides, Settings, SlotId,
};
use slowlane_message::{Ring, TENANT_MAX_CHARS};
use std::time::Duration;

use set::{BeforeAndNow, Sharing};
pub use set::{InEffect, Setting, WasSet};
pub use slowlane_limiter::Author;
pub use standing::Standing;

/// The longest list of limits in JSON: the template's parameter `Limits` takes no more, because all
/// of a Lambda's environment has 4 KB.
pub const LIMITS_MAX_BYTES: usize = 768;

/// The entries of a batch request (API model).
const BATCH: u32 = 10;

/// The limit of one deployment.
#[derive(Debug)]
pub struct Limit {
    limiter: Limiter<DynamoDbStore>,
    /// What other stacks keep too, if something is shared by a name.
    shared: Option<Shared>,
    name: LimitKey,
    sqs: aws_sdk_sqs::Client,
    /// Where to ring; the deferral wiring has none.
    doorbell: Option<String>,
    /// The worker's reserved concurrency, as it was deployed.
    ceiling: u32,
    /// The limits below it, as they were deployed.
    configured: Limits,
}

/// Limits that several stacks share by a name.
#[derive(Debug)]
struct Shared {
    limiter: Limiter<DynamoDbStore>,
    name: LimitKey,
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
    /// A tenant's name is a part of the key of its limits.
    #[error(
        "the stack's name {name} is too long for limits of tenants: {most} characters are the most"
    )]
    NoRoomForTenants {
        /// The stack's name.
        name: LimitKey,
        /// The most that it may have.
        most: usize,
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
        let name = LimitKey::new(&deployed.stack_name)?;
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        let limiter = |table: &str, name: &LimitKey, ceiling, limits: &Limits| {
            let store = DynamoDbStore::new(dynamodb.clone(), table);
            let settings = settings(ceiling, limits);
            Ok::<_, Error>(Limiter::new(store, name.clone(), SlotId::new("operator")?, settings)?)
        };
        let table = deployed.parameters.get("SharedLimitsTable").filter(|name| !name.is_empty());
        let shared = configured.shared().zip(table).map(|((name, configured), table)| {
            let limiter = limiter(table, &name, NO_CEILING, &configured)?;
            Ok::<_, Error>(Shared { limiter, name, configured })
        });
        let configured = configured.own_and_tenants();
        Ok(Self {
            limiter: limiter(&outputs.idempotency_table_name, &name, ceiling, &configured)?,
            shared: shared.transpose()?,
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
        let shared = match &self.shared {
            None => None,
            Some(Shared { limiter, name, configured }) => Some(Box::new(Standing {
                name: name.clone(),
                now: limiter.now(),
                ceiling: NO_CEILING,
                configured: configured.clone(),
                standings: limiter.standings().await?,
                shared: None,
            })),
        };
        Ok(Standing {
            name: self.name.clone(),
            now: self.limiter.now(),
            ceiling: self.ceiling,
            configured: self.configured.clone(),
            standings,
            shared,
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
    /// than before. What is shared by a name is set for all stacks that use the name. Answers what was
    /// set before and now.
    ///
    /// # Errors
    /// [`Error::AboveCeiling`], [`Error::NoRoomForTenants`], [`Error::Record`], [`Error::NotRung`].
    pub async fn set(&self, setting: &Setting, by: &Author) -> Result<WasSet, Error> {
        let sharing = self.shared.as_ref().map(|shared| Sharing::of(&shared.configured));
        let (own, of_all) = setting.split(sharing.unwrap_or_default());
        if let Some(asked) = own.concurrency.filter(|asked| *asked > self.ceiling) {
            return Err(Error::AboveCeiling { asked, ceiling: self.ceiling });
        }
        if own.tenant_rates.is_some() || own.tenant_quotas.is_some() {
            check_room_for_tenants(&self.name)?;
        }
        let was_set = set(&self.limiter, &own, by).await?;
        let mut was_set = was_set.map(|set| InEffect::of(&set, self.ceiling, &self.configured));
        if let (Some(shared), Some(sharing)) = (&self.shared, sharing) {
            let of_all = set(&shared.limiter, &of_all, by).await?;
            let of_all = of_all.map(|set| InEffect::of(&set, NO_CEILING, &shared.configured));
            was_set = was_set.with(of_all, sharing);
        }
        self.wake_slots().await?;
        Ok(was_set)
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

/// Beside the stack's name stand a tenant's, of which each character takes three at most, and a priority.
fn check_room_for_tenants(name: &LimitKey) -> Result<(), Error> {
    let most = MAX_KEY_BYTES - 3 * TENANT_MAX_CHARS - "//NORMAL".len();
    match name.as_str().len() > most {
        true => Err(Error::NoRoomForTenants { name: name.clone(), most }),
        false => Ok(()),
    }
}

/// How a limit is kept, as far as it matters to who looks at it.
fn settings(ceiling: u32, limits: &Limits) -> Settings {
    let limits = limits.own();
    Settings {
        ceiling,
        rates: limits.rates(),
        quotas: limits.quotas(),
        rules: ControlRules {
            concurrency: limits.concurrency(),
            adaptive: limits.is_adaptive().then(|| AimdRules::up_to(ceiling)),
            ..ControlRules::default()
        },
        ..Settings::default()
    }
}

/// Sets one record's limits, unless nothing is to be set there. Answers what was set before and now.
async fn set(
    limiter: &Limiter<DynamoDbStore>,
    setting: &Setting,
    by: &Author,
) -> Result<BeforeAndNow<Overrides>, Error> {
    if *setting == Setting::default() {
        let limits = limiter.standings().await?.record.control.limits;
        return Ok(BeforeAndNow { before: limits.clone(), now: limits });
    }
    let (before, control) = limiter.set_limits(|before| setting.over(before), by).await?;
    Ok(BeforeAndNow { before, now: control.limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_which_no_tenant_has_room_is_refused_by_its_length() {
        let name = |length: usize| LimitKey::new("s".repeat(length)).unwrap();
        let longest = MAX_KEY_BYTES - 3 * TENANT_MAX_CHARS - "//NORMAL".len();
        check_room_for_tenants(&name(longest)).unwrap();
        // The key of such a tenant's line is as long as a key may be.
        let of_tenant = name(longest).tenant(&"t".repeat(3 * TENANT_MAX_CHARS)).unwrap();
        assert_eq!(of_tenant.tenant("NORMAL").unwrap().as_str().len(), MAX_KEY_BYTES);
        let error = check_room_for_tenants(&name(longest + 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("{longest} characters")), "{error}");
    }
}
