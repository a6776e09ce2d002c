//! The cloud behind the AWS SDK's HTTP client. Requests of the real programs arrive here, travel
//! for as long as the dice say, and are answered in the services' own JSON.

mod dynamodb;
mod lambda;
mod reply;
mod sqs;
mod states;

use std::time::{Duration, SystemTime};

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
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
use serde::Serialize;

use self::reply::{Reply, read};
use crate::cloud::parameters::Unconfirmed;
use crate::cloud::requests::{Action, Service};
use crate::cloud::{Cloud, State};
use crate::faults::Fault;
use crate::time::{Moment, Skew, WallClock};
use crate::transcript::{Caller, Event};

/// Longest pause between two tries of a request (SDK's default).
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

impl Cloud {
    /// An SDK configuration whose requests, clock and sleeps are this cloud's, for `caller`,
    /// whose clock is wrong by `skew`.
    ///
    /// The SDK's own retries are off: they draw from a token bucket that is shared by the whole
    /// process, so that one run would change the next. This client retries as the SDK does, as often
    /// as [`CloudSettings`](crate::cloud::CloudSettings) says.
    pub fn sdk(&self, caller: Caller, skew: Skew) -> SdkConfig {
        let credentials = Credentials::new("AKIASIMULATOR", "secret", None, None, "simulator");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url("http://cloud.invalid")
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .identity_cache(IdentityCache::no_cache())
            .http_client(Front { cloud: self.clone(), caller })
            .time_source(WallClock::new(self.clock(), skew))
            .sleep_impl(TokioSleep::new())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build()
    }
}

/// The HTTP client of one caller.
#[derive(Clone, Debug)]
struct Front {
    cloud: Cloud,
    caller: Caller,
}

impl HttpClient for Front {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Front {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let front = self.clone();
        HttpConnectorFuture::new(async move { front.send(&request).await })
    }
}

/// What a request asks for.
#[derive(Clone, Copy)]
struct Ask<'a> {
    action: Action,
    /// The function to invoke, if that is what it is.
    function: &'a str,
    body: &'a [u8],
}

impl Ask<'_> {
    /// Whether it is for a table that cannot be reached at present.
    fn is_for_table_out(&self, state: &State, now: Moment) -> bool {
        let names = |table: &str| {
            String::from_utf8_lossy(self.body).contains(&format!("\"TableName\":\"{table}\""))
        };
        let mut tables_out = state.tables_out.iter();
        tables_out.any(|(table, from, until)| *from <= now && now < *until && names(table))
    }
}

/// What became of one try of a request.
enum Tried {
    Answered(Reply),
    /// It may pass: the SDK's standard strategy tries again.
    Passing(Result<Reply, ConnectorError>),
}

impl Front {
    /// Sends a request, up to the configured number of times.
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let invoked = lambda::invoked(request);
        let known = invoked.map(|_| Action::Invoke).or_else(|| Action::of(target));
        let Some(action) = known else {
            panic!("the simulator does not know the request {target:?} to {}", request.uri());
        };
        let ask = Ask {
            action,
            function: invoked.unwrap_or_default(),
            body: request.body().bytes().unwrap_or_default(),
        };
        let attempts = self.cloud.state().attempts(action);
        let mut attempt = 1;
        let (outcome, answered_at) = loop {
            let (tried, answered_at) = self.attempt(ask).await;
            let outcome = match tried {
                Tried::Answered(reply) => Some(Ok(reply)),
                Tried::Passing(outcome) => (attempt >= attempts).then_some(outcome),
            };
            if let Some(outcome) = outcome {
                break (outcome, answered_at);
            }
            let pause = Duration::from_secs(1 << attempt.min(5)).min(LONGEST_PAUSE);
            let fraction = self.cloud.state().travel.fraction();
            tokio::time::sleep(pause.mul_f64(fraction)).await;
            attempt += 1;
        };
        let status = outcome.as_ref().map_or(0, |reply| reply.status);
        let caller = self.caller;
        let now = self.cloud.now();
        self.cloud.state().saw(now, Event::Request { caller, action, status });
        let reply = outcome?;
        let status = StatusCode::try_from(reply.status)
            .map_err(|e| ConnectorError::other(e.into(), None))?;
        let mut response = HttpResponse::new(status, SdkBody::from(reply.body));
        response.headers_mut().insert("date", date(answered_at));
        Ok(response)
    }

    /// One try: there, what the service does, and back; and when the service answered.
    async fn attempt(&self, ask: Ask<'_>) -> (Tried, Moment) {
        let (there, back, mishap) = {
            let mut state = self.cloud.state();
            state.requests.count(ask.action, ask.body.len());
            let time = state.travel_time();
            let now = self.cloud.now();
            let mishap = Mishap::draw(&mut state, ask.action, now);
            let mishap =
                if ask.is_for_table_out(&state, now) { Some(Mishap::Unreachable) } else { mishap };
            (time / 2, time - time / 2, mishap)
        };
        let mut underway = Underway { front: self, ask, arrived: false };
        tokio::time::sleep(there).await;
        underway.arrived = true;
        let reply = match mishap {
            Some(Mishap::LostRequest | Mishap::Unreachable) => {
                return (Tried::Passing(Err(reset())), self.cloud.now());
            }
            Some(Mishap::Throttled) => throttled(ask.action.service()),
            Some(Mishap::Denied) => {
                Reply::failed(403, "com.amazonaws.sqs#AccessDeniedException", "not allowed")
            }
            Some(Mishap::Failed) => Reply::failed(500, "InternalServerError", "try again"),
            Some(Mishap::LostReply) | None => self.arrive(ask).await,
        };
        let answered_at = self.cloud.now();
        tokio::time::sleep(back).await;
        let tried = match mishap {
            None | Some(Mishap::Denied) => Tried::Answered(reply),
            Some(Mishap::LostReply) => Tried::Passing(Err(reset())),
            Some(_) => Tried::Passing(Ok(reply)),
        };
        (tried, answered_at)
    }

    /// The service carries the request out. Only a long poll takes time.
    async fn arrive(&self, ask: Ask<'_>) -> Reply {
        if ask.action == Action::ReceiveMessage {
            return sqs::receive(&self.cloud, ask.body).await;
        }
        let now = self.cloud.now();
        answer(&mut self.cloud.state(), ask, now)
    }
}

/// The `Date` of an answer: the services' clocks are right, and tell whole seconds.
fn date(answered_at: Moment) -> String {
    let since = Duration::from_millis(answered_at.epoch_millis());
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since)
}

fn answer(state: &mut State, ask: Ask<'_>, now: Moment) -> Reply {
    let Ask { action, function, body } = ask;
    match action.service() {
        Service::Sqs => sqs::answer(state, action, body, now),
        Service::DynamoDb => dynamodb::answer(state, action, body, now),
        Service::StepFunctions => states::answer(state, action, body, now),
        Service::SecretsManager => secret(state, body),
        Service::Lambda => lambda::take(state, function, body),
    }
}

fn secret(state: &State, body: &[u8]) -> Reply {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Secret<'a> {
        name: &'a str,
        secret_string: &'a str,
    }
    let ask: serde_json::Value = read(body);
    let name = ask["SecretId"].as_str().unwrap_or_default();
    match state.secrets.get(name) {
        Some(secret_string) => Reply::ok(&Secret { name, secret_string }),
        None => Reply::refused("ResourceNotFoundException", "no such secret"),
    }
}

fn reset() -> ConnectorError {
    ConnectorError::io("connection reset by the simulator".into())
}

fn throttled(service: Service) -> Reply {
    let kind = match service {
        Service::Sqs => "com.amazonaws.sqs#RequestThrottled",
        _ => "ThrottlingException",
    };
    Reply::refused(kind, "Rate exceeded")
}

/// What goes wrong with one try of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mishap {
    Throttled,
    Failed,
    LostRequest,
    LostReply,
    /// The service cannot be reached, by anybody and for a while.
    Unreachable,
    /// The caller may not do this, for a while.
    Denied,
}

/// The longest that programs may not receive.
const LONGEST_REFUSAL_MS: u64 = 600_000;
/// The longest that DynamoDB cannot be reached.
const LONGEST_UNREACHABLE_MS: u64 = 3_600_000;

impl Mishap {
    fn draw(state: &mut State, action: Action, now: Moment) -> Option<Mishap> {
        let struck = [
            (Fault::AwsThrottle, Mishap::Throttled),
            (Fault::AwsError, Mishap::Failed),
            (Fault::LostRequest, Mishap::LostRequest),
            (Fault::LostReply, Mishap::LostReply),
        ]
        .into_iter()
        .find(|(fault, _)| state.faults.strikes(*fault))
        .map(|(_, mishap)| mishap);
        Mishap::of_outage(state, action, now).or(struck)
    }

    /// What lasts for a while and strikes every request of its kind.
    fn of_outage(state: &mut State, action: Action, now: Moment) -> Option<Mishap> {
        let (fault, longest, mishap) = match (action, action.service()) {
            (Action::ReceiveMessage, _) => {
                (Fault::ReceiveRefused, LONGEST_REFUSAL_MS, Mishap::Denied)
            }
            (_, Service::DynamoDb) => {
                (Fault::TableUnreachable, LONGEST_UNREACHABLE_MS, Mishap::Unreachable)
            }
            _ => return None,
        };
        let until = state.outages.get(&fault).copied().unwrap_or_default();
        if now < until {
            return Some(mishap);
        }
        // Between two outages there is time for what waits.
        let calm = until == Moment::START || now.since(until) > Duration::from_millis(longest);
        if calm && state.faults.strikes(fault) {
            let lasts = Duration::from_millis(state.faults.below(longest));
            state.outages.insert(fault, now.plus(lasts));
        }
        None
    }
}

/// A request on its way. If its process dies before it arrives, it may arrive all the same.
struct Underway<'a> {
    front: &'a Front,
    ask: Ask<'a>,
    arrived: bool,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if self.arrived {
            return;
        }
        let cloud = &self.front.cloud;
        let now = cloud.now();
        let mut state = cloud.state();
        let odd = state.parameters().get(Unconfirmed::OrphanArrives);
        if state.dice_happens(odd) {
            let (caller, action) = (self.front.caller, self.ask.action);
            let reply = match action {
                Action::ReceiveMessage => sqs::receive_once(&mut state, self.ask.body, now),
                _ => answer(&mut state, self.ask, now),
            };
            let status = reply.status;
            state.saw(now, Event::Request { caller, action, status });
        }
    }
}
