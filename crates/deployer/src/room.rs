//! Whether the account has room for what a deploy adds. CloudFormation would find out too, after minutes
//! and with a stack to roll back.
//!
//! Alarms are not counted: Service Quotas does not tell how many an account may have.
//!
//! An answer that cannot be had stops nothing: whoever deploys may lack the permission to ask.

mod concurrency;
mod no_room;
mod stacks;

pub use no_room::NoRoom;

use crate::{Progress, Values, aws};
use aws_config::SdkConfig;
use concurrency::Reservation;

/// What a deploy adds to its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    reservation: Option<Reservation>,
    is_new_stack: bool,
}

impl Demand {
    /// From what is given, the parameters of the stack if it is there, and the template's default.
    pub(crate) fn of(given: &Values, present: Option<&Values>, template: &str) -> Self {
        let none = Values::new();
        let reservation = Reservation::of(given, present.unwrap_or(&none), template);
        Self { reservation, is_new_stack: present.is_none() }
    }

    /// Asks Lambda and CloudFormation. A local server has no quota of stacks.
    ///
    /// # Errors
    /// If something does not fit. An answer that cannot be had is told, and stops nothing.
    pub(crate) async fn check(
        self,
        config: &SdkConfig,
        is_local: bool,
        progress: &Progress,
    ) -> Result<(), NoRoom> {
        if let Some(reservation) = self.reservation {
            known(reservation.check(config).await, progress)?;
        }
        if self.is_new_stack && !is_local {
            known(stacks::check(config).await, progress)?;
        }
        Ok(())
    }
}

fn known(room: Result<Result<(), NoRoom>, aws::Error>, progress: &Progress) -> Result<(), NoRoom> {
    room.unwrap_or_else(|error| {
        progress.say(&format!("going on without knowing of room: {error}"));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;

    const TEMPLATE: &str = include_str!("../../../infra/template.yaml");
    const ROOM: &str = r#"{"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}"#;

    /// How it ended, and how many requests it took.
    async fn check(
        present: Option<&Values>,
        is_local: bool,
        answers: &[(u16, &str)],
    ) -> (Result<(), NoRoom>, usize) {
        let wire = Wire::answering(answers.iter().copied());
        let demand = Demand::of(&Values::new(), present, TEMPLATE);
        let checked = demand.check(&wire.config(), is_local, &Progress::hidden()).await;
        (checked, wire.requests().len())
    }

    #[tokio::test]
    async fn only_a_new_stack_on_aws_is_counted() {
        let deployed = Values::from([("ApiConcurrency".into(), "5".into())]);
        assert_eq!(check(Some(&deployed), false, &[]).await, (Ok(()), 0));
        assert_eq!(check(None, true, &[(200, ROOM)]).await, (Ok(()), 1));
        let (limits, none) = (stacks::limits(2000), stacks::listed(0, None));
        let answers = [(200, ROOM), (200, &limits), (200, &none)];
        assert_eq!(check(None, false, &answers).await, (Ok(()), 3));
    }

    #[tokio::test]
    async fn who_may_not_ask_may_deploy() {
        let refused = [(403, "{}"), (403, "")];
        assert_eq!(check(None, false, &refused).await, (Ok(()), 2));
    }
}
