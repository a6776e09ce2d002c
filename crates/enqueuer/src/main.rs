//! The enqueuer Lambda.

use aws_config::BehaviorVersion;
use lambda_runtime::{LambdaEvent, service_fn};
use slowlane_enqueuer::{Config, Enqueuer, timeouts};
use slowlane_lambda::logs;
use slowlane_lambda::spans::Exporter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let lookup = |name: &str| std::env::var(name).ok();
    logs::init(&lookup("LOG_LEVEL").unwrap_or_default());
    let config = Config::from_vars(lookup)?;
    let sdk =
        aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts()).load().await;
    let spans = Exporter::from_vars(lookup)?;
    let enqueuer = Enqueuer::new(config, aws_sdk_sqs::Client::new(&sdk)).with_spans(spans);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        enqueuer.handle(event.payload, event.context.xray_trace_id.as_deref()).await
    }))
    .await
}
