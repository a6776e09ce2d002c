//! The Lambda behind the front door's function URL.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sfn::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_sfn::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sfn::error::BoxError;
use aws_smithy_types::timeout::TimeoutConfig;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use slowlane_cascade::{FrontDoor, Machines, Request};
use slowlane_lambda::{env, logs};

/// Longer than an Express workflow may take, which is five minutes.
const TIMEOUT: Duration = Duration::from_secs(305);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init(&env::process("LOG_LEVEL").unwrap_or_default());
    let machines = env::read(env::process, |env| {
        let cascade = env.required("CASCADE_ARN", "the ARN of the machine retry-cascade");
        let throttled_call =
            env.maybe("THROTTLED_CALL_ARN", "the ARN of the machine throttled-call");
        Ok(Machines { cascade: cascade?, throttled_call: throttled_call? })
    })?;
    let timeouts = TimeoutConfig::builder().operation_timeout(TIMEOUT).build();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    let door = FrontDoor::new(step_functions(&sdk), machines);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Request>| {
        Ok::<_, Error>(door.handle(event.payload).await)
    }))
    .await
}

fn step_functions(sdk: &SdkConfig) -> aws_sdk_sfn::Client {
    let mut config = aws_sdk_sfn::config::Builder::from(sdk);
    if sdk.endpoint_url().is_some() {
        config = config.interceptor(HostAsGiven);
    }
    aws_sdk_sfn::Client::from_conf(config.build())
}

/// The SDK asks for a synchronous run at the host `sync-HOST`. A server that was named by its URL,
/// as the local AWS is, has only the host in it.
#[derive(Debug)]
struct HostAsGiven;

impl Intercept for HostAsGiven {
    fn name(&self) -> &'static str {
        "HostAsGiven"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let uri = request.uri().replacen("://sync-", "://", 1);
        request.set_uri(uri)?;
        Ok(())
    }
}
