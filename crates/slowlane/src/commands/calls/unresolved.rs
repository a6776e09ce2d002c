use crate::output::{print, print_json};
use crate::place::Place;
use clap::{Args, Subcommand};
use serde_json::json;
use slowlane_deployer::dead_letters::DeadLetters;
use slowlane_deployer::unresolved::{self, CallName};
use slowlane_message::QueuedCall;

/// At most so many dead letters are read to find out what the unresolved calls were to do.
const LETTERS: usize = 1000;

/// Calls that may have been executed, and of which nobody knows
///
/// A workflow that failed with Slowlane.NeedsPerson has its call here. Look at the API, then
/// say what is there by `resolve`, and start the workflow anew.
#[derive(Args)]
pub(crate) struct Unresolved {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Resolve(Resolve),
}

/// List them, the oldest first
///
/// NEEDS_PERSON: the worker has found out what it could, and waits for you. UNKNOWN: its answer was
/// lost. DISPATCHED: its worker did not come back. Of both a worker asks the API when the call is
/// handed out again. If its workflow has ended, decide it here. Reads the whole table. The request
/// is shown of calls that are on the dead-letter queue as well, of others the hash that the guard
/// has.
#[derive(Args)]
#[command(after_help = "\
Example:
  slowlane calls unresolved list --stack slowlane-demo --endpoint-url http://127.0.0.1:4566")]
struct List {
    #[command(flatten)]
    place: Place,
    /// The most calls to list
    #[arg(long, default_value_t = 100)]
    most: usize,
    /// Print JSON: [{key, scope, method, resource, state, since, why, payload_sha256, attempt}]
    #[arg(long)]
    json: bool,
}

/// Say whether the API has executed a call
///
/// With --done the answer is stored, and a new run of the workflow gets it without a call.
/// With --not-done a new run makes the call. It must be the same request under the same key.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane calls unresolved resolve order-123 --done --id 1001   # it is there: its answer
  slowlane calls unresolved resolve order-123 --not-done         # it is not: made anew")]
struct Resolve {
    #[command(flatten)]
    place: Place,
    /// The call's idempotency key
    key: String,
    /// Its tenant, if it has one
    #[arg(long, default_value = QueuedCall::DEFAULT_SCOPE)]
    scope: String,
    #[command(flatten)]
    decision: Decision,
    /// With --done: the id of the record that the API has for it
    #[arg(long, conflicts_with = "not_done")]
    id: Option<String>,
    /// With --done: the HTTP status that the answer would have had
    #[arg(long, default_value_t = 204, conflicts_with = "not_done")]
    status: u16,
    /// With --done: the body that the answer would have had
    #[arg(long, value_name = "JSON", value_parser = read_json, conflicts_with = "not_done")]
    body: Option<serde_json::Value>,
    /// Print JSON: {key, scope, decided: "done" or "not-done"}
    #[arg(long = "json")]
    as_json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Decision {
    /// The API has executed it
    #[arg(long)]
    done: bool,
    /// The API has not executed it, and will not
    #[arg(long)]
    not_done: bool,
}

impl Unresolved {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List(command) => command.run().await,
            Command::Resolve(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let (deployer, deployed) = self.place.deployed().await?;
        let table = &deployed.outputs.idempotency_table_name;
        let calls = unresolved::Unresolved::new(deployer.config(), table);
        let records = calls.list(self.most).await?;
        let letters = match records.is_empty() {
            true => Vec::new(),
            false => DeadLetters::new(deployer.config(), deployed).list(LETTERS).await?,
        };
        let calls = unresolved::with_requests(records, &letters);
        if self.json {
            print_json(&unresolved::as_json(&calls));
        } else if calls.is_empty() {
            eprintln!("no call is unresolved");
        } else {
            print(unresolved::table(&calls));
        }
        if calls.len() == self.most {
            eprintln!("there may be more than {}: see --most", self.most);
        }
        Ok(())
    }
}

impl Resolve {
    async fn run(self) -> anyhow::Result<()> {
        let Self { place, key, scope, decision, id, status, body, as_json } = self;
        let call = CallName::new(&scope, &key)?;
        let (deployer, deployed) = place.deployed().await?;
        let table = &deployed.outputs.idempotency_table_name;
        let calls = unresolved::Unresolved::new(deployer.config(), table);
        if decision.done {
            calls.done(&call, status, id.as_deref(), body.as_ref()).await?;
            eprintln!("{key} is done: a new run of its workflow gets the stored answer");
        } else {
            calls.not_done(&call).await?;
            eprintln!("{key} is not done: a new run of its workflow makes the call");
        }
        if as_json {
            let decided = if decision.done { "done" } else { "not-done" };
            print_json(&json!({ "key": key, "scope": scope, "decided": decided }));
        }
        Ok(())
    }
}

fn read_json(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(text)
}
