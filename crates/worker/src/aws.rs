//! All that the worker knows of AWS's services.

pub(crate) mod clients;
pub(crate) mod deletes;
pub(crate) mod doorbell;
pub(crate) mod queues;
pub(crate) mod secret;
pub(crate) mod task_callback;

use std::error::Error;
use std::time::Duration;

/// An error and all its causes in one line, the outermost first. What an error repeats of
/// its cause is said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

/// SQS takes whole seconds: rounded up, so that nothing comes back earlier than it was told.
fn whole_secs(duration: Duration, most: Duration) -> i32 {
    let secs = duration.min(most).as_millis().div_ceil(1000);
    i32::try_from(secs).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        let layer = |text, source| Layer { text, source };
        let inner = layer("no such table", None);
        let middle = layer("the store: no such table", Some(Box::new(inner)));
        let outer = layer("not claimed", Some(Box::new(middle)));
        assert_eq!(chain(&outer), "not claimed: the store: no such table");
    }

    #[test]
    fn seconds_are_rounded_up_and_capped() {
        let table = [(0, 0), (1, 1), (1000, 1), (1001, 2), (901_000, 900)];
        for (millis, secs) in table {
            let whole = whole_secs(Duration::from_millis(millis), Duration::from_secs(900));
            assert_eq!(whole, secs, "{millis} ms");
        }
    }
}
