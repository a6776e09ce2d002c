//! The outcomes under which calls are counted.

use std::time::Duration;

use slowlane_policy::settle::FailureName;

/// How a message left the worker's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// The API carried the call out, and its workflow was resumed.
    Succeeded,
    /// An earlier run had carried it out: the workflow was resumed with the stored result.
    Replayed,
    /// Its workflow was failed under this name.
    Failed(FailureName),
    /// Nobody waited for it any more: it was deleted.
    Abandoned,
    /// It went to the dead-letter queue, and nobody could be told: its task token is no token, or
    /// names a task that is over.
    Unheard,
    /// The API could not carry it out, and may be able to the next time.
    Retried,
    /// The API refused the credentials, and may take them the next time.
    CredentialsRefused,
    /// The API was at its limit.
    Throttled,
    /// Its answer was lost: it is made again, or the API is asked what became of it.
    Unknown,
    /// Another worker is at it, or the API is: it is looked at again when that has ended.
    Waiting,
    /// It was received early and given back unrun.
    GivenBack,
    /// The target's rates let it go only later, and it was given back until then.
    NoGrant,
    /// Its tenant's limit lets it go only later, and it was given back until then.
    NotItsTurn,
    /// Others had all places at the API, and it was given back for a while.
    NoPlace,
    /// A step of it failed: it is tried again later.
    TriedAgainLater,
    /// It went back to its queue and could not be rung for, so the invocation's own ring must come
    /// back for it.
    Unrung {
        /// For how long the call is hidden.
        hidden_for: Duration,
    },
}

impl Disposition {
    /// Every outcome once.
    #[cfg(test)]
    fn all() -> impl Iterator<Item = Disposition> {
        let others = [
            Disposition::Succeeded,
            Disposition::Replayed,
            Disposition::Abandoned,
            Disposition::Unheard,
            Disposition::Retried,
            Disposition::CredentialsRefused,
            Disposition::Throttled,
            Disposition::Unknown,
            Disposition::Waiting,
            Disposition::GivenBack,
            Disposition::NoGrant,
            Disposition::NotItsTurn,
            Disposition::NoPlace,
            Disposition::TriedAgainLater,
            Disposition::Unrung { hidden_for: Duration::ZERO },
        ];
        others.into_iter().chain(FailureName::ALL.map(Disposition::Failed))
    }

    /// Whether the call is at its end, and its message is deleted. One that is not must not be
    /// deleted by a mapping for success.
    pub(crate) fn is_end(self) -> bool {
        match self {
            Disposition::Succeeded
            | Disposition::Replayed
            | Disposition::Failed(_)
            | Disposition::Abandoned
            | Disposition::Unheard => true,
            Disposition::Retried
            | Disposition::CredentialsRefused
            | Disposition::Throttled
            | Disposition::Unknown
            | Disposition::Waiting
            | Disposition::GivenBack
            | Disposition::NoGrant
            | Disposition::NotItsTurn
            | Disposition::NoPlace
            | Disposition::TriedAgainLater
            | Disposition::Unrung { .. } => false,
        }
    }

    /// The outcome's name in the metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Disposition::Succeeded => "succeeded",
            Disposition::Replayed => "replayed",
            Disposition::Failed(name) => failed(name),
            Disposition::Abandoned => "abandoned",
            Disposition::Unheard => "unheard",
            Disposition::Retried => "retried",
            Disposition::CredentialsRefused => "credentials-refused",
            Disposition::Throttled => "throttled",
            Disposition::Unknown => "unknown",
            Disposition::Waiting => "waiting",
            Disposition::GivenBack => "given-back",
            Disposition::NoGrant => "no-grant",
            Disposition::NotItsTurn => "not-its-turn",
            Disposition::NoPlace => "no-place",
            Disposition::TriedAgainLater => "tried-again-later",
            Disposition::Unrung { .. } => "unrung",
        }
    }
}

fn failed(name: FailureName) -> &'static str {
    match name {
        FailureName::Rejected => "rejected",
        FailureName::InvalidMessage => "invalid-message",
        FailureName::DeadlineExceeded => "deadline-exceeded",
        FailureName::AttemptsExhausted => "attempts-exhausted",
        FailureName::OutcomeUnknown => "outcome-unknown",
        FailureName::NeedsPerson => "needs-person",
        FailureName::NotReconcilable => "not-reconcilable",
        FailureName::ExceedsLimit => "exceeds-limit",
        FailureName::BudgetExceeded => "budget-exceeded",
        FailureName::PayloadMismatch => "payload-mismatch",
        FailureName::ResultTooLarge => "result-too-large",
        FailureName::Unauthorized => "unauthorized",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_outcome_has_a_name_of_its_own_and_stands_in_the_readme() {
        let readme = include_str!("../../../../README.md");
        let (_, watch) = readme.split_once("\n## Watch it\n").unwrap();
        let (watch, _) = watch.split_once("\n## ").unwrap();
        let names: Vec<&str> = Disposition::all().map(Disposition::as_str).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        let missing: Vec<_> =
            names.iter().filter(|name| !watch.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "the README does not say what these are: {missing:?}");
    }
}
