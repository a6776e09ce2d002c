//! The one clock of a Lambda: the time source of its AWS clients.
//!
//! Requests are signed with it and deadlines are checked against it, so that whoever
//! replaces it (a simulator, a test) rules all of the program's time at once.

use std::time::SystemTime;

use aws_smithy_async::time::SharedTimeSource;
use jiff::Timestamp;

/// Wall-clock time as the AWS SDK sees it.
#[derive(Debug, Clone)]
pub struct Clock(SharedTimeSource);

impl Clock {
    /// The clock that a client signs its requests with: its configuration's `time_source`, or
    /// the system's where it has none.
    pub fn of(time_source: Option<SharedTimeSource>) -> Self {
        Clock(time_source.unwrap_or_default())
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
