//! Slowlane deployed on the local AWS, with a sandbox behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slowlane_deployer::{DeployError, Deployer, Endpoint, Fallback, Outputs, Plan, Progress};

use crate::ministack::MiniStack;
use crate::sandbox::{self, SandboxProcess, VendorSettings};
use crate::worker_log::WorkerCounts;

const SETTLE_POLL: Duration = Duration::from_millis(200);

/// What is needed beside this program, and where it lies. `cargo xtask demo` and
/// `cargo xtask test` make it and say where by environment variables.
#[derive(Clone, Debug)]
pub struct Tools {
    /// `SLOWLANE_LAMBDAS`: the directory of the binaries `slowlane-enqueuer` and `slowlane-worker`.
    pub lambdas: PathBuf,
    /// `SLOWLANE_SANDBOX`: the NetSuite sandbox's binary. That of other vendors' lies beside it.
    pub sandbox: PathBuf,
    /// `SLOWLANE_PYTHON`: the interpreter of a virtual environment with MiniStack.
    pub python: PathBuf,
}

/// How calls find slots; a parameter of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Dispatch {
    /// One mapping, on a queue of rings; a slot looks at the priority queues itself.
    Doorbell,
    /// A mapping on each priority queue; a lower call gives way to a higher one.
    Deferral,
}

/// What a slot woken by a lower call does when a higher one waits (`deferral` only); a
/// parameter of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnHigher {
    /// Gives the lower one back and runs the higher one.
    Swap,
    /// Only gives the lower one back.
    Yield,
}

/// What to deploy and against which API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The sandbox; its limit is also the stack's.
    pub sandbox: sandbox::Settings,
    /// How calls find slots.
    pub dispatch: Dispatch,
    /// What a lower call does when a higher one waits.
    pub on_higher: OnHigher,
    /// Further parameters of the template.
    pub parameters: Vec<(&'static str, String)>,
}

/// A target to deploy, whose API a sandbox stands in for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The sandbox.
    pub sandbox: VendorSettings,
    /// The base URL of a server that stands in for the API in the sandbox's place.
    pub elsewhere: Option<String>,
    /// The path of the API's base URL, such as `/v1`; that of the sandbox's own sample if left out.
    pub base_path: Option<String>,
    /// The name of the secret and the fields that it must have, if the API needs one. `ssm:/NAME` is a
    /// parameter.
    pub secret: Option<(String, Vec<String>)>,
    /// A profile of one's own, in the place of one that the parameter `ApiProfile` names.
    pub api_profile: Option<PathBuf>,
    /// A price list of models.
    pub prices: Option<PathBuf>,
    /// A folder of prompts.
    pub prompts: Option<PathBuf>,
    /// Another provider of models.
    pub fallback: Option<Fallback>,
    /// The template's parameters, but for where the API is.
    pub parameters: BTreeMap<String, String>,
}

/// Why a stack could not be brought up or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of [`Tools`] is not there.
    #[error(
        "{variable} {problem}; run it by `cargo xtask demo` or `cargo xtask test`, which make what is needed"
    )]
    Tool {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The sandbox.
    #[error("the sandbox failed")]
    Sandbox(#[from] sandbox::Error),
    /// A file of the run's directory.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The sandbox's credentials have another form than this program knows.
    #[error("cannot read the sandbox's credentials")]
    Credentials(#[source] serde_json::Error),
    /// The secret needs what the sandbox has no credentials of.
    #[error(
        "the sandbox of `{profile}` has no `{field}` to sign in with: try another way to authenticate \
         (`auth`)"
    )]
    NoCredential {
        /// The dialect.
        profile: String,
        /// The secret's field.
        field: String,
    },
    /// A request to the local AWS.
    #[error("{call} failed on the local AWS")]
    Aws {
        /// The request.
        call: &'static str,
        /// What the SDK said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The deploy.
    #[error("the deploy to the local AWS failed")]
    Deploy(#[from] DeployError),
}

/// A deployed stack and its sandbox. The sandbox ends when this is dropped; the rest lives
/// and ends with the [`MiniStack`].
#[derive(Debug)]
pub struct Stack {
    sandbox: SandboxProcess,
    outputs: Outputs,
    sdk: SdkConfig,
    directory: PathBuf,
}

/// Messages in a queue. Approximate by name, exact on the local AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting, those that become visible later included.
    pub waiting: u64,
    /// Received and not yet deleted.
    pub in_flight: u64,
}

impl Depth {
    /// All messages of the queue.
    #[must_use]
    pub fn total(self) -> u64 {
        self.waiting + self.in_flight
    }
}

impl Tools {
    /// Reads the environment variables and checks that what they name is there.
    ///
    /// # Errors
    /// [`Error::Tool`] for the first that is missing.
    pub fn from_env() -> Result<Self, Error> {
        let tools = Self {
            lambdas: from_variable("SLOWLANE_LAMBDAS")?,
            sandbox: from_variable("SLOWLANE_SANDBOX")?,
            python: from_variable("SLOWLANE_PYTHON")?,
        };
        for binary in ["slowlane-enqueuer", "slowlane-worker"] {
            let path = tools.lambdas.join(binary);
            if !path.is_file() {
                let problem = format!("has no {binary}: there is no {}", path.display());
                return Err(Error::Tool { variable: "SLOWLANE_LAMBDAS", problem });
            }
        }
        Ok(tools)
    }
}

impl Tools {
    /// The binary of other vendors' sandboxes.
    #[must_use]
    pub fn vendor_sandbox(&self) -> PathBuf {
        self.sandbox.with_file_name("slowlane-sandbox")
    }
}

impl Target {
    /// A target with a profile that comes with Slowlane, at the sandbox of that profile.
    #[must_use]
    pub fn of_profile(sandbox: VendorSettings) -> Self {
        let parameters = [
            ("ApiProfile", sandbox.profile.clone()),
            ("ApiSecret", format!("demo/{}", sandbox.profile)),
            ("ApiConcurrency", sandbox.limit.to_string()),
            ("ApiTimeoutSeconds", api_timeout_secs(sandbox.latency_ms).to_string()),
        ];
        let secret = Some((format!("demo/{}", sandbox.profile), Vec::new()));
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        let parameters = BTreeMap::from(parameters);
        let (elsewhere, base_path) = (None, None);
        Self {
            sandbox,
            elsewhere,
            base_path,
            secret,
            api_profile: None,
            prices: None,
            prompts: None,
            fallback: None,
            parameters,
        }
    }

    /// Whether its settings leave it open how it authenticates, at an API whose ways the sandbox knows.
    fn auth_is_open(&self) -> bool {
        !self.parameters.contains_key("ApiAuth")
            && self.parameters.get("ApiProfile") == Some(&self.sandbox.profile)
    }

    /// The secret: what the sandbox lets in, and each field that is needed. An open one lets in
    /// everything.
    fn secret_of(
        &self,
        fields: &[String],
        known: &BTreeMap<String, String>,
    ) -> Result<Value, Error> {
        let mut secret = known.clone();
        for field in fields.iter().filter(|field| !known.contains_key(*field)) {
            if !self.sandbox.open {
                let profile = self.sandbox.profile.clone();
                return Err(Error::NoCredential { profile, field: field.clone() });
            }
            secret.insert(field.clone(), "sandbox".to_owned());
        }
        Ok(json!(secret))
    }
}

fn from_variable(variable: &'static str) -> Result<PathBuf, Error> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    let Some(value) = value else {
        return Err(Error::Tool { variable, problem: "is not set".to_owned() });
    };
    let path = PathBuf::from(value);
    if !path.exists() {
        let problem = format!("is {}, which is not there", path.display());
        return Err(Error::Tool { variable, problem });
    }
    Ok(path)
}

impl Stack {
    /// Starts a sandbox, puts its credentials into Secrets Manager and deploys the template of
    /// this repository as `name`. Logs and credentials lie in `directory`, which is made if it
    /// does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn deploy(
        ministack: &MiniStack,
        tools: &Tools,
        name: &str,
        settings: &Settings,
        directory: &Path,
        progress: &Progress,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(file(directory))?;
        let sandbox = SandboxProcess::start(&tools.sandbox, &settings.sandbox, directory).await?;
        let credentials = Credentials::read(&directory.join(sandbox::CREDENTIALS))?;
        let endpoint = Endpoint::Local { url: ministack.endpoint().to_owned() };
        let deployer = Deployer::new(endpoint).await;
        let secret = format!("{name}/netsuite");
        put_secret(deployer.config(), &secret, &credentials.as_secret()).await?;
        let mut plan = Plan::new(name, &repository(), &tools.lambdas)
            .parameter("ApiConcurrency", settings.sandbox.limit)
            .parameter("ApiTimeoutSeconds", api_timeout_secs(settings.sandbox.latency_ms))
            .parameter("Dispatch", settings.dispatch)
            .parameter("OnHigher", settings.on_higher)
            .parameter("ApiProfile", "netsuite")
            .parameter("ApiBaseUrl", sandbox.endpoint())
            .parameter("ApiSecret", &secret);
        for (parameter, value) in &settings.parameters {
            plan = plan.parameter(parameter, value);
        }
        plan.local_log_dir = Some(directory.to_owned());
        let outputs = deployer.deploy(&plan, progress).await?;
        let sdk = deployer.config().clone();
        Ok(Self { sandbox, outputs, sdk, directory: directory.to_owned() })
    }

    /// Starts the sandbox of a vendor's API, puts what it lets in where the secret is, and deploys the
    /// template as `name`. The settings are the target's own, but for where the API is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn deploy_target(
        ministack: &MiniStack,
        tools: &Tools,
        name: &str,
        target: &Target,
        directory: &Path,
        progress: &Progress,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(file(directory))?;
        let binary = tools.vendor_sandbox();
        let sandbox = SandboxProcess::start_vendor(&binary, &target.sandbox, directory).await?;
        let deployer =
            Deployer::new(Endpoint::Local { url: ministack.endpoint().to_owned() }).await;
        if let Some((secret, fields)) = &target.secret {
            let known = directory.join(sandbox::CREDENTIALS);
            let text = std::fs::read(&known).map_err(file(&known))?;
            let known = serde_json::from_slice(&text).map_err(Error::Credentials)?;
            put_secret(deployer.config(), secret, &target.secret_of(fields, &known)?).await?;
        }
        let mut plan = Plan::new(name, &repository(), &tools.lambdas);
        plan.parameters.extend(target.parameters.clone());
        let base_path = target.base_path.as_deref().unwrap_or(sandbox.base_path());
        let at_sandbox = || format!("{}{base_path}", sandbox.endpoint());
        let base_url = target.elsewhere.clone().unwrap_or_else(at_sandbox);
        plan = plan.parameter("ApiBaseUrl", base_url);
        plan.api_profile.clone_from(&target.api_profile);
        plan.prices.clone_from(&target.prices);
        plan.prompts.clone_from(&target.prompts);
        plan.fallback.clone_from(&target.fallback);
        // Where nobody has chosen, the way of the sandbox's own sample is taken.
        let auth = sandbox.sample().map(|(_, auth)| auth).filter(|_| target.auth_is_open());
        if let Some(auth) = auth {
            plan = plan.parameter("ApiAuth", auth);
        }
        plan.local_log_dir = Some(directory.to_owned());
        let outputs = deployer.deploy(&plan, progress).await?;
        let sdk = deployer.config().clone();
        Ok(Self { sandbox, outputs, sdk, directory: directory.to_owned() })
    }

    /// Gives a secret another value.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn set_secret(&self, name: &str, secret: &Value) -> Result<(), Error> {
        if let Some(parameter) = name.strip_prefix(PARAMETER) {
            return put_parameter(&self.sdk, parameter, secret).await;
        }
        let client = aws_sdk_secretsmanager::Client::new(&self.sdk);
        let put = client.put_secret_value().secret_id(name).secret_string(secret.to_string());
        let call = "secretsmanager:PutSecretValue";
        put.send().await.map_err(|source| Error::Aws { call, source: Box::new(source) })?;
        Ok(())
    }

    /// The API behind the stack.
    #[must_use]
    pub fn sandbox(&self) -> &SandboxProcess {
        &self.sandbox
    }

    /// The same, to be told what its calls are.
    pub fn sandbox_mut(&mut self) -> &mut SandboxProcess {
        &mut self.sandbox
    }

    /// The template's outputs.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// For clients of the local AWS.
    #[must_use]
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// Where the logs lie: `sandbox.log`, `enqueuer.log`, `worker.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many messages a queue has.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn depth(&self, queue_url: &str) -> Result<Depth, Error> {
        use aws_sdk_sqs::types::QueueAttributeName as Name;
        let answer = aws_sdk_sqs::Client::new(&self.sdk)
            .get_queue_attributes()
            .queue_url(queue_url)
            .attribute_names(Name::ApproximateNumberOfMessages)
            .attribute_names(Name::ApproximateNumberOfMessagesDelayed)
            .attribute_names(Name::ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .map_err(|source| Error::Aws {
                call: "sqs:GetQueueAttributes",
                source: Box::new(source),
            })?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name| {
            attributes.get(&name).and_then(|text: &String| text.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Depth {
            waiting: number(Name::ApproximateNumberOfMessages)
                + number(Name::ApproximateNumberOfMessagesDelayed),
            in_flight: number(Name::ApproximateNumberOfMessagesNotVisible),
        })
    }

    /// Waits until no queue has a message and no slot holds one; the dead-letter queue apart.
    /// Answers whether that came about in time.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn settle(&self, timeout: Duration) -> Result<bool, Error> {
        let outputs = &self.outputs;
        let queues = [&outputs.high_queue_url, &outputs.normal_queue_url, &outputs.batch_queue_url];
        let start = Instant::now();
        while start.elapsed() < timeout {
            let mut left = 0;
            for queue in queues.into_iter().chain(&outputs.doorbell_queue_url) {
                left += self.depth(queue).await?.total();
            }
            if left == 0 {
                return Ok(true);
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
        Ok(false)
    }

    /// The enqueuer's log, which is there once that has run.
    pub(crate) fn enqueuer_log(&self) -> PathBuf {
        self.directory.join("enqueuer.log")
    }

    /// What the worker has counted so far.
    ///
    /// # Errors
    /// [`Error::File`] when its log cannot be read.
    pub fn worker_counts(&self) -> Result<WorkerCounts, Error> {
        let path = self.directory.join("worker.log");
        WorkerCounts::read(&path).map_err(file(&path))
    }
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Doorbell => "doorbell",
            Self::Deferral => "deferral",
        })
    }
}

impl fmt::Display for OnHigher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Swap => "swap",
            Self::Yield => "yield",
        })
    }
}

/// What the sandbox writes for its clients.
#[derive(Deserialize)]
struct Credentials {
    client_id: String,
    certificate_id: String,
    private_key_pem: String,
    account_id: String,
}

impl Credentials {
    fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(file(path))?;
        serde_json::from_slice(&text).map_err(Error::Credentials)
    }

    fn as_secret(&self) -> Value {
        let Self { client_id, certificate_id, private_key_pem, account_id } = self;
        json!({
            "account_id": account_id,
            "client_id": client_id,
            "certificate_id": certificate_id,
            "private_key_pem": private_key_pem,
        })
    }
}

/// What stands before the name of a secret that is in Parameter Store.
const PARAMETER: &str = "ssm:";

/// The local AWS reads no signature, so this one request needs no SDK crate of its own.
async fn put_parameter(sdk: &SdkConfig, name: &str, secret: &Value) -> Result<(), Error> {
    let failed = |source| Error::Aws { call: "ssm:PutParameter", source };
    let endpoint = sdk.endpoint_url().ok_or_else(|| failed("the local AWS has a URL".into()))?;
    let put = json!({
        "Name": name,
        "Type": "SecureString",
        "Value": secret.to_string(),
        "Overwrite": true,
    });
    let request = reqwest::Client::new()
        .post(endpoint)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonSSM.PutParameter")
        .body(put.to_string());
    let answer = request.send().await.and_then(reqwest::Response::error_for_status);
    answer.map(drop).map_err(|error| failed(error.into()))
}

async fn put_secret(sdk: &SdkConfig, name: &str, secret: &Value) -> Result<(), Error> {
    if let Some(parameter) = name.strip_prefix(PARAMETER) {
        return put_parameter(sdk, parameter, secret).await;
    }
    aws_sdk_secretsmanager::Client::new(sdk)
        .create_secret()
        .name(name)
        .secret_string(secret.to_string())
        .send()
        .await
        .map_err(|source| Error::Aws {
            call: "secretsmanager:CreateSecret",
            source: Box::new(source),
        })?;
    Ok(())
}

/// The shortest of the template's choices that leaves the API twice its time. What becomes of a
/// call without an answer is found out after it, so a long one only makes a demo of faults wait.
fn api_timeout_secs(latency_ms: u64) -> u64 {
    let enough = |secs: &u64| secs * 1000 >= latency_ms.saturating_mul(2);
    [10, 30, 60, 120].into_iter().find(enough).unwrap_or(300)
}

/// The repository that this program was built from, whose template it deploys.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}
