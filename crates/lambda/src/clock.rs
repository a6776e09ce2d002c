//! The one clock of a Lambda: the time source of its AWS SDK configuration.
//!
//! Requests are signed with it and deadlines are checked against it, so that whoever
//! replaces it (a simulator, a test) rules all of the program's time at once.

use std::time::SystemTime;

use aws_smithy_async::time::SharedTimeSource;
use aws_types::SdkConfig;
use jiff::Timestamp;

/// Wall-clock time as the AWS SDK sees it.
#[derive(Debug, Clone)]
pub struct Clock(SharedTimeSource);

impl Clock {
    /// The clock that `sdk` signs its requests with.
    pub fn of(sdk: &SdkConfig) -> Self {
        Clock(sdk.time_source().unwrap_or_default())
    }

    /// Now, as the standard library has it.
    pub fn system_time(&self) -> SystemTime {
        self.0.now()
    }

    /// Now. A clock set before the year -9999 or after 9999 reads as 1970.
    pub fn now(&self) -> Timestamp {
        Timestamp::try_from(self.0.now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
