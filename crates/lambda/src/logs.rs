//! Structured logs: one JSON object a line on stdout, where Lambda collects them.

use std::error::Error;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// Sends `tracing` events to stdout as JSON lines. `level` is a filter as `tracing` knows them
/// (`info`, `warn`, `slowlane_worker=debug,info`). One that does not parse, or is empty, counts
/// as `info`: a Lambda that cannot log its own start is worse than one that logs too much.
pub fn init(level: &str) {
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false);
    // A second call (a test process that starts two Lambdas) keeps the first subscriber.
    let _ = registry().with(lines.with_filter(filter(level))).try_init();
}

/// By targets and levels only: a filter by spans and fields would bring regular expressions along.
fn filter(level: &str) -> Targets {
    // An empty filter would let nothing through.
    let given = Some(level).filter(|level| !level.is_empty());
    let parsed = given.and_then(|level| level.parse().ok());
    parsed.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// An error and all its causes in one line, the outermost first. What an error repeats of
/// its cause is said once.
///
/// It is for log lines and for what a workflow is told. AWS's SDKs and `reqwest` name only the kind
/// of a failure in their own message, and in its causes what happened.
pub fn chain(error: &(dyn Error + 'static)) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_level_is_info() {
        for (level, expected) in [("", "info"), ("a=b=c", "info"), ("warn", "warn")] {
            assert_eq!(filter(level).to_string(), expected, "{level:?}");
        }
    }

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
}
