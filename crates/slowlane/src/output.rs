//! What is printed, and what is asked. Colours are for terminals only; `NO_COLOR` turns them off.

use crate::exit::Ended;
use anstyle::{AnsiColor, Style};
use serde_json::Value;
use std::io::{BufRead, IsTerminal as _, Write as _};

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Prints a command's result. A reader that has seen enough is no error.
pub(crate) fn print(text: impl std::fmt::Display) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// Prints a command's result for programs.
pub(crate) fn print_json(value: &Value) {
    print(format_args!("{value:#}"));
}

pub(crate) fn error(error: &anyhow::Error) {
    anstream::eprintln!("{ERROR}error:{ERROR:#} {error:#}");
}

/// A question before something that cannot be taken back.
pub(crate) struct Question<'a> {
    /// What is asked: `do it? (yes)`.
    pub(crate) text: &'a str,
    /// The one answer with which it is done.
    pub(crate) wanted: &'a str,
    /// What did not happen otherwise: `nothing was changed`.
    pub(crate) undone: &'a str,
}

impl Question<'_> {
    /// Asks at the terminal. Without somebody to answer nothing may be done.
    pub(crate) fn ask(&self) -> anyhow::Result<()> {
        let stdin = std::io::stdin();
        let terminal = stdin.is_terminal() && std::io::stderr().is_terminal();
        self.ask_at(terminal, &mut stdin.lock())
    }

    fn ask_at(&self, terminal: bool, input: &mut impl BufRead) -> anyhow::Result<()> {
        let Self { text, wanted, undone } = self;
        if !terminal {
            let told = format!("{undone}: there is no terminal to ask at; give --yes");
            return Err(Ended::NotAnswered(told).into());
        }
        eprint!("{text} ");
        std::io::stderr().flush()?;
        let mut typed = String::new();
        input.read_line(&mut typed)?;
        if typed.trim() != *wanted {
            return Err(Ended::NotAnswered(format!("{undone}: that is not {wanted}")).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_answer_at_a_terminal_does_it() {
        let question = Question { text: "which?", wanted: "trial", undone: "nothing was deleted" };
        question.ask_at(true, &mut "trial\n".as_bytes()).unwrap();
        for typed in ["", "\n", "y\n", "yes\n", "Trial\n", "trial 2\n"] {
            let told = question.ask_at(true, &mut typed.as_bytes()).unwrap_err().to_string();
            assert_eq!(told, "nothing was deleted: that is not trial", "{typed:?}");
        }
        let told = question.ask_at(false, &mut "trial\n".as_bytes()).unwrap_err().to_string();
        assert!(told.starts_with("nothing was deleted") && told.contains("--yes"), "{told}");
    }
}
