//! All that the worker knows of AWS's services.

pub(crate) mod clients;
pub(crate) mod deletes;
pub(crate) mod doorbell;
pub(crate) mod files;
pub(crate) mod function;
pub(crate) mod queues;
pub(crate) mod secret;
pub(crate) mod signed;
pub(crate) mod task_callback;

use std::time::Duration;

/// SQS takes whole seconds: rounded up, so that nothing comes back earlier than it was told.
fn whole_secs(duration: Duration, most: Duration) -> i32 {
    let secs = duration.min(most).as_millis().div_ceil(1000);
    i32::try_from(secs).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_capped() {
        let table = [(0, 0), (1, 1), (1000, 1), (1001, 2), (901_000, 900)];
        for (millis, secs) in table {
            let whole = whole_secs(Duration::from_millis(millis), Duration::from_secs(900));
            assert_eq!(whole, secs, "{millis} ms");
        }
    }
}
