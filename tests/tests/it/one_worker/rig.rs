//! One worker on the simulated AWS, in virtual time: messages are delivered to it by hand.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage, SqsMessageAttribute};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use serde_json::{Value, json};
use slowlane_aws_simulator::chance::Latency;
use slowlane_aws_simulator::cloud::dynamodb::TableSettings;
use slowlane_aws_simulator::cloud::sqs::QueueSettings;
use slowlane_aws_simulator::cloud::tokens::Ended;
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings, Task, Waited};
use slowlane_aws_simulator::time::{Skew, in_virtual_time};
use slowlane_aws_simulator::transcript::Caller;
use slowlane_limiter::{Author, Change, DynamoDbStore, LimitKey, Limiter, Settings, SlotId};
use slowlane_message::{Priority, QueuedCall};
use slowlane_policy::settle::Outcome;
use slowlane_policy::timing::RECORD_EXPIRY;
use slowlane_worker::{
    AfterLoss, Clients, Config, Counts, Reconciled, Target, TargetResponse, Worker,
};
use tokio::time::Instant;

pub(crate) const MAX_DEFERRALS: u32 = 3;
pub(crate) const MAX_ATTEMPTS: u32 = 3;
pub(crate) const QUEUE_VISIBILITY: Duration = Duration::from_secs(1620);
const CALL_TIME: Duration = Duration::from_millis(200);
const LATE_CALL_TIME: Duration = Duration::from_millis(260);
const QUICK_CALL_TIME: Duration = Duration::from_millis(20);

/// An API that answers after [`CALL_TIME`], later to a call whose key begins with `late` and sooner
/// to a `quick` one. It remembers what it was asked; before that it is at its limit, and then out of reach, as often
/// as it is told.
#[derive(Clone, Default)]
pub(crate) struct Api {
    keys: Rc<RefCell<Vec<String>>>,
    pub(crate) answer_bytes: Rc<Cell<usize>>,
    pub(crate) throttles: Rc<Cell<u32>>,
    /// How long it asks to wait when it is at its limit.
    pub(crate) retry_after: Rc<Cell<Option<Duration>>>,
    /// How often it refuses the credentials, and how often they were read anew.
    pub(crate) refused_credentials: Rc<Cell<u32>>,
    pub(crate) renewals: Rc<Cell<u32>>,
    pub(crate) refusals: Rc<Cell<u32>>,
    /// Answers that are lost although the call was carried out.
    pub(crate) losses: Rc<Cell<u32>>,
    /// Whether the API finds the record of a call whose answer was lost.
    pub(crate) has_record: Rc<Cell<bool>>,
    pub(crate) asked: Rc<Cell<u32>>,
    /// Whether calls may be made again without harm.
    pub(crate) repeatable: Rc<Cell<bool>>,
    /// Whether it refuses to create what was asked for before.
    pub(crate) refuses_duplicates: Rc<Cell<bool>>,
    /// How often it says that it is still at work on a call with the same key.
    pub(crate) in_flight: Rc<Cell<u32>>,
}

impl Target for Api {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        if let Some(left) = self.throttles.get().checked_sub(1) {
            self.throttles.set(left);
            return Outcome::Throttled { retry_after: self.retry_after.get() };
        }
        if let Some(left) = self.refused_credentials.get().checked_sub(1) {
            self.refused_credentials.set(left);
            return Outcome::Unauthorized("invalid login".into());
        }
        if let Some(left) = self.refusals.get().checked_sub(1) {
            self.refusals.set(left);
            return Outcome::Transient("no connection".into());
        }
        if let Some(left) = self.in_flight.get().checked_sub(1) {
            self.in_flight.set(left);
            return Outcome::InFlight { retry_after: None, why: "its key is in use".into() };
        }
        let key = call.idempotency_key.to_string();
        if self.refuses_duplicates.get() && self.keys.borrow().contains(&key) {
            return Outcome::AlreadyExists("there is such a record".into());
        }
        self.keys.borrow_mut().push(key);
        let takes = match call.idempotency_key.as_str() {
            late if late.starts_with("late") => LATE_CALL_TIME,
            quick if quick.starts_with("quick") => QUICK_CALL_TIME,
            _ => CALL_TIME,
        };
        tokio::time::sleep(takes).await;
        if let Some(left) = self.losses.get().checked_sub(1) {
            self.losses.set(left);
            return Outcome::Unknown("the connection broke".into());
        }
        let body = match self.answer_bytes.get() {
            0 => None,
            bytes => Some(Value::from("x".repeat(bytes))),
        };
        Outcome::Succeeded(TargetResponse {
            id: Some("1".to_owned()),
            body,
            ..TargetResponse::new(204)
        })
    }

    fn after_loss(&self, _: &QueuedCall) -> AfterLoss {
        if self.repeatable.get() { AfterLoss::Repeat } else { AfterLoss::Reconcile }
    }

    async fn renew_credentials(&self) {
        self.renewals.set(self.renewals.get() + 1);
    }

    async fn reconcile(&self, _: &QueuedCall) -> Reconciled {
        self.asked.set(self.asked.get() + 1);
        if self.has_record.get() {
            let id = Some("1".to_owned());
            return Reconciled::Done(TargetResponse { id, ..TargetResponse::new(201) });
        }
        Reconciled::NotDone
    }
}

/// The queues, the table and one worker.
pub(crate) struct Rig {
    pub(crate) cloud: Cloud,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) api: Api,
    pub(crate) worker: Worker<Api>,
}

fn url(queue: &str) -> String {
    format!("https://sqs.us-east-1.amazonaws.com/000000000000/{queue}")
}

fn name(priority: Priority) -> String {
    priority.as_str().to_lowercase()
}

impl Rig {
    /// A worker of the deferral wiring.
    fn deferral(on_higher: &str) -> Rig {
        Rig::new(&[("DISPATCH", "deferral"), ("ON_HIGHER", on_higher)])
    }

    /// The only slot of a limit, woken by the doorbell.
    pub(crate) fn slot(more: &[(&'static str, &str)]) -> Rig {
        Rig::new(&[&[("SHARE_EVERY", "1000"), ("API_CONCURRENCY", "1")], more].concat())
    }

    fn new(vars: &[(&'static str, &str)]) -> Rig {
        let mut settings = CloudSettings::new(1);
        settings.latency = Latency::fixed_ms(6);
        // The worker turns the SDK's retries off for these.
        settings.receive_attempts = 1;
        let cloud = Cloud::new(settings);
        for queue in ["high", "normal", "batch", "dead", "doorbell"] {
            cloud.create_queue(QueueSettings {
                name: queue.to_owned(),
                visibility: QUEUE_VISIBILITY,
                redrive: None,
                retention: Duration::from_secs(345_600),
            });
        }
        cloud.state().dynamo.create(TableSettings {
            name: "guard".to_owned(),
            key: "id".to_owned(),
            ttl: None,
        });
        let api = Api::default();
        let worker = worker(&cloud, vars, &api);
        let sqs = aws_sdk_sqs::Client::new(&cloud.sdk(Caller::Person, Skew::NONE));
        Rig { cloud, sqs, api, worker }
    }

    /// Puts a call on its queue, with an execution that waits for it.
    pub(crate) async fn put(&self, priority: Priority, key: &str) -> Task {
        let task = self.cloud.begin_task();
        self.put_for(priority, key, &task.token().to_string()).await;
        task
    }

    /// The same, with a deadline so long from now.
    pub(crate) async fn put_until(&self, priority: Priority, key: &str, within: Duration) -> Task {
        let task = self.cloud.begin_task();
        self.put_with(priority, key, &task.token().to_string(), within).await;
        task
    }

    /// Puts a call on its queue, with this task token.
    pub(crate) async fn put_for(&self, priority: Priority, key: &str, token: &str) {
        self.put_with(priority, key, token, Duration::from_secs(36_000)).await;
    }

    async fn put_with(&self, priority: Priority, key: &str, token: &str, within: Duration) {
        let now_ms = i64::try_from(self.cloud.now().epoch_millis()).unwrap();
        let now = jiff::Timestamp::from_millisecond(now_ms).unwrap();
        let body = json!({
            "version": "1.0",
            "task_token": token,
            "priority": priority.as_str(),
            "idempotency_key": key,
            "request": { "method": "POST", "resource": "salesOrder", "body": {} },
            "enqueued_at": format!("{now:.3}"),
            "deadline": format!("{:.3}", now + within),
        });
        self.put_body(priority, &body.to_string()).await;
    }

    pub(crate) async fn put_body(&self, priority: Priority, body: &str) {
        self.send(&name(priority), body).await;
    }

    /// Rings the doorbell.
    pub(crate) async fn ring(&self) {
        self.send("doorbell", "ring").await;
    }

    async fn send(&self, queue: &str, body: &str) {
        self.sqs.send_message().queue_url(url(queue)).message_body(body).send().await.unwrap();
    }

    /// Delivers the next message of a queue as its mapping would. Does what the mapping does with
    /// the answer: deletes the message unless it is among the failures.
    pub(crate) async fn deliver(&self, priority: Priority) -> Delivered {
        self.deliver_from(&name(priority)).await
    }

    /// The same for the next ring of the doorbell.
    pub(crate) async fn wake_slot(&self) -> Delivered {
        self.deliver_from("doorbell").await
    }

    /// The slot that the next ring wakes is killed after so long: its process is gone at an await
    /// point, and nothing that it held was given back.
    pub(crate) async fn kill_slot_after(&self, life: Duration) {
        let killed = tokio::time::timeout(life, self.wake_slot()).await;
        assert!(killed.is_err(), "it ended by itself");
    }

    /// The same for one that stands still between: nothing of it runs, while its requests arrive and
    /// the time goes on.
    pub(crate) async fn kill_slot_that_stands_still(
        &self,
        life: Duration,
        still: Duration,
        rest: Duration,
    ) {
        let mut slot = std::pin::pin!(self.wake_slot());
        let ended = tokio::time::timeout(life, &mut slot).await;
        assert!(ended.is_err(), "it ended by itself");
        tokio::time::sleep(still).await;
        let ended = tokio::time::timeout(rest, &mut slot).await;
        assert!(ended.is_err(), "it ended by itself");
    }

    async fn deliver_from(&self, queue: &str) -> Delivered {
        let message = self.receive(queue, QUEUE_VISIBILITY).await.expect("a message to deliver");
        let deadline = Instant::now() + Duration::from_secs(270);
        let handled = self.worker.handle(event(queue, &message), deadline).await;
        let kept = !handled.response.batch_item_failures.is_empty();
        if !kept {
            let delete = self.sqs.delete_message().queue_url(url(queue));
            delete.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
        }
        Delivered { kept, counts: handled.counts }
    }

    pub(crate) async fn receive(
        &self,
        queue: &str,
        visibility: Duration,
    ) -> Option<aws_sdk_sqs::types::Message> {
        let ask = self.sqs.receive_message().queue_url(url(queue)).wait_time_seconds(1);
        let ask = ask.visibility_timeout(i32::try_from(visibility.as_secs()).unwrap());
        let ask = ask.message_system_attribute_names(MessageSystemAttributeName::All);
        let ask = ask.message_attribute_names("All");
        ask.send().await.unwrap().messages.unwrap_or_default().into_iter().next()
    }

    /// Changes the control record of the worker's limit, as an operator does.
    pub(crate) async fn change_limit(&self, change: &Change) {
        let sdk = self.cloud.sdk(Caller::Person, Skew::NONE);
        let time = sdk.time_source().unwrap();
        let settings = Settings { clock: Arc::new(move || time.now()), ..Settings::default() };
        let store = DynamoDbStore::new(aws_sdk_dynamodb::Client::new(&sdk), "guard");
        let (limit, slot) = (LimitKey::new("worker").unwrap(), SlotId::from(0));
        let limiter = Limiter::new(store, limit, slot, settings).unwrap();
        limiter.change(change, &Author::new("operator", "a test")).await.unwrap();
    }

    /// Whether a ring waits for a slot.
    pub(crate) async fn rings(&self) -> bool {
        self.counts("doorbell").await.0 > 0
    }

    /// Messages of a queue: visible now, and hidden.
    pub(crate) async fn counts(&self, queue: &str) -> (u64, u64) {
        let asked = self
            .sqs
            .get_queue_attributes()
            .queue_url(url(queue))
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
        let attributes = asked.send().await.unwrap().attributes.unwrap();
        let count = |name: QueueAttributeName| attributes[&name].parse().unwrap();
        (
            count(QueueAttributeName::ApproximateNumberOfMessages),
            count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        )
    }

    /// Moves the dead letters to a queue, as SQS's redrive does.
    pub(crate) fn move_dead_letters_to(&self, queue: &str) {
        let now = self.cloud.now();
        let mut state = self.cloud.state();
        let (sqs, mut odds) = state.sqs();
        let (dead, to) = (sqs.named("dead").unwrap(), sqs.named(queue).unwrap());
        sqs.redrive(dead, to, now, &mut odds);
    }

    pub(crate) fn called(&self) -> Vec<String> {
        self.api.keys.borrow().clone()
    }

    /// Under which name a call's workflow has failed.
    pub(crate) async fn failure_of(&self, task: Task) -> String {
        match self.end_of(task).await {
            Waited::Ended(Ended::Failed { error, .. }) => error.to_string(),
            other => panic!("its workflow has not failed: {other:?}"),
        }
    }

    pub(crate) async fn end_of(&self, task: Task) -> Waited {
        self.cloud.wait_for(task, Duration::from_secs(1)).await
    }
}

pub(crate) struct Delivered {
    pub(crate) kept: bool,
    pub(crate) counts: Counts,
}

fn worker(cloud: &Cloud, more: &[(&'static str, &str)], api: &Api) -> Worker<Api> {
    let mut vars = HashMap::from([
        ("AWS_LAMBDA_FUNCTION_NAME", "worker".to_owned()),
        ("HIGH_QUEUE_URL", url("high")),
        ("NORMAL_QUEUE_URL", url("normal")),
        ("BATCH_QUEUE_URL", url("batch")),
        ("DEAD_LETTER_QUEUE_URL", url("dead")),
        ("DOORBELL_QUEUE_URL", url("doorbell")),
        ("RING_VISIBILITY_SECS", "300".to_owned()),
        ("IDEMPOTENCY_TABLE", "guard".to_owned()),
        ("API_TIMEOUT_SECS", "30".to_owned()),
        ("CALL_VISIBILITY_SECS", "90".to_owned()),
        ("WORK_WINDOW_SECS", "120".to_owned()),
        ("FUNCTION_TIMEOUT_SECS", "210".to_owned()),
        ("RECORD_EXPIRY_SECS", RECORD_EXPIRY.as_secs().to_string()),
        ("MAX_WAIT_SECS", "3600".to_owned()),
        ("MAX_DEFERRALS", MAX_DEFERRALS.to_string()),
        ("MAX_ATTEMPTS", MAX_ATTEMPTS.to_string()),
        ("MAX_RECEIVE_COUNT", "437".to_owned()),
    ]);
    vars.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let config = Config::from_vars(|name| vars.get(name).cloned()).unwrap();
    let clients = Clients::new(&cloud.sdk(Caller::Person, Skew::NONE));
    Worker::new(config, clients, api.clone(), 7).unwrap().with_metrics(|_| {})
}

pub(crate) fn event(queue: &str, message: &aws_sdk_sqs::types::Message) -> SqsEvent {
    let mut record = SqsMessage::default();
    record.message_id = message.message_id.clone();
    record.receipt_handle = message.receipt_handle.clone();
    record.body = message.body.clone();
    record.event_source_arn = Some(format!("arn:aws:sqs:us-east-1:0:{queue}"));
    for (name, value) in message.attributes.iter().flatten() {
        record.attributes.insert(name.as_str().to_owned(), value.clone());
    }
    for (name, value) in message.message_attributes.iter().flatten() {
        let mut attribute = SqsMessageAttribute::default();
        attribute.string_value = value.string_value.clone();
        record.message_attributes.insert(name.clone(), attribute);
    }
    let mut event = SqsEvent::default();
    event.records = vec![record];
    event
}

/// Runs a test of the deferral wiring in virtual time.
pub(crate) fn on(on_higher: &str, test: impl AsyncFnOnce(Rig)) {
    let on_higher = on_higher.to_owned();
    in_virtual_time(async move { test(Rig::deferral(&on_higher)).await }).unwrap();
}

pub(crate) fn is_success(end: &Waited) -> bool {
    matches!(end, Waited::Ended(Ended::Succeeded(_)))
}
