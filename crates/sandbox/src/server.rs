//! The core behind a socket.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinSet,
    time::Instant,
};
use tower::ServiceExt;

use crate::{
    Admitted, Api, Begun, Fault, Finished, Refusal, Report, Request, Response, Sandbox, Stats,
};

/// The time of day, as the core wants it: it never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    /// The time since the Unix epoch at `started`.
    epoch: Duration,
}

impl Clock {
    /// Reads the system's clock once; from then on the monotonic clock alone counts.
    #[must_use]
    pub fn system() -> Self {
        Self::beginning(jiff::Timestamp::now().as_duration().unsigned_abs())
    }

    /// Takes it that it is now so long after the Unix epoch. From then on it goes as tokio's clock
    /// does, also where a test has paused that.
    #[must_use]
    pub fn beginning(epoch: Duration) -> Self {
        Self { started: Instant::now(), epoch }
    }

    /// The time since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.epoch + self.started.elapsed()
    }

    async fn sleep_until(&self, at: Duration) {
        // The timer counts whole milliseconds: a call that takes no time must not wait for one.
        if at > self.now() {
            tokio::time::sleep_until(self.started + at.saturating_sub(self.epoch)).await;
        }
    }
}

struct Shared<A: Api> {
    sandbox: Arc<Mutex<Sandbox<A>>>,
    clock: Clock,
}

impl<A: Api> Clone for Shared<A> {
    fn clone(&self) -> Self {
        Self { sandbox: self.sandbox.clone(), clock: self.clock }
    }
}

impl<A: Api> Shared<A> {
    fn lock(&self) -> MutexGuard<'_, Sandbox<A>> {
        // The core does not panic between two states; a poisoned lock still holds a whole one.
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up_to_date(&self) -> MutexGuard<'_, Sandbox<A>> {
        let mut sandbox = self.lock();
        sandbox.advance(self.clock.now());
        sandbox
    }
}

/// Marks a response that must not be sent: the connection is closed in its place.
#[derive(Clone)]
struct DropConnection;

/// The error that makes hyper close a connection without writing to it.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox drops this connection on purpose")]
struct Dropped;

/// Serves a sandbox until `shutdown` is done, then lets the answers under way go out.
///
/// The sandbox stays in reach of its caller, who can look into it while it is served.
pub async fn serve<A: Api>(
    listener: TcpListener,
    sandbox: Arc<Mutex<Sandbox<A>>>,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) {
    let router = router(Shared { sandbox, clock });
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), stopped.clone()));
                }
                // A failed accept concerns one connection, or a lack of descriptors that passes.
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(stop);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, router: Router, mut stopped: watch::Receiver<()>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |request: http::Request<Incoming>| {
        let router = router.clone();
        async move {
            let response = match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            match response.extensions().get::<DropConnection>() {
                Some(_) => Err(Dropped),
                None => Ok(response),
            }
        }
    });
    // No time limit on an idle connection: a close that nobody asked for would be a fault of its own.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

fn router<A: Api>(shared: Shared<A>) -> Router {
    Router::new()
        .route("/_sandbox/report", get(report::<A>))
        .route("/_sandbox/stats", get(stats::<A>))
        .route("/_sandbox/reset", post(reset::<A>))
        .route("/_sandbox/seed", post(seed::<A>))
        .route("/_sandbox/fault", get(faults::<A>).post(inject::<A>).delete(clear_faults::<A>))
        .fallback(call::<A>)
        .with_state(shared)
}

/// One request to the API, from its first byte to its answer.
async fn call<A: Api>(
    State(shared): State<Shared<A>>,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, A::MAX_BODY_BYTES).collect().await else {
        let request = Request::from_parts(head, Bytes::new());
        return sendable(shared.lock().refuse(&request, Refusal::Unreadable));
    };
    let request = Request::from_parts(head, body.to_bytes());
    let begun = shared.lock().begin(request, shared.clock.now());
    let answer = match begun {
        Begun::Answer(answer) => Some(answer),
        Begun::Admitted(admitted) => run(shared, admitted).await,
    };
    match answer {
        Some(answer) => sendable(answer),
        None => {
            let mut marker = http::Response::new(Body::empty());
            marker.extensions_mut().insert(DropConnection);
            marker
        }
    }
}

/// Waits out an admitted call and gives its answer, or nothing if the connection is to be dropped.
///
/// The call runs in a task of its own: a caller who hangs up does not stop the API either.
async fn run<A: Api>(shared: Shared<A>, mut admitted: Box<Admitted<A>>) -> Option<Response> {
    let (tell, answered) = oneshot::channel();
    tokio::spawn(async move {
        let mut tell = Some(tell);
        loop {
            shared.clock.sleep_until(admitted.finish_at()).await;
            let finished = shared.lock().finish(admitted, shared.clock.now());
            let (answer, goes_on) = match finished {
                Finished::Answer(answer) => (Some(answer), None),
                Finished::Drop => (None, None),
                Finished::DropAndGoOn(admitted) => (None, Some(admitted)),
            };
            if let Some(tell) = tell.take() {
                // No receiver is a caller who hung up.
                let _ = tell.send(answer);
            }
            match goes_on {
                Some(later) => admitted = later,
                None => return,
            }
        }
    });
    answered.await.ok().flatten()
}

fn sendable(response: Response) -> http::Response<Body> {
    response.map(Body::from)
}

async fn report<A: Api>(State(shared): State<Shared<A>>) -> Json<Report> {
    let report = shared.up_to_date().report();
    Json(report)
}

async fn stats<A: Api>(State(shared): State<Shared<A>>) -> Json<Stats> {
    let stats = shared.up_to_date().stats();
    Json(stats)
}

async fn reset<A: Api>(State(shared): State<Shared<A>>) -> StatusCode {
    shared.lock().reset();
    StatusCode::NO_CONTENT
}

async fn faults<A: Api>(State(shared): State<Shared<A>>) -> Json<serde_json::Value> {
    let now = shared.clock.now();
    let faults: Vec<String> = shared.lock().faults(now).iter().map(Fault::to_string).collect();
    Json(json!({ "faults": faults }))
}

/// The body of `POST /_sandbox/fault`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inject {
    fault: String,
}

async fn inject<A: Api>(
    State(shared): State<Shared<A>>,
    body: Bytes,
) -> Result<StatusCode, BadControl> {
    let Inject { fault } = in_json(&body).map_err(BadControl)?;
    let fault =
        fault.parse().map_err(|error: crate::ParseFaultError| BadControl(error.to_string()))?;
    shared.lock().inject(fault, shared.clock.now());
    Ok(StatusCode::NO_CONTENT)
}

async fn seed<A: Api>(
    State(shared): State<Shared<A>>,
    body: Bytes,
) -> Result<StatusCode, BadControl> {
    let now = shared.clock.now();
    shared.lock().seed(&body, now).map_err(BadControl)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a body to `/_sandbox/` whatever its content type says, so that `curl -d` does without a
/// header.
///
/// # Errors
/// A sentence that says why the body is not the JSON wanted.
pub fn in_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("not the JSON wanted: {error}"))
}

/// What is wrong with a request to `/_sandbox/`, in one sentence.
struct BadControl(String);

impl IntoResponse for BadControl {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/plain")], format!("{}\n", self.0))
            .into_response()
    }
}

async fn clear_faults<A: Api>(State(shared): State<Shared<A>>) -> StatusCode {
    shared.lock().clear_faults();
    StatusCode::NO_CONTENT
}
