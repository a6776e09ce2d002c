//! The demo: brings a stack up, runs a workload through it, tells what happened.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use slowlane_deployer::Progress;
use slowlane_local::outage::{self, Outage};
use slowlane_local::progress::{self, Watched};
use slowlane_local::rate::Rate;
use slowlane_local::report::Observed;
use slowlane_local::run::{self, Execution, Started};
use slowlane_local::sandbox::{self, VendorSettings};
use slowlane_local::target::{self, Calls};
use slowlane_local::{
    Dispatch, MiniStack, OnHigher, Report, Settings, Stack, Target, Tools, Workload,
};
use slowlane_message::Priority;
use tempfile::TempDir;

use crate::keep::{Client, Kept};
use crate::scenario::{Scenario, Shown};

/// The stack's name on the local AWS.
const STACK_NAME: &str = "slowlane-demo";

/// How long the report waits after the last workflow has ended, so that the slots that made its
/// calls can end and write down their counts. Rings that are left over then have no call any
/// more; to count those too, a default run would have to wait for a minute.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) const ORDER_FORMAT: &str = "\
Orders for --input, one JSON object a line:
  {\"order_id\": \"web-1001\", \"customer_id\": \"118\", \"priority\": \"HIGH\",
   \"lines\": [{\"item_id\": \"501\", \"quantity\": 2, \"rate\": 19.9}], \"memo\": \"gift\"}
  order_id     the record's external id: 1 to 80 letters, digits, '_' and '-', once a file
  customer_id  the customer's internal id, a text
  priority     HIGH, NORMAL (or MEDIUM) or BATCH, in any case
  lines        at least one; item_id is a text, quantity and rate are numbers
  memo         a text; may be left out
A line that is not such an order is reported by its number and skipped.";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to show
    #[arg(long, value_enum, default_value_t = Scenario::Orders)]
    scenario: Scenario,
    /// Calls of another API in place of NetSuite's orders, against the sandbox of its profile: stripe,
    /// salesforce, openai, ... `slowlane demo` does so with a slowlane.toml of your own
    #[arg(
        long, value_name = "PROFILE",
        conflicts_with_all = ["scenario", "size", "input", "dispatch", "on_higher"]
    )]
    target: Option<String>,
    /// How many items, sagas, calls or reviews the scenario has [default: bulk 150, saga and cascade 40,
    /// pace 100, reviews 200, peers 600]
    ///
    /// For scenarios other than orders.
    #[arg(long, value_name = "N")]
    size: Option<usize>,
    /// BATCH orders to make up
    #[arg(long, value_name = "N", default_value_t = 240)]
    batch: usize,
    /// NORMAL orders to make up
    #[arg(long, value_name = "N", default_value_t = 60)]
    normal: usize,
    /// HIGH orders to make up
    #[arg(long, value_name = "N", default_value_t = 30)]
    high: usize,
    /// Start a HIGH order every N milliseconds, while the others come as fast as they are taken
    ///
    /// Holds for orders from --input too.
    #[arg(long, value_name = "N", default_value_t = 400)]
    high_every_ms: u64,
    /// Run the orders of this file instead of made-up ones
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["batch", "normal", "high"])]
    input: Option<PathBuf>,
    /// Calls that the API takes at once, and with them the worker's concurrency
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// How long the API takes for a call, in milliseconds [default: 200; bulk and cascade: 1000]
    #[arg(long, value_name = "N")]
    latency_ms: Option<u64>,
    /// How a slot finds its call
    #[arg(long, value_enum, default_value_t = Dispatch::Doorbell)]
    dispatch: Dispatch,
    /// What a lower call does when a higher one waits; only for --dispatch deferral
    #[arg(long, value_enum, default_value_t = OnHigher::Swap)]
    on_higher: OnHigher,
    /// What goes wrong at the API
    ///
    /// drop-after-commit, commit-late, 400, 400-after-commit, 500, 500-after-commit, 429-burst,
    /// invalid-login or slow, each with the calls it strikes: KIND:N for the next N, KIND:every=N,
    /// KIND:share=P, KIND:for=TIME. After a 500 that saved nothing, or an answer that was lost
    /// before the API began, nobody knows what became of a call. NetSuite has surely finished only
    /// after a quarter of an hour.
    #[arg(long, value_name = "KIND")]
    fault: Option<String>,
    /// A rate of the API's, which the worker is told too, such as 20/s or 100/20s
    ///
    /// For orders and for --target.
    #[arg(long, value_name = "CALLS/SPAN", conflicts_with_all = ["size"])]
    rate: Option<Rate>,
    /// Once a third of the calls are made, the API refuses everybody's credentials for so long: 30s, 2m
    ///
    /// For orders and for --target.
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with_all = ["size"])]
    outage: Option<Duration>,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// When all is done, leave everything running until Ctrl-C, and print what a client needs
    #[arg(long)]
    keep: bool,
}

/// A demo that has run to its end. Everything it started still runs, and ends with this.
pub(crate) struct Finished {
    is_good: bool,
    stack: Stack,
    ministack: MiniStack,
    // The last to go: the others write their logs into it.
    directory: TempDir,
}

/// Runs the demo and tells what happened.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Finished> {
    let tools = Tools::from_env()?;
    if let Some(profile) = &options.target {
        return run_target(options, &tools, profile).await;
    }
    let limits = options.rate.is_some() || options.outage.is_some();
    ensure!(
        options.scenario == Scenario::Orders || !limits,
        "--rate and --outage are for orders and for --target: a scenario has limits of its own"
    );
    let workload = options.workload()?;
    // Made before the run, because a run is too long to fail at its end.
    let report_file = options.report.as_deref().map(create).transpose()?;
    let mut directory = tempfile::Builder::new().prefix("slowlane-demo-").tempdir()?;
    let result = run_in(directory.path(), options, &tools, &workload).await;
    if !result.as_ref().is_ok_and(|(shown, ..)| shown.broken_promises.is_empty()) {
        directory.disable_cleanup(true);
        eprintln!("the logs are in {}", directory.path().display());
    }
    let (shown, stack, ministack) = result?;
    shown.tell(report_file)?;
    Ok(Finished { is_good: shown.broken_promises.is_empty(), stack, ministack, directory })
}

/// Calls of another API than NetSuite.
async fn run_target(options: &Options, tools: &Tools, profile: &str) -> anyhow::Result<Finished> {
    let report_file = options.report.as_deref().map(create).transpose()?;
    let mut directory = tempfile::Builder::new().prefix("slowlane-demo-").tempdir()?;
    let rates = options.rate.iter().map(|rate| ("--rate", rate.to_string()));
    let mut target = Target::of_profile(VendorSettings {
        rates: rates.collect(),
        fault: options.fault.clone(),
        named_by: Some(target::KEY_PREFIX.to_owned()),
        ..VendorSettings::new(profile, options.limit, options.latency_ms())
    });
    target.parameters.extend(options.limits().map(|(name, value)| (name.to_owned(), value)));
    let calls = Calls {
        of: [options.high, options.normal, options.batch],
        high_every: Duration::from_millis(options.high_every_ms),
        sample: None,
    };
    let beside = target::Shown { rate: options.rate.clone(), outage: options.outage() };
    let result =
        target::demo_of(tools, STACK_NAME, &target, &calls, &beside, directory.path()).await;
    if !result.as_ref().is_ok_and(|finished| finished.report.broken_promises().is_empty()) {
        directory.disable_cleanup(true);
        eprintln!("the logs are in {}", directory.path().display());
    }
    let target::Finished { report, stack, ministack } = result?;
    let shown = Shown {
        table: report.table(),
        report: serde_json::to_value(&report)?,
        broken_promises: report.broken_promises(),
    };
    shown.tell(report_file)?;
    Ok(Finished { is_good: shown.broken_promises.is_empty(), stack, ministack, directory })
}

async fn run_in(
    directory: &Path,
    options: &Options,
    tools: &Tools,
    workload: &Workload,
) -> anyhow::Result<(Shown, Stack, MiniStack)> {
    let target = options.scenario.target(options.limit, options.latency_ms());
    let api = target.as_ref().map_or("NetSuite", |target| &target.sandbox.profile);
    eprintln!("starting a local AWS and a sandbox of {api}");
    let ministack = MiniStack::start(&tools.python, directory).await?;
    eprintln!("deploying the template");
    let progress = Progress::stderr();
    let stack = match &target {
        Some(target) => {
            Stack::deploy_target(&ministack, tools, STACK_NAME, target, directory, &progress)
                .await?
        }
        None => {
            let settings = options.settings();
            Stack::deploy(&ministack, tools, STACK_NAME, &settings, directory, &progress).await?
        }
    };
    let shown = match options.scenario {
        Scenario::Orders => run_orders(options, &stack, workload).await?,
        other => other.run(&stack, options.size, options.limit, options.latency_ms()).await?,
    };
    Ok((shown, stack, ministack))
}

async fn run_orders(
    options: &Options,
    stack: &Stack,
    workload: &Workload,
) -> anyhow::Result<Shown> {
    eprintln!("starting {} workflows", workload.orders.len());
    let started = Started::default();
    let outage = options.outage();
    let watched = Watched {
        totals: Priority::ALL.map(|priority| workload.count(priority)),
        limit: options.limit,
        rate: options.rate.as_ref(),
        outage: outage.as_ref(),
    };
    let executions = tokio::select! {
        executions = run::run(stack, workload, &started) => executions?,
        never = progress::watch(stack, &watched, &started) => match never {},
        never = target::strike(outage.as_ref(), stack, workload.orders.len()) => match never? {},
    };
    stack.settle(SETTLE_TIMEOUT).await?;
    let outage = outage.as_ref().and_then(Outage::span);
    let report = report(options, stack, &executions, outage).await?;
    Ok(Shown {
        table: report.table(),
        report: serde_json::to_value(&report)?,
        broken_promises: report.broken_promises(),
    })
}

async fn report(
    options: &Options,
    stack: &Stack,
    executions: &[Execution],
    outage: Option<outage::Span>,
) -> anyhow::Result<Report> {
    Ok(Report::new(&Observed {
        dispatch: options.dispatch,
        on_higher: options.on_higher,
        limit: options.limit,
        latency_ms: options.latency_ms(),
        executions,
        sandbox: &stack.sandbox().report().await?,
        worker: stack.worker_counts()?,
        dead_letters: stack.depth(&stack.outputs().dead_letter_queue_url).await?.total(),
        rate: options.rate.as_ref(),
        outage,
    }))
}

impl Shown {
    /// Prints what was shown, and writes it down for programs.
    fn tell(&self, report_file: Option<File>) -> anyhow::Result<()> {
        writeln!(std::io::stdout(), "{}", self.table)?;
        for broken in &self.broken_promises {
            eprintln!("error: {broken}");
        }
        if let Some(mut file) = report_file {
            serde_json::to_writer_pretty(&mut file, &self.report)
                .context("cannot write the report")?;
            writeln!(file)?;
        }
        Ok(())
    }
}

impl Options {
    pub(crate) fn keep(&self) -> bool {
        self.keep
    }

    fn latency_ms(&self) -> u64 {
        self.latency_ms.unwrap_or_else(|| self.scenario.latency_ms())
    }

    fn workload(&self) -> anyhow::Result<Workload> {
        let high_every = Duration::from_millis(self.high_every_ms);
        let Some(path) = &self.input else {
            return Ok(Workload::made_up(self.batch, self.normal, self.high, high_every));
        };
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let (workload, bad_lines) = Workload::read(BufReader::new(file), high_every)
            .with_context(|| format!("cannot read {}", path.display()))?;
        for bad_line in &bad_lines {
            eprintln!("skipped: {}: {bad_line}", path.display());
        }
        ensure!(!workload.orders.is_empty(), "{} has no order that can be run", path.display());
        Ok(workload)
    }

    fn settings(&self) -> Settings {
        Settings {
            sandbox: sandbox::Settings {
                limit: self.limit,
                rates: self.rate().iter().map(Rate::to_string).collect(),
                latency_ms: self.latency_ms(),
                fault: self.fault.clone(),
                open: self.scenario.is_open(),
            },
            dispatch: self.dispatch,
            on_higher: self.on_higher,
            parameters: self.limits().into_iter().collect(),
        }
    }

    /// The template's parameter that tells the worker the rate.
    fn limits(&self) -> Option<(&'static str, String)> {
        self.rate().map(|rate| ("Limits", rate.as_limits()))
    }

    /// The user's rate, or the scenario's.
    fn rate(&self) -> Option<Rate> {
        self.rate.clone().or_else(|| self.scenario.rate())
    }

    fn outage(&self) -> Option<Outage> {
        self.outage.map(Outage::new)
    }
}

impl Finished {
    /// Whether the run kept all its promises.
    pub(crate) fn is_good(&self) -> bool {
        self.is_good
    }

    /// Says where everything is and how to use it, for whoever wants to look.
    pub(crate) fn print_places(&self) -> std::io::Result<()> {
        let kept = Kept {
            stack_name: STACK_NAME,
            local_aws: self.ministack.endpoint(),
            sandbox: self.stack.sandbox().endpoint(),
            logs: self.directory.path().display().to_string(),
            outputs: self.stack.outputs(),
            client: Client::of_this_machine(),
        };
        writeln!(std::io::stdout(), "{kept}")
    }
}

/// A time such as `30s` or `2m`.
fn span(text: &str) -> Result<Duration, &'static str> {
    let span = slowlane_sandbox::parse_time(text).filter(|span| !span.is_zero());
    span.ok_or("write a time such as 30s or 2m")
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}
