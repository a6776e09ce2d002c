//! What goes wrong in a run: the faults of the cloud, and those of the API, of workflows and of
//! people, which are the harness's own.

use slowlane_aws_simulator::faults::{Fault as AwsFault, Kind};

/// One way in which the cloud, the API behind it or somebody who uses them misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The cloud's.
    Aws(AwsFault),
    /// The API answers 429 although its limit is kept: another integration uses it too.
    ApiThrottle,
    /// The API breaks the connection; nothing was done.
    ApiLostRequest,
    /// The API does the work and breaks the connection before it answers.
    ApiLostReply,
    /// The API answers 500; nothing was done.
    ApiError,
    /// The API does the work and answers 500 all the same, or 400 with a code that nobody has
    /// documented.
    ApiErrorAfterCommit,
    /// The API takes twenty times as long as was drawn, which is often longer than the worker
    /// waits: it works on all the same.
    ApiSlow,
    /// The API is down for up to a minute: it answers 503 to everything.
    ApiOutage,
    /// The API's answer is larger than a workflow, or even the guard's table, can hold.
    ApiLargeAnswer,
    /// The API rejects the request for good: it is the caller's mistake.
    ApiReject,
    /// An execution is stopped by somebody while it waits.
    Stop,
    /// An operator takes a ring off the doorbell by mistake, and rings again up to five minutes
    /// later, as the next enqueued call would.
    LostRing,
    /// A message that no one can read is put on one of the queues.
    Malformed,
    /// A message that is as large as SQS takes, and is no call, is put on one of the queues.
    Oversized,
    /// The functions are deployed afresh while calls run: idle environments go at once, busy
    /// ones after the invocation they are in.
    Deploy,
    /// An operator redrives the dead-letter queue into the queues its messages came from.
    Redrive,
    /// The API breaks the connection and does the work all the same, up to a quarter of an hour
    /// later.
    ApiWorksLate,
    /// The API is down for up to four hours: it answers 503 to everything.
    ApiDownForHours,
    /// The API's search lags behind: it does not find a record that is there, and that the API
    /// refuses to create again.
    ApiRefusesDuplicate,
    /// The stack is switched between the doorbell and the deferral wiring. The function changes
    /// first; the new mappings come a little later, and the old ones deliver for a while yet.
    SwitchDispatch,
    /// The limit is lowered while calls run.
    LowerLimit,
    /// The limit is raised while calls run.
    RaiseLimit,
    /// An operator starts the workflows of the dead letters anew.
    DeadLettersRestarted,
    /// A workflow asks for a deadline of its own, days away. One in four is further away than is
    /// allowed.
    LongDeadline,
}

impl Fault {
    /// Every fault. Random scenarios draw in this order.
    pub const ALL: [Fault; 37] = [
        Fault::Aws(AwsFault::AwsThrottle),
        Fault::Aws(AwsFault::AwsError),
        Fault::Aws(AwsFault::LostRequest),
        Fault::Aws(AwsFault::LostReply),
        Fault::Aws(AwsFault::SlowRequest),
        Fault::Aws(AwsFault::Duplicate),
        Fault::Aws(AwsFault::Reorder),
        Fault::Aws(AwsFault::Undelete),
        Fault::Aws(AwsFault::Crash),
        Fault::ApiThrottle,
        Fault::ApiLostRequest,
        Fault::ApiLostReply,
        Fault::ApiError,
        Fault::ApiErrorAfterCommit,
        Fault::ApiSlow,
        Fault::ApiOutage,
        Fault::ApiLargeAnswer,
        Fault::ApiReject,
        Fault::Stop,
        Fault::Aws(AwsFault::ClockSkew),
        Fault::LostRing,
        Fault::Malformed,
        Fault::Oversized,
        Fault::Deploy,
        Fault::Redrive,
        Fault::ApiWorksLate,
        Fault::ApiDownForHours,
        Fault::ApiRefusesDuplicate,
        Fault::Aws(AwsFault::ReceiveRefused),
        Fault::Aws(AwsFault::TableUnreachable),
        Fault::SwitchDispatch,
        Fault::LowerLimit,
        Fault::RaiseLimit,
        Fault::DeadLettersRestarted,
        Fault::LongDeadline,
        Fault::Aws(AwsFault::ClockSteps),
        Fault::Aws(AwsFault::Freeze),
    ];

    /// The fault of this name.
    pub fn named(name: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

impl Kind for Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Aws(fault) => fault.name(),
            Fault::ApiThrottle => "api-throttle",
            Fault::ApiLostRequest => "api-lost-request",
            Fault::ApiLostReply => "api-lost-reply",
            Fault::ApiError => "api-error",
            Fault::ApiErrorAfterCommit => "api-error-after-commit",
            Fault::ApiSlow => "api-slow",
            Fault::ApiOutage => "api-outage",
            Fault::ApiLargeAnswer => "api-large-answer",
            Fault::ApiReject => "api-reject",
            Fault::Stop => "stop",
            Fault::LostRing => "lost-ring",
            Fault::Malformed => "malformed",
            Fault::Oversized => "oversized",
            Fault::Deploy => "deploy",
            Fault::Redrive => "redrive",
            Fault::ApiWorksLate => "api-works-late",
            Fault::ApiDownForHours => "api-down-for-hours",
            Fault::ApiRefusesDuplicate => "api-refuses-duplicate",
            Fault::SwitchDispatch => "switch-dispatch",
            Fault::LowerLimit => "lower-limit",
            Fault::RaiseLimit => "raise-limit",
            Fault::DeadLettersRestarted => "dead-letters-restarted",
            Fault::LongDeadline => "long-deadline",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_fault_is_found_by_its_name_and_no_two_share_one() {
        for fault in Fault::ALL {
            assert_eq!(Fault::named(fault.name()), Some(fault));
        }
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
    }

    #[test]
    fn every_fault_of_the_cloud_is_one_of_a_run() {
        assert!(AwsFault::ALL.iter().all(|fault| Fault::ALL.contains(&Fault::Aws(*fault))));
    }
}
