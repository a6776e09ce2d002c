//! `slowlane-local demo`: the whole of Slowlane on this machine, from nothing to a table. `slowlane-local
//! startup` measures how its Lambdas start.

mod demo;
mod keep;
mod scenario;
mod startup;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Parser)]
#[command(name = "slowlane-local", bin_name = "cargo xtask", about)]
enum Cli {
    /// Pushes real workflows through a limited API and shows how they fared.
    ///
    /// Starts a local AWS and a NetSuite sandbox, deploys the template, starts one workflow for
    /// each order and stops everything at the end, also on Ctrl-C. The result is a table and, on
    /// request, a JSON report. The exit code is 0 only if nothing was lost, nothing was written
    /// twice and the API's limit was kept.
    #[command(after_long_help = demo::ORDER_FORMAT)]
    Demo(Box<demo::Options>),
    /// Measures the Lambdas before their first call: package and start.
    ///
    /// Each is started many times against a stand-in for Lambda's runtime API. The exit code is 0 only
    /// if no package is too large and no start too slow.
    Startup(startup::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = match Cli::parse() {
        Cli::Demo(options) => run(&options).await,
        Cli::Startup(options) => startup::run(&options).await.map(|()| ExitCode::SUCCESS),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &demo::Options) -> anyhow::Result<ExitCode> {
    // Listened for before anything is started: until then a signal just ends this process.
    let mut interrupt = Interrupt::listen()?;
    let finished = tokio::select! {
        finished = demo::run(options) => Some(finished?),
        () = interrupt.wait() => None,
    };
    // When the demo was interrupted, it has been dropped, and with it all that it had started.
    let Some(finished) = finished else {
        eprintln!("interrupted: everything that was started is stopped");
        return Ok(ExitCode::from(130));
    };
    if options.keep() {
        finished.print_places()?;
        interrupt.wait().await;
    }
    Ok(if finished.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ctrl-C, SIGTERM, or the terminal was closed.
struct Interrupt([Signal; 3]);

impl Interrupt {
    fn listen() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}
