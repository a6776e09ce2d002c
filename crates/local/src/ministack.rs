//! The local AWS: one MiniStack server with a port, a temporary directory and a log of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::ProcessGroup;

/// MiniStack is ready in about 0.4 s; a machine that needs longer than this has a fault.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(25);

/// A port that was free may be taken before the server binds it.
const ATTEMPTS: u32 = 3;

/// The region the local stack lives in.
pub const REGION: &str = "us-east-1";

/// Why MiniStack could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory or log file could not be made, or no port could be had.
    #[error("cannot prepare {what} for MiniStack")]
    Prepare {
        /// The file, directory or port in question.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The Python interpreter could not be started.
    #[error("cannot start MiniStack with the Python interpreter {}", python.display())]
    Spawn {
        /// The interpreter that was tried.
        python: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The server ended instead of answering.
    #[error("MiniStack ended before it was ready ({status}); its last words:\n{log}")]
    Exited {
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The server runs but does not say that it is ready.
    #[error("MiniStack was not ready after {} s; see {}", READY_TIMEOUT.as_secs(), log.display())]
    NotReady {
        /// Its log.
        log: PathBuf,
    },
}

/// A running MiniStack. It ends, with every Lambda process it started, when this is dropped.
#[derive(Debug)]
pub struct MiniStack {
    process: ProcessGroup,
    endpoint: String,
}

impl MiniStack {
    /// Starts it on a free loopback port and waits until it is ready.
    /// Its temporary files and its log (`ministack.log`) lie in `dir`, which is made if it
    /// does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(python: &Path, dir: &Path) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            match Self::try_start(python, dir).await {
                Err(Error::Exited { log, .. })
                    if attempt < ATTEMPTS && log.contains("already in use") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn try_start(python: &Path, dir: &Path) -> Result<Self, Error> {
        let temporary = dir.join("tmp");
        std::fs::create_dir_all(&temporary)
            .map_err(|source| Error::Prepare { what: temporary.display().to_string(), source })?;
        let port = free_port()
            .map_err(|source| Error::Prepare { what: "a free port".to_owned(), source })?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let process = ProcessGroup::spawn(
            &mut command(python, port, &endpoint, &temporary),
            &dir.join("ministack.log"),
            None,
        )
        .map_err(|source| Error::Spawn { python: python.to_owned(), source })?;
        let mut ministack = Self { process, endpoint };
        ministack.wait_until_ready().await?;
        Ok(ministack)
    }

    async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let url = format!("{}/_ministack/ready", self.endpoint);
        let http = crate::http_client();
        let start = Instant::now();
        while start.elapsed() < READY_TIMEOUT {
            if let Ok(Some(status)) = self.process.exited() {
                return Err(Error::Exited {
                    status: status.to_string(),
                    log: self.process.log_tail(),
                });
            }
            let answer = http.get(&url).timeout(READY_TIMEOUT).send().await;
            if answer.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Err(Error::NotReady { log: self.process.log().to_owned() })
    }

    /// Where it answers, for example `http://127.0.0.1:45871`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// The server's command line, in an environment of its own: what the Lambdas inherit from
/// it must not depend on the user's AWS profile or HTTP proxy.
fn command(python: &Path, port: u16, endpoint: &str, temporary: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-c", include_str!("serve.py")])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        // MiniStack gives this to the Lambdas as their AWS.
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("MINISTACK_REGION", REGION)
        .env("TMPDIR", temporary)
        // Its limit for an account depends on the machine, and a state machine sees a throttled
        // function as Lambda.Unknown, which nobody retries. AWS names it
        // Lambda.TooManyRequestsException. The functions' own reserved concurrency is still held.
        .env("LAMBDA_ACCOUNT_CONCURRENCY", "0")
        // Its default is a line or more for each request.
        .env("LOG_LEVEL", "WARNING");
    command
}

/// A port nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for the Python interpreter. Another process writes it: a file that this
    /// process has open for writing while another test forks cannot be executed (ETXTBSY).
    fn interpreter(dir: &Path, script: &str) -> PathBuf {
        let path = dir.join("python");
        let written = Command::new("/bin/sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod +x \"$1\"", "sh"])
            .arg(&path)
            .arg(script)
            .status();
        assert!(written.unwrap().success());
        path
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let python = interpreter(dir.path(), "echo No module named ministack >&2; exit 1");
        let error = MiniStack::start(&python, dir.path()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "MiniStack ended before it was ready (exit status: 1); its last words:\n\
             No module named ministack"
        );
    }

    #[tokio::test]
    async fn a_port_taken_in_between_is_tried_again_with_another() {
        let dir = tempfile::tempdir().unwrap();
        let tried = dir.path().join("tried");
        let python = interpreter(
            dir.path(),
            &format!(
                "echo $GATEWAY_PORT >> {}; echo ERROR: already in use; exit 1",
                tried.display()
            ),
        );
        assert!(MiniStack::start(&python, dir.path()).await.is_err());
        let ports = std::fs::read_to_string(tried).unwrap();
        assert_eq!(ports.lines().count(), 3);
    }

    #[tokio::test]
    async fn a_missing_interpreter_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let python = dir.path().join("no-such-python");
        let error = MiniStack::start(&python, dir.path()).await.unwrap_err();
        assert!(error.to_string().contains("no-such-python"), "{error}");
    }
}
