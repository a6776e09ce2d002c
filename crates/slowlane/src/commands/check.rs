use crate::exit::Ended;
use crate::file::{self, Checked, Kind};
use crate::output::{print, print_json};
use anstyle::Style;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

const PLACE: Style = Style::new().bold();

/// Say all that is wrong with a slowlane.toml or a profile, each with its line and its mend
///
/// Nothing is sent. Profiles that a configuration names by their paths are checked with it. What is
/// right ends with 0, what is not with 1; the mistakes are written as compilers write them, so that
/// editors find their places.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane check
  slowlane check profiles/crm.toml
  slowlane check --json | jq -r '.mistakes[] | .problem'")]
pub(crate) struct Check {
    /// A slowlane.toml, or a profile of one's own
    #[arg(default_value = "slowlane.toml")]
    file: PathBuf,
    /// Print JSON: {file, kind, mistakes: [{file, line, column, field, problem, mend}], stacks}
    ///
    /// `kind` is "configuration" or "profile". `stacks` are those that a configuration makes:
    /// [{stage, stack, target, region, refused}]; `refused` says why this version cannot deploy it.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let checked = file::check(&self.file)?;
        if self.json {
            print_json(&json!({
                "file": self.file.display().to_string(),
                "kind": checked.kind,
                "mistakes": checked.mistakes,
                "stacks": checked.stacks,
            }));
        } else {
            print_for_people(&checked);
        }
        match checked.mistakes.len() {
            0 => Ok(()),
            1 => Err(Ended::Wrong("there is 1 mistake".to_owned()).into()),
            number => Err(Ended::Wrong(format!("there are {number} mistakes")).into()),
        }
    }
}

fn print_for_people(checked: &Checked) {
    for mistake in &checked.mistakes {
        let file::Placed { file, mistake } = mistake;
        let (line, column) = (mistake.line, mistake.column);
        let told = mistake.to_string();
        let told = told.strip_prefix(&format!("{line}:{column}: ")).unwrap_or(&told);
        print(format_args!("{PLACE}{file}:{line}:{column}:{PLACE:#} {told}"));
    }
    if !checked.mistakes.is_empty() {
        return;
    }
    match checked.kind {
        Kind::Profile => print("the profile is right"),
        Kind::Configuration if checked.stacks.is_empty() => {
            print("the configuration is right; it has no stage to deploy to yet");
        }
        Kind::Configuration => print("the configuration is right; it makes these stacks:"),
    }
    for stack in &checked.stacks {
        let file::Stack { stack, region, refused, .. } = stack;
        let refused = refused.as_ref().map(|why| format!(": not deployable yet: {why}"));
        print(format_args!("  {stack} in {region}{}", refused.unwrap_or_default()));
    }
}
