use crate::output::{Question, print, print_json};
use crate::place::Place;
use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use slowlane_deployer::dead_letters::{self, Letter, Restart, Restarted, Workflow};

/// At most so many letters are looked at to find one.
const LOOK_AT: usize = 10_000;

/// Calls that could not be run: look at them, and restart them
///
/// The worker sends a call there with the reason, after it has failed its workflow by name. SQS
/// moves one there that was handed out too often; its workflow may still wait. An SQS redrive
/// helps neither: use `restart`.
#[derive(Args)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Restart(RestartThem),
    Drop(DropThem),
}

/// List them, the oldest first
///
/// SQS can only hand letters out, so each is hidden until all have been read, a second or a few.
/// WORKFLOW tells whether the call's own workflow still waits for an answer.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane calls dead-letters list
  slowlane calls dead-letters list --json | jq -r '.[] | .key, .reason'")]
struct List {
    #[command(flatten)]
    place: Place,
    /// The most letters to list
    #[arg(long, default_value_t = 100)]
    most: usize,
    /// Print JSON: [{message_id, key, scope, priority, method, resource, reason, source_queue,
    /// sent_at, workflow_waits, malformed}]
    #[arg(long)]
    json: bool,
}

/// Show letters with all that they hold, as JSON
///
/// The body is what was queued, customer data included; only the task token is left out.
#[derive(Args)]
#[command(after_help = "\
Example:
  slowlane calls dead-letters show order-123")]
struct Show {
    #[command(flatten)]
    place: Place,
    /// Idempotency keys or message ids
    #[arg(required = true)]
    letters: Vec<String>,
    /// Print one JSON list, as `list --json` does and with the body, rather than an object each
    #[arg(long)]
    json: bool,
}

/// Make their calls again, under the same idempotency key
///
/// If the call's own workflow still waits, the call goes back on its queue and is rung for: its
/// workflow gets the answer. If it does not, as after every failure by the worker, a new execution
/// of the workflow `throttled-call` makes the call, with a new deadline. The letter is deleted
/// afterwards. What has been executed before is not executed again: the guard gives its answer.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane calls dead-letters restart order-123
  slowlane calls dead-letters restart --all --most 500
  slowlane calls dead-letters restart order-123 --new-execution")]
struct RestartThem {
    #[command(flatten)]
    place: Place,
    /// Idempotency keys or message ids
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    letters: Vec<String>,
    /// All of them, up to --most
    #[arg(long)]
    all: bool,
    /// With --all: the most letters to restart
    #[arg(long, default_value_t = 100, requires = "all")]
    most: usize,
    /// Start a new execution, even if the call's own workflow still waits
    #[arg(long, conflicts_with = "put_back")]
    new_execution: bool,
    /// Put the call back on its queue, or do nothing if its own workflow no longer waits
    #[arg(long)]
    put_back: bool,
    /// Print JSON: [{message_id, key, restarted, execution_arn, error}]
    #[arg(long)]
    json: bool,
}

/// Delete letters for good, after a question
///
/// A workflow that still waits for such a call waits until its time-out.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane calls dead-letters drop order-123 --yes
  slowlane calls dead-letters drop 0b1c8f0e-5c0e-4a52-9d3f-1f7a3f1f2b11")]
struct DropThem {
    #[command(flatten)]
    place: Place,
    /// Idempotency keys or message ids
    #[arg(required = true)]
    letters: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print the letters that were deleted as JSON, as `list --json` does
    #[arg(long)]
    json: bool,
}

impl Place {
    async fn dead_letters(&self) -> anyhow::Result<dead_letters::DeadLetters> {
        let (deployer, deployed) = self.deployed().await?;
        Ok(dead_letters::DeadLetters::new(deployer.config(), deployed))
    }
}

impl DeadLetters {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List(command) => command.run().await,
            Command::Show(command) => command.run().await,
            Command::Restart(command) => command.run().await,
            Command::Drop(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let queue = self.place.dead_letters().await?;
        let mut letters = Vec::new();
        for letter in queue.list(self.most).await? {
            let workflow = queue.workflow(&letter).await;
            letters.push((letter, workflow));
        }
        if self.json {
            let letters = letters.iter().map(|(letter, workflow)| letter.as_json(*workflow));
            print_json(&letters.collect());
        } else if letters.is_empty() {
            eprintln!("there are no dead letters");
        } else {
            print(dead_letters::table(&letters));
        }
        if letters.len() == self.most {
            eprintln!("there may be more than {}: see --most", self.most);
        }
        Ok(())
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let queue = self.place.dead_letters().await?;
        let letters = queue.find(&self.letters, LOOK_AT).await?;
        queue.give_back(letters.iter().collect()).await?;
        let mut all = Vec::new();
        for letter in &letters {
            let mut shown = letter.as_json(queue.workflow(letter).await);
            let body = letter.redacted_body();
            shown["body"] = serde_json::from_str(&body).unwrap_or(Value::String(body));
            all.push(shown);
        }
        match self.json {
            true => print_json(&Value::from(all)),
            false => all.iter().for_each(print_json),
        }
        Ok(())
    }
}

impl RestartThem {
    async fn run(self) -> anyhow::Result<()> {
        let queue = self.place.dead_letters().await?;
        let how = match (self.new_execution, self.put_back) {
            (true, _) => Restart::NewExecution,
            (_, true) => Restart::PutBack,
            _ => Restart::WhatFits,
        };
        let letters = match self.all {
            true => queue.find_all(self.most).await?,
            false => queue.find(&self.letters, LOOK_AT).await?,
        };
        let mut restarted = Vec::new();
        for letter in letters {
            let outcome = queue.restart(&letter, how).await;
            restarted.push((letter, outcome));
        }
        if self.json {
            let all = restarted.iter().map(|(letter, outcome)| as_json(letter, outcome));
            print_json(&all.collect());
        } else {
            for (letter, outcome) in &restarted {
                eprintln!("{}: {}", name(letter), told(outcome));
            }
        }
        let failed = restarted.iter().filter(|(_, outcome)| outcome.is_err()).count();
        ensure!(failed == 0, "{failed} of {} were not restarted", restarted.len());
        Ok(())
    }
}

impl DropThem {
    async fn run(self) -> anyhow::Result<()> {
        let queue = self.place.dead_letters().await?;
        let letters = queue.find(&self.letters, LOOK_AT).await?;
        if !self.yes {
            let text = match &letters[..] {
                [one] => format!("delete the letter of {} for good? (yes)", name(one)),
                several => format!("delete {} letters for good? (yes)", several.len()),
            };
            let undone = "nothing was deleted";
            if let Err(error) = (Question { text: &text, wanted: "yes", undone }).ask() {
                queue.give_back(letters.iter().collect()).await?;
                return Err(error);
            }
        }
        let mut dropped = Vec::new();
        for letter in letters {
            let workflow = queue.workflow(&letter).await;
            queue.drop_letter(&letter).await.with_context(|| name(&letter).to_owned())?;
            let waits = match workflow {
                Workflow::Waits => "; its workflow waits until its time-out",
                Workflow::Ended | Workflow::Unknown => "",
            };
            eprintln!("{} is dropped{waits}", name(&letter));
            dropped.push(letter.as_json(workflow));
        }
        if self.json {
            print_json(&Value::from(dropped));
        }
        Ok(())
    }
}

fn name(letter: &Letter) -> &str {
    match &letter.call {
        Ok(call) => call.idempotency_key.as_str(),
        Err(_) => &letter.message_id,
    }
}

fn told(outcome: &Result<Restarted, dead_letters::Error>) -> String {
    match outcome {
        Ok(Restarted::Execution(arn)) => format!("made again by {arn}"),
        Ok(Restarted::Queued) => "back on its queue; its own workflow gets the answer".to_owned(),
        Err(error) => format!("not restarted: {error}"),
    }
}

fn as_json(letter: &Letter, outcome: &Result<Restarted, dead_letters::Error>) -> Value {
    let execution = match outcome {
        Ok(Restarted::Execution(arn)) => Some(arn),
        _ => None,
    };
    json!({
        "message_id": letter.message_id,
        "key": letter.call.as_ref().ok().map(|call| call.idempotency_key.as_str()),
        "restarted": outcome.is_ok(),
        "execution_arn": execution,
        "error": outcome.as_ref().err().map(ToString::to_string),
    })
}
