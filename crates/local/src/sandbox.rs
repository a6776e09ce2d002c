//! A sandbox as a process, NetSuite's or another vendor's, and what it reports.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use slowlane_message::Priority;

use crate::process::ProcessGroup;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(10);

/// The file, in the directory of a sandbox, with what a client needs to sign in to it.
pub const CREDENTIALS: &str = "credentials.json";

/// Why the sandbox could not be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary could not be started.
    #[error("cannot start the sandbox {}", binary.display())]
    Spawn {
        /// The binary that was tried.
        binary: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It ended instead of listening: its message says why, for example a fault it does not
    /// know.
    #[error("the sandbox ended at once ({status}):\n{log}")]
    Exited {
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// It runs but does not say where it listens.
    #[error("the sandbox did not listen after {} s; see {}", READY_TIMEOUT.as_secs(), log.display())]
    NotReady {
        /// Its log.
        log: PathBuf,
    },
    /// It did not answer a question about what it saw.
    #[error("the sandbox does not answer {url}")]
    Ask {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
}

/// How the NetSuite sandbox behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size of its permit pool: calls beyond it are answered 429.
    pub limit: u32,
    /// What it takes in spans of time, in the sandbox's own words (`20/s`).
    pub rates: Vec<String>,
    /// How long a call takes, in milliseconds.
    pub latency_ms: u64,
    /// What goes wrong, in the sandbox's own words (`drop-after-commit`, `429-burst`, …).
    pub fault: Option<String>,
    /// Whether it takes calls without a sign-in too.
    pub open: bool,
}

/// How the sandbox of another vendor's API behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorSettings {
    /// The profile whose API it is.
    pub profile: String,
    /// Calls that it takes at once.
    pub limit: u32,
    /// Its rates, each an option of `slowlane-sandbox` and its value: `--rate`, `100/20s`.
    pub rates: Vec<(&'static str, String)>,
    /// How long a call takes, in milliseconds.
    pub latency_ms: u64,
    /// What goes wrong, in the sandbox's own words.
    pub fault: Option<String>,
    /// Whether it takes calls without a sign-in too.
    pub open: bool,
    /// How the names of all calls begin, wherever they stand; where the dialect says if left out.
    pub named_by: Option<String>,
}

impl VendorSettings {
    /// A profile's API that takes so many calls at once, each of so many milliseconds. It has no rates
    /// and no faults, and asks for a sign-in.
    #[must_use]
    pub fn new(profile: &str, limit: u32, latency_ms: u64) -> Self {
        Self {
            profile: profile.to_owned(),
            limit,
            rates: Vec::new(),
            latency_ms,
            fault: None,
            open: false,
            named_by: None,
        }
    }
}

/// A call that makes a record; `{key}` in its texts stands for the call's own key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The HTTP method.
    pub method: String,
    /// The path below the base URL.
    pub resource: String,
    /// Headers of the call's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How the body is written; the profile's usual way if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Whether it is made although nobody could learn what became of it if its answer were lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
}

/// A running sandbox; it ends when this is dropped.
#[derive(Debug)]
pub struct SandboxProcess {
    /// Held only for its end.
    _process: ProcessGroup,
    announced: Announced,
    http: reqwest::Client,
    /// How urgent calls are whose headers do not say it, by the name of what they make.
    priorities: HashMap<String, Priority>,
}

/// What a sandbox says when it is ready.
#[derive(Debug, Deserialize)]
struct Announced {
    listening: String,
    auth: Option<String>,
    /// The path of the base URL that the sample is below.
    #[serde(default)]
    base_path: String,
    sample: Option<Sample>,
}

/// What the sandbox has counted so far.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Stats {
    /// The greatest number of calls it ever had in flight at once.
    pub max_concurrency: u32,
    /// Calls answered 429.
    pub http_429: u64,
    /// Effects beyond the first of a call.
    pub duplicate_effects: u64,
    /// Requests to the API, refused ones included.
    pub requests: u64,
    /// Calls in flight now.
    pub in_flight: u32,
}

/// Everything the sandbox saw.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct SandboxReport {
    /// The greatest number of calls it ever had in flight at once.
    pub max_concurrency: u32,
    /// Calls answered 429.
    pub http_429: u64,
    /// Requests that came before the end of a wait that was asked for.
    #[serde(default)]
    pub came_early: u64,
    /// Effects beyond the first of a call.
    pub duplicate_effects: u64,
    /// Each call that was taken up and has ended. One refused with 429 was not taken up.
    pub calls: Vec<ApiCall>,
}

/// One call as the sandbox saw it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ApiCall {
    /// The HTTP method.
    pub method: String,
    /// The record's external id, if the call named one.
    pub external_id: Option<String>,
    /// The answer's HTTP status, even where a fault kept the answer from the caller.
    pub status: u16,
    /// When the call arrived, in milliseconds since 1970.
    pub start_ms: f64,
    /// When it was answered, in milliseconds since 1970.
    pub end_ms: f64,
    /// When the enqueuer sent it, as its header says; in milliseconds since 1970.
    pub enqueued_at_ms: Option<f64>,
    /// `HIGH`, `NORMAL` or `BATCH`, as its header says, or whoever made it.
    pub priority: Option<String>,
    /// The fault that befell it.
    pub fault: Option<String>,
}

impl SandboxProcess {
    /// Starts the NetSuite sandbox `binary` on a free loopback port. Its output (`sandbox.out`), its log
    /// (`sandbox.log`) and its [`CREDENTIALS`] lie in `dir`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(binary: &Path, settings: &Settings, dir: &Path) -> Result<Self, Error> {
        let mut command = Command::new(binary);
        command
            .args(["--port", "0"])
            .args(["--limit", &settings.limit.to_string()])
            .args(["--latency-ms", &settings.latency_ms.to_string()])
            .arg("--write-credentials")
            .arg(dir.join(CREDENTIALS));
        for rate in &settings.rates {
            command.args(["--rate", rate]);
        }
        if settings.open {
            command.arg("--open");
        }
        if let Some(fault) = &settings.fault {
            command.args(["--fault", fault]);
        }
        Self::spawn(command, dir).await
    }

    /// Starts the sandbox `binary` of another vendor's API in the same way.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start_vendor(
        binary: &Path,
        settings: &VendorSettings,
        dir: &Path,
    ) -> Result<Self, Error> {
        let mut command = Command::new(binary);
        command
            .args(["--profile", &settings.profile])
            .args(["--concurrency", &settings.limit.to_string()])
            .args(["--latency", &settings.latency_ms.to_string()])
            .arg("--write-credentials")
            .arg(dir.join(CREDENTIALS));
        for (option, rate) in &settings.rates {
            command.args([option, rate.as_str()]);
        }
        if let Some(prefix) = &settings.named_by {
            command.args(["--named-by", prefix]);
        }
        if settings.open {
            command.arg("--open");
        }
        if let Some(fault) = &settings.fault {
            command.args(["--fault", fault]);
        }
        Self::spawn(command, dir).await
    }

    async fn spawn(mut command: Command, dir: &Path) -> Result<Self, Error> {
        let binary = PathBuf::from(command.get_program());
        let output = dir.join("sandbox.out");
        let mut process =
            ProcessGroup::spawn(&mut command, &dir.join("sandbox.log"), Some(&output))
                .map_err(|source| Error::Spawn { binary, source })?;
        let announced = wait_until_ready(&mut process, &output).await?;
        let priorities = HashMap::new();
        Ok(Self { _process: process, announced, http: crate::http_client(), priorities })
    }

    /// Where it answers, for example `http://127.0.0.1:38111`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.announced.listening
    }

    /// A call that makes a record, and the way to authenticate for it; NetSuite's has none.
    #[must_use]
    pub fn sample(&self) -> Option<(&Sample, &str)> {
        Some((self.announced.sample.as_ref()?, self.announced.auth.as_deref()?))
    }

    /// The path of the base URL that the sample is below: `/api/v2`, or nothing.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.announced.base_path
    }

    /// Says how urgent calls are whose headers do not say it, by the name of what they make.
    pub fn set_priorities(&mut self, priorities: HashMap<String, Priority>) {
        self.priorities = priorities;
    }

    /// Asks for a fault from now on.
    ///
    /// # Errors
    /// [`Error::Ask`].
    pub async fn inject(&self, fault: &str) -> Result<(), Error> {
        let url = format!("{}/_sandbox/fault", self.endpoint());
        let asked = self.http.post(&url).json(&serde_json::json!({ "fault": fault }));
        let answer = async { asked.send().await?.error_for_status().map(drop) };
        answer.await.map_err(|source| Error::Ask { url: url.clone(), source })
    }

    /// Takes back what faults are left.
    ///
    /// # Errors
    /// [`Error::Ask`].
    pub async fn clear_faults(&self) -> Result<(), Error> {
        let url = format!("{}/_sandbox/fault", self.endpoint());
        let asked = self.http.delete(&url);
        let answer = async { asked.send().await?.error_for_status().map(drop) };
        answer.await.map_err(|source| Error::Ask { url: url.clone(), source })
    }

    /// The counts so far; cheap for the sandbox.
    ///
    /// # Errors
    /// [`Error::Ask`].
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.ask("/_sandbox/stats").await
    }

    /// Everything it saw; grows with the number of calls (about 300 bytes each).
    ///
    /// # Errors
    /// [`Error::Ask`].
    pub async fn report(&self) -> Result<SandboxReport, Error> {
        let mut report: SandboxReport = self.ask("/_sandbox/report").await?;
        for call in report.calls.iter_mut().filter(|call| call.priority.is_none()) {
            let name = call.external_id.as_deref().unwrap_or_default();
            call.priority = self.priorities.get(name).map(|priority| priority.as_str().to_owned());
        }
        Ok(report)
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let url = format!("{}{path}", self.endpoint());
        let answer = async { self.http.get(&url).send().await?.error_for_status()?.json().await };
        answer.await.map_err(|source| Error::Ask { url: url.clone(), source })
    }
}

impl ApiCall {
    /// Whether it asked for a change.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// Whether a record was written, whether or not the caller learnt of it.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        let committed = self.fault.as_deref().is_some_and(|fault| fault.contains("commit"));
        self.is_write() && ((200..300).contains(&self.status) || committed)
    }
}

/// Waits for the line in which the sandbox says where it listens.
async fn wait_until_ready(process: &mut ProcessGroup, output: &Path) -> Result<Announced, Error> {
    let start = Instant::now();
    while start.elapsed() < READY_TIMEOUT {
        let text = std::fs::read_to_string(output).unwrap_or_default();
        let complete_lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let announced = complete_lines.lines().find_map(|line| serde_json::from_str(line).ok());
        if let Some(announced) = announced {
            return Ok(announced);
        }
        if let Ok(Some(status)) = process.exited() {
            return Err(Error::Exited { status: status.to_string(), log: process.log_tail() });
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Err(Error::NotReady { log: process.log().to_owned() })
}
