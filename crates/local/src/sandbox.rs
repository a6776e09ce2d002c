//! The NetSuite sandbox as a process, and what it reports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::process::ProcessGroup;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(10);

/// The file, in the directory of a sandbox, with what a client needs to sign in to it.
pub const CREDENTIALS: &str = "netsuite.json";

/// Why the sandbox could not be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary could not be started.
    #[error("cannot start the NetSuite sandbox {}", binary.display())]
    Spawn {
        /// The binary that was tried.
        binary: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It ended instead of listening: its message says why, for example a fault it does not
    /// know.
    #[error("the NetSuite sandbox ended at once ({status}):\n{log}")]
    Exited {
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// It runs but does not say where it listens.
    #[error("the NetSuite sandbox did not listen after {} s; see {}", READY_TIMEOUT.as_secs(), log.display())]
    NotReady {
        /// Its log.
        log: PathBuf,
    },
    /// It did not answer a question about what it saw.
    #[error("the NetSuite sandbox does not answer {url}")]
    Ask {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
}

/// How the sandbox behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size of its permit pool: calls beyond it are answered 429.
    pub limit: u32,
    /// How long a call takes, in milliseconds.
    pub latency_ms: u64,
    /// What goes wrong, in the sandbox's own words (`drop-after-commit`, `429-burst`, …).
    pub fault: Option<String>,
    /// Whether it takes calls without a sign-in too.
    pub open: bool,
}

/// A running sandbox; it ends when this is dropped.
#[derive(Debug)]
pub struct SandboxProcess {
    /// Held only for its end.
    _process: ProcessGroup,
    endpoint: String,
    http: reqwest::Client,
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
    /// `HIGH`, `NORMAL` or `BATCH`, as its header says.
    pub priority: Option<String>,
    /// The fault that befell it.
    pub fault: Option<String>,
}

impl SandboxProcess {
    /// Starts the sandbox `binary` on a free loopback port. Its output (`sandbox.out`), its log
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
        if settings.open {
            command.arg("--open");
        }
        if let Some(fault) = &settings.fault {
            command.args(["--fault", fault]);
        }
        let output = dir.join("sandbox.out");
        let mut process =
            ProcessGroup::spawn(&mut command, &dir.join("sandbox.log"), Some(&output))
                .map_err(|source| Error::Spawn { binary: binary.to_owned(), source })?;
        let endpoint = wait_for_endpoint(&mut process, &output).await?;
        Ok(Self { _process: process, endpoint, http: crate::http_client() })
    }

    /// Where it answers, for example `http://127.0.0.1:38111`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
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
        self.ask("/_sandbox/report").await
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let url = format!("{}{path}", self.endpoint);
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
async fn wait_for_endpoint(process: &mut ProcessGroup, output: &Path) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Listening {
        listening: String,
    }
    let start = Instant::now();
    while start.elapsed() < READY_TIMEOUT {
        let text = std::fs::read_to_string(output).unwrap_or_default();
        let complete_lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let listening =
            complete_lines.lines().find_map(|line| serde_json::from_str::<Listening>(line).ok());
        if let Some(Listening { listening }) = listening {
            return Ok(listening);
        }
        if let Ok(Some(status)) = process.exited() {
            return Err(Error::Exited { status: status.to_string(), log: process.log_tail() });
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Err(Error::NotReady { log: process.log().to_owned() })
}
