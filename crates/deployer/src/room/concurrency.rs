//! Room for a limit.

use super::no_room::{NoRoom, UNRESERVED};
use crate::{Values, aws};
use aws_config::SdkConfig;
use serde_yaml_ng::Value;

/// What a deploy reserves, and what its stack reserves already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservation {
    wanted: u64,
    present: u64,
}

impl Reservation {
    /// From what is given, what the stack has, and the template's default.
    pub(super) fn of(given: &Values, present: &Values, template: &str) -> Option<Self> {
        let number = |values: &Values| values.get("ApiConcurrency")?.parse().ok();
        let reserved = number(present);
        let wanted = number(given).or(reserved).or_else(|| default_limit(template))?;
        Some(Self { wanted, present: reserved.unwrap_or(0) })
    }

    /// Asks Lambda for room, if more is reserved than before.
    pub(super) async fn check(self, config: &SdkConfig) -> Result<Result<(), NoRoom>, aws::Error> {
        if self.wanted <= self.present {
            return Ok(Ok(()));
        }
        let answer = aws_sdk_lambda::Client::new(config).get_account_settings().send().await;
        let answer = answer.map_err(aws::failed("lambda:GetAccountSettings", "the account"))?;
        let limit = answer.account_limit.and_then(|limit| limit.unreserved_concurrent_executions);
        let unreserved = limit.and_then(|number| u64::try_from(number).ok());
        Ok(unreserved.map_or(Ok(()), |unreserved| self.fits(unreserved)))
    }

    fn fits(self, unreserved: u64) -> Result<(), NoRoom> {
        let room = (unreserved + self.present).saturating_sub(UNRESERVED);
        let Self { wanted, .. } = self;
        if wanted <= room { Ok(()) } else { Err(NoRoom::Concurrency { wanted, room }) }
    }
}

fn default_limit(template: &str) -> Option<u64> {
    let template: Value = serde_yaml_ng::from_str(template).ok()?;
    template["Parameters"]["ApiConcurrency"]["Default"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;

    fn values(limit: Option<&str>) -> Values {
        limit.map(|limit| ("ApiConcurrency".into(), limit.into())).into_iter().collect()
    }

    fn reservation(given: Option<&str>, present: Option<&str>) -> Reservation {
        let template = include_str!("../../../../infra/template.yaml");
        Reservation::of(&values(given), &values(present), template).unwrap()
    }

    async fn check(
        reservation: Reservation,
        answer: (u16, &str),
    ) -> (Result<Result<(), NoRoom>, aws::Error>, usize) {
        let wire = Wire::answering([answer]);
        let checked = reservation.check(&wire.config()).await;
        (checked, wire.requests().len())
    }

    fn unreserved(number: u64) -> String {
        format!(
            r#"{{"AccountLimit": {{"ConcurrentExecutions": 1000,
                "UnreservedConcurrentExecutions": {number}}}, "AccountUsage": {{}}}}"#
        )
    }

    #[test]
    fn what_is_given_goes_before_what_is_there_and_that_before_the_default() {
        for (given, present, wanted) in
            [(Some("9"), Some("7"), 9), (None, Some("7"), 7), (None, None, 5)]
        {
            let reservation = reservation(given, present);
            assert_eq!(reservation.wanted, wanted, "{given:?} {present:?}");
        }
    }

    #[tokio::test]
    async fn a_limit_for_which_there_is_no_room_is_refused_before_anything_is_changed() {
        // A new account, as many of them are.
        let (checked, _) = check(reservation(None, None), (200, &unreserved(10))).await;
        let told = checked.unwrap().unwrap_err().to_string();
        assert!(told.contains("would reserve 5 ") && told.contains("and 0 can be"), "{told}");

        // What the worker has counts as room of its own.
        for (wanted, fits) in [("30", true), ("31", false)] {
            let reservation = reservation(Some(wanted), Some("10"));
            let (checked, _) = check(reservation, (200, &unreserved(120))).await;
            assert_eq!(checked.unwrap().is_ok(), fits, "{wanted}");
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_where_no_more_is_reserved_than_before() {
        for given in [None, Some("7"), Some("3")] {
            let (checked, asked) = check(reservation(given, Some("7")), (500, "")).await;
            assert_eq!((checked.unwrap(), asked), (Ok(()), 0), "{given:?}");
        }
    }

    #[tokio::test]
    async fn a_missing_permission_is_told_by_its_name() {
        let (checked, _) = check(reservation(None, None), (403, "{}")).await;
        assert!(checked.unwrap_err().to_string().contains("lambda:GetAccountSettings"));
    }
}
