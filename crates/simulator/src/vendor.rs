//! A vendor's API behind the worker: the sandbox that speaks its dialect, called by the worker's own target
//! for profiles. No socket is between them, so that the run stays in virtual time and one history.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_aws_simulator::cloud::Cloud;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::Event;
use slowlane_message::QueuedCall;
use slowlane_sandbox::{Admitted, Begun, Finished};
use slowlane_vendor_sandbox::{Dialect, Sandbox, Vendor};
use slowlane_worker::profile::{Answer, Base, Profile, Request, shipped};
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{AfterLoss, Outcome, Reconciled, Target, TargetResponse};
use tokio::sync::{mpsc, oneshot};

use crate::api::limits::Refused;
use crate::api::{API_ENDS, API_STARTS};
use crate::ledger::{Ledger, call_of};
use crate::scenario::{Error, Scenario};

/// Where the API is. Nothing is sent there.
const BASE_URL: &str = "http://127.0.0.1:1";
/// How long a refusal takes.
const REFUSAL: Duration = Duration::from_millis(5);

/// A vendor's API; clones are the same API.
#[derive(Clone)]
pub struct VendorApi {
    dialect: Rc<Dialect>,
    profile: Profile,
    base: Base,
    credentials: Rc<BTreeMap<String, String>>,
    requests: mpsc::UnboundedSender<Arrived>,
    service: Service,
}

/// The API's side.
#[derive(Clone)]
struct Service {
    cloud: Cloud,
    ledger: Ledger,
    sandbox: Rc<RefCell<Sandbox>>,
    /// Whether nothing but the API's own limits can make it refuse a call.
    is_sound: bool,
}

/// A request on its way to the API.
struct Arrived {
    request: Request,
    /// The call that it is made for.
    made_for: Option<MadeFor>,
    tell: oneshot::Sender<Option<Answer>>,
}

/// A call, and when it was put on its queue.
#[derive(Clone, Copy)]
struct MadeFor {
    call: u64,
    enqueued_at: Option<Moment>,
}

impl VendorApi {
    /// The API of a profile, as a scenario has it.
    ///
    /// # Errors
    /// No sandbox speaks for this profile, or the scenario's faults are none.
    pub fn new(
        profile: &str,
        scenario: &Scenario,
        cloud: &Cloud,
        ledger: &Ledger,
    ) -> Result<VendorApi, Error> {
        let dialect = scenario.dialect(profile)?;
        let shipped = shipped::get(profile);
        let shipped = shipped.ok_or_else(|| Error::Vendor(format!("no profile {profile}")))?;
        let base = Base::parse(&format!("{BASE_URL}{}", dialect.base_path));
        let base = base.map_err(|error| Error::Vendor(format!("its base URL {error}")))?;
        let vendor = Vendor::new(dialect.clone());
        let credentials = Rc::new(vendor.credentials(BASE_URL));
        let mut sandbox = Sandbox::new((scenario.sandbox_settings(), vendor));
        for fault in scenario.sandbox_faults()? {
            sandbox.inject(fault, epoch(cloud.now()));
        }
        let service = Service {
            cloud: cloud.clone(),
            ledger: ledger.clone(),
            sandbox: Rc::new(RefCell::new(sandbox)),
            is_sound: scenario.api.faults.is_empty(),
        };
        let (requests, mut arrive) = mpsc::unbounded_channel();
        let serving = service.clone();
        tokio::task::spawn_local(async move {
            while let Some(arrived) = arrive.recv().await {
                tokio::task::spawn_local(serving.clone().serve(arrived));
            }
        });
        let dialect = Rc::new(dialect);
        Ok(VendorApi { dialect, profile: shipped, base, credentials, requests, service })
    }

    /// The API as one environment of the worker sees it.
    ///
    /// # Panics
    /// If the dialect's own way to authenticate is none of the profile's.
    pub fn client(&self, sdk: &SdkConfig) -> VendorClient {
        let making = Arc::new(Mutex::new(None));
        let (requests, made_for) = (self.requests.clone(), making.clone());
        let carry = move |request| {
            let made_for = *made_for.lock().unwrap_or_else(PoisonError::into_inner);
            let (tell, told) = oneshot::channel();
            // A run that is over hears nothing more.
            let _ = requests.send(Arrived { request, made_for, tell });
            async move { told.await.ok().flatten() }
        };
        let target = ProfiledApi::builder(self.profile.clone(), self.base.clone());
        let target = target.auth(self.dialect.auth.clone()).carried_by(carry);
        let target = match self.dialect.auth.as_str() {
            "sigv4" => target.role(&self.with_keys(sdk)),
            // Of the role it has the clock.
            _ => target.role(sdk).secret(json!(*self.credentials).to_string()),
        };
        match target.build() {
            Ok(api) => VendorClient {
                api,
                making,
                cloud: self.service.cloud.clone(),
                ledger: self.service.ledger.clone(),
            },
            Err(error) => panic!("the sandbox of `{}`: {error}", self.dialect.name),
        }
    }

    /// AWS, as a role sees it that has the keys of the sandbox.
    fn with_keys(&self, sdk: &SdkConfig) -> SdkConfig {
        let [id, secret] =
            ["access_key_id", "secret_access_key"].map(|name| &self.credentials[name]);
        let keys = Credentials::new(id, secret, None, None, "sandbox");
        let builder = sdk.clone().into_builder();
        builder.credentials_provider(SharedCredentialsProvider::new(keys)).build()
    }

    /// What a workflow asks for, and whether that is made although its answer may be lost for ever.
    pub fn request(&self, key: &str) -> (Value, bool) {
        let sample = &self.dialect.sample;
        let body = sample.body.to_string().replace("{key}", key);
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let resource = sample.resource.replace("{key}", key);
        (
            json!({ "method": sample.method, "resource": resource, "body": body }),
            sample.at_most_once,
        )
    }

    /// How many requests it works on.
    pub fn working(&self) -> u32 {
        self.service.sandbox.borrow().stats().in_flight
    }

    /// Effects beyond the first of each call.
    pub fn duplicates(&self) -> u64 {
        let mut sandbox = self.service.sandbox.borrow_mut();
        sandbox.advance(epoch(self.service.cloud.now()));
        sandbox.stats().duplicate_effects
    }
}

impl Service {
    /// The API's side of a request. It works on whether or not the caller still listens.
    async fn serve(self, arrived: Arrived) {
        let Arrived { request, made_for, tell } = arrived;
        let Some(request) = sent(request) else { return };
        let now = self.cloud.now();
        let (begun, was_full, refused) = {
            let mut sandbox = self.sandbox.borrow_mut();
            let before = sandbox.stats();
            let begun = sandbox.begin(request, epoch(now));
            let was_full = before.in_flight >= before.limit;
            (begun, was_full, sandbox.stats().http_429 > before.http_429)
        };
        match begun {
            Begun::Answer(answer) => {
                if refused {
                    let by_rate = self.is_sound && !was_full;
                    let wait = by_rate.then_some(REFUSAL);
                    self.ledger.books().throttled(Refused::Own { wait }, now);
                }
                tokio::time::sleep(REFUSAL).await;
                // A caller that is gone does not read its answer.
                let _ = tell.send(Some(read(answer)));
            }
            Begun::Admitted(admitted) => self.work(admitted, made_for, tell).await,
        }
    }

    async fn work(
        &self,
        mut admitted: Box<Admitted<Vendor>>,
        made_for: Option<MadeFor>,
        tell: oneshot::Sender<Option<Answer>>,
    ) {
        let started = self.cloud.now();
        self.ledger.books().figures().usage.takes(1, self.working(), started);
        if let Some(MadeFor { call, enqueued_at }) = made_for {
            self.ledger.books().starts(call, enqueued_at, started);
            self.cloud.state().saw(started, Event::Run(API_STARTS, call, 0));
        }
        let mut tell = Some(tell);
        // Of a call that goes on after its connection broke, the caller hears once.
        let mut told =
            |answer: Option<Answer>| tell.take().is_some_and(|tell| tell.send(answer).is_ok());
        loop {
            let ends = admitted.finish_at();
            tokio::time::sleep(ends.saturating_sub(epoch(self.cloud.now()))).await;
            let finished = self.sandbox.borrow_mut().finish(admitted, epoch(self.cloud.now()));
            match finished {
                Finished::Answer(answer) => told(Some(read(answer))),
                Finished::Drop => told(None),
                Finished::DropAndGoOn(later) => {
                    told(None);
                    admitted = later;
                    continue;
                }
            };
            break;
        }
        let now = self.cloud.now();
        if let Some(MadeFor { call, .. }) = made_for {
            self.cloud.state().saw(now, Event::Run(API_ENDS, call, 0));
        }
        self.ledger.books().worked(now.since(started), now);
        self.ledger.books().figures().usage.works_on(self.working(), now);
    }

    fn working(&self) -> u32 {
        self.sandbox.borrow().stats().in_flight
    }
}

/// The API as one environment of the worker sees it: the target that would be deployed.
pub struct VendorClient {
    api: ProfiledApi,
    making: Arc<Mutex<Option<MadeFor>>>,
    cloud: Cloud,
    ledger: Ledger,
}

impl VendorClient {
    /// From now on requests are made for this call.
    fn make(&self, queued: &QueuedCall) -> Making<'_> {
        let enqueued_at = Moment::from_epoch_millis(queued.enqueued_at.as_millisecond());
        let call = call_of(queued.idempotency_key.as_str());
        self.set(call.map(|call| MadeFor { call, enqueued_at }));
        self.ledger.books().asks(self.cloud.now());
        Making(self)
    }

    fn set(&self, made_for: Option<MadeFor>) {
        *self.making.lock().unwrap_or_else(PoisonError::into_inner) = made_for;
    }
}

/// A live invocation's request at the API: gone with the invocation.
struct Making<'a>(&'a VendorClient);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.set(None);
        self.0.ledger.books().asked();
    }
}

impl Target for VendorClient {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        let _making = self.make(call);
        self.api.call(call).await
    }

    async fn call_within(&self, call: &QueuedCall, longest: Duration) -> Outcome<TargetResponse> {
        let _making = self.make(call);
        self.api.call_within(call, longest).await
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        self.api.after_loss(call)
    }

    fn settles_after(&self, call: &QueuedCall) -> Duration {
        self.api.settles_after(call)
    }

    fn units(&self, call: &QueuedCall) -> Option<u64> {
        self.api.units(call)
    }

    async fn prepare(&self, call: &QueuedCall) -> bool {
        self.api.prepare(call).await
    }

    async fn renew_credentials(&self) {
        self.api.renew_credentials().await;
    }

    fn secret_ends(&self) -> Option<Timestamp> {
        self.api.secret_ends()
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        let _making = self.make(call);
        self.api.reconcile(call).await
    }
}

/// A moment, as the sandbox has it.
fn epoch(moment: Moment) -> Duration {
    Duration::from_millis(moment.epoch_millis())
}

/// A request as it would come out of a socket.
fn sent(request: Request) -> Option<slowlane_vendor_sandbox::Request> {
    let Request { method, url, headers, body } = request;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut sent = http::Request::builder().method(method.as_str()).uri(target);
    *sent.headers_mut()? = headers;
    sent.header(http::header::HOST, url.authority()).body(body).ok()
}

fn read(answer: slowlane_vendor_sandbox::Response) -> Answer {
    let (head, body) = answer.into_parts();
    Answer::new(head.status.as_u16(), head.headers, body)
}
