//! What was measured, as a table and as a page for people.

use std::fs;
use std::path::Path;

use comfy_table::{Table, presets};

use super::{BESIDE, Bar, CALLS_BESIDE, Measured, Verdict, count};
use crate::report::Row;

/// The table of all bars.
pub fn table(measured: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let beside = BESIDE.map(|dispatch| format!("`{}`", dispatch.name()));
    let head = ["case", "promise", "bar", "worker at worst", "where", "met"].map(str::to_owned);
    table.set_header(head.into_iter().chain(beside));
    for case in measured {
        let name = case.case.scenario().map(|scenario| scenario.name).unwrap_or_default();
        for (bar, verdict) in case.case.bars.iter().zip(&case.verdicts) {
            let [figure, facts, met] = cells(verdict);
            let mut cells =
                vec![name.clone(), bar.promise.to_owned(), bound(bar), figure, facts, met];
            cells.extend(BESIDE.map(|way| {
                let row = case.beside.iter().find(|row| row.strategy == way.name());
                row.map_or_else(|| "–".to_owned(), |row| beside_worker(bar, row))
            }));
            table.add_row(cells);
        }
    }
    table
}

fn cells(verdict: &Verdict) -> [String; 3] {
    let dash = || "–".to_owned();
    match verdict {
        Verdict::Met(worst) => [told(worst.figure), worst.facts.clone(), "yes".to_owned()],
        Verdict::Missed(worst) => [told(worst.figure), worst.facts.clone(), "**NO**".to_owned()],
        Verdict::NotKept(missing) => [dash(), dash(), format!("not kept yet: {missing}")],
    }
}

fn bound(bar: &Bar) -> String {
    let sign = if bar.at_least { ">=" } else { "<=" };
    let polls = if bar.waits_for_polls { " (+ 0.4)" } else { "" };
    format!("{sign} {}{polls}", figure(bar.bound))
}

fn beside_worker(bar: &Bar, row: &Row) -> String {
    told((bar.figure)(row))
}

fn told(value: Option<f64>) -> String {
    value.map_or_else(|| "not told".to_owned(), figure)
}

/// Whole numbers as such, others with three digits.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// What is missed, a line each.
fn missed(measured: &[Measured]) -> String {
    let mut lines = String::new();
    for case in measured {
        let name = case.case.scenario().map(|scenario| scenario.name).unwrap_or_default();
        for (bar, verdict) in case.case.bars.iter().zip(&case.verdicts) {
            if matches!(verdict, Verdict::Missed(_)) {
                let why = bar.missed_because.unwrap_or("why is not known yet.");
                lines += &format!("- {name}, {}: {why}\n", bar.promise);
            }
        }
    }
    match lines.is_empty() {
        true => lines,
        false => format!("\n## What is missed, and why\n\n{lines}"),
    }
}

/// Writes `limits.md`.
///
/// # Errors
/// The file cannot be written.
pub fn write(directory: &Path, measured: &[Measured], seed: u64) -> std::io::Result<()> {
    let (met, missed_bars, open) = count(measured);
    let open = match open {
        0 => String::new(),
        open => format!(
            " {open} more are of cases that the worker does not keep yet: these are shown as open, \
             and never as met."
        ),
    };
    let page = format!(
        "# What is promised of limits\n\n\
         Made by `cargo xtask bench --limits --docs docs` with seed {seed}; not edited.\n\n\
         {met} bars are met, and {missed_bars} missed.{open}\n\n\
         Each case is a scenario of `crates/simulator/scenarios/limits`. The worker runs it at \
         both ends of every fact about AWS that nobody has confirmed, and at some corners of all \
         of them together. Its worst figure counts, and where it was is named. An AWS request takes \
         6 ms in the middle and 40 ms at p99. \"Used\" is a share of what an oracle says that the API \
         would have taken ([README](../crates/simulator/README.md#what-the-api-takes)). Where half \
         of the short polls miss, a HIGH call may wait 0.4 s longer.\n\n\
         Beside it stand three ways without a queue, in floods of {CALLS_BESIDE} calls at most, \
         with the facts as assumed. They know no priority, and wait by polling:\n\n\
         - `limiter`: a function with [slowlane-limiter](../crates/limiter/README.md) in it;\n\
         - `check-and-reject`: a counter for each window in DynamoDB; a call that finds it full is \
         retried by the workflow with full jitter, eight times;\n\
         - `direct`: no limiter; a 429 is retried in the same way.\n\n\
         Two things are not measured here. One is two stacks that share a limit by its name, since \
         a run has one stack. The other is which reads of the control record stand in a call's \
         way.\n\n{}\n{}",
        table(measured),
        missed(measured),
    );
    fs::create_dir_all(directory)?;
    fs::write(directory.join("limits.md"), page)
}
