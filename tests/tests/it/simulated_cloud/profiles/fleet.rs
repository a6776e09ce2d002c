//! A fleet of real workers that call a vendor's sandbox over HTTP. AWS is simulated and time is virtual.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use futures::future::join_all;
use serde_json::{Value, json};
use slowlane_aws_simulator::cloud::tokens::Ended;
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings, Functions, Input, Waited};
use slowlane_message::{QueuedCall, SchemaVersion};
use slowlane_sandbox::{Clock, Latency, Rate, Report, Settings, serve};
use slowlane_simulator::programs::Deployment;
use slowlane_simulator::scenario::{Scenario, Told};
use slowlane_vendor_sandbox::{Dialect, Sandbox, Vendor};
use slowlane_worker::aws_config::SdkConfig;
use slowlane_worker::profile::{Base, shipped};
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{AfterLoss, Outcome, Reconciled, Target, TargetResponse};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// How long a call may wait. Zendesk keeps a key for two hours, and nothing is repeated later than that.
const DEADLINE: Duration = Duration::from_secs(5_400);
const STACK_BYTES: usize = 16 * 1024 * 1024;
/// How long a call takes at the API.
const CALL_TIME: Duration = Duration::from_millis(200);

/// What is played.
pub(super) struct Play {
    pub(super) profile: &'static str,
    /// The API's rates. It takes as many calls at once as there are slots.
    pub(super) rates: Vec<Rate>,
    /// What the worker is told of them.
    pub(super) limits: Vec<Told>,
    pub(super) faults: Vec<String>,
    pub(super) slots: u32,
    /// The dialect's sample, so many times, all at once.
    pub(super) calls: u32,
    /// What each call says that it takes of a limit that counts units.
    pub(super) units: Option<u32>,
}

/// What came of it.
pub(super) struct Played {
    /// How each workflow has ended: its error, if it has failed.
    pub(super) ends: Vec<Result<Value, (String, Value)>>,
    pub(super) report: Report,
}

impl Play {
    /// Plays it to the end of all workflows. A fleet in one thread needs more stack than a test has.
    pub(super) fn run(self) -> anyhow::Result<Played> {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let played = thread.spawn(move || self.in_virtual_time())?.join();
        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn in_virtual_time(self) -> anyhow::Result<Played> {
        let wire = Wire::default();
        let runtime = {
            let wire = wire.clone();
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .on_thread_park(move || wire.hold_time())
                .build_local(tokio::runtime::LocalOptions::default())?
        };
        runtime.block_on(async {
            // Whoever is woken keeps the clock from going on.
            let turn = wire.turn.clone();
            tokio::spawn(async move {
                loop {
                    turn.notified().await;
                }
            });
            self.play(wire).await
        })
    }

    async fn play(self, wire: Wire) -> anyhow::Result<Played> {
        let dialect = Dialect::of(self.profile).map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut settings = CloudSettings::new(1);
        settings.receive_attempts = 1;
        let cloud = Cloud::new(settings);
        let clock = Clock::beginning(Duration::from_millis(cloud.now().epoch_millis()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base_url = format!("http://{}", listener.local_addr()?);

        let vendor = Vendor::new(dialect.clone());
        let credentials = vendor.credentials(&base_url);
        let settings = Settings {
            limit: self.slots,
            rates: self.rates.clone(),
            latency: Latency::Fixed(CALL_TIME),
            seed: 1,
        };
        let mut sandbox = Sandbox::new((settings, vendor));
        for fault in &self.faults {
            sandbox.inject(fault.parse()?, clock.now());
        }
        let sandbox = Arc::new(Mutex::new(sandbox));
        wire.leads_to(sandbox.clone());
        tokio::spawn(serve(listener, sandbox.clone(), clock, std::future::pending()));

        let scenario =
            Scenario { limit: self.slots, limits: self.limits.clone(), ..Scenario::default() };
        let functions = Functions::new(cloud.clone());
        let profile = shipped::get(self.profile).context("it is not shipped")?;
        let base = Base::parse(&format!("{base_url}{}", dialect.base_path))?;
        let auth = dialect.auth.clone();
        let connect = move |sdk: &SdkConfig| {
            let target = ProfiledApi::builder(profile.clone(), base.clone()).auth(auth.clone());
            let target = match auth.as_str() {
                "sigv4" => target.role(&with_keys(sdk, &credentials)),
                // Of the role it has only the clock: what is read of AWS in a call would need time,
                // which stands still meanwhile.
                _ => target.role(sdk).secret(json!(credentials).to_string()),
            };
            match target.build() {
                Ok(api) => OverTheWire { api, wire: wire.clone() },
                Err(error) => panic!("{error}"),
            }
        };
        let deployment = Deployment::create(&scenario, &functions, connect, None)?;
        let calls = (1..=self.calls).map(|number| self.call(&dialect, number));
        let workflows = calls.map(|call| workflow(&functions, &deployment, call));
        let ends = join_all(workflows).await.into_iter().collect::<anyhow::Result<_>>()?;
        let mut sandbox = sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        sandbox.advance(clock.now());
        Ok(Played { ends, report: sandbox.report() })
    }

    fn call(&self, dialect: &Dialect, number: u32) -> Value {
        let sample = &dialect.sample;
        let key = format!("order-{number}");
        let body = sample.body.to_string().replace("{key}", &key);
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let mut call = json!({
            "version": SchemaVersion::CURRENT.to_string(),
            "priority": "NORMAL",
            "idempotency_key": key,
            "request": {
                "method": sample.method,
                "resource": sample.resource.replace("{key}", &key),
                "body": body,
            },
            "at_most_once": sample.at_most_once,
        });
        if let Some(units) = self.units {
            call["units"] = units.into();
        }
        call
    }
}

/// AWS, as a role sees it that has the keys of a sandbox.
fn with_keys(sdk: &SdkConfig, credentials: &BTreeMap<String, String>) -> SdkConfig {
    let [id, secret] = ["access_key_id", "secret_access_key"].map(|name| &credentials[name]);
    let keys = Credentials::new(id, secret, None, None, "sandbox");
    let builder = sdk.clone().into_builder();
    builder.credentials_provider(SharedCredentialsProvider::new(keys)).build()
}

/// A workflow that makes one call and waits for its end.
async fn workflow(
    functions: &Functions,
    deployment: &Deployment,
    mut call: Value,
) -> anyhow::Result<Result<Value, (String, Value)>> {
    let cloud = functions.cloud();
    let task = cloud.begin_task();
    let now_ms = i64::try_from(cloud.now().epoch_millis())?;
    let deadline = jiff::Timestamp::from_millisecond(now_ms)? + DEADLINE;
    call["task_token"] = task.token().to_string().into();
    call["deadline"] = deadline.to_string().into();
    let taken = functions.invoke(deployment.enqueuer, Input::Payload(call)).await;
    ensure!(taken.is_ok(), "the enqueuer does not take it: {taken:?}");
    match cloud.wait_for(task, DEADLINE + deployment.timing.function_timeout).await {
        Waited::Ended(Ended::Succeeded(output)) => Ok(Ok(serde_json::from_str(&output)?)),
        Waited::Ended(Ended::Failed { error, cause }) => {
            Ok(Err((error.to_string(), serde_json::from_str(&cause)?)))
        }
        other => anyhow::bail!("it has not ended: {other:?}"),
    }
}

/// What lies between the workers and the API: loopback sockets, which know nothing of virtual time. The
/// clock must stand still while bytes are on their way, and go on while the API works on a call.
#[derive(Clone, Default)]
struct Wire {
    /// Calls of workers that have no answer yet.
    open: Arc<AtomicU32>,
    /// The API, which counts those that it works on.
    sandbox: Arc<Mutex<Option<Arc<Mutex<Sandbox>>>>>,
    turn: Arc<Notify>,
}

impl Wire {
    fn leads_to(&self, sandbox: Arc<Mutex<Sandbox>>) {
        *self.sandbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(sandbox);
    }

    /// Is asked whenever nothing but the clock could go on.
    fn hold_time(&self) {
        let sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sandbox) = &*sandbox else { return };
        let works_on = sandbox.lock().unwrap_or_else(PoisonError::into_inner).stats().in_flight;
        if self.open.load(Ordering::Relaxed) > works_on {
            self.turn.notify_one();
        }
    }

    async fn carry<T>(&self, work: impl Future<Output = T>) -> T {
        self.open.fetch_add(1, Ordering::Relaxed);
        let _open = Open(&self.open);
        work.await
    }
}

/// A call without an answer, until it is dropped: the worker may cut it off.
struct Open<'a>(&'a AtomicU32);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The target of each worker.
struct OverTheWire {
    api: ProfiledApi,
    wire: Wire,
}

impl Target for OverTheWire {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        self.wire.carry(self.api.call(call)).await
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
        self.wire.carry(self.api.prepare(call)).await
    }

    async fn renew_credentials(&self) {
        self.api.renew_credentials().await;
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        self.wire.carry(self.api.reconcile(call)).await
    }
}
