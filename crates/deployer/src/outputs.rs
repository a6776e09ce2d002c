use crate::Values;

/// What the template hands out. Every field is there after a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the template's outputs, described there")]
pub struct Outputs {
    pub sales_order_sync_arn: String,
    pub throttled_call_arn: String,
    pub high_queue_url: String,
    pub normal_queue_url: String,
    pub batch_queue_url: String,
    /// Only with `Dispatch` = `doorbell`.
    pub doorbell_queue_url: Option<String>,
    pub dead_letter_queue_url: String,
    pub idempotency_table_name: String,
    pub worker_function_name: String,
    pub enqueuer_function_name: String,
}

/// The stack has no output of this name.
#[derive(Debug, thiserror::Error)]
#[error("the stack has no output {0}: it was not deployed from this template")]
pub struct Missing(&'static str);

impl Outputs {
    pub(crate) fn from_map(values: &Values) -> Result<Self, Missing> {
        let get = |name: &'static str| values.get(name).cloned().ok_or(Missing(name));
        Ok(Self {
            sales_order_sync_arn: get("SalesOrderSyncArn")?,
            throttled_call_arn: get("ThrottledCallArn")?,
            high_queue_url: get("HighQueueUrl")?,
            normal_queue_url: get("NormalQueueUrl")?,
            batch_queue_url: get("BatchQueueUrl")?,
            doorbell_queue_url: values.get("DoorbellQueueUrl").cloned(),
            dead_letter_queue_url: get("DeadLetterQueueUrl")?,
            idempotency_table_name: get("IdempotencyTableName")?,
            worker_function_name: get("WorkerFunctionName")?,
            enqueuer_function_name: get("EnqueuerFunctionName")?,
        })
    }
}
