//! The dead-letter queue: calls that could not be run, and what a person can do about them.
//!
//! A letter comes there in two ways. The worker sends one with the reason beside it, and has told
//! the call's workflow. SQS moves one that was handed out too often, without a reason, and its
//! workflow may still wait. To send either back by an SQS redrive is pointless: nothing rings for
//! it, and the first kind has a task token that is spent. [`DeadLetters::restart`] does what fits.

use crate::clock::now;
use crate::outputs::Deployed;
use crate::{aws, queues, text};
use aws_config::SdkConfig;
use aws_sdk_sfn::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_idempotency::{
    DynamoDbStore, Guard, Key, RequestError, Scope, Settings, Status, store,
};
use slowlane_message::{QueuedCall, Ring, salvage_token};
use std::collections::BTreeMap;
use std::fmt;

/// How long a letter stays hidden if it is not given back: this program was killed.
const HIDDEN_SECS: i32 = 60;
/// So long a receive waits for letters, so that it asks all of SQS's servers.
const WAIT_SECS: i32 = 1;
/// The messages of a receive, and the entries of a batch request (API model).
const BATCH: usize = 10;

/// The dead letters of one deployment.
#[derive(Debug)]
pub struct DeadLetters {
    sqs: aws_sdk_sqs::Client,
    sfn: aws_sdk_sfn::Client,
    guard: Guard<DynamoDbStore>,
    deployed: Deployed,
}

/// A message on the dead-letter queue. Its `Debug` shows no body: it holds a task token and the
/// data of a customer.
#[derive(Clone)]
pub struct Letter {
    /// SQS's id of the message, which names it.
    pub message_id: String,
    /// When it was sent there; of a message that SQS moved, when it was first queued.
    pub sent_at: Timestamp,
    /// How it came there.
    pub origin: Origin,
    /// The call in it, or why it cannot be read.
    pub call: Result<QueuedCall, String>,
    body: String,
    receipt_handle: String,
}

/// How a letter came to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The worker gave the call up and told its workflow so.
    Worker {
        /// The error's name and its cause.
        reason: String,
        /// The queue that the call was on.
        source_queue: Option<String>,
    },
    /// SQS moved the message because it had been handed out too often.
    Redrive,
    /// Nothing says so: somebody sent it there, or its reason had no room beside its body.
    Unknown,
}

/// Whether the workflow that a letter's task token belongs to still waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workflow {
    /// As far as Step Functions says, it waits.
    Waits,
    /// It does not: it was told, timed out or was stopped.
    Ended,
    /// Step Functions did not answer, or there is no token to ask by.
    Unknown,
}

/// How a call is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// [`PutBack`](Self::PutBack) if the call's own workflow still waits, else
    /// [`NewExecution`](Self::NewExecution).
    WhatFits,
    /// A new execution of the workflow `throttled-call` makes the call, under the same key.
    NewExecution,
    /// The same message goes on its queue again and is rung for: its own workflow gets the answer.
    PutBack,
}

/// What became of a restarted call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restarted {
    /// This execution makes it.
    Execution(String),
    /// It is on its queue.
    Queued,
}

/// Why the dead letters could not be listed, or one not be restarted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request was refused.
    #[error(transparent)]
    Aws(#[from] aws::Error),
    /// There is no such letter, as far as letters could be seen.
    #[error("no dead letter has the message id or the idempotency key {name:?}{}", but(*hidden))]
    NoSuchLetter {
        /// What was looked for.
        name: String,
        /// So many letters could not be looked at.
        hidden: u64,
    },
    /// It cannot be restarted, because it is no call.
    #[error("it is no call: {0}; look at it by `slowlane calls dead-letters show`, and `drop` it")]
    Malformed(String),
    /// A new run would fail at once for want of a decision.
    #[error(
        "a person must first decide whether the API has executed it ({0}): see `slowlane calls unresolved resolve`"
    )]
    NeedsDecision(String),
    /// Nobody would get the answer.
    #[error(
        "its workflow no longer waits, so the worker would drop it: restart it by a new execution"
    )]
    NobodyWaits,
    /// Nobody knows whether anybody would get the answer.
    #[error(
        "Step Functions does not say whether its workflow still waits (states:SendTaskHeartbeat): \
         restart it by a new execution"
    )]
    PerhapsNobodyWaits,
    /// The worker would give it up again.
    #[error(
        "its deadline {0} has passed, so the worker would give it up: restart it by a new execution"
    )]
    TooLate(Timestamp),
    /// The guard's table could not be read.
    #[error("the guard's record of the call could not be read")]
    Store(#[from] store::Error),
    /// The guard can have no record of such a call.
    #[error(transparent)]
    Name(#[from] RequestError),
}

fn but(hidden: u64) -> String {
    match hidden {
        0 => String::new(),
        hidden => format!(
            "; {} held by another command, for a minute at most: try again then",
            text::count(hidden, "letter")
        ),
    }
}

impl DeadLetters {
    /// Those of a stack.
    pub fn new(config: &SdkConfig, deployed: Deployed) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        let store = DynamoDbStore::new(dynamodb, &deployed.outputs.idempotency_table_name);
        Self {
            sqs: aws_sdk_sqs::Client::new(config),
            sfn: aws_sdk_sfn::Client::new(config),
            guard: Guard::new(store, Settings::default()),
            deployed,
        }
    }

    /// Up to `most` letters, the oldest first. SQS lists nothing: each is received, and made
    /// visible again as soon as all have been read.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn list(&self, most: usize) -> Result<Vec<Letter>, Error> {
        Ok(self.take(|_| false, most).await?.1)
    }

    /// Takes the letters with one of these names, each a message id or an idempotency key, and
    /// holds them back from others for a minute. `look_at` is how many letters it looks at, at
    /// most.
    ///
    /// # Errors
    /// [`Error::NoSuchLetter`] for a name that none has; then none is held back.
    pub async fn find(&self, names: &[String], look_at: usize) -> Result<Vec<Letter>, Error> {
        let named = |letter: &Letter| names.iter().any(|name| letter.is_called(name));
        let (found, _) = self.take(named, look_at).await?;
        let missing = names.iter().find(|name| !found.iter().any(|letter| letter.is_called(name)));
        if let Some(missing) = missing {
            self.give_back(found.iter().collect()).await?;
            let hidden = queues::depth(&self.sqs, self.queue()).await?.received;
            return Err(Error::NoSuchLetter { name: missing.clone(), hidden });
        }
        Ok(found)
    }

    /// Takes up to `most` letters, whatever they are called, and holds them back for a minute.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn find_all(&self, most: usize) -> Result<Vec<Letter>, Error> {
        Ok(self.take(|_| true, most).await?.0)
    }

    /// Restarts a call that was [found](Self::find), then deletes its letter. If it is killed
    /// between the two, it can be restarted again. An execution is named after the letter and
    /// starts once. If a call is on its queue twice, the guard makes one of it. A letter that is
    /// not restarted is visible again.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub async fn restart(&self, letter: &Letter, how: Restart) -> Result<Restarted, Error> {
        let restarted = match self.run_again(letter, how).await {
            Ok(restarted) => restarted,
            Err(error) => {
                self.give_back(vec![letter]).await?;
                return Err(error);
            }
        };
        self.drop_letter(letter).await?;
        Ok(restarted)
    }

    /// Deletes a letter that was [found](Self::find).
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn drop_letter(&self, letter: &Letter) -> Result<(), Error> {
        let deleted = self
            .sqs
            .delete_message()
            .queue_url(self.queue())
            .receipt_handle(&letter.receipt_handle)
            .send()
            .await;
        deleted.map_err(aws::failed("sqs:DeleteMessage", self.queue()))?;
        Ok(())
    }

    /// Makes letters that were [found](Self::find) visible again.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn give_back(&self, letters: Vec<&Letter>) -> Result<(), Error> {
        for batch in letters.chunks(BATCH) {
            let entries = batch.iter().enumerate().filter_map(|(index, letter)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&letter.receipt_handle)
                    .visibility_timeout(0)
                    .build()
                    .ok()
            });
            self.sqs
                .change_message_visibility_batch()
                .queue_url(self.queue())
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(aws::failed("sqs:ChangeMessageVisibility", self.queue()))?;
        }
        Ok(())
    }

    /// Asks Step Functions whether the letter's workflow still waits, by a heartbeat. Of a letter
    /// that the worker sent it is known: the worker has told it.
    pub async fn workflow(&self, letter: &Letter) -> Workflow {
        let Some(token) = salvage_token(&letter.body) else { return Workflow::Unknown };
        if matches!(letter.origin, Origin::Worker { .. }) {
            return Workflow::Ended;
        }
        match self.sfn.send_task_heartbeat().task_token(token.as_str()).send().await {
            Ok(_) => Workflow::Waits,
            Err(error) => match error.as_service_error().and_then(ProvideErrorMetadata::code) {
                Some("TaskTimedOut" | "TaskDoesNotExist" | "InvalidToken") => Workflow::Ended,
                _ => Workflow::Unknown,
            },
        }
    }

    fn queue(&self) -> &str {
        &self.deployed.outputs.dead_letter_queue_url
    }

    /// Receives up to `most` letters. Those that are wanted stay hidden; the others are visible
    /// again, even after an error.
    async fn take(
        &self,
        wanted: impl Fn(&Letter) -> bool,
        most: usize,
    ) -> Result<(Vec<Letter>, Vec<Letter>), Error> {
        let mut letters = BTreeMap::new();
        let received = self.receive(&mut letters, most).await;
        let (mut taken, mut others): (Vec<_>, Vec<_>) =
            letters.into_values().partition(|letter| received.is_ok() && wanted(letter));
        self.give_back(others.iter().collect()).await?;
        received?;
        taken.sort_by_key(|letter| letter.sent_at);
        others.sort_by_key(|letter| letter.sent_at);
        Ok((taken, others))
    }

    /// Until a receive brings nothing new. By their id, since SQS may hand one out twice.
    async fn receive(
        &self,
        letters: &mut BTreeMap<String, Letter>,
        most: usize,
    ) -> Result<(), aws::Error> {
        while letters.len() < most {
            let received = self
                .sqs
                .receive_message()
                .queue_url(self.queue())
                .max_number_of_messages(i32::try_from(BATCH.min(most - letters.len())).unwrap_or(1))
                .wait_time_seconds(WAIT_SECS)
                .visibility_timeout(HIDDEN_SECS)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
                .message_system_attribute_names(
                    MessageSystemAttributeName::DeadLetterQueueSourceArn,
                )
                .send()
                .await
                .map_err(aws::failed("sqs:ReceiveMessage", self.queue()))?;
            let before = letters.len();
            for letter in received.messages.unwrap_or_default().into_iter().map(Letter::read) {
                letters.insert(letter.message_id.clone(), letter);
            }
            if letters.len() == before {
                break;
            }
        }
        Ok(())
    }

    async fn run_again(&self, letter: &Letter, how: Restart) -> Result<Restarted, Error> {
        let call = letter.call.as_ref().map_err(|error| Error::Malformed(error.clone()))?;
        match how {
            Restart::NewExecution => self.start_execution(letter, call).await,
            Restart::PutBack => self.put_back(letter, call).await,
            Restart::WhatFits => match self.put_back(letter, call).await {
                Err(Error::NobodyWaits | Error::TooLate(_)) => {
                    self.start_execution(letter, call).await
                }
                restarted => restarted,
            },
        }
    }

    async fn start_execution(
        &self,
        letter: &Letter,
        call: &QueuedCall,
    ) -> Result<Restarted, Error> {
        let (scope, key) = (Scope::new(call.scope())?, Key::new(call.idempotency_key.as_str())?);
        if let Some(record) = self.guard.read(&scope, &key).await?
            && record.status == Status::NeedsPerson
        {
            return Err(Error::NeedsDecision(record.why.unwrap_or_default()));
        }
        let machine = &self.deployed.outputs.throttled_call_arn;
        let name = format!("dead-letter-{}", letter.message_id);
        let started = self
            .sfn
            .start_execution()
            .state_machine_arn(machine)
            .name(&name)
            .input(input(call).to_string())
            .send()
            .await;
        match started {
            Ok(started) => Ok(Restarted::Execution(started.execution_arn)),
            // An earlier restart was killed before it had deleted the letter.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|service| service.is_execution_already_exists()) =>
            {
                let arn = machine.replacen(":stateMachine:", ":execution:", 1);
                Ok(Restarted::Execution(format!("{arn}:{name}")))
            }
            Err(error) => Err(aws::failed("states:StartExecution", machine)(error).into()),
        }
    }

    /// The call first and its ring after it, so that whoever is woken finds the call.
    async fn put_back(&self, letter: &Letter, call: &QueuedCall) -> Result<Restarted, Error> {
        match self.workflow(letter).await {
            Workflow::Waits => {}
            Workflow::Ended => return Err(Error::NobodyWaits),
            Workflow::Unknown => return Err(Error::PerhapsNobodyWaits),
        }
        if call.deadline <= now() {
            return Err(Error::TooLate(call.deadline));
        }
        let outputs = &self.deployed.outputs;
        self.send(outputs.queue_url(call.priority), &letter.body).await?;
        if let Some(doorbell) = &outputs.doorbell_queue_url {
            self.send(doorbell, &Ring::default().to_body()).await?;
        }
        Ok(Restarted::Queued)
    }

    async fn send(&self, queue: &str, body: &str) -> Result<(), aws::Error> {
        let sent = self.sqs.send_message().queue_url(queue).message_body(body).send().await;
        sent.map(drop).map_err(aws::failed("sqs:SendMessage", queue))
    }
}

/// The input of `throttled-call` that makes the call again: it gets a new deadline.
fn input(call: &QueuedCall) -> Value {
    let mut input = json!({
        "priority": call.priority,
        "idempotency_key": call.idempotency_key,
        "request": call.request,
    });
    if let Some(tenant) = &call.tenant {
        input["tenant"] = tenant.as_str().into();
    }
    if call.at_most_once {
        input["at_most_once"] = true.into();
    }
    if let Some(units) = call.units {
        input["units"] = units.get().into();
    }
    input
}

impl Letter {
    fn read(message: Message) -> Self {
        let attribute = |name: &str| {
            let attributes = message.message_attributes.as_ref()?;
            attributes.get(name)?.string_value.clone()
        };
        let system = |name| message.attributes.as_ref()?.get(&name).cloned();
        let sent_at = system(MessageSystemAttributeName::SentTimestamp)
            .and_then(|millis| millis.parse().ok())
            .and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let origin = match attribute("reason") {
            Some(reason) => Origin::Worker { reason, source_queue: attribute("source_queue") },
            None if system(MessageSystemAttributeName::DeadLetterQueueSourceArn).is_some() => {
                Origin::Redrive
            }
            None => Origin::Unknown,
        };
        let body = message.body.unwrap_or_default();
        Self {
            call: QueuedCall::parse(&body).map_err(|error| error.to_string()),
            message_id: message.message_id.unwrap_or_default(),
            receipt_handle: message.receipt_handle.unwrap_or_default(),
            sent_at: sent_at.unwrap_or(Timestamp::UNIX_EPOCH),
            origin,
            body,
        }
    }

    /// Whether this is its message id, or the idempotency key of its call.
    pub fn is_called(&self, name: &str) -> bool {
        let key = self.call.as_ref().map(|call| call.idempotency_key.as_str());
        self.message_id == name || key == Ok(name)
    }

    /// The message as it was queued, but for the task token: who has that can answer in the API's
    /// place.
    pub fn redacted_body(&self) -> String {
        match salvage_token(&self.body) {
            Some(token) => self.body.replace(token.as_str(), "(task token)"),
            None => self.body.clone(),
        }
    }

    /// As a JSON object, for programs.
    pub fn as_json(&self, workflow: Workflow) -> Value {
        let call = self.call.as_ref().ok();
        let (reason, source_queue) = match &self.origin {
            Origin::Worker { reason, source_queue } => (Some(reason), source_queue.as_ref()),
            Origin::Redrive | Origin::Unknown => (None, None),
        };
        json!({
            "message_id": self.message_id,
            "key": call.map(|call| call.idempotency_key.as_str()),
            "scope": call.map(QueuedCall::scope),
            "priority": call.map(|call| call.priority),
            "method": call.map(|call| call.request.method),
            "resource": call.map(|call| &call.request.resource),
            "reason": reason,
            "source_queue": source_queue,
            "sent_at": self.sent_at.to_string(),
            "workflow_waits": match workflow {
                Workflow::Waits => Some(true),
                Workflow::Ended => Some(false),
                Workflow::Unknown => None,
            },
            "malformed": self.call.as_ref().err(),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker { reason, .. } => f.write_str(reason),
            Self::Redrive => f.write_str("handed out too often; moved by SQS"),
            Self::Unknown => f.write_str("no reason stands beside it"),
        }
    }
}

impl fmt::Display for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waits => "waits",
            Self::Ended => "ended",
            Self::Unknown => "?",
        })
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("message_id", &self.message_id)
            .field("sent_at", &self.sent_at)
            .field("origin", &self.origin)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// The letters as a table for people.
pub fn table(letters: &[(Letter, Workflow)]) -> String {
    let now = now();
    let row = |(letter, workflow): &(Letter, Workflow)| {
        let call = letter.call.as_ref().ok();
        [
            call.map_or("(no call)".to_owned(), |call| call.idempotency_key.to_string()),
            call.map_or(String::new(), |call| call.priority.to_string()),
            call.map_or(String::new(), |call| {
                format!("{} {}", call.request.method.as_str(), call.request.resource)
            }),
            match (&letter.origin, &letter.call) {
                (Origin::Unknown, Err(error)) => error.clone(),
                (origin, _) => origin.to_string(),
            },
            text::age(letter.sent_at, now),
            workflow.to_string(),
            letter.message_id.clone(),
        ]
    };
    text::table(
        ["key", "priority", "request", "reason", "age", "workflow", "message id"],
        letters.iter().map(row).collect(),
    )
}

#[cfg(test)]
mod tests;
