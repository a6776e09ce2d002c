//! What a request costs here, with all that the cloud, the enqueuer and the worker do for it.
//! Beside it stands a bare request of the AWS SDK that a constant answers.
//!
//! Machines differ, and a virtual one differs from itself within minutes, so both are timed by
//! turns in one run.

use std::io::Write;
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use slowlane_aws_simulator::time::{Clock, Skew, WallClock, in_virtual_time};
use slowlane_simulator::run::{Onlooker, run};
use slowlane_simulator::scenario::Scenario;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: u32 = 5;
const BARE_REQUESTS: u32 = 20_000;
const CALLS: u64 = 2_000;

fn main() -> anyhow::Result<()> {
    let mut scenario = Scenario::parse(include_str!("../scenarios/million.toml"))?;
    scenario.scale_to(CALLS);
    let (mut bare, mut simulated, mut requests) = (Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        in_virtual_time(bare_requests())??;
        bare += started.elapsed();
        let started = Instant::now();
        requests += run(&scenario, Onlooker::nobody())?.measures.aws_requests();
        simulated += started.elapsed();
    }
    let micros = |time: Duration, count: f64| time.as_secs_f64() * 1e6 / count;
    let bare = micros(bare, f64::from(ROUNDS * BARE_REQUESTS));
    let calls = f64::from(ROUNDS) * CALLS as f64;
    let each = micros(simulated, requests as f64);
    let mut out = std::io::stdout();
    writeln!(out, "a bare request of the SDK:  {bare:6.1} us")?;
    writeln!(out, "a request of a simulation:  {each:6.1} us, {:.2} times as much", each / bare)?;
    writeln!(out, "a call of a simulation:     {:6.1} us", micros(simulated, calls))?;
    Ok(())
}

/// Requests of 6 ms each, one after another.
async fn bare_requests() -> anyhow::Result<()> {
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url("http://constant.invalid")
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIABARE", "secret", None, None, "bare",
        )))
        .http_client(Constant)
        .time_source(WallClock::new(Clock::start(), Skew::NONE))
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    let sqs = Client::new(&sdk);
    for _ in 0..BARE_REQUESTS {
        sqs.receive_message().queue_url("http://constant.invalid/0/queue").send().await?;
    }
    Ok(())
}

#[derive(Clone, Debug)]
struct Constant;

impl HttpClient for Constant {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Constant)
    }
}

impl HttpConnector for Constant {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(async {
            tokio::time::sleep(Duration::from_millis(6)).await;
            let status = StatusCode::try_from(200)
                .map_err(|error| ConnectorError::other(error.into(), None))?;
            Ok(HttpResponse::new(status, SdkBody::from("{}")))
        })
    }
}
