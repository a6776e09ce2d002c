//! What a stack holds, and its end.
//!
//! The template says what outlives its stack: the guard's records, without which a call could
//! take effect twice, the dead letters, and what was counted of calls' usage. Calls that wait are lost, since the workflows that wait
//! for them end with the stack.

use crate::outputs::Deployed;
use crate::queues::{self, Depth};
use crate::stack::{self, Kept};
use crate::unresolved::Unresolved;
use crate::{aws, text, unresolved};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::Select;
use slowlane_message::Priority;

/// At most so many pages of a table are counted, of up to 1 MB each.
const PAGES: usize = 100;
/// At most so many unresolved calls are counted.
const UNRESOLVED: usize = 1000;
/// The resources with data that is worth keeping.
const TABLE: &str = "IdempotencyTable";
const LETTERS: &str = "DeadLetterQueue";

/// What becomes of the data that the template keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// It stays where it is.
    Keep,
    /// It is deleted after the stack.
    Delete,
}

/// Why a stack and its data are not gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// CloudFormation refused, or could not delete a resource.
    #[error(transparent)]
    Stack(#[from] stack::Error),
    /// The stack is gone, but something that it left could not be deleted.
    #[error("the stack is gone, but not all of its data")]
    Data(#[source] aws::Error),
}

/// Why it is not known what a stack holds.
#[derive(Debug, thiserror::Error)]
pub enum HoldingsError {
    /// CloudFormation does not tell the stack's template.
    #[error(transparent)]
    Stack(#[from] stack::Error),
    /// A queue or the table does not tell what it has.
    #[error(transparent)]
    Aws(#[from] aws::Error),
    /// The table's unresolved calls could not be listed.
    #[error(transparent)]
    Unresolved(#[from] unresolved::Error),
}

/// What is lost with a stack, and what it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// The calls that wait or run, by their queue.
    pub calls: Vec<(Priority, Depth)>,
    /// Calls that could not be run.
    pub dead_letters: u64,
    /// Calls that may or may not have been executed.
    pub unresolved: Count,
    /// The guard's records: which calls have been made, and their answers.
    pub records: Count,
    /// Whether the template keeps the dead-letter queue.
    pub keeps_dead_letters: bool,
    /// Whether the template keeps the table of the records.
    pub keeps_records: bool,
}

/// A number, or at least so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many were counted.
    pub number: u64,
    /// Whether counting was given up there.
    pub and_more: bool,
}

impl Holdings {
    pub(crate) async fn of(
        config: &SdkConfig,
        stack: &stack::Stack<'_>,
        deployed: &Deployed,
    ) -> Result<Self, HoldingsError> {
        let outputs = &deployed.outputs;
        let sqs = aws_sdk_sqs::Client::new(config);
        let mut calls = Vec::new();
        for priority in Priority::ALL {
            let depth = queues::depth(&sqs, outputs.queue_url(priority)).await?;
            calls.push((priority, depth));
        }
        let table = &outputs.idempotency_table_name;
        let unresolved = Unresolved::new(config, table).list(UNRESOLVED).await?.len();
        let template = stack.template().await?;
        Ok(Self {
            calls,
            dead_letters: queues::depth(&sqs, &outputs.dead_letter_queue_url).await?.total(),
            unresolved: Count { number: unresolved as u64, and_more: unresolved == UNRESOLVED },
            records: records(&aws_sdk_dynamodb::Client::new(config), table).await?,
            keeps_dead_letters: keeps(&template, LETTERS),
            keeps_records: keeps(&template, TABLE),
        })
    }
}

/// DynamoDB's own count is up to six hours old, so they are counted.
async fn records(client: &aws_sdk_dynamodb::Client, table: &str) -> Result<Count, aws::Error> {
    let mut pages = client.scan().table_name(table).select(Select::Count).into_paginator().send();
    let mut number = 0;
    for _ in 0..PAGES {
        let Some(page) = pages.next().await else { return Ok(Count { number, and_more: false }) };
        let page = page.map_err(aws::failed("dynamodb:Scan", table))?;
        number += u64::try_from(page.count).unwrap_or(0);
    }
    Ok(Count { number, and_more: true })
}

/// Whether a template in the form of ours keeps a resource when its stack is deleted.
fn keeps(template: &str, logical_id: &str) -> bool {
    let resource = format!("  {logical_id}:");
    let lines = template.lines().skip_while(|line| *line != resource).skip(1);
    lines
        .take_while(|line| line.is_empty() || line.starts_with("   "))
        .any(|line| line.trim_start().starts_with("DeletionPolicy: Retain"))
}

/// Deletes what a stack has left: its tables and its queue. Answers what is still there.
pub(crate) async fn delete_data(
    config: &SdkConfig,
    kept: Vec<Kept>,
) -> Result<Vec<Kept>, aws::Error> {
    let mut left = Vec::new();
    for one in kept {
        let id = one.physical_id.as_str();
        match one.resource_type.as_str() {
            "AWS::DynamoDB::Table" => {
                let client = aws_sdk_dynamodb::Client::new(config);
                let deleted = client.delete_table().table_name(id).send().await;
                deleted.map_err(aws::failed("dynamodb:DeleteTable", id))?;
            }
            "AWS::SQS::Queue" => {
                let client = aws_sdk_sqs::Client::new(config);
                let deleted = client.delete_queue().queue_url(id).send().await;
                deleted.map_err(aws::failed("sqs:DeleteQueue", id))?;
            }
            _ => left.push(one),
        }
    }
    Ok(left)
}

impl Count {
    fn of(self, what: &str) -> String {
        let more = if self.and_more { " or more" } else { "" };
        text::count(self.number, what) + more
    }
}

impl Holdings {
    /// For people: a line for each kind of thing, with what becomes of it.
    pub fn told(&self, data: Data) -> String {
        let fate = |kept| match (kept, data) {
            (true, Data::Keep) => "kept",
            (true, Data::Delete) => "deleted, as --delete-data says",
            (false, _) => "deleted: the stack's template does not keep them",
        };
        let mut told = String::new();
        for (priority, depth) in &self.calls {
            told += &format!(
                "  {:<34} deleted: their workflows end without an answer\n",
                text::count(depth.total(), &format!("{priority} call"))
            );
        }
        let rest = [
            (text::count(self.dead_letters, "dead letter"), fate(self.keeps_dead_letters)),
            (self.unresolved.of("unresolved call"), fate(self.keeps_records)),
            (self.records.of("record"), fate(self.keeps_records)),
        ];
        for (what, fate) in rest {
            told += &format!("  {what:<34} {fate}\n");
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "Resources:\n  DeadLetterQueue:\n    Type: AWS::SQS::Queue\n    \
        DeletionPolicy: Delete\n\n  # Records\n  IdempotencyTable:\n    # Why.\n\n    \
        DeletionPolicy: RetainExceptOnCreate\n    Properties: {}\n  HighQueue:\n    \
        DeletionPolicy: Retain\n";

    #[test]
    fn the_template_says_what_is_kept() {
        assert!(keeps(TEMPLATE, "IdempotencyTable"));
        assert!(!keeps(TEMPLATE, "DeadLetterQueue"), "the policy of the next is not its own");
        assert!(!keeps(TEMPLATE, "Nothing"));
        assert!(keeps(TEMPLATE, "HighQueue"));
    }

    #[test]
    fn each_number_is_told_with_its_fate() {
        let depth = Depth { waiting: 1, delayed: 2, received: 4 };
        let holdings = Holdings {
            calls: vec![(Priority::Batch, depth)],
            dead_letters: 3,
            unresolved: Count { number: 1000, and_more: true },
            records: Count { number: 12, and_more: false },
            keeps_dead_letters: false,
            keeps_records: true,
        };
        let lines = |data| {
            let told = holdings.told(data);
            told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        let kept: Vec<String> = lines(Data::Keep);
        assert_eq!(kept[0], "7 BATCH calls deleted: their workflows end without an answer");
        assert_eq!(kept[1], "3 dead letters deleted: the stack's template does not keep them");
        assert_eq!(kept[2], "1000 unresolved calls or more kept");
        assert_eq!(kept[3], "12 records kept");
        let deleted: Vec<String> = lines(Data::Delete);
        assert_eq!(deleted[3], "12 records deleted, as --delete-data says");
    }
}
