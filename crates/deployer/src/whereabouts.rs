//! One call: where it is now, and what happened to it.
//!
//! Nothing that can be asked holds all of a call: SQS lists no messages, and the guard knows a
//! call only once a slot has taken it up. So its record, its dead letters, its log lines and
//! its workflow are put together, and each that could not be read is named.

use crate::clock::now;
use crate::dead_letters::{self, DeadLetters, Letter, Workflow};
use crate::logs::{self, EXECUTION, Filter, Function, KEY, Line};
use crate::outputs::Deployed;
use crate::status::Missing;
use crate::unresolved::CallName;
use crate::{ago, aws, text};
use aws_config::SdkConfig;
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_idempotency::{DynamoDbStore, EpochMs, Guard, Record, Settings, Status};
use slowlane_message::Priority;
use slowlane_policy::tenants::Appointment;
use std::time::Duration;

/// At most so many dead letters are looked at.
const LETTERS: usize = 1000;

/// All that is known of one call.
#[derive(Debug)]
pub struct Whereabouts {
    key: String,
    record: Option<Record>,
    letters: Vec<(Letter, Workflow)>,
    lines: Vec<Line>,
    execution: Option<Execution>,
    not_answered: Vec<String>,
}

/// The execution that waits, or waited, for the call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Execution {
    arn: String,
    /// `RUNNING`, `SUCCEEDED` and so on.
    status: Option<String>,
}

impl Whereabouts {
    /// Looks for a call everywhere. Logs are read from `window` ago. A request that is refused is
    /// told in the result.
    pub async fn of(
        config: &SdkConfig,
        deployed: &Deployed,
        name: &CallName,
        window: Duration,
    ) -> Self {
        let mut missing = Missing::default();
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        let store = DynamoDbStore::new(dynamodb, &deployed.outputs.idempotency_table_name);
        let guard = Guard::new(store, Settings::default());
        let record = missing.note(guard.read(&name.scope, &name.key).await).flatten();
        let letters = missing.note(letters(config, deployed, name).await).unwrap_or_default();
        let since = ago(window);
        let (key, mut lines) = (name.key.to_string(), Vec::new());
        for function in [Function::Enqueuer, Function::Worker] {
            let found = logs::of(config, deployed, &[function], Filter::Call(&key), since).await;
            let Some(found) = missing.note(found) else { continue };
            if found.cut {
                missing.0.push(format!(
                    "the {function} has logged more lines than could be read: see --hours"
                ));
            }
            lines.extend(found.lines);
        }
        lines.sort_by_key(|line| line.at);
        let execution = match execution_arn(&lines) {
            Some(arn) => Some(execution(config, arn, &mut missing).await),
            None => None,
        };
        Self { key, record, letters, lines, execution, not_answered: missing.0 }
    }

    /// The appointment for which it waits in its tenant's line, if it does.
    pub(crate) fn appointment(&self) -> Option<Appointment> {
        let record = self.record.as_ref()?;
        let waits = record.status == Status::Released;
        record.why.as_ref().filter(|_| waits)?.parse().ok()
    }

    /// Whether anything is known of the call.
    pub fn is_known(&self) -> bool {
        self.record.is_some() || !self.letters.is_empty() || !self.lines.is_empty()
    }

    /// Whether it waits on its queue, or is hidden there until it is tried again.
    pub fn waits(&self) -> bool {
        self.waits_at(now())
    }

    fn waits_at(&self, now: Timestamp) -> bool {
        if !self.letters.is_empty() {
            return false;
        }
        match (&self.record, self.lines.last()) {
            (Some(record), _) => match record.status {
                Status::Completed | Status::NeedsPerson => false,
                Status::Claimed | Status::Dispatched => record.lease_until <= millis(now),
                _ => true,
            },
            (None, Some(line)) => line.fields["Outcome"].is_null() && refused(line).is_none(),
            (None, None) => false,
        }
    }

    /// Its priority, as the newest log line says it.
    pub fn priority(&self) -> Option<Priority> {
        let named = |line: &Line| {
            let name = line.fields["Priority"].as_str().or(line.fields["priority"].as_str())?;
            Priority::ALL.into_iter().find(|priority| priority.as_str() == name)
        };
        self.lines.iter().rev().find_map(named)
    }

    /// What could not be found out, in words.
    pub fn not_answered(&self) -> &[String] {
        &self.not_answered
    }

    /// Where the call is, in a sentence.
    pub fn summary(&self) -> String {
        self.summary_at(now())
    }

    fn summary_at(&self, now: Timestamp) -> String {
        if let Some(record) = &self.record {
            match record.status {
                Status::Completed => {
                    return match record.completed_at {
                        Some(at) => format!("it was executed, and its answer stored at {at}"),
                        None => "it was executed, and its answer is stored".to_owned(),
                    };
                }
                Status::NeedsPerson => {
                    return "a person must decide whether it was executed: see `slowlane calls unresolved`".into();
                }
                Status::Claimed | Status::Dispatched if record.lease_until > millis(now) => {
                    return format!("a slot has it, until {} at the latest", record.lease_until);
                }
                Status::Dispatched | Status::Unknown => {
                    return "it was sent and its answer lost: the API will be asked what became of \
                            it when it is handed out again"
                        .to_owned();
                }
                // Nobody has it at present.
                _ => {}
            }
        }
        if let Some((letter, workflow)) = self.letters.last() {
            return format!(
                "it is on the dead-letter queue ({}), its workflow {}: see `slowlane calls dead-letters restart`",
                letter.origin,
                match workflow {
                    Workflow::Waits => "still waits",
                    Workflow::Ended => "has ended",
                    Workflow::Unknown => "is not known",
                }
            );
        }
        match (&self.record, self.lines.last()) {
            (Some(record), _) => format!(
                "it was tried and not executed{}; if its last line below does not say that it \
                 ended, it waits on its queue for another try",
                record.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
            ),
            (None, Some(line)) => match refused(line) {
                Some(error) => format!("it was not queued: {error}; its last line below says why"),
                None if line.fields["Outcome"].is_null() => {
                    let ago = text::age(line.at, now);
                    format!("it was queued {ago} ago, and no slot has taken it up yet")
                }
                None => "its last line below says how it ended".to_owned(),
            },
            (None, None) => format!(
                "nothing is known of it{}",
                if self.not_answered.is_empty() {
                    ": there is no record, no dead letter and no log line; look at the key, its \
                     --scope and --hours"
                } else {
                    "; but not everything was answered"
                }
            ),
        }
    }

    /// As a JSON object, for programs.
    pub fn as_json(&self) -> Value {
        let letters: Vec<_> =
            self.letters.iter().map(|(letter, workflow)| letter.as_json(*workflow)).collect();
        json!({
            "key": self.key,
            "now": self.summary(),
            "record": self.record.as_ref().map(|record| json!({
                "id": record.id.to_string(),
                "state": record.status.as_str(),
                "attempt": record.holder.attempt,
                "claimed_at": record.claimed_at.to_string(),
                "lease_until": record.lease_until.to_string(),
                "completed_at": record.completed_at.map(|at| at.to_string()),
                "why": record.why,
            })),
            "dead_letters": letters,
            "log": self.lines.iter().map(Line::as_json).collect::<Vec<_>>(),
            "execution": self.execution.as_ref().map(|execution| json!({
                "arn": execution.arn, "status": execution.status,
            })),
            "not_answered": self.not_answered,
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut told = format!("{}: {}", self.key, self.summary());
        if let Some(record) = &self.record {
            told += &format!("\n\nits record\n  {record}");
        }
        if let Some(execution) = &self.execution {
            let status = execution.status.as_deref().unwrap_or("?");
            told += &format!("\n\nits workflow\n  {status} {}", execution.arn);
        }
        if !self.letters.is_empty() {
            told += &format!("\n\nits dead letters\n{}", dead_letters::table(&self.letters));
        }
        if !self.lines.is_empty() {
            told += "\n\nits log";
            for line in &self.lines {
                told += &format!("\n  {line}");
            }
        }
        if !self.not_answered.is_empty() {
            told += &format!("\n\nnot answered\n  {}", self.not_answered.join("\n  "));
        }
        told
    }
}

/// The idempotency keys of the calls that an execution waits, or waited, for, by the logs since
/// `window` ago; the newest last.
///
/// # Errors
/// If CloudWatch refuses.
pub async fn keys_of_execution(
    config: &SdkConfig,
    deployed: &Deployed,
    arn: &str,
    window: Duration,
) -> Result<Vec<String>, aws::Error> {
    let functions = [Function::Enqueuer, Function::Worker];
    let found = logs::of(config, deployed, &functions, Filter::Execution(arn), ago(window)).await?;
    let mut keys: Vec<String> = Vec::new();
    for key in found.lines.iter().filter_map(|line| line.fields[KEY].as_str()) {
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    Ok(keys)
}

fn millis(time: Timestamp) -> EpochMs {
    EpochMs(u64::try_from(time.as_millisecond()).unwrap_or(0))
}

async fn letters(
    config: &SdkConfig,
    deployed: &Deployed,
    name: &CallName,
) -> Result<Vec<(Letter, Workflow)>, dead_letters::Error> {
    let letters = DeadLetters::new(config, deployed.clone());
    let (name_of_key, name_of_scope) = (name.key.to_string(), name.scope.to_string());
    let mut found = Vec::new();
    for letter in letters.list(LETTERS).await? {
        let is_it = letter.call.as_ref().is_ok_and(|call| {
            call.idempotency_key.as_str() == name_of_key && call.scope() == name_of_scope
        });
        if is_it {
            let workflow = letters.workflow(&letter).await;
            found.push((letter, workflow));
        }
    }
    Ok(found)
}

/// The error of a call that the enqueuer did not put on a queue.
fn refused(line: &Line) -> Option<&str> {
    line.fields["error"].as_str().filter(|_| line.function == Function::Enqueuer)
}

/// The newest line that names an execution.
fn execution_arn(lines: &[Line]) -> Option<String> {
    lines.iter().rev().find_map(|line| line.fields[EXECUTION].as_str().map(str::to_owned))
}

async fn execution(config: &SdkConfig, arn: String, missing: &mut Missing) -> Execution {
    let client = aws_sdk_sfn::Client::new(config);
    let answer = client.describe_execution().execution_arn(&arn).send().await;
    let answer = missing.note(answer.map_err(aws::failed("states:DescribeExecution", &arn)));
    Execution { arn, status: answer.map(|execution| execution.status.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_idempotency::{Claim, Claimed, MemoryStore, Request};

    fn nothing() -> Whereabouts {
        Whereabouts {
            key: "order-1".into(),
            record: None,
            letters: Vec::new(),
            lines: Vec::new(),
            execution: None,
            not_answered: Vec::new(),
        }
    }

    fn line(second: i64, fields: Value) -> Line {
        let at = Timestamp::from_second(second).unwrap();
        Line { at, function: Function::Worker, id: second.to_string(), fields }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The record of a call that was claimed at 1000 s for 60 s, after something was done with it.
    async fn record(
        done: impl AsyncFnOnce(Claim<MemoryStore>, &Guard<MemoryStore>, &CallName),
    ) -> Option<Record> {
        let then = at(1000).into();
        let settings = Settings { clock: std::sync::Arc::new(move || then), ..Settings::default() };
        let guard = Guard::new(MemoryStore::default(), settings);
        let name = CallName::new("calls", "order-1").unwrap();
        let request = Request::new(name.scope.clone(), name.key.clone(), "a request").unwrap();
        let Claimed::Run(claim) = guard.claim(&request).await.unwrap() else { unreachable!() };
        done(claim, &guard, &name).await;
        guard.read(&name.scope, &name.key).await.unwrap()
    }

    #[tokio::test]
    async fn the_record_says_where_the_call_is() {
        let claimed = record(async |_, _, _| {}).await;
        let sent = record(async |claim, _, _| {
            claim.dispatched().await.unwrap();
        });
        let sent = sent.await;
        let done = record(async |claim, guard, name| {
            claim.dispatched().await.unwrap().unknown("no answer").await.unwrap();
            let unknown = guard.find_unresolved(&name.scope, &name.key).await.unwrap();
            unknown.unwrap().adopt(&1).await.unwrap();
        });
        let done = done.await;
        let left = record(async |claim, _, _| {
            claim.dispatched().await.unwrap().needs_person("nobody knows").await.unwrap();
        });
        let left = left.await;
        let released = record(async |claim, _, _| claim.release().await.unwrap()).await;
        for (record, second, told) in [
            (&claimed, 1001, "a slot has it, until 1970-01-01T00:17:40"),
            (&sent, 1001, "a slot has it"),
            (&sent, 2000, "its answer lost"),
            (&done, 2000, "it was executed"),
            (&left, 2000, "a person must decide"),
            (&released, 2000, "tried and not executed"),
        ] {
            let call = Whereabouts { record: record.clone(), ..nothing() };
            let found = call.summary_at(at(second));
            assert!(found.contains(told), "{told}: {found}");
            assert!(call.is_known());
            let waits = ["its answer lost", "tried and not executed"].contains(&told);
            assert_eq!(call.waits_at(at(second)), waits, "{told}");
        }
    }

    #[test]
    fn without_a_record_its_lines_say_it() {
        let fields = json!({"message": "queued", KEY: "order-1", "priority": "NORMAL"});
        let queued = line(10, fields);
        let call = Whereabouts { lines: vec![queued.clone()], ..nothing() };
        assert!(call.waits_at(at(75)));
        assert_eq!(call.priority(), Some(Priority::Normal));
        assert_eq!(
            call.summary_at(at(75)),
            "it was queued 1 min 5 s ago, and no slot has taken it up yet"
        );
        let fields = json!({"message": "not queued", "error": "Slowlane.InvalidMessage"});
        let refused = Line { function: Function::Enqueuer, ..line(15, fields) };
        let call = Whereabouts { lines: vec![refused], ..nothing() };
        assert!(call.summary_at(at(75)).starts_with("it was not queued: Slowlane.InvalidMessage"));
        assert!(!call.waits_at(at(75)));
        let ended = line(20, json!({"Outcome": "abandoned"}));
        let call = Whereabouts { lines: vec![queued, ended], ..nothing() };
        assert!(call.summary_at(at(75)).contains("how it ended") && !call.waits_at(at(75)));
    }

    #[test]
    fn nothing_is_not_said_where_something_was_not_answered() {
        assert!(!nothing().is_known());
        assert!(nothing().summary_at(at(0)).contains("no record, no dead letter and no log line"));
        let refused = Whereabouts { not_answered: vec!["logs: no permission".into()], ..nothing() };
        assert!(refused.summary_at(at(0)).contains("not everything was answered"));
        assert!(refused.table().contains("not answered\n  logs: no permission"));
    }

    #[test]
    fn the_newest_line_names_the_execution() {
        let arn = |name: &str| format!("arn:aws:states:eu-north-1:1:execution:m:{name}");
        let lines = [
            line(1, json!({EXECUTION: arn("first")})),
            line(2, json!({EXECUTION: arn("second")})),
            line(3, json!({"message": "from an older machine"})),
        ];
        assert_eq!(execution_arn(&lines), Some(arn("second")));
        assert_eq!(execution_arn(&lines[2..]), None);
    }
}
