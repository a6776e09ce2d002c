//! What is different on the local server (MiniStack), in one place. Nothing here runs on AWS.
//!
//! Where it differs while workflows run, `slowlane-local` teaches it AWS's way as it starts it
//! (`local/src/serve.py`). That is expressions in a Task's `TimeoutSeconds`, the error of a child,
//! and the error of a Lambda that has a task token. The deploy makes good the rest:
//!
//! | The local server | so we |
//! |---|---|
//! | drops `ReservedConcurrentExecutions` and `TimeToLiveSpecification` of the template | set both by API after the deploy |
//! | keeps a mapping's `MaximumConcurrency` as the text of the parameter, on which its poller stops | set it by API |
//! | hides a throttled delivery for its queue's whole visibility time-out, where a mapping on AWS would soon try it again | with `deferral`, make that time-out short: the worker extends it for the call that it takes up |
//! | keeps a Lambda's output to itself until the invocation ends | wrap the binary so that the output also goes to a file, line by line |
//! | refuses a template with an alarm on an expression | leave the alarms out, unless told otherwise |
//! | runs on a machine that may lack the file `SSL_CERT_FILE` names for Lambda | unset it there |

use crate::stack::Description;
use crate::{Values, aws, package};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use aws_sdk_lambda::types::ScalingConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use std::path::Path;

/// How long a throttled delivery stays hidden with `deferral`, in seconds.
const THROTTLED_SECS: u32 = 5;

/// Why a stack on the local server is not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stack lacks a value that is set from.
    #[error("the stack has no {0}: it was not deployed from this template")]
    Missing(&'static str),
    /// `ApiConcurrency` is not a number.
    #[error("ApiConcurrency is {0:?}, not a number")]
    NoNumber(String),
    /// A request failed.
    #[error(transparent)]
    Aws(#[from] aws::Error),
}

/// Chooses what the local server cannot do otherwise.
pub(crate) fn choose(parameters: &mut Values) {
    parameters.entry("Alarms".into()).or_insert_with(|| "disabled".into());
}

/// Sets what the local server's CloudFormation drops, as the template says it, and what its
/// mappings need.
///
/// # Errors
/// If a request fails, or the stack is not from our template.
pub async fn complete(config: &SdkConfig, stack: &Description) -> Result<(), Error> {
    let worker =
        stack.outputs.get("WorkerFunctionName").ok_or(Error::Missing("WorkerFunctionName"))?;
    let limit = stack.parameters.get("ApiConcurrency").ok_or(Error::Missing("ApiConcurrency"))?;
    let limit: i32 = limit.parse().map_err(|_| Error::NoNumber(limit.clone()))?;
    let lambda = aws_sdk_lambda::Client::new(config);
    lambda
        .put_function_concurrency()
        .function_name(worker)
        .reserved_concurrent_executions(limit)
        .send()
        .await
        .map_err(aws::failed("lambda:PutFunctionConcurrency", worker))?;
    if let Some(mapping) = stack.resources.get("DoorbellMapping") {
        lambda
            .update_event_source_mapping()
            .uuid(mapping)
            .scaling_config(ScalingConfig::builder().maximum_concurrency(limit.max(2)).build())
            .send()
            .await
            .map_err(aws::failed("lambda:UpdateEventSourceMapping", mapping))?;
    }
    if stack.resources.contains_key("HighMapping") {
        shorten_visibility(config, stack).await?;
    }
    let records =
        stack.outputs.get("IdempotencyTableName").ok_or(Error::Missing("IdempotencyTableName"))?;
    enable_time_to_live(config, records).await?;
    match stack.outputs.get("UsageTableName") {
        Some(usage) => enable_time_to_live(config, usage).await,
        None => Ok(()),
    }
}

async fn shorten_visibility(config: &SdkConfig, stack: &Description) -> Result<(), Error> {
    let client = aws_sdk_sqs::Client::new(config);
    for output in ["HighQueueUrl", "NormalQueueUrl", "BatchQueueUrl"] {
        let queue = stack.outputs.get(output).ok_or(Error::Missing(output))?;
        client
            .set_queue_attributes()
            .queue_url(queue)
            .attributes(QueueAttributeName::VisibilityTimeout, THROTTLED_SECS.to_string())
            .send()
            .await
            .map_err(aws::failed("sqs:SetQueueAttributes", queue))?;
    }
    Ok(())
}

async fn enable_time_to_live(config: &SdkConfig, table: &str) -> Result<(), Error> {
    let client = aws_sdk_dynamodb::Client::new(config);
    let present = client
        .describe_time_to_live()
        .table_name(table)
        .send()
        .await
        .map_err(aws::failed("dynamodb:DescribeTimeToLive", table))?;
    // Enabling it twice is an error.
    if present.time_to_live_description().and_then(|ttl| ttl.attribute_name()).is_some() {
        return Ok(());
    }
    let ttl = TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(true).build();
    client
        .update_time_to_live()
        .table_name(table)
        .set_time_to_live_specification(ttl.ok())
        .send()
        .await
        .map_err(aws::failed("dynamodb:UpdateTimeToLive", table))?;
    Ok(())
}

/// The package of a Lambda whose output also goes to the file `log`, if there is one.
///
/// # Errors
/// If the binary cannot be read.
pub fn files(binary: &Path, log: Option<&Path>) -> Result<Vec<package::File>, package::Error> {
    let start = match log {
        Some(log) => logging_to(log),
        None => "exec \"$LAMBDA_TASK_ROOT/function\"\n".to_owned(),
    };
    let wrapper = format!("#!/bin/sh\n{CERTIFICATES}\n{start}");
    Ok(vec![
        ("bootstrap".into(), wrapper.into_bytes()),
        ("function".into(), package::read(binary)?),
    ])
}

/// Without it the Lambda looks for this machine's own certificates.
const CERTIFICATES: &str = r#"[ -r "$SSL_CERT_FILE" ] || unset SSL_CERT_FILE"#;

/// The shell becomes the Lambda, so that the server's signals reach it. `tee` reads a named pipe of
/// its own, and ends with the Lambda. The server waits 50 ms for output after each invocation, and
/// goes on at once when a line comes. So the output must not go to the file alone.
fn logging_to(log: &Path) -> String {
    let log = log.display().to_string().replace('\'', r"'\''");
    format!(
        r#"pipe="${{TMPDIR:-/tmp}}/slowlane-$$"
rm -f "$pipe" && mkfifo "$pipe" || exit 1
{{ exec <"$pipe" && rm -f "$pipe" && exec tee -a '{log}'; }} &
exec "$LAMBDA_TASK_ROOT/function" >"$pipe" 2>&1
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a Lambda of this package prints, started as the local server starts it.
    fn printed(folder: &Path, log: Option<&Path>) -> String {
        let function = folder.join("function");
        std::fs::write(&function, "#!/bin/sh\necho \"out ${SSL_CERT_FILE-unset}\"; echo err >&2\n")
            .unwrap();
        for (name, bytes) in files(&function, log).unwrap() {
            let path = folder.join(&*name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        let output = std::process::Command::new(folder.join("bootstrap"))
            .env("LAMBDA_TASK_ROOT", folder)
            .env("TMPDIR", folder)
            .env("SSL_CERT_FILE", "/nowhere/ca-bundle.crt")
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_wrapped_lambda_logs_to_the_file_and_to_the_runtime() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("it's a.log");
        assert_eq!(printed(dir.path(), Some(&log)), "out unset\nerr\n");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "out unset\nerr\n");
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 3, "the named pipe is removed: {left:?}");
    }

    #[test]
    fn without_a_file_it_has_this_machines_certificates_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(printed(dir.path(), None), "out unset\n");
    }
}
