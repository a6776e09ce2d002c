//! The paused workflow, by its task token.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::ProvideErrorMetadata;
use serde_json::Value;
use slowlane_message::TaskToken;
use slowlane_policy::settle::FailureName;

/// The output of a task is at most 262,144 bytes (API model, `SendTaskSuccess`).
pub(crate) const MAX_OUTPUT_BYTES: usize = 262_144;
/// Room for what is added to a stored result before a workflow gets it.
const REPLAYED_BYTES: usize = r#","replayed":false"#.len();
/// The cause of a failure is at most 32,768 characters (API model, `SendTaskFailure`).
pub(crate) const MAX_CAUSE_CHARS: usize = 32_768;

/// How many bytes an answer has as a task's output.
pub(crate) fn output_bytes(answer: &Value) -> usize {
    answer.to_string().len() + REPLAYED_BYTES
}

/// Resumes workflows by their task tokens.
#[derive(Debug, Clone)]
pub(crate) struct TaskCallback {
    sfn: Client,
}

/// Whether the workflow took what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// As far as Step Functions says, it waits (or did until this moment).
    Yes,
    /// It does not: it timed out, was stopped, or has had its answer.
    No,
    /// The text is no token of this account: its writer made a mistake, and may wait for ever.
    NotAToken,
}

#[derive(Debug, thiserror::Error)]
#[error("Step Functions did not take the callback")]
pub(crate) struct Error(#[source] Box<dyn std::error::Error + Send + Sync>);

impl TaskCallback {
    pub(crate) fn new(sfn: Client) -> Self {
        TaskCallback { sfn }
    }

    /// Asks whether anyone waits, by a heartbeat. A "yes" proves nothing: whether Step
    /// Functions refuses the heartbeat of a stopped task that declares no
    /// `HeartbeatSeconds` is not documented. A "no" is final.
    pub(crate) async fn is_waiting(&self, token: &TaskToken) -> Result<Waiting, Error> {
        let sent = self.sfn.send_task_heartbeat().task_token(token.as_str()).send().await;
        waiting(sent)
    }

    /// Resumes the workflow with `output`, a JSON text of [`MAX_OUTPUT_BYTES`] at most.
    pub(crate) async fn succeed(&self, token: &TaskToken, output: &str) -> Result<Waiting, Error> {
        let sent =
            self.sfn.send_task_success().task_token(token.as_str()).output(output).send().await;
        waiting(sent)
    }

    /// Fails the workflow's task by `name`; `cause` is a JSON text of [`MAX_CAUSE_CHARS`] at most.
    pub(crate) async fn fail(
        &self,
        token: &TaskToken,
        name: FailureName,
        cause: &str,
    ) -> Result<Waiting, Error> {
        let sent = self
            .sfn
            .send_task_failure()
            .task_token(token.as_str())
            .error(name.to_string())
            .cause(cause)
            .send()
            .await;
        waiting(sent)
    }
}

/// A token that is late, unknown, or of a stopped execution is answered by `TaskTimedOut` or
/// `TaskDoesNotExist`, and both mean that nobody waits.
fn waiting<T, E, R>(sent: Result<T, aws_sdk_sfn::error::SdkError<E, R>>) -> Result<Waiting, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match sent {
        Ok(_) => Ok(Waiting::Yes),
        Err(error) => match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("TaskTimedOut" | "TaskDoesNotExist") => Ok(Waiting::No),
            Some("InvalidToken") => Ok(Waiting::NotAToken),
            _ => Err(Error(Box::new(error))),
        },
    }
}
