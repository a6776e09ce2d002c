//! Where dialogues are held, and what was answered there.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Somewhere that speaks AWS's API.
pub trait Place {
    /// Sends requests there.
    fn sdk(&self) -> &SdkConfig;

    /// Creates a standard queue and returns its URL.
    fn create_queue(&self, queue: NewQueue<'_>) -> impl Future<Output = String>;

    /// Creates a table whose partition key is the text `id`.
    fn create_table(&self, name: &str) -> impl Future<Output = ()>;

    /// Starts an execution that waits for a callback, for `timeout` at most.
    fn begin_task(&self, timeout: Duration) -> impl Future<Output = String>;

    /// Stops the execution that waits for this token.
    fn stop(&self, token: &str) -> impl Future<Output = ()>;

    /// How the execution that waited for this token ended: `succeeded` and its output, `failed` and
    /// the error's name, `timed out` or `stopped`.
    fn end_of(&self, token: &str) -> impl Future<Output = String>;

    /// Waits until the server has acted on a callback that it took. Some answer before that.
    fn until_acted_on(&self, token: &str) -> impl Future<Output = ()>;
}

/// What a queue is created with.
#[derive(Clone, Copy, Debug)]
pub struct NewQueue<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its visibility timeout, in seconds.
    pub visibility_secs: u32,
    /// The URL of its dead-letter queue, and `maxReceiveCount`.
    pub redrive: Option<(&'a str, u32)>,
}

/// A dialogue, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// What is done.
    pub name: &'static str,
    /// What AWS answers, and the kind of source that says so.
    pub aws: (&'static str, Source),
    /// What was answered.
    pub saw: String,
}

/// Where it is said what AWS answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The API model.
    Model,
    /// AWS's documentation.
    Doc,
    /// Somebody measured it.
    Report,
}

/// The answers so far.
#[derive(Default)]
pub(super) struct Seen(pub(super) Vec<Vector>);

impl Seen {
    /// Takes note of an answer.
    pub(super) fn note(
        &mut self,
        name: &'static str,
        aws: &'static str,
        source: Source,
        saw: impl Into<String>,
    ) {
        self.0.push(Vector { name, aws: (aws, source), saw: saw.into() });
    }
}

/// A request's outcome in a word: `ok`, or the error's code as the API model has it.
pub(super) fn word<T, E: ProvideErrorMetadata>(outcome: &Result<T, E>) -> String {
    let Err(error) = outcome else { return "ok".to_owned() };
    let code = error.code().unwrap_or("no code");
    // The older protocol's names, which the newer one still sends beside its own.
    let code = code.rsplit('#').next().unwrap_or(code);
    let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
    match code {
        "NonExistentQueue" => "QueueDoesNotExist",
        code => code,
    }
    .to_owned()
}
