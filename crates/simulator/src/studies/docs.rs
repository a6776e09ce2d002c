//! The comparison as files for people: two pages of tables and three plots.

use std::fs;
use std::path::Path;

use super::bars;
use super::bench::Comparison;
use super::plots;
use crate::report::{facts_table, table};
use crate::scenario::{Dispatch, Scenario};

/// The strategies whose flood is drawn.
const DRAWN: [Dispatch; 3] = [Dispatch::DeferralYield, Dispatch::DeferralSwap, Dispatch::Doorbell];

/// Why the files were not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A plot could not be drawn.
    #[error(transparent)]
    Plot(#[from] plots::Error),
}

impl Comparison {
    /// Writes `comparison.md`, `bars.md`, `slots.svg`, `depth.svg` and `waits.svg`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_docs(&self, directory: &Path, seed: u64) -> Result<(), Error> {
        let bars = bars::table(&bars::check(&self.swept));
        write(directory, "comparison.md", &self.comparison_page(seed))?;
        let page = format!(
            "# What the default dispatch promises\n\n{}\n\n\
             The flood: a fifth of the calls NORMAL and nearly three quarters BATCH, all at once; \
             one in sixteen is HIGH, and comes at random while the others wait. Service times are \
             the API's time for a call. A flood has 6,400 calls (400 HIGH) for the default at the \
             limits that have a bar for the wait. Elsewhere it has 320 (20 HIGH), and so it has \
             for `deferral-yield`, the pattern as first published: there, p99 is the longest \
             wait.\n\n{bars}\n\n\
             ## At every value of what nobody has confirmed\n\n\
             Each fact that plays a part while nothing goes wrong, at both ends of its range, the \
             others as assumed; a corner has all facts at one end or the other, drawn by the \
             seed. `crates/aws-simulator/src/cloud/parameters.rs` says what the facts mean. Waits are in seconds.\n\n{}\n",
            generated(seed),
            facts_table(&self.swept),
        );
        write(directory, "bars.md", &page)?;
        let scenarios = DRAWN.map(|dispatch| Scenario { dispatch, seed, ..Scenario::flood() });
        Ok(plots::draw(directory, &scenarios)?)
    }

    fn comparison_page(&self, seed: u64) -> String {
        let mut page = format!(
            "# Eight strategies under the same loads\n\n{}\n\n\
             `half` and `full` are random arrivals at half of what the limit allows and at all of \
             it; `flood` is 80 calls for each slot, all at once but for one in sixteen, the \
             HIGH calls that come one by one. `used` is the time that the API worked \
             over what the limit allows, from the first call to the last. Waits are in seconds, \
             from the enqueuer's sending (the workflow's asking, where there is no queue) to the \
             API's start. `DLQ` counts healthy calls in the dead-letter queue; `twice` counts \
             effects beyond the first of calls that must have one. `bound` is the stated bound \
             on the BATCH wait, where there is one.\n",
            generated(seed)
        );
        let mut latencies: Vec<f64> = self.compared.iter().map(|row| row.latency_ms).collect();
        latencies.dedup();
        for latency_ms in latencies {
            let rows = self.compared.iter().filter(|row| row.latency_ms == latency_ms);
            let tail = if latency_ms == 2_000.0 { ", with a tail: p99 10 s" } else { "" };
            page += &format!("\n## Calls of {latency_ms} ms{tail}\n\n{}\n", table(rows));
        }
        page
    }
}

fn generated(seed: u64) -> String {
    format!(
        "Made by `cargo xtask bench --docs crates/simulator/docs` with seed {seed}; not edited."
    )
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = directory.join(name);
    let failed = |source| Error::File { path: path.display().to_string(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    fs::write(&path, text).map_err(failed)
}
