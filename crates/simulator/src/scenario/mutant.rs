//! Mistakes that a scenario can build in.

use serde::{Deserialize, Serialize};

/// A mistake in the programs or their settings. Each breaks one invariant of the
/// [`ledger`](crate::ledger).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mutant {
    /// The worker's reserved concurrency is one more than the API's limit.
    OneSlotTooMany,
    /// The enqueuer does not ring.
    NoRing,
    /// The target calls every request repeatable: no mark before it leaves, no reconciliation.
    EverythingRepeatable,
    /// The target takes a lost answer for a call that was not executed.
    LostMeansNotDone,
    /// `maxReceiveCount` is typed in as 2.
    FewReceives,
    /// The worker takes the BATCH queue for the HIGH one, and the other way round.
    LowestFirst,
    /// The target names a record that it has not made.
    WrongRecord,
    /// The target rejects what the API accepts.
    Rejects,
    /// The target says that a call has used more than the API said.
    UsesMore,
    /// The target says nothing of what a call has used.
    UsesNothing,
    /// The target says that the API is at work for half a minute at most.
    SettlesSoon,
    /// The target takes any 400 for a call that was not executed.
    EveryRefusalRejects,
    /// Nobody rings for what waits when the stack is switched to the doorbell.
    NoRingAfterSwitch,
    /// Each environment keeps the rates for itself alone.
    LimitsAlone,
    /// What operators change is not read.
    DeafToOperators,
    /// An outage is told to the workflow, not waited for.
    TellsOutages,
    /// All tenants share one tenant's rate.
    OneTenantForAll,
    /// The worker's reserved concurrency is 0.
    NoSlots,
    /// Nothing reads the doorbell.
    NoMapping,
    /// The worker's process ends before it takes an event.
    NeverStarts,
    /// The worker's role lacks `sqs:ReceiveMessage`.
    MayNotReceive,
}
