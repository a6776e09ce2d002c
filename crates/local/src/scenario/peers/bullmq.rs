//! BullMQ, as a process on a Redis of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use slowlane_local::ProcessGroup;
use slowlane_local::run::{Ending, Execution};
use slowlane_message::Priority;

use super::super::scene::{Scene, repository};
use super::load::Load;

/// Where `npm` has put BullMQ: a directory with `node_modules`.
const VARIABLE: &str = "SLOWLANE_BULLMQ";
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// BullMQ's own setting: at most so many jobs in so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Limiter {
    pub(super) max: u32,
    pub(super) duration: u32,
}

/// What is needed to run it.
pub(super) struct BullMq {
    modules: PathBuf,
    redis: String,
}

/// What became of a job.
#[derive(Deserialize)]
struct Job {
    name: String,
    high: bool,
    asked_at_ms: f64,
    failed: bool,
}

impl BullMq {
    pub(super) fn from_env() -> anyhow::Result<Self> {
        let modules = std::env::var_os(VARIABLE)
            .with_context(|| format!("{VARIABLE} is not set: run this by `cargo xtask demo`"))?;
        let given = std::env::var("SLOWLANE_REDIS_SERVER").ok();
        let names = ["redis-server".to_owned(), "valkey-server".to_owned()];
        let is_there = |name: &String| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|version| version.status.success())
        };
        let Some(redis) = given.into_iter().chain(names).find(is_there) else {
            bail!(
                "BullMQ needs a redis-server or a valkey-server, for instance by `apt-get install redis-server`"
            );
        };
        Ok(Self { modules: PathBuf::from(modules).join("node_modules"), redis })
    }

    /// Makes the calls of a load, and says how each ended.
    pub(super) async fn run(
        &self,
        scene: &Scene<'_>,
        limiter: Limiter,
        load: &Load,
    ) -> anyhow::Result<Vec<Execution>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut redis = Command::new(&self.redis);
        redis.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        redis.args(["--port", &port.to_string()]);
        let log = |name: &str| scene.stack.directory().join(name);
        let mut redis = ProcessGroup::spawn(&mut redis, &log("redis.log"), None)?;
        let told = json!({
            "redis": port,
            "api": scene.stack.sandbox().endpoint(),
            "limiter": limiter,
            "concurrency": scene.limit,
            "batch": load.batch,
            "high": load.high,
            "high_every_ms": load.high_every.as_millis(),
        });
        let mut node = Command::new("node");
        node.arg(repository().join("crates/local/peers/bullmq.js")).arg(told.to_string());
        let output = log("bullmq.out");
        let log = log("bullmq.log");
        let mut node =
            ProcessGroup::spawn(node.env("NODE_PATH", &self.modules), &log, Some(&output))?;
        let status = loop {
            if let Some(status) = node.exited()? {
                break status;
            }
            ensure!(redis.exited()?.is_none(), "the Redis has ended: {}", redis.log_tail());
            tokio::time::sleep(LOOK_EVERY).await;
        };
        ensure!(status.success(), "BullMQ ended with {status}: {}", node.log_tail());
        let jobs: Vec<Job> = serde_json::from_slice(&std::fs::read(&output)?)?;
        Ok(jobs.into_iter().map(Job::into_execution).collect())
    }
}

impl Job {
    fn into_execution(self) -> Execution {
        let Self { name, high, asked_at_ms, failed } = self;
        let ending = match failed {
            true => Ending::Failed { error: "failed".to_owned(), cause: String::new() },
            false => Ending::Succeeded,
        };
        let priority = if high { Priority::High } else { Priority::Batch };
        Execution { order_id: name, priority, started_at_ms: asked_at_ms, ending }
    }
}
