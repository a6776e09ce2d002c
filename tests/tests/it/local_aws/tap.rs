//! A proxy between the worker and everything it speaks to, which kills it at a chosen request.
//!
//! Each invocation of the worker is a process of its own on the local AWS. The proxy finds the
//! process behind a connection in `/proc`, so that it kills the very one that sent the request. It
//! knows at which step of which call that one was.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::{Router, body};
use serde_json::Value;

use super::setup::now_ms;

/// What a worker asks for, in the order of a call's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Claim,
    DispatchedMark,
    ApiCall,
    StoredResult,
    Callback,
    Delete,
}

/// A step, and the key of the call whose it is.
pub(crate) type StepOf = (Step, String);

/// What a request is for: deletes are sent in batches, and so may be of several calls.
pub(crate) type Steps = Vec<StepOf>;

/// Where on the way of a request the worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Moment {
    /// The request is not passed on.
    Before,
    /// It is being worked on, and will be to its end.
    During,
    /// It has been worked on; the answer is kept back.
    After,
}

/// A request of a worker.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Workers are numbered from 0 as they appear.
    pub(crate) worker: usize,
    /// The worker's requests are numbered from 0.
    pub(crate) request: u32,
    /// None, if it belongs to no call.
    pub(crate) steps: Steps,
}

/// Decides where to kill, knowing what was killed before.
type Plan = dyn Fn(&Seen, &[Kill]) -> Option<Moment> + Send;

/// A running proxy. It ends with the test's runtime.
pub(crate) struct Tap {
    url: String,
    inner: Arc<Inner>,
}

struct Inner {
    /// The local AWS and the API, once they are there.
    upstream: OnceLock<(String, String)>,
    http: reqwest::Client,
    /// How long after it was passed on a request is surely being worked on.
    during: Duration,
    state: Mutex<Known>,
}

struct Known {
    plan: Box<Plan>,
    /// Each worker's process, and how many requests it has sent.
    workers: Vec<(u32, u32)>,
    /// By task token and by receipt handle.
    keys: HashMap<String, String>,
    kills: Vec<Kill>,
    steps: Vec<At>,
}

/// When a worker sent a request for a call.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) key: String,
    /// Milliseconds since 1970.
    pub(crate) at_ms: f64,
}

/// A worker's end.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) steps: Steps,
    pub(crate) moment: Moment,
    /// Milliseconds since 1970.
    pub(crate) at_ms: f64,
}

impl Tap {
    pub(crate) async fn start(
        during: Duration,
        plan: impl Fn(&Seen, &[Kill]) -> Option<Moment> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Mutex::new(Known {
            plan: Box::new(plan),
            workers: Vec::new(),
            keys: HashMap::new(),
            kills: Vec::new(),
            steps: Vec::new(),
        });
        let http = reqwest::Client::builder().no_proxy().build()?;
        let inner = Arc::new(Inner { upstream: OnceLock::new(), http, during, state });
        let app = Router::new().fallback(pass).with_state(inner.clone());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, inner })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn connect(&self, aws: &str, api: &str) -> anyhow::Result<()> {
        let upstream = (aws.to_owned(), api.to_owned());
        self.inner.upstream.set(upstream).ok().context("it is connected already")
    }

    pub(crate) fn kills(&self) -> Vec<Kill> {
        self.inner.known().kills.clone()
    }

    /// The requests that belong to a call, in their order.
    pub(crate) fn steps(&self) -> Vec<At> {
        self.inner.known().steps.clone()
    }
}

async fn pass(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<body::Body>,
) -> Result<Response<body::Body>, StatusCode> {
    inner.serve(peer, request).await.map_err(|error| {
        eprintln!("the proxy: {error:#}");
        StatusCode::BAD_GATEWAY
    })
}

impl Inner {
    #[expect(clippy::unwrap_used, reason = "poisoned by a panic that fails the test anyway")]
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.state.lock().unwrap()
    }

    async fn serve(
        self: Arc<Self>,
        peer: SocketAddr,
        request: Request<body::Body>,
    ) -> anyhow::Result<Response<body::Body>> {
        let (parts, body) = request.into_parts();
        let body = body::to_bytes(body, usize::MAX).await?;
        let request = Request::from_parts(parts, body);
        let (pid, steps, moment) = self.look_at(peer, &request)?;
        if moment == Some(Moment::Before) {
            self.kill(pid, steps, Moment::Before)?;
            anyhow::bail!("kept back");
        }
        let learns = target(request.headers()).ends_with("ReceiveMessage");
        // Passed on in a task of its own: its end does not depend on the worker's.
        let passing = tokio::spawn(self.clone().pass_on(request));
        if moment == Some(Moment::During) {
            tokio::time::sleep(self.during).await;
            self.kill(pid, steps, Moment::During)?;
            passing.await??;
            anyhow::bail!("nobody reads the answer");
        }
        let answer = passing.await??;
        if moment == Some(Moment::After) {
            self.kill(pid, steps, Moment::After)?;
            anyhow::bail!("nobody reads the answer");
        }
        if learns {
            self.known().learn(answer.body());
        }
        Ok(answer.map(body::Body::from))
    }

    /// Whose request it is, what it is for, and whether it is that one's last.
    fn look_at(
        &self,
        peer: SocketAddr,
        request: &Request<Bytes>,
    ) -> anyhow::Result<(u32, Steps, Option<Moment>)> {
        let pid = process_at(peer)?;
        let mut known = self.known();
        let worker = match known.workers.iter().position(|(known, _)| *known == pid) {
            Some(worker) => worker,
            None => {
                known.workers.push((pid, 0));
                known.workers.len() - 1
            }
        };
        let number = known.workers[worker].1;
        known.workers[worker].1 += 1;
        let steps = known.steps_of(request);
        let at_ms = now_ms();
        known.steps.extend(steps.iter().map(|(_, key)| At { key: key.clone(), at_ms }));
        let seen = Seen { worker, request: number, steps };
        let moment = (known.plan)(&seen, &known.kills);
        Ok((pid, seen.steps, moment))
    }

    /// Kills a worker, unless it was killed for another of its requests meanwhile.
    fn kill(&self, pid: u32, steps: Steps, moment: Moment) -> anyhow::Result<()> {
        // The Lambda's binary, under the name that its package gives it.
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        if !program.is_ok_and(|program| program.ends_with("function")) {
            return Ok(());
        }
        let kill = ["-c", "kill -KILL \"$0\"", &pid.to_string()];
        if Command::new("/bin/sh").args(kill).status()?.success() {
            self.known().kills.push(Kill { steps, moment, at_ms: now_ms() });
        }
        Ok(())
    }

    async fn pass_on(self: Arc<Self>, request: Request<Bytes>) -> anyhow::Result<Response<Bytes>> {
        let (aws, api) = self.upstream.get().context("nothing is connected yet")?;
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().context("a request has a path")?;
        let upstream = if path.path().starts_with("/services/") { api } else { aws };
        // The client writes these itself.
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::TRANSFER_ENCODING);
        let sent = self
            .http
            .request(parts.method, format!("{upstream}{path}"))
            .headers(parts.headers)
            .body(body)
            .send();
        let answer = sent.await?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
                response = response.header(name, value);
            }
        }
        Ok(response.body(answer.bytes().await?)?)
    }
}

impl Known {
    fn steps_of(&self, request: &Request<Bytes>) -> Steps {
        let headers = request.headers();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        if target(headers).ends_with("DeleteMessageBatch") {
            let entries = body["Entries"].as_array().into_iter().flatten();
            let keys = entries.filter_map(|entry| self.key_of(&entry["ReceiptHandle"]));
            return keys.map(|key| (Step::Delete, key)).collect();
        }
        self.step_of(headers, &body).into_iter().collect()
    }

    /// What a request for one call is for.
    fn step_of(&self, headers: &HeaderMap, body: &Value) -> Option<StepOf> {
        if let Some(key) = headers.get("x-slowlane-idempotency-key") {
            return Some((Step::ApiCall, key.to_str().ok()?.to_owned()));
        }
        match target(headers).rsplit('.').next()? {
            "UpdateItem" => {
                let (_, key) = body["Key"]["id"]["S"].as_str()?.split_once('#')?;
                let step = match body["ExpressionAttributeValues"][":status"]["S"].as_str()? {
                    "CLAIMED" => Step::Claim,
                    "DISPATCHED" => Step::DispatchedMark,
                    "COMPLETED" => Step::StoredResult,
                    _ => return None,
                };
                Some((step, key.to_owned()))
            }
            "SendTaskSuccess" => Some((Step::Callback, self.key_of(&body["taskToken"])?)),
            _ => None,
        }
    }

    /// The key of the call that has this task token or receipt handle.
    fn key_of(&self, name: &Value) -> Option<String> {
        self.keys.get(name.as_str()?).cloned()
    }

    /// Whose the task tokens and the receipt handles are.
    fn learn(&mut self, received: &[u8]) {
        let received: Value = serde_json::from_slice(received).unwrap_or_default();
        for message in received["Messages"].as_array().into_iter().flatten() {
            let call: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default())
                .unwrap_or_default();
            let names = [&call["task_token"], &message["ReceiptHandle"]];
            if let Some(key) = call["idempotency_key"].as_str() {
                let names = names.into_iter().filter_map(Value::as_str);
                self.keys.extend(names.map(|name| (name.to_owned(), key.to_owned())));
            }
        }
    }
}

/// The operation of a request to AWS's JSON protocols.
fn target(headers: &HeaderMap) -> &str {
    headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// As /proc/net/tcp writes it.
const ESTABLISHED: &str = "01";

/// How often the table of sockets is read: it changes while it is read, and may leave one out.
const LOOKS: usize = 3;

/// The process whose end of a loopback connection is `peer`.
fn process_at(peer: SocketAddr) -> anyhow::Result<u32> {
    let inode = (0..LOOKS).find_map(|_| inode_of(peer).transpose());
    let inode = inode.transpose()?.with_context(|| format!("no socket at {peer}"))?;
    let socket = format!("socket:[{inode}]");
    let holds = |pid: u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|to| to == *socket)
    };
    let names = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    let mut pids = names.filter_map(|name| name.to_str()?.parse().ok());
    pids.find(|pid| holds(*pid)).with_context(|| format!("no process has {socket}"))
}

/// The socket of a loopback connection's end, if the table has it.
fn inode_of(peer: SocketAddr) -> anyhow::Result<Option<String>> {
    // As /proc/net/tcp writes it: the address's bytes as a little-endian number.
    let local = format!("0100007F:{:04X}", peer.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp")?;
    let mut sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = sockets.find(|fields| {
        fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&ESTABLISHED)
    });
    Ok(found.and_then(|fields| fields.get(9).map(|inode| (*inode).to_owned())))
}
