//! The AWS services that a worker speaks to.

use aws_config::SdkConfig;
use slowlane_limiter::DateListener;

/// The worker's AWS clients. Each may have a configuration of its own: an endpoint, time-outs.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For the calls' queues and the doorbell. Its clock is the worker's.
    pub sqs: aws_sdk_sqs::Client,
    /// For the task tokens of the workflows.
    pub sfn: aws_sdk_sfn::Client,
    /// For the idempotency guard's table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// For waking other slots.
    pub lambda: aws_sdk_lambda::Client,
}

impl Clients {
    /// Clients that are all configured as `sdk` says.
    pub fn new(sdk: &SdkConfig) -> Self {
        Clients {
            sqs: aws_sdk_sqs::Client::new(sdk),
            sfn: aws_sdk_sfn::Client::new(sdk),
            dynamodb: aws_sdk_dynamodb::Client::new(sdk),
            lambda: aws_sdk_lambda::Client::new(sdk),
        }
    }

    /// The same, of which those that are used most tell `listener` the `Date` of every answer.
    pub(crate) fn heard_by(self, listener: &DateListener) -> Self {
        let sqs = self.sqs.config().to_builder().interceptor(listener.clone());
        let dynamodb = self.dynamodb.config().to_builder().interceptor(listener.clone());
        Clients {
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            ..self
        }
    }
}
