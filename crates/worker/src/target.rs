//! The API that calls go to, as the worker sees it.

use std::future::Future;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use slowlane_message::QueuedCall;
use slowlane_policy::settle::Outcome;

/// A slow, limited API. A team with its own API implements this and writes a `main` that
/// calls [`run`](crate::run).
///
/// ```
/// use slowlane_message::{Method, QueuedCall};
/// use slowlane_policy::settle::Outcome;
/// use slowlane_worker::{Reconciled, Target, TargetResponse};
///
/// struct Crm;
///
/// impl Target for Crm {
///     async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
///         // Send `call.request` to the API and say what became of it.
///         Outcome::Succeeded(TargetResponse { status: 200, id: None, body: None })
///     }
///     fn repeatable(&self, call: &QueuedCall) -> bool {
///         call.request.method == Method::Get
///     }
///     async fn reconcile(&self, _: &QueuedCall) -> Reconciled {
///         Reconciled::Undecidable("the API cannot be asked".to_owned())
///     }
/// }
/// ```
pub trait Target {
    /// Makes the call, once, and says what became of it. The worker cuts it off after its
    /// API time-out and takes it for [`Outcome::Unknown`] then.
    fn call(&self, call: &QueuedCall) -> impl Future<Output = Outcome<TargetResponse>>;

    /// Whether making this call twice has the same effect as making it once (a read, an
    /// upsert that replaces). Such a call needs no mark before it leaves and no
    /// reconciliation after a lost answer.
    fn repeatable(&self, call: &QueuedCall) -> bool;

    /// Asks the API whether a call whose answer was lost had its effect. It is only asked
    /// for calls that are not repeatable, and holds the slot like a call.
    fn reconcile(&self, call: &QueuedCall) -> impl Future<Output = Reconciled>;
}

/// The API's answer to a call that succeeded: what the workflow gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetResponse {
    /// The HTTP status.
    pub status: u16,
    /// The id of the record, where the API named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The body, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// What the API says of a call whose answer was lost.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconciled {
    /// It had its effect, and this is what its answer would have been.
    Done(TargetResponse),
    /// It had none: it may be made again.
    NotDone,
    /// The API could not be asked just now.
    TryAgain(String),
    /// The API has no way to tell: a person must decide.
    Undecidable(String),
}
