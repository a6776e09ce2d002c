//! What must always hold, and how it is told that it did not.

use std::sync::Arc;

use slowlane_aws_simulator::time::Moment;

/// What is checked all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Calls of live invocations at the API never exceed the limit, and an invocation has one.
    Limit,
    /// Every workflow is told its end: none waits until its TimeoutSeconds are over, unless no
    /// worker could receive its call at that time.
    EveryExecutionEnds,
    /// A call that must not be repeated has one effect at most.
    OneEffect,
    /// No call that could still run reaches the dead-letter queue.
    NoHealthyCallInDeadLetters,
    /// For every unfinished call there is a ring, or a slot at work.
    NothingStranded,
    /// A call is passed over no longer than the stated bound.
    BoundedWait,
    /// A workflow gets the result of the effect.
    TrueResult,
    /// No workflow is told by a name that its call was not executed if it was. The same holds if
    /// what was asked for before is executed later.
    TruthfulName,
    /// Without faults, a call that the API would accept succeeds.
    Success,
    /// No window of the API's is passed by limits that were told.
    RateKept,
    /// No more calls are made at once than was told, or than an operator has set.
    ConcurrencyKept,
    /// No call is made while an operator has paused the target, but those that were in hand.
    PauseKept,
    /// While the API is out of order, no workflow fails but by its deadline.
    NothingFailsInOutage,
    /// Beside a noisy tenant the others wait no longer than is stated.
    QuietTenant,
    /// What is counted of calls' usage is what the API told of it, each answer once.
    UsageCounted,
    /// No tenant uses more than its budget, but for what is under way when it is reached.
    BudgetKept,
}

/// Something that must never happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Moment,
    /// The invariant that was broken.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms: {:?}: {}", self.at.millis(), self.invariant, self.what)
    }
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this output.
    Succeeded(Arc<str>),
    /// With an error of this name.
    Failed(Arc<str>),
    /// Nobody told it anything until its TimeoutSeconds were over.
    TimedOut,
    /// Somebody stopped it.
    Stopped,
}
