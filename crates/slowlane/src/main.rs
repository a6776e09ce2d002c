//! `slowlane`: deploys Slowlane, shows how it fares, and steers it.

mod cli;
mod commands;
mod exit;
mod file;
mod kept;
mod output;
mod place;
mod stacks;
mod typed;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match typed::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            exit::code(&error)
        }
    }
}
