//! Structured logs: one JSON object a line on stdout, where Lambda collects them.

use tracing_subscriber::EnvFilter;

/// Sends `tracing` events to stdout as JSON lines. `level` is a filter as `tracing` knows them
/// (`info`, `warn`, `slowlane_worker=debug,info`). One that does not parse counts as `info`: a
/// Lambda that cannot log its own start is worse than one that logs too much.
pub fn init(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call (a test process that starts two Lambdas) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(filter)
        .try_init();
}
