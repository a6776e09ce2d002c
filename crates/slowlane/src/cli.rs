use crate::commands::{
    add, call, calls, check, completions, cost, demo, deploy, destroy, init, limits, logs,
    new_target, outputs, status, steer, usage, why,
};
use crate::exit;
use clap::{CommandFactory as _, Parser, Subcommand};

/// Feeds slow, limited APIs from fast AWS workflows: deploys, watches and steers it
///
/// A deployment is a CloudFormation stack. It is named by --stack, or by --stage and --target where a
/// slowlane.toml says what is deployed. Credentials and region are AWS's usual ones: environment,
/// profile, SSO. AWS_ENDPOINT_URL or --endpoint-url leads to another server, such as a local one.
#[derive(Parser)]
#[command(
    name = "slowlane",
    version,
    after_help = "`slowlane help COMMAND` explains a command, with examples.",
    after_long_help = exit::TABLE
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Check(check::Check),
    Call(call::Call),
    Demo(Box<demo::Demo>),
    NewTarget(new_target::NewTarget),
    Deploy(Box<deploy::Deploy>),
    Add(add::Add),
    Destroy(destroy::Destroy),
    Outputs(outputs::ShowOutputs),
    Status(status::Status),
    Why(why::AskWhy),
    Cost(cost::AskCost),
    Usage(usage::ShowUsage),
    Logs(logs::Logs),
    Calls(calls::Calls),
    Limits(limits::Limits),
    Pause(steer::Pause),
    Drain(steer::Drain),
    Resume(steer::Resume),
    Completions(completions::Completions),
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Call(command) => command.run(),
            Command::Demo(command) => command.run().await,
            Command::NewTarget(command) => command.run(),
            Command::Deploy(command) => command.run().await,
            Command::Add(command) => command.run().await,
            Command::Destroy(command) => command.run().await,
            Command::Outputs(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Why(command) => command.run().await,
            Command::Cost(command) => command.run(),
            Command::Usage(command) => command.run().await,
            Command::Logs(command) => command.run().await,
            Command::Calls(command) => command.run().await,
            Command::Limits(command) => command.run().await,
            Command::Pause(command) => command.run().await,
            Command::Drain(command) => command.run().await,
            Command::Resume(command) => command.run().await,
            Command::Completions(command) => command.run(Self::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use std::path::{Path, PathBuf};

    /// Commands of `slowlane` in a text, with their lines joined that a backslash ends.
    fn commands(text: &str) -> Vec<String> {
        let text = text.replace("\\\n", " ");
        let lines = text.lines().map(str::trim).map(|line| line.strip_prefix("$ ").unwrap_or(line));
        let ours = lines.filter(|line| line.starts_with("slowlane "));
        // Its own words end at a pipe, at a file, and before what stands apart for people.
        let words = |line: &str| {
            let ends = [" | ", " > ", "   "].map(|mark| line.find(mark).unwrap_or(line.len()));
            line[..ends.into_iter().min().unwrap_or(line.len())].to_owned()
        };
        ours.map(words).collect()
    }

    /// That the command line takes a command as it is written. The parser alone is asked.
    fn is_taken(command: &str) -> Result<(), String> {
        match parsed(command)? {
            Err(error) if error.use_stderr() => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// The same for a command in the midst of a sentence, which may leave out what it is about.
    fn is_taken_or_cut(command: &str) -> Result<(), String> {
        const CUT: [ErrorKind; 3] = [
            ErrorKind::MissingRequiredArgument,
            ErrorKind::MissingSubcommand,
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ];
        match parsed(command)? {
            Err(error) if error.use_stderr() && !CUT.contains(&error.kind()) => {
                Err(error.to_string())
            }
            _ => Ok(()),
        }
    }

    fn parsed(command: &str) -> Result<Result<Cli, clap::Error>, String> {
        let mut words = shell_words::split(command).map_err(|error| error.to_string())?;
        // Who does it is taken from the environment, which a test has not.
        let by_somebody =
            words.iter().any(|word| word == "--why") && !words.contains(&"--who".into());
        words.extend(
            by_somebody.then_some(["--who".to_owned(), "ada".to_owned()]).into_iter().flatten(),
        );
        Ok(Cli::try_parse_from(words))
    }

    /// Blocks of code in a page.
    fn blocks(page: &str) -> impl Iterator<Item = &str> {
        page.split("\n```").skip(1).step_by(2)
    }

    /// Commands in the sentences of a page.
    fn mentioned(page: &str) -> impl Iterator<Item = &str> {
        let sentences = page.split("\n```").step_by(2);
        let codes = sentences.flat_map(|text| text.split('`').skip(1).step_by(2));
        codes.filter(|code| code.starts_with("slowlane "))
    }

    /// The Markdown below a folder, but for what is built or hidden.
    fn pages(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                found.extend(pages(&path));
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
        found
    }

    #[test]
    fn every_command_of_the_pages_is_taken() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = 0;
        for path in pages(&repository) {
            let page = std::fs::read_to_string(&path).unwrap();
            for command in blocks(&page).flat_map(commands) {
                found += 1;
                if let Err(error) = is_taken(&command) {
                    panic!("{}: {command}\n{error}", path.display());
                }
            }
        }
        assert!(found > 20, "{found} commands were found");
    }

    #[test]
    fn every_command_in_a_sentence_is_taken() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let (mut found, mut wrong) = (0, Vec::new());
        for path in pages(&repository) {
            let page = std::fs::read_to_string(&path).unwrap();
            for command in mentioned(&page) {
                found += 1;
                if let Err(error) = is_taken_or_cut(command) {
                    wrong.push(format!("{}: {command}\n{error}", path.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(found > 50, "{found} commands were found");
    }

    #[test]
    fn every_example_of_the_help_is_taken() {
        fn each(command: &clap::Command, found: &mut usize) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for example in commands(&help) {
                *found += 1;
                if let Err(error) = is_taken(&example) {
                    panic!("{}: {example}\n{error}", command.get_name());
                }
            }
            command.get_subcommands().for_each(|below| each(below, found));
        }
        let mut found = 0;
        each(&Cli::command(), &mut found);
        assert!(found > 20, "{found} examples were found");
    }
}
