//! How patient the worker is with the table of a limit.

use std::time::Duration;

use aws_smithy_types::timeout::TimeoutConfig;

/// How long the limiter's store may take, its own tries included. Then a slot keeps its share.
const LONGEST_WRITE: Duration = Duration::from_secs(1);

/// A client that gives up in time.
pub(super) fn impatient(dynamodb: &aws_sdk_dynamodb::Client) -> aws_sdk_dynamodb::Client {
    let timeouts = TimeoutConfig::builder().operation_timeout(LONGEST_WRITE).build();
    let config = dynamodb.config().to_builder().timeout_config(timeouts);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}
