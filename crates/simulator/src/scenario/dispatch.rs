//! The ways of dispatch that are compared.

use serde::{Deserialize, Serialize};

/// How a call finds its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// A ring wakes a slot, which settles one call while the next is at the API.
    Doorbell,
    /// A ring wakes a slot, which does one thing after another.
    DoorbellPlain,
    /// A mapping for each queue; a slot woken by a lower call runs the higher one instead.
    DeferralSwap,
    /// A mapping for each queue; a slot woken by a lower call gives it back and ends.
    DeferralYield,
    /// No queue: the state's Retry ([`strategies`](crate::strategies)).
    Direct,
    /// No queue: three functions with ever slower Retries.
    Cascade,
    /// No queue: a counter in DynamoDB and a spin.
    Semaphore,
    /// No queue: a distributed Map.
    Map,
    /// No queue: a counter for each window in DynamoDB; a call that finds it full is retried.
    CheckAndReject,
    /// No queue: a function that asks `slowlane-limiter`, and waits as it says.
    Limiter,
}

impl Dispatch {
    /// All of them, as reports list them.
    pub const ALL: [Dispatch; 10] = [
        Dispatch::Direct,
        Dispatch::Cascade,
        Dispatch::Semaphore,
        Dispatch::Map,
        Dispatch::CheckAndReject,
        Dispatch::Limiter,
        Dispatch::DeferralYield,
        Dispatch::DeferralSwap,
        Dispatch::DoorbellPlain,
        Dispatch::Doorbell,
    ];

    /// Those that know of calls at once only.
    pub const OF_CALLS_AT_ONCE: [Dispatch; 8] = [
        Dispatch::Direct,
        Dispatch::Cascade,
        Dispatch::Semaphore,
        Dispatch::Map,
        Dispatch::DeferralYield,
        Dispatch::DeferralSwap,
        Dispatch::DoorbellPlain,
        Dispatch::Doorbell,
    ];

    /// The one of this name.
    ///
    /// # Errors
    /// There is none; the text says which there are.
    pub fn named(name: &str) -> Result<Dispatch, String> {
        let known = Dispatch::ALL.into_iter().find(|dispatch| dispatch.name() == name);
        known.ok_or_else(|| format!("one of {}", Dispatch::ALL.map(Dispatch::name).join(", ")))
    }

    /// Its name in scenario files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Dispatch::Doorbell => "doorbell",
            Dispatch::DoorbellPlain => "doorbell-plain",
            Dispatch::DeferralSwap => "deferral-swap",
            Dispatch::DeferralYield => "deferral-yield",
            Dispatch::Direct => "direct",
            Dispatch::Cascade => "cascade",
            Dispatch::Semaphore => "semaphore",
            Dispatch::Map => "map",
            Dispatch::CheckAndReject => "check-and-reject",
            Dispatch::Limiter => "limiter",
        }
    }
}
