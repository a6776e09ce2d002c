//! What SQS says of a queue without a message being received.

use crate::aws;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Serialize;

/// How many messages a queue has. Approximate: SQS counts up to about a minute late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Those that can be received now.
    pub waiting: u64,
    /// Those that were sent with a delay which is not over.
    pub delayed: u64,
    /// Those that somebody has received: being worked on, or hidden until they are tried again.
    pub received: u64,
}

impl Depth {
    /// All messages of the queue.
    pub fn total(self) -> u64 {
        self.waiting + self.delayed + self.received
    }
}

/// The depth of a queue.
///
/// # Errors
/// If SQS refuses, or there is no such queue.
pub async fn depth(client: &Client, url: &str) -> Result<Depth, aws::Error> {
    use QueueAttributeName as Name;
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(Name::ApproximateNumberOfMessages)
        .attribute_names(Name::ApproximateNumberOfMessagesDelayed)
        .attribute_names(Name::ApproximateNumberOfMessagesNotVisible)
        .send()
        .await
        .map_err(aws::failed("sqs:GetQueueAttributes", url))?;
    let number = |name| {
        let text = answer.attributes().and_then(|all| all.get(&name));
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    Ok(Depth {
        waiting: number(Name::ApproximateNumberOfMessages),
        delayed: number(Name::ApproximateNumberOfMessagesDelayed),
        received: number(Name::ApproximateNumberOfMessagesNotVisible),
    })
}
