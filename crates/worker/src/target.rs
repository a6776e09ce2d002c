//! The API that calls go to, as the worker sees it.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use slowlane_message::QueuedCall;
pub use slowlane_message::TargetResponse;
use slowlane_policy::settle::Outcome;

/// A slow, limited API. A team with its own API implements this and writes a `main` that
/// calls [`run`](crate::run).
///
/// ```
/// use slowlane_worker::{AfterLoss, Method, Outcome, QueuedCall, Reconciled, Target, TargetResponse};
///
/// struct Crm;
///
/// impl Target for Crm {
///     async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
///         // Send `call.request` to the API and say what became of it.
///         Outcome::Succeeded(TargetResponse::new(200))
///     }
///     fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
///         match call.request.method {
///             Method::Get | Method::Put => AfterLoss::Repeat,
///             _ => AfterLoss::Reconcile,
///         }
///     }
///     async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
///         // Look for what `call.idempotency_key` left behind.
///         Reconciled::NotDone
///     }
/// }
/// ```
pub trait Target {
    /// Makes the call, once, and says what became of it. The worker cuts it off after its
    /// API time-out and takes it for [`Outcome::Unknown`] then.
    fn call(&self, call: &QueuedCall) -> impl Future<Output = Outcome<TargetResponse>>;

    /// The same, told how long the worker waits for it. A target that has something to do after the API's
    /// answer ends by then, since that answer would be lost.
    fn call_within(
        &self,
        call: &QueuedCall,
        _: Duration,
    ) -> impl Future<Output = Outcome<TargetResponse>> {
        self.call(call)
    }

    /// Fetches what serves many calls and must be there before this one, such as a token whose request the
    /// API counts as a call. Says whether it has sent anything. Where the target has rates it is asked at
    /// the moment of a grant, and the call waits for another one then. What goes wrong is the call's
    /// matter, which fetches it too where it is missing.
    fn prepare(&self, _: &QueuedCall) -> impl Future<Output = bool> {
        async { false }
    }

    /// What can be done when the answer to this call is lost. It is asked before the call is
    /// made, and must answer the same for the same call at any time.
    fn after_loss(&self, call: &QueuedCall) -> AfterLoss;

    /// How long the API may still be at work on this call after nobody waits for its answer any
    /// more. Only after that does "I do not have it" count ([`Reconciled::NotDone`]). It is stored
    /// with the call's mark, so that a different answer later changes nothing for calls that are
    /// under way.
    ///
    /// The default is a quarter of an hour, after which an HTTP server has given up. A time that is
    /// too long only delays the end of a call that was lost before it arrived. One that is too
    /// short makes the call twice.
    fn settles_after(&self, _: &QueuedCall) -> Duration {
        Duration::from_secs(900)
    }

    /// How many units the call takes at most in limits that count units, where the target can tell it of
    /// the request. It is asked of calls that do not say so themselves.
    fn units(&self, _: &QueuedCall) -> Option<u64> {
        None
    }

    /// Reads the credentials anew, where the target keeps some. It is asked before the API is tried
    /// again after it has refused them: somebody may have changed them meanwhile. What goes wrong is
    /// the next call's matter.
    fn renew_credentials(&self) -> impl Future<Output = ()> {
        async {}
    }

    /// When the credentials end, where somebody says it. It is asked at the end of each invocation, and
    /// becomes the metric `SecretEndsInDays`.
    fn secret_ends(&self) -> Option<Timestamp> {
        None
    }

    /// Asks the API whether a call whose answer was lost had its effect. It is asked after seconds
    /// first, then less often, and for the last time when the call has
    /// [settled](Self::settles_after). It is only asked for calls that are to be
    /// [reconciled](AfterLoss::Reconcile), and holds the slot like a call.
    fn reconcile(&self, _: &QueuedCall) -> impl Future<Output = Reconciled> {
        async { Reconciled::Undecidable("the API cannot be asked".to_owned()) }
    }
}

/// What can be done when the answer to a call is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterLoss {
    /// Make it again: twice has the same effect as once (a read, an upsert that replaces). Such
    /// a call needs no mark before it leaves.
    Repeat,
    /// Ask the API by [`Target::reconcile`], then adopt what it has or make the call again.
    Reconcile,
    /// Nothing, for the reason given. Such a call is refused
    /// ([`NotReconcilable`](slowlane_policy::settle::FailureName::NotReconcilable)) before anything
    /// is sent, unless it says `at_most_once`. Then it is made, and if its answer is lost, it is
    /// left to a person.
    Nothing(String),
}

/// What the API says of a call whose answer was lost.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is soon taken apart")]
pub enum Reconciled {
    /// It had its effect, and this is what its answer would have been.
    Done(TargetResponse),
    /// It had none so far. Once the call has [settled](Target::settles_after), it is made again.
    NotDone,
    /// The API could not be asked just now.
    TryAgain(String),
    /// The API has no way to tell: a person must decide.
    Undecidable(String),
}
