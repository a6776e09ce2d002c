//! The deployer's command line. `cargo xtask deploy`, `destroy`, `status`, `call`, `dead-letters`
//! and `unresolved` call it.

mod cli;

use clap::{CommandFactory as _, FromArgMatches as _};
use cli::Cli;
use std::process::ExitCode;

/// What was typed in place of this program's name, for usage lines.
const TYPED_AS: &str = "SLOWLANE_TYPED_AS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut command = Cli::command();
    if let Ok(typed) = std::env::var(TYPED_AS) {
        command = command.bin_name(typed);
    }
    let matches = command.clone().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.format(&mut command).exit(),
    };
    match cli.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
