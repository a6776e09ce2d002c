//! How long the enqueuer waits for SQS.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use slowlane_policy::timing::ENQUEUER_REQUEST_TIMEOUT;

/// A try that hangs leaves time for two more.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// The time-outs of the enqueuer's SDK: the call and its ring together end before Lambda would end
/// the function.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(ENQUEUER_REQUEST_TIMEOUT)
        .build()
}
