//! Room for one more stack.

use super::no_room::NoRoom;
use crate::aws;
use aws_config::SdkConfig;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::StackStatus;

/// What CloudFormation calls the quota among an account's limits.
const STACK_LIMIT: &str = "StackLimit";

/// Whether there is room. A quota that CloudFormation does not tell is none.
pub(super) async fn check(config: &SdkConfig) -> Result<Result<(), NoRoom>, aws::Error> {
    let client = Client::new(config);
    let Some(most) = most(&client).await? else { return Ok(Ok(())) };
    let present = present(&client).await?;
    Ok(if present < most { Ok(()) } else { Err(NoRoom::Stacks { present, most }) })
}

async fn most(client: &Client) -> Result<Option<u64>, aws::Error> {
    let mut limits = client.describe_account_limits().into_paginator().items().send();
    while let Some(limit) = limits.next().await {
        let failed = aws::failed("cloudformation:DescribeAccountLimits", "the account");
        let limit = limit.map_err(failed)?;
        if limit.name() == Some(STACK_LIMIT) {
            return Ok(limit.value().and_then(|value| value.try_into().ok()));
        }
    }
    Ok(None)
}

/// How many there are. One that is deleted stays listed for three months.
async fn present(client: &Client) -> Result<u64, aws::Error> {
    let there = StackStatus::values().iter().filter(|name| **name != "DELETE_COMPLETE");
    let there = there.map(|name| StackStatus::from(*name)).collect();
    let listed = client.list_stacks().set_stack_status_filter(Some(there));
    let mut stacks = listed.into_paginator().items().send();
    let mut present = 0;
    while let Some(stack) = stacks.next().await {
        stack.map_err(aws::failed("cloudformation:ListStacks", "the account"))?;
        present += 1;
    }
    Ok(present)
}

/// The limits of an account, as CloudFormation answers them.
#[cfg(test)]
pub(super) fn limits(stacks: u64) -> String {
    let limit = |name: &str, value: u64| {
        format!("<member><Name>{name}</Name><Value>{value}</Value></member>")
    };
    let limits = limit("ConcurrentResourcesLimit", 2500) + &limit(STACK_LIMIT, stacks);
    format!(
        "<DescribeAccountLimitsResponse><DescribeAccountLimitsResult><AccountLimits>{limits}\
         </AccountLimits></DescribeAccountLimitsResult></DescribeAccountLimitsResponse>"
    )
}

/// A page of so many stacks.
#[cfg(test)]
pub(super) fn listed(stacks: usize, next: Option<&str>) -> String {
    let stack = "<member><StackName>one</StackName><StackStatus>CREATE_COMPLETE</StackStatus>\
                 <CreationTime>2026-11-01T00:00:00Z</CreationTime></member>";
    let next = next.map(|token| format!("<NextToken>{token}</NextToken>")).unwrap_or_default();
    format!(
        "<ListStacksResponse><ListStacksResult><StackSummaries>{}</StackSummaries>{next}\
         </ListStacksResult></ListStacksResponse>",
        stack.repeat(stacks)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;

    #[tokio::test]
    async fn all_pages_are_counted_and_the_last_stack_that_fits_is_let_in() {
        for (most, fits) in [(6, true), (5, false), (4, false)] {
            let answers = [limits(most), listed(3, Some("more")), listed(2, None)];
            let wire = Wire::answering(answers.iter().map(|answer| (200, answer.as_str())));
            let checked = check(&wire.config()).await.unwrap();
            let expected = if fits { Ok(()) } else { Err(NoRoom::Stacks { present: 5, most }) };
            assert_eq!(checked, expected, "{most}");
            let asked = &wire.bodies()[1];
            assert!(asked.contains("=ROLLBACK_COMPLETE") && asked.contains("=DELETE_FAILED"));
            assert!(!asked.contains("=DELETE_COMPLETE"), "{asked}");
        }
        let full = NoRoom::Stacks { present: 5, most: 5 }.to_string();
        assert!(full.contains("has 5 stacks") && full.contains("may have 5"), "{full}");
    }

    #[tokio::test]
    async fn a_quota_that_is_not_told_is_none_and_nothing_is_counted() {
        let untold = limits(1).replace(STACK_LIMIT, "AnotherLimit");
        let wire = Wire::answering([(200, untold.as_str())]);
        assert_eq!(check(&wire.config()).await.unwrap(), Ok(()));
        assert_eq!(wire.requests().len(), 1);
    }
}
