//! `cargo xtask simulate` and `cargo xtask bench`.

use std::fs;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use slowlane_aws_simulator::faults::Kind;
use slowlane_aws_simulator::transcript::Watch;
use slowlane_simulator::faults::Fault;
use slowlane_simulator::narrator::Narrator;
use slowlane_simulator::report::{Row, table};
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Dispatch, Scenario};
use slowlane_simulator::studies::bench::{self, Extent};
use slowlane_simulator::studies::{bars, chaos, limits, plots};

/// A fifth of a run's time goes to the many small allocations of the AWS SDK.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the real enqueuer and worker on a simulated cloud, in virtual time.
#[derive(Parser)]
#[command(name = "slowlane-simulator", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one scenario, from a file or drawn from a seed; or many random ones
    ///
    /// Without a scenario it is the flood: 240 BATCH and 60 NORMAL calls at once, and a HIGH call
    /// every 400 ms. The command fails if an invariant was broken.
    Simulate(Simulate),
    /// Compare the strategies on the same loads, and check what the default promises
    ///
    /// Every strategy runs under every load. Then the default dispatch and the pattern as first
    /// published run at both ends of every fact about AWS that nobody has confirmed. The command
    /// fails if a promise is broken anywhere.
    Bench(Bench),
}

#[derive(clap::Args)]
struct Simulate {
    /// A scenario in TOML (crates/simulator/scenarios has some)
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Random scenarios in which everything goes wrong: that of `--seed`, or `--seeds` of them
    #[arg(long, conflicts_with = "scenario")]
    chaos: bool,
    /// How many random scenarios, from `--seed` on; the first that breaks an invariant is shrunk
    #[arg(long, requires = "chaos", conflicts_with_all = ["report", "transcript", "plots"])]
    seeds: Option<u64>,
    /// Name every seed that breaks an invariant instead of shrinking the first
    #[arg(long, requires = "seeds")]
    keep_going: bool,
    /// Where the shrunk scenario goes
    #[arg(long, requires = "seeds", default_value = "failing.toml")]
    shrunk: PathBuf,
    /// Rules everything that is left to chance
    #[arg(long)]
    seed: Option<u64>,
    /// Scale all loads so that there are this many calls
    #[arg(long)]
    calls: Option<u64>,
    /// The API's limit
    #[arg(long)]
    limit: Option<u32>,
    /// How calls find their slots
    #[arg(long, value_parser = Dispatch::named)]
    dispatch: Option<Dispatch>,
    /// Write the figures as JSON
    #[arg(long)]
    report: Option<PathBuf>,
    /// Write every event, one a line
    #[arg(long)]
    transcript: Option<PathBuf>,
    /// Draw slots, queues and waits into this directory
    #[arg(long, conflicts_with = "transcript")]
    plots: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Bench {
    /// Limits 2 and 5, calls of 200 ms, floods only
    #[arg(long)]
    quick: bool,
    /// What is promised of limits, instead: rates, tenants, outages, pauses
    ///
    /// The cases are those of crates/simulator/scenarios/limits. The command fails if a bar is missed;
    /// what the worker does not keep yet is shown as open, and never as met.
    #[arg(long, conflicts_with = "quick")]
    limits: bool,
    /// Rules everything that is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the rows as JSON
    #[arg(long)]
    report: Option<PathBuf>,
    /// Write the tables and the plots into this directory
    #[arg(long)]
    docs: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Simulate(arguments) => match arguments.seeds {
            Some(seeds) => search(&arguments, seeds),
            None => simulate(&arguments),
        },
        Command::Bench(arguments) if arguments.limits => run_limits(&arguments),
        Command::Bench(arguments) => run_bench(&arguments),
    }
}

fn simulate(arguments: &Simulate) -> Result<ExitCode> {
    let scenario = arguments.scenario()?;
    let mut out = std::io::stdout().lock();
    if let Some(directory) = &arguments.plots {
        fs::create_dir_all(directory)?;
        plots::draw(directory, std::slice::from_ref(&scenario))?;
    }
    let bar = progress_bar(scenario.calls());
    let progress = |opened: u64, waiting: u64| bar.set_position(opened - waiting);
    let watch = arguments.transcript.as_deref().map(narrator).transpose()?;
    let started = Instant::now();
    let outcome = run(&scenario, Onlooker { progress: &progress, watch, monitor: None })?;
    let took = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let row = Row::of(&scenario, &outcome);
    let measures = &outcome.measures;
    writeln!(out, "{}", table([&row]))?;
    writeln!(
        out,
        "{} calls in {took:.1} s, {:.0} a second; {} AWS requests, {:.1} us each; virtual {:.0} s; {}",
        measures.calls,
        measures.calls as f64 / took,
        measures.aws_requests(),
        took * 1e6 / measures.aws_requests().max(1) as f64,
        measures.makespan.as_secs_f64(),
        memory(),
    )?;
    writeln!(out, "ended: {:?}; faults: {}", outcome.ends, outcome.struck.total())?;
    let by_operation = row.aws_requests_by_operation.iter();
    let by_operation: Vec<_> = by_operation.map(|(name, n)| format!("{name} {n:.2}")).collect();
    writeln!(out, "AWS requests a call: {}", by_operation.join(", "))?;
    writeln!(out, "seed {}, transcript {:016x}", scenario.seed, outcome.hash)?;
    write_report(arguments.report.as_deref(), &[row])?;
    tell_violations(&mut out, &outcome)
}

fn tell_violations(out: &mut impl Write, outcome: &Outcome) -> Result<ExitCode> {
    for violation in &outcome.violations {
        writeln!(out, "VIOLATED {violation}")?;
    }
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Simulate {
    fn scenario(&self) -> Result<Scenario> {
        let mut scenario = match &self.scenario {
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Scenario::parse(&text).with_context(|| path.display().to_string())?
            }
            None if self.chaos => chaos::scenario(self.seed.unwrap_or(1), None),
            None => Scenario::flood(),
        };
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.limit = self.limit.unwrap_or(scenario.limit);
        scenario.dispatch = self.dispatch.unwrap_or(scenario.dispatch);
        if let Some(calls) = self.calls {
            scenario.scale_to(calls);
        }
        Ok(scenario)
    }
}

/// Random scenarios, and the first failing one made small.
fn search(arguments: &Simulate, seeds: u64) -> Result<ExitCode> {
    let bar = progress_bar(seeds);
    let started = Instant::now();
    let first = arguments.seed.unwrap_or(0);
    let searched = chaos::search(first..first + seeds, arguments.keep_going, || bar.inc(1))?;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    for fault in Fault::ALL {
        writeln!(out, "{:>10} {}", searched.struck.of(fault), fault.name())?;
    }
    writeln!(
        out,
        "{} seeds from {first}, {} calls, {} events, {} faults, {} failing seeds, {:.1} s",
        searched.seeds,
        searched.calls,
        searched.events,
        searched.struck.total(),
        searched.failing.len(),
        started.elapsed().as_secs_f64(),
    )?;
    for (seed, violation) in &searched.failing {
        writeln!(out, "seed {seed}: {violation}\n  replay: {}", chaos::replay(*seed))?;
    }
    let Some((seed, violation)) = searched.failing.first() else { return Ok(ExitCode::SUCCESS) };
    if !arguments.keep_going {
        let shrunk = chaos::shrink(chaos::scenario(*seed, None), violation.invariant)?;
        fs::write(&arguments.shrunk, shrunk.to_toml()?)?;
        let path = arguments.shrunk.display();
        writeln!(out, "  shrunk: cargo xtask simulate --scenario {path}")?;
    }
    Ok(ExitCode::FAILURE)
}

fn run_bench(arguments: &Bench) -> Result<ExitCode> {
    let extent = if arguments.quick { Extent::Quick } else { Extent::Full };
    let bar = progress_bar(0);
    let started = Instant::now();
    let comparison = bench::compare(extent, arguments.seed, |row, total| {
        bar.set_length(total as u64);
        bar.set_message(row.strategy.clone());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    let bars = bars::check(&comparison.swept);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n\n{}\n", table(&comparison.compared), bars::table(&bars))?;
    let rows = comparison.compared.len() + comparison.swept.len();
    writeln!(out, "{rows} runs in {:.0} s", started.elapsed().as_secs_f64())?;
    let all: Vec<&Row> = comparison.compared.iter().chain(&comparison.swept).collect();
    write_report(arguments.report.as_deref(), &all)?;
    if let Some(directory) = &arguments.docs {
        comparison.write_docs(directory, arguments.seed)?;
    }
    let broken = bars.iter().filter(|bar| !bar.kept).count();
    writeln!(out, "{broken} of {} promises broken", bars.len())?;
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_limits(arguments: &Bench) -> Result<ExitCode> {
    let bar = progress_bar(0);
    let measured = limits::measure(arguments.seed, |row, total| {
        bar.set_length(total as u64);
        bar.set_message(row.load.clone());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", limits::table(&measured))?;
    let rows: Vec<&Row> =
        measured.iter().flat_map(|case| case.worker.iter().chain(&case.beside)).collect();
    write_report(arguments.report.as_deref(), &rows)?;
    if let Some(directory) = &arguments.docs {
        let written = limits::write(directory, &measured, arguments.seed);
        written.with_context(|| format!("cannot write limits.md in {}", directory.display()))?;
    }
    let (met, missed, open) = limits::count(&measured);
    writeln!(out, "{met} bars met, {missed} missed, {open} not kept yet")?;
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_report(path: Option<&Path>, rows: &[impl serde::Serialize]) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(rows)?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

fn narrator(path: &Path) -> Result<Box<dyn Watch>> {
    let file =
        fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(Narrator(BufWriter::new(file))))
}

/// The most memory that this process has had, where the system tells.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or_else(|| "memory unknown".to_owned(), |kib| format!("{} MiB at most", kib / 1024))
}

fn progress_bar(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {elapsed}  {eta}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody types the name of this program.
    #[test]
    fn a_mistake_shows_what_was_typed() {
        for command in ["simulate", "bench"] {
            let refused = Arguments::try_parse_from(["slowlane-simulator", command, "--bogus"]);
            let told = refused.map(drop).unwrap_err().to_string();
            let usage = format!("Usage: cargo xtask {command} ");
            assert!(told.contains(&usage) && !told.contains("slowlane-"), "{told}");
        }
    }
}
