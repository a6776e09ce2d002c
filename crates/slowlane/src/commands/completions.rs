use clap::{Args, Command};
use clap_complete::Shell;

/// Print what makes a shell complete this program's commands
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane completions bash > ~/.local/share/bash-completion/completions/slowlane
  slowlane completions zsh > \"${fpath[1]}/_slowlane\"
  slowlane completions fish > ~/.config/fish/completions/slowlane.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut program: Command) -> anyhow::Result<()> {
        // Into memory first: clap_complete panics where a reader has gone.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "slowlane", &mut script);
        crate::output::print(String::from_utf8(script)?.trim_end());
        Ok(())
    }
}
