//! The deployer's command line. `cargo xtask deploy`, `destroy`, `status`, `call`, `dead-letters`
//! and `unresolved` call it.

mod cli;

use clap::{CommandFactory as _, FromArgMatches as _};
use cli::Cli;

/// What was typed in place of this program's name, for usage lines.
const TYPED_AS: &str = "SLOWLANE_TYPED_AS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut command = Cli::command();
    if let Ok(typed) = std::env::var(TYPED_AS) {
        command = command.bin_name(typed);
    }
    let matches = command.clone().get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.run().await,
        Err(error) => error.format(&mut command).exit(),
    }
}
