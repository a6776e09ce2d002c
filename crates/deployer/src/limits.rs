//! A deployment's limit, steered while it runs: looked at, paused, drained, resumed.
//!
//! Each change goes into the limit's control record, with who made it and why. Every slot reads that
//! once a second and when it is woken. While calls are paused the rings on the doorbell sleep, so
//! whoever resumes rings: once for each slot.

use crate::{Deployed, aws, text};
use aws_config::SdkConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::{Value, json};
use slowlane_limiter::{
    Change, Control, DynamoDbStore, LimitKey, Limiter, Mode, Moment, NameError, Settings, SlotId,
    Standings,
};
use slowlane_message::Ring;
use std::time::Duration;

pub use slowlane_limiter::Author;

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
    slots: u32,
}

/// Why a limit was not shown or not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stack's name is none that a limit can have.
    #[error("the stack's name cannot be a limit's")]
    Name(#[from] NameError),
    /// The control record could not be read or written.
    #[error("the control record of the limit was not changed")]
    Record(#[from] slowlane_limiter::Error),
    /// The control record could not be read.
    #[error("the control record of the limit could not be read")]
    Store(#[from] slowlane_limiter::StoreError),
    /// Calls may be made again, and no slot was told. Those that sleep look within eight minutes.
    #[error(
        "calls may be made again, but no ring was sent: slots find out within eight minutes; resume \
         once more to wake them now"
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
        let slots = ceiling.unwrap_or(1);
        let name = LimitKey::new(&deployed.stack_name)?;
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        let store = DynamoDbStore::new(dynamodb, &outputs.idempotency_table_name);
        let settings = Settings { ceiling: slots, ..Settings::default() };
        Ok(Self {
            limiter: Limiter::new(store, name.clone(), SlotId::new("operator")?, settings)?,
            name,
            sqs: aws_sdk_sqs::Client::new(config),
            doorbell: outputs.doorbell_queue_url.clone(),
            slots,
        })
    }

    /// How the limit stands.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn standing(&self) -> Result<Standing, Error> {
        let standings = self.limiter.standings().await?;
        Ok(Standing { name: self.name.clone(), now: self.limiter.now(), standings })
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
        let Some(doorbell) = &self.doorbell else { return Ok(()) };
        let mut left = self.slots.max(1);
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

/// How a limit stands at a moment.
#[derive(Debug, Clone)]
pub struct Standing {
    name: LimitKey,
    now: Moment,
    standings: Standings,
}

/// Whether calls are made, in a word.
fn word(mode: &Mode, now: Moment) -> &'static str {
    match mode {
        Mode::Paused { until: Some(until), .. } if *until <= now => "run",
        Mode::Run => "run",
        Mode::Paused { .. } => "paused",
        Mode::Draining { .. } => "draining",
    }
}

fn change_word(change: &Change) -> &'static str {
    match change {
        Change::Pause { .. } => "pause",
        Change::Drain => "drain",
        Change::Resume => "resume",
        Change::SetLimits { .. } => "set",
    }
}

impl Standing {
    fn control(&self) -> &Control {
        &self.standings.record.control
    }

    /// The author and the end of what keeps calls from being made, if something does.
    fn shut_by(&self) -> Option<(&Author, Option<Moment>)> {
        match &self.control().mode {
            Mode::Paused { until, by } if until.is_none_or(|until| until > self.now) => {
                Some((by, *until))
            }
            Mode::Draining { by } => Some((by, None)),
            Mode::Run | Mode::Paused { .. } => None,
        }
    }

    /// For programs: `{limit, mode, until, who, why, concurrency, changes: [{at, who, why,
    /// change}]}`.
    pub fn as_json(&self) -> Value {
        let (by, until) = self.shut_by().unzip();
        let changes = self.control().changes.iter().map(|noted| {
            json!({
                "at": noted.at.to_string(),
                "who": noted.by.who,
                "why": noted.by.why,
                "change": change_word(&noted.change),
            })
        });
        json!({
            "limit": self.name.as_str(),
            "mode": word(&self.control().mode, self.now),
            "until": until.flatten().map(|until| until.to_string()),
            "who": by.map(|by| &by.who),
            "why": by.map(|by| &by.why),
            "concurrency": self.standings.concurrency,
            "changes": changes.collect::<Vec<_>>(),
        })
    }

    /// What keeps calls from being made, in words: `paused until ... by ada: a release`.
    pub fn shut(&self) -> Option<String> {
        let (Author { who, why }, until) = self.shut_by()?;
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        Some(format!("{}{until} by {who}: {why}", word(&self.control().mode, self.now)))
    }

    /// For people.
    pub fn as_text(&self) -> String {
        let mode = word(&self.control().mode, self.now);
        let mut told =
            format!("{}: {}, {} calls at once", self.name, mode, self.standings.concurrency);
        if let Some(shut) = self.shut() {
            told += &format!("\n{shut}");
        }
        if self.control().changes.is_empty() {
            return told + "\nnobody has changed it since it was deployed";
        }
        let rows = self.control().changes.iter().rev().map(|noted| {
            let change = change_word(&noted.change).to_owned();
            [noted.at.to_string(), change, noted.by.who.clone(), noted.by.why.clone()]
        });
        told + "\n" + &text::table(["when", "change", "who", "why"], rows.collect())
    }
}
