//! The simulator's commands.

use std::fs;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use slowlane_simulator::bench::{self, Extent};
use slowlane_simulator::report::{self, Row, table};
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::Scenario;
use slowlane_simulator::time::Moment;
use slowlane_simulator::transcript::{Event, Watch};
use slowlane_simulator::{chaos, plots};

/// Runs the real enqueuer and worker on a simulated cloud, in virtual time.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one scenario, from a file or drawn from a seed.
    Simulate(Simulate),
    /// Run random scenarios with all faults, and shrink the first that breaks an invariant.
    Chaos(Chaos),
    /// Compare the strategies on the same loads, and again over the unconfirmed facts.
    Bench(Bench),
}

#[derive(clap::Args)]
struct Simulate {
    /// A scenario in TOML; without it, the flood of `--calls` calls.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Run the random scenario of `--seed`, with all faults, instead of a file's.
    #[arg(long, conflicts_with = "scenario")]
    chaos: bool,
    /// Rules everything that is left to chance.
    #[arg(long)]
    seed: Option<u64>,
    /// Scale all loads so that there are this many calls.
    #[arg(long)]
    calls: Option<u64>,
    /// The API's limit.
    #[arg(long)]
    limit: Option<u32>,
    /// Write the figures as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Write every event, one a line.
    #[arg(long)]
    transcript: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Chaos {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Name every seed that breaks an invariant instead of shrinking the first.
    #[arg(long)]
    keep_going: bool,
    /// Where the shrunk scenario of a failing seed goes.
    #[arg(long, default_value = "failing.toml")]
    shrunk: PathBuf,
}

#[derive(clap::Args)]
struct Bench {
    /// Limits 2 and 5, calls of 200 ms, floods only: under a minute.
    #[arg(long)]
    quick: bool,
    /// Rules everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the rows as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Write the plots and the tables into this directory.
    #[arg(long)]
    docs: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Simulate(arguments) => simulate(&arguments),
        Command::Chaos(arguments) => run_chaos(&arguments),
        Command::Bench(arguments) => run_bench(&arguments),
    }
}

fn simulate(arguments: &Simulate) -> Result<ExitCode> {
    let scenario = arguments.scenario()?;
    let bar = progress_bar(scenario.calls());
    let progress = |opened: u64, waiting: u64| bar.set_position(opened - waiting);
    let watch = arguments.transcript.as_deref().map(Lines::create).transpose()?;
    let watch = watch.map(|lines| Box::new(lines) as Box<dyn Watch>);
    let started = Instant::now();
    let outcome = run(&scenario, Onlooker { progress: &progress, watch })?;
    let took = started.elapsed();
    bar.finish_and_clear();
    let row = Row::of(scenario.dispatch.name(), &scenario, &outcome);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", table(std::slice::from_ref(&row)))?;
    writeln!(
        out,
        "{} calls in {:.1} s, {:.0} a second; {} AWS requests, {:.1} us each; virtual {:.0} s",
        outcome.measures.calls,
        took.as_secs_f64(),
        outcome.measures.calls as f64 / took.as_secs_f64(),
        outcome.measures.aws_requests,
        took.as_secs_f64() * 1e6 / outcome.measures.aws_requests.max(1) as f64,
        outcome.measures.makespan.as_secs_f64(),
    )?;
    writeln!(out, "ended: {:?}; faults: {}", outcome.ends, outcome.strikes)?;
    writeln!(out, "seed {}, transcript {:016x}", scenario.seed, outcome.hash)?;
    if let Some(path) = &arguments.report {
        fs::write(path, serde_json::to_string_pretty(&[row])?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
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
        if let Some(calls) = self.calls {
            scenario.scale_to(calls);
        }
        Ok(scenario)
    }
}

fn run_chaos(arguments: &Chaos) -> Result<ExitCode> {
    let bar = progress_bar(arguments.seeds);
    let started = Instant::now();
    let (mut calls, mut strikes, mut failing) = (0, 0, 0);
    let mut out = std::io::stdout().lock();
    for seed in arguments.from..arguments.from + arguments.seeds {
        let scenario = chaos::scenario(seed, None);
        let outcome = run(&scenario, Onlooker::nobody())?;
        bar.inc(1);
        calls += outcome.measures.calls;
        strikes += outcome.strikes;
        if let Some(violation) = outcome.violations.first() {
            failing += 1;
            writeln!(out, "seed {seed}, {}: {violation}", scenario.dispatch.name())?;
            if arguments.keep_going {
                continue;
            }
            bar.finish_and_clear();
            writeln!(out, "replay: slowlane-simulator simulate --chaos --seed {seed}")?;
            let shrunk = chaos::shrink(scenario, violation.invariant)?;
            let path = arguments.shrunk.display();
            fs::write(&arguments.shrunk, shrunk.to_toml()?)?;
            writeln!(out, "shrunk: slowlane-simulator simulate --scenario {path}")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    bar.finish_and_clear();
    let took = started.elapsed().as_secs_f64();
    let seeds = arguments.seeds;
    writeln!(
        out,
        "{seeds} seeds, {calls} calls, {strikes} faults, {failing} failing seeds, {took:.1} s"
    )?;
    Ok(if failing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_bench(arguments: &Bench) -> Result<ExitCode> {
    let extent = if arguments.quick { Extent::Quick } else { Extent::Full };
    let bar = progress_bar(0);
    let mut told = |row: &Row, total: usize| {
        bar.set_length(total as u64);
        bar.set_message(row.strategy.clone());
        bar.inc(1);
    };
    let rows = bench::compare(extent, arguments.seed, &mut told)?;
    bar.reset();
    let swept = bench::sweep(extent, arguments.seed, &mut |row, total| {
        bar.set_length(total as u64);
        bar.set_message(row.load.clone());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    let summary = report::extremes(&swept);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n\n{summary}", table(&rows))?;
    if let Some(path) = &arguments.report {
        let all: Vec<&Row> = rows.iter().chain(&swept).collect();
        fs::write(path, serde_json::to_string_pretty(&all)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(directory) = &arguments.docs {
        fs::create_dir_all(directory)?;
        let text = format!("{}\n\n{summary}\n", table(&rows));
        fs::write(directory.join("comparison.md"), text)?;
        plots::draw(directory, arguments.seed)?;
    }
    Ok(ExitCode::SUCCESS)
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

/// Writes every event to a file.
struct Lines(BufWriter<fs::File>);

impl Lines {
    fn create(path: &Path) -> Result<Lines> {
        let file =
            fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Lines(BufWriter::new(file)))
    }
}

impl Watch for Lines {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        // A full disk ends the transcript, not the run.
        let _ = writeln!(self.0, "{:>9} {event:?}", now.millis());
    }
}
