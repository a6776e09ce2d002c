//! The API as one environment of a program sees it: a `Target` of the real worker.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;
use slowlane_aws_simulator::time::Moment;
use slowlane_message::{Method, QueuedCall};
use slowlane_policy::settle::{Outcome, Why};
use slowlane_worker::{AfterLoss, Reconciled, Target, TargetResponse, Usage};
use tokio::sync::oneshot;

use super::limits::Request;
use super::{Answer, Ask, SETTLES_AFTER, Served, SlowApi};
use crate::ledger::call_of;
use crate::metered::MODEL;
use crate::scenario::Mutant;

/// The API as one environment of the worker sees it.
pub struct ApiClient {
    api: SlowApi,
    busy: Cell<bool>,
    mutant: Option<Mutant>,
}

impl SlowApi {
    /// The API as one environment of the worker sees it, with a mistake if it is to have one.
    pub fn client(&self, mutant: Option<Mutant>) -> ApiClient {
        ApiClient { api: self.clone(), busy: Cell::new(false), mutant }
    }
}

/// What the API told a caller that executed a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was done; this is the record, and so many bytes came with it.
    Created(String, usize),
    /// It was not done: the limit, and how long to wait if the API says so.
    TooManyRequests(Option<Duration>),
    /// It was not done: the credentials are refused.
    Unauthorized,
    /// It was not done: there was no connection.
    NotSent,
    /// It will never be done.
    Rejected,
    /// What it would make is there already.
    Exists,
    /// It was refused for a reason that nobody has documented.
    OddRefusal,
    /// Nobody knows.
    Unknown,
}

impl ApiClient {
    /// Executes a call which was asked for at `enqueued_at`.
    pub async fn execute(&self, call: u64, enqueued_at: Option<Moment>) -> Told {
        match self.ask(call, Ask::Execute, enqueued_at).await {
            Served::Answered(Answer::Created(id, bytes)) => Told::Created(id, bytes),
            Served::Answered(Answer::Found(Some(id))) => Told::Created(id, 0),
            Served::Answered(Answer::TooManyRequests(wait)) => Told::TooManyRequests(wait),
            Served::Answered(Answer::Unauthorized) => Told::Unauthorized,
            Served::NotSent => Told::NotSent,
            Served::Answered(Answer::Rejected | Answer::Found(None)) => Told::Rejected,
            Served::Answered(Answer::Exists) => Told::Exists,
            Served::Answered(Answer::OddRefusal) => Told::OddRefusal,
            Served::Answered(Answer::ServerError) | Served::Broken => Told::Unknown,
        }
    }

    async fn ask(&self, call: u64, ask: Ask, enqueued_at: Option<Moment>) -> Served {
        let now = self.api.cloud.now();
        if self.busy.get() {
            self.api.ledger.books().asks_twice(now, call);
        }
        let _slot = Slot::take(self);
        let (sender, answer) = oneshot::channel();
        let api = self.api.clone();
        tokio::task::spawn_local(async move {
            let served = api.serve(call, ask, enqueued_at).await;
            // A caller that is gone does not read its answer.
            let _ = sender.send(served);
        });
        answer.await.unwrap_or(Served::Broken)
    }
}

impl ApiClient {
    /// What the API says that a call has used: a third of its units was read, and the rest written.
    fn usage(&self, tenant: Option<u32>, units: u64) -> Option<Usage> {
        self.api.ledger.books().metered().tells(tenant, units);
        let input = units / 3;
        let more = u64::from(self.mutant == Some(Mutant::UsesMore));
        let (model, output) = (MODEL.to_owned(), units - input + more);
        let usage = Usage { model, input, output, ..Usage::default() };
        (self.mutant != Some(Mutant::UsesNothing)).then_some(usage)
    }
}

/// A live invocation's request at the API: gone with the invocation.
struct Slot<'a>(&'a ApiClient);

impl Slot<'_> {
    fn take(client: &ApiClient) -> Slot<'_> {
        client.busy.set(true);
        client.api.ledger.books().asks(client.api.cloud.now());
        Slot(client)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.busy.set(false);
        self.0.api.ledger.books().asked();
    }
}

impl Target for ApiClient {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        let Some(number) = call_of(call.idempotency_key.as_str()) else {
            return Outcome::Rejected("not a call of this run".into());
        };
        let enqueued_at = Moment::from_epoch_millis(call.enqueued_at.as_millisecond());
        match (self.execute(number, enqueued_at).await, self.mutant) {
            (Told::Unknown, Some(Mutant::LostMeansNotDone)) => {
                Outcome::Transient("the connection broke".into())
            }
            (Told::Created(..), Some(Mutant::Rejects)) => Outcome::Rejected("no".into()),
            (Told::Created(..), Some(Mutant::WrongRecord)) => {
                let id = Some("no such record".to_owned());
                Outcome::Succeeded(TargetResponse { id, ..TargetResponse::new(201) })
            }
            (Told::Created(id, bytes), _) => {
                let Request { tenant, units } = self.api.ledger.books().request_of(number);
                let usage = self.usage(tenant, units);
                let units = Some(units);
                let body = (bytes > 0).then(|| Value::from("x".repeat(bytes)));
                Outcome::Succeeded(TargetResponse {
                    id: Some(id),
                    body,
                    units,
                    usage,
                    left: self.api.left(number),
                    ..TargetResponse::new(201)
                })
            }
            (Told::TooManyRequests(retry_after), _) => Outcome::Throttled { retry_after },
            (Told::Unauthorized, _) => Outcome::Unauthorized(Why {
                message: "the API refuses the credentials".to_owned(),
                status: Some(401),
                code: None,
            }),
            (Told::NotSent, _) => Outcome::Transient("no connection".into()),
            (Told::OddRefusal, Some(Mutant::EveryRefusalRejects)) => Outcome::Rejected("no".into()),
            (Told::OddRefusal, _) => Outcome::Unknown("a 400 that nobody has documented".into()),
            (Told::Exists, _) => Outcome::AlreadyExists("it is there already".into()),
            (Told::Rejected, _) => Outcome::Rejected(Why {
                message: "the API refuses it".to_owned(),
                status: Some(400),
                code: Some("INVALID_CONTENT".to_owned()),
            }),
            (Told::Unknown, _) => Outcome::Unknown("no answer, or a 500".into()),
        }
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        let everything = self.mutant == Some(Mutant::EverythingRepeatable);
        if everything || call.request.method == Method::Put {
            return AfterLoss::Repeat;
        }
        AfterLoss::Reconcile
    }

    fn settles_after(&self, _: &QueuedCall) -> Duration {
        match self.mutant {
            Some(Mutant::SettlesSoon) => Duration::from_secs(30),
            _ => SETTLES_AFTER,
        }
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        let Some(number) = call_of(call.idempotency_key.as_str()) else {
            return Reconciled::NotDone;
        };
        match self.ask(number, Ask::LookUp, None).await {
            Served::Answered(Answer::Found(Some(id))) => {
                Reconciled::Done(TargetResponse { id: Some(id), ..TargetResponse::new(201) })
            }
            Served::Answered(Answer::Found(None)) => Reconciled::NotDone,
            _ => Reconciled::TryAgain("the API could not be asked".to_owned()),
        }
    }
}
