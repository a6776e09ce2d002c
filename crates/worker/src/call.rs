//! One call, from the queue to the resumed workflow.
//!
//! A received message is *prepared* ([`prepare`]): read, checked against its deadline, asked
//! whether its workflow still waits, and claimed in the idempotency guard. The call is *made*
//! ([`make`]) at the API. The answer is *settled* ([`settle`]): the result is stored, the workflow
//! resumed and the message deleted, in that order ([`ending`]). If the worker is killed in between,
//! the message is delivered again, finds the stored result, and no second call is made.
//!
//! The deferral wiring takes the three steps one after another ([`Calls::process`]); a slot of the
//! doorbell overlaps them for successive calls. What cannot be run ends on the dead-letter queue
//! *and* fails its workflow by name. A step that fails is tried again later ([`ending`]).

mod claim;
mod ending;
mod error;
mod make;
mod outcome;
mod prepare;
mod settle;
mod tenant;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use slowlane_idempotency::{Claim, Dispatched, DynamoDbStore, Guard, Unknown};
use slowlane_lambda::clock::Clock;
use slowlane_lambda::logs::chain;
use slowlane_limiter::{FailureKind, Units, Waiting};
use slowlane_message::QueuedCall;
use slowlane_policy::deferral::asleep_for;
use slowlane_policy::settle::{FailureName, Outcome, RetrySettings, Why};
use slowlane_policy::slot::Rates;
use slowlane_policy::tenants::Appointment;
use tokio::time::Instant;

use self::claim::let_go;
pub(crate) use self::error::StepError;
pub(crate) use self::outcome::Disposition;
use crate::aws::deletes::{Deletes, When};
use crate::aws::doorbell::Doorbell;
use crate::aws::queues::{Queues, Received};
use crate::aws::task_callback::TaskCallback;
use crate::config::Config;
use crate::limits::{Grant, Limits, Reserved};
use crate::metering::{Metered, Metering};
use crate::target::{Target, TargetResponse};

/// How long after its credentials were read anew they are not read again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// Everything that a call needs on its way.
pub(crate) struct Calls<T> {
    pub(crate) config: Config,
    pub(crate) queues: Queues,
    pub(crate) deletes: Deletes,
    /// Where to ring for a call that is given back. In the deferral wiring the queues' own mappings
    /// see it again.
    pub(crate) doorbell: Option<Doorbell>,
    pub(crate) guard: Guard<DynamoDbStore>,
    pub(crate) callback: TaskCallback,
    pub(crate) target: T,
    pub(crate) clock: Clock,
    pub(crate) retry: RetrySettings,
    pub(crate) limits: Limits,
    /// Where what calls have used of models is counted.
    pub(crate) metering: Option<Metering>,
    /// When the target's credentials were last read anew.
    pub(crate) renewed_at: Cell<Option<Instant>>,
    pub(crate) rng: RefCell<fastrand::Rng>,
}

/// A call on its way: what the message said, and the message itself.
#[derive(Debug)]
pub(crate) struct Call {
    received: Received,
    queued: QueuedCall,
    /// Step Functions has said that its workflow does not wait any more. Only what an earlier
    /// attempt may have left behind is still cleared up.
    unwaited: bool,
}

/// The result of preparing a message.
pub(crate) enum Prepared {
    /// The API is to be asked.
    Ready(Ready),
    /// It needs a moment of its tenant's, and that comes later, or not before its deadline.
    NotYet(Ready),
    /// The message needed no call, and is dealt with.
    Ended(Ended),
}

/// A call that is checked and claimed, and needs nothing but the slot.
pub(crate) struct Ready {
    call: Call,
    claimed: ReadyTo,
    /// When its tenant's turn comes, or came, if it had to wait for that.
    appointment: Option<Appointment>,
}

enum ReadyTo {
    Run(Claim<DynamoDbStore>),
    Reconcile(Unknown<DynamoDbStore>),
}

/// A call that the API has answered, or has not in time.
pub(crate) struct Answered {
    call: Call,
    answer: Answer,
    started: Instant,
    /// How long the API took, if it was asked.
    pub(crate) took: Option<Duration>,
    /// Its grant, if it needed one.
    grant: Option<Grant>,
}

enum Answer {
    /// The call was made, and this became of it.
    Made(Dispatched<DynamoDbStore>, Outcome<TargetResponse>),
    /// The call was made, its answer was lost, and the API cannot be asked what became of it.
    Lost(Dispatched<DynamoDbStore>, Why),
    /// An earlier call whose answer was lost turned out to have had its effect.
    Found(Unknown<DynamoDbStore>, TargetResponse),
    /// An earlier call whose answer was lost had no effect, and it is not made again.
    NotDone(Unknown<DynamoDbStore>, NotAgain),
    /// An earlier call's answer was lost, and the API cannot tell what became of it.
    Undecidable(Unknown<DynamoDbStore>, String),
    /// An earlier call's answer was lost, and the API is to be asked (again) after this long. It
    /// could not be asked, or it does not have what it may still be at work on.
    Undecided {
        why: Why,
        after: Duration,
        /// How long ago the answer was lost, if the API has not said anything now.
        silent_for: Option<Duration>,
    },
    /// The API was not asked: the guard could not be reached, or the claim is lost.
    NotMade(StepError),
    /// The API was not asked: the moment of the call's grant is past, or calls are not made any more.
    TooLate,
    /// The API was not asked: the call's tenant has no moment soon. It waits for its appointment, or for
    /// its deadline if it has none.
    NotYet(ReadyTo, Option<Appointment>),
}

/// Why a call that had no effect is not made again.
enum NotAgain {
    /// Nobody waits for it any more.
    Unwaited,
    /// Its workflow is told this.
    Fails(FailureName, Why),
}

/// How a message left the worker's hands, and why.
#[derive(Debug)]
pub(crate) struct Ending {
    disposition: Disposition,
    why: Option<String>,
}

/// What is recorded of a message at its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) disposition: Disposition,
    pub(crate) received: Received,
    pub(crate) queued: Option<QueuedCall>,
    /// When the API was asked, and how long it took.
    pub(crate) asked: Option<(Instant, Duration)>,
    /// What it has used of a model, if that is counted.
    pub(crate) metered: Option<Metered>,
    /// How long the slot had to wait for the call's grant, if it needed one.
    pub(crate) wait_for_grant: Option<Duration>,
    /// The calls at once that were in effect, where fewer may be made than there are slots.
    pub(crate) concurrency: Option<u32>,
    pub(crate) why: Option<String>,
}

impl Ready {
    /// How many units the call has: to ask what became of an earlier one takes none to speak of.
    fn units<T: Target>(&self, calls: &Calls<T>) -> Units {
        match self.claimed {
            ReadyTo::Run(_) => calls.units(&self.call.queued),
            ReadyTo::Reconcile(_) => Units::up_to(1),
        }
    }
}

impl<T: Target> Calls<T> {
    /// What is known of a call's units.
    fn units(&self, queued: &QueuedCall) -> Units {
        let said = queued.units.map(|units| units.get().into());
        self.limits.units_of(said, || self.target.units(queued))
    }

    /// The whole way of one call, one step after another.
    pub(crate) async fn process(&self, received: Received) -> Ended {
        let ready = match self.prepare(received).await {
            Prepared::Ready(ready) => ready,
            Prepared::NotYet(ready) => return self.put_off(ready).await,
            Prepared::Ended(ended) => return ended,
        };
        if self.limits.concurrency().is_some() && !self.limits.take_place().await {
            return self.give_back_ungranted(ready, &self.limits.no_place()).await;
        }
        let ended = self.limits.keeping_place(self.make_and_settle(ready)).await;
        self.limits.leave_place().await;
        ended
    }

    async fn make_and_settle(&self, ready: Ready) -> Ended {
        let grant = match self.limits.rates() {
            Rates::None => None,
            Rates::Calls => match self.limits.reserve_for(ready.units(self)).await {
                Reserved::Granted(grant) => Some(*grant),
                Reserved::TooEarly(waiting) => {
                    return self.give_back_ungranted(ready, &waiting).await;
                }
            },
        };
        let answered = self.make(ready, grant).await;
        self.settle(answered).await
    }

    /// Reads the limit's control record if that is due. A slot that is to find out whether the API
    /// takes our credentials again reads them anew first.
    pub(crate) async fn refresh_limit(&self) {
        let elected = self.limits.refresh().await;
        self.prepare_probe(elected).await;
    }

    /// The same, whether or not it is due.
    pub(crate) async fn look_at_limit(&self) {
        let elected = self.limits.look().await;
        self.prepare_probe(elected).await;
    }

    async fn prepare_probe(&self, elected: Option<FailureKind>) {
        if elected == Some(FailureKind::Credentials) {
            self.renew_credentials().await;
        }
    }

    /// Reads the target's credentials anew, unless that was done just now.
    async fn renew_credentials(&self) {
        let renewed_at = self.renewed_at.get();
        if renewed_at.is_none_or(|at| at.elapsed() >= RENEWAL_PAUSE) {
            self.renewed_at.set(Some(Instant::now()));
            self.target.renew_credentials().await;
        }
    }

    /// What becomes of a call that a mapping brings while no call may be made: it goes back for
    /// minutes, until its deadline at most. One that may not be made any more ends all the same, and
    /// its workflow is told.
    pub(crate) async fn shut_out(&self, received: Received, waiting: &Waiting) -> Option<Ended> {
        let last = self.is_among_last_receives(&received);
        let left = QueuedCall::parse(&received.body).ok().and_then(|call| {
            Duration::try_from(call.deadline.duration_since(self.clock.now())).ok()
        });
        if let Some(left) = left.filter(|left| !last && !left.is_zero()) {
            self.put_to_sleep(&received, waiting, left).await;
            return None;
        }
        match self.prepare(received).await {
            Prepared::Ended(ended) => Some(ended),
            Prepared::Ready(ready) | Prepared::NotYet(ready) => {
                self.end_unasked(ready, waiting).await
            }
        }
    }

    /// Ends a call whose time is over and of which only the API knows whether it was executed, while it may
    /// not be asked: its workflow would give up before it can be. Its record stays as it is, and a new
    /// run of the workflow asks the API. A call that nobody waits for goes back.
    async fn end_unasked(&self, ready: Ready, waiting: &Waiting) -> Option<Ended> {
        let Ready { call, claimed, appointment } = ready;
        match claimed {
            ReadyTo::Reconcile(unknown) if !call.unwaited => {
                let lost = unknown.why().unwrap_or("its answer was lost");
                let why = format!("{lost}, and the API cannot be asked: {}", waiting.reason);
                let name = FailureName::NeedsPerson;
                let result = self.dead_letter_and_fail(&call, name, why.into()).await;
                return Some(
                    self.ended(call.received, Some(call.queued), result, When::AtOnce).await,
                );
            }
            ReadyTo::Reconcile(_) => {}
            ReadyTo::Run(claim) => let_go(&call.queued, &claim, appointment).await,
        }
        self.put_to_sleep(&call.received, waiting, Duration::MAX).await;
        None
    }

    async fn put_to_sleep(&self, received: &Received, waiting: &Waiting, at_most: Duration) {
        let opens_in = self.limits.opens_in(waiting);
        let asleep = asleep_for(received.receive_count, opens_in, self.unit()).min(at_most);
        if let Err(error) = self.queues.change_visibility(received, asleep).await {
            tracing::warn!(
                message_id = received.message_id,
                error = chain(&error),
                "a call stays hidden for the visibility time-out of its queue"
            );
        }
    }

    /// Randomness for the policy, in [0, 1).
    pub(crate) fn unit(&self) -> f64 {
        self.rng.borrow_mut().f64()
    }
}
