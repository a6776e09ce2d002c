//! A worker as the crate's documentation says one should be written: claim, mark, call,
//! classify, store; ask the target about what nobody knows.

use std::time::Duration;

use serde_json::Value;
use slowlane_idempotency::{
    Claim, Claimed, Dispatched, Failure, Found, Guard, Key, NotDispatched, NotRunAgain, Request,
    Scope, Turn, Unknown, complete, dispatch, resolve, run,
};

use super::world::{Answer, Mutant, Reply, Target, World};

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With the call's result.
    Done(Value),
    /// A person must decide.
    Person,
    /// Not now: deliver it again after this time.
    GivenBack(Duration),
}

pub(crate) fn request(target: Target) -> Request {
    let (scope, key) = (Scope::new("orders").unwrap(), Key::new("order-1").unwrap());
    Request::new(scope, key, "the order").unwrap().repeatable(target == Target::Repeatable)
}

/// One delivery of the call to a worker whose clock is off by `skew_ms`.
pub(crate) async fn deliver(world: World, request: Request, skew_ms: i64) -> Ending {
    let guard = Guard::new(world.clone(), world.settings(skew_ms));
    let mut worker = Worker { world, skew_ms, early_answer: None };
    if worker.world.state().is(Mutant::AsksTooEarly) {
        worker.early_answer = Some(worker.world.ask().await);
    }
    match guard.claim(&request).await {
        Ok(Claimed::Run(claim)) => worker.execute(claim).await,
        Ok(Claimed::Replay(value)) => worker.done("replayed", value),
        Ok(Claimed::InProgress(held)) => worker.back("in progress", held.wait),
        Ok(Claimed::Unknown(unknown)) => worker.ask(unknown).await,
        Ok(Claimed::NeedsPerson(_)) => worker.person(),
        Err(_) => worker.back("claim failed", Duration::ZERO),
    }
}

/// The same, written with the wrapper around a closure.
pub(crate) async fn deliver_by_closure(world: World, request: Request, skew_ms: i64) -> Ending {
    let guard = Guard::new(world.clone(), world.settings(skew_ms));
    let call = |turn: Turn| {
        let world = world.clone();
        async move {
            world.state().told(turn.attempt, turn.maybe_executed_before);
            match world.call(skew_ms, turn.attempt, turn.lease_until).await {
                Reply::Executed(value) => Ok(value),
                Reply::Rejected | Reply::NotSent => Err(Failure::NotExecuted("rejected")),
                Reply::Lost => Err(Failure::Unknown("no answer")),
            }
        }
    };
    let ask = || async {
        if world.state().target == Target::Silent {
            return Ok(Found::CannotTell);
        }
        match world.ask().await {
            Ok(Some(value)) => Ok(Found::Executed(value)),
            Ok(None) => Ok(Found::NotExecuted),
            Err(()) => Err("no answer to the question"),
        }
    };
    let result = guard.run_or_ask(&request, call, ask).await;
    let worker = Worker { world: world.clone(), skew_ms, early_answer: None };
    match result {
        Ok(done) => worker.done("closure done", done.value),
        Err(run::Error::NeedsPerson { .. }) => worker.person(),
        Err(run::Error::InProgress(held)) => worker.back("in progress", held.wait),
        Err(run::Error::Undecided { wait, .. }) => worker.back("not settled", wait),
        Err(_) => worker.back("closure failed", Duration::ZERO),
    }
}

struct Worker {
    world: World,
    skew_ms: i64,
    early_answer: Option<Answer>,
}

impl Worker {
    async fn execute(&self, claim: Claim<World>) -> Ending {
        self.world.state().told(claim.attempt(), claim.maybe_executed_before());
        if claim.attempt() > 1 {
            self.world.state().count("claimed again");
        }
        let claim = match claim.dispatched().await {
            Ok(claim) => claim,
            Err(NotDispatched { claim, error: dispatch::Error::LeaseOver { .. } }) => {
                return self.release(&claim).await;
            }
            Err(_) => return self.back("not dispatched", Duration::ZERO),
        };
        match self.world.call(self.skew_ms, claim.attempt(), claim.lease_until()).await {
            Reply::Executed(value) => self.complete(&claim, value).await,
            Reply::Rejected | Reply::NotSent => self.release(&claim).await,
            Reply::Lost if self.world.state().target == Target::Silent => {
                let _ = claim.needs_person("no answer, and nobody to ask").await;
                self.person()
            }
            Reply::Lost => {
                let _ = match self.world.any_of(2) {
                    0 => claim.unknown("no answer").await,
                    _ => claim.close_unknown("no answer").await,
                };
                self.back("unknown", Duration::ZERO)
            }
        }
    }

    async fn complete(&self, claim: &Dispatched<World>, value: Value) -> Ending {
        for _ in 0..2 {
            match claim.complete(&value).await {
                Ok(()) => return self.done("ran", value),
                Err(complete::Error::LostOwnership(_)) => {
                    return self.back("lost ownership", Duration::ZERO);
                }
                Err(_) => {}
            }
        }
        self.back("not stored", Duration::ZERO)
    }

    async fn release<P>(&self, claim: &Claim<World, P>) -> Ending {
        let _ = match self.world.any_of(3) {
            0 => claim.release().await,
            1 => claim.release_untried().await,
            _ => claim.close().await,
        };
        self.back("released", Duration::ZERO)
    }

    async fn ask(&self, unknown: Unknown<World>) -> Ending {
        let target = self.world.state().target;
        if target == Target::Silent {
            let _ = unknown.needs_person("the target cannot be asked").await;
            return self.person();
        }
        let answer = match &self.early_answer {
            Some(early) => early.clone(),
            None => self.world.ask().await,
        };
        match answer {
            Err(()) => self.back("no answer to the question", Duration::ZERO),
            Ok(Some(value)) => match unknown.adopt(&value).await {
                Ok(()) => self.done("adopted", value),
                Err(_) => self.back("not adopted", Duration::ZERO),
            },
            Ok(None) => match unknown.run_again().await {
                Ok(claim) => {
                    self.world.state().count("ran again");
                    self.execute(claim).await
                }
                Err(NotRunAgain { unknown, error: resolve::Error::NotSettled { .. } }) => {
                    self.back("not settled", unknown.wait())
                }
                Err(_) => self.back("not run again", Duration::ZERO),
            },
        }
    }

    fn done(&self, how: &'static str, value: Value) -> Ending {
        let mut state = self.world.state();
        state.count(how);
        state.check_returned(&value);
        Ending::Done(value)
    }

    fn back(&self, why: &'static str, wait: Duration) -> Ending {
        self.world.state().count(why);
        Ending::GivenBack(wait)
    }

    fn person(&self) -> Ending {
        self.world.state().count("needs a person");
        Ending::Person
    }
}
