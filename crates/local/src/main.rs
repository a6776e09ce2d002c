//! `slowlane-local demo`: the whole of Slowlane on this machine, from nothing to a table.

mod demo;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

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
    Demo(demo::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli::Demo(options) = Cli::parse();
    // Whichever ends first, the other is dropped, and with the demo all that it started.
    let result = tokio::select! {
        result = demo::run(&options) => result,
        result = interrupted() => match result {
            Ok(()) => {
                eprintln!("interrupted: everything that was started is stopped");
                return ExitCode::from(130);
            }
            Err(error) => Err(error.into()),
        },
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, SIGTERM, or the terminal was closed.
async fn interrupted() -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminated.recv() => Ok(()),
        _ = hung_up.recv() => Ok(()),
    }
}
