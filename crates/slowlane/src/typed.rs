//! The command as it was typed, where `cargo xtask` has short forms: `cargo xtask call KEY` is
//! `slowlane calls find KEY`. Help and mistakes say the short form, since it is what can be typed again.

use crate::cli::Cli;
use clap::Parser as _;
use std::io::Write as _;

/// `cargo xtask call=slowlane calls find`: what was typed, and what it stands for.
const TYPED: &str = "SLOWLANE_TYPED";

/// Reads the command line. Where it is wrong, or asks for help, that is said and the program ends.
pub(crate) fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| end(&error))
}

fn end(error: &clap::Error) -> ! {
    let typed = std::env::var(TYPED).unwrap_or_default();
    let Some((typed, meant)) = typed.split_once('=') else { error.exit() };
    let text = error.render().ansi().to_string().replace(meant, typed);
    // A reader that has seen enough is no error.
    let _ = match error.use_stderr() {
        true => write!(anstream::stderr(), "{text}"),
        false => write!(anstream::stdout(), "{text}"),
    };
    std::process::exit(error.exit_code())
}
