//! An HTTP service in front of an API of 5 requests a second. A caller who would have to wait
//! longer than half a second is answered 429 with `Retry-After`. Whoever runs the service can pause
//! it.
//!
//! ```sh
//! cargo run -p slowlane-limiter --example limited_axum
//! curl -i -X POST 127.0.0.1:3000/calls
//! curl -i -X POST 127.0.0.1:3000/pause -d 'the vendor works on it'
//! ```

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use slowlane_limiter::{
    Author, Change, Decision, Horizon, LimitKey, Limiter, MemoryStore, Rate, Settings, SlotId,
    Store, Waiting,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // With several instances of the service this is a DynamoDbStore or a RedisStore.
    let limiter = limiter(MemoryStore::new(), Settings::default())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(limiter)).await?;
    Ok(())
}

pub(crate) fn limiter<S: Store>(
    store: S,
    settings: Settings,
) -> Result<Limiter<S>, Box<dyn std::error::Error>> {
    let settings = Settings {
        rates: vec![Rate::new(5, Duration::from_secs(1))],
        horizon: Horizon::Fixed(Duration::from_millis(500)),
        ..settings
    };
    let slot = SlotId::new(format!("process {}", std::process::id()))?;
    Ok(Limiter::new(store, LimitKey::new("crm")?, slot, settings)?)
}

pub(crate) fn app<S: Store>(limiter: Limiter<S>) -> Router {
    Router::new()
        .route("/calls", post(call::<S>))
        .route("/pause", post(pause::<S>))
        .with_state(limiter)
}

async fn call<S: Store>(State(limiter): State<Limiter<S>>) -> Response {
    match limiter.grant(1).await {
        Ok(Decision::Granted(grant)) => {
            tokio::time::sleep(limiter.until(grant.at())).await;
            // Here the API is called.
            (StatusCode::CREATED, "done\n").into_response()
        }
        Ok(Decision::Refused(waiting)) => too_early(&limiter, &waiting),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn too_early<S: Store>(limiter: &Limiter<S>, waiting: &Waiting) -> Response {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut answer = (status, format!("{}\n", waiting.reason)).into_response();
    if let Some(until) = waiting.until {
        let seconds = limiter.until(until).as_secs() + 1;
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

async fn pause<S: Store>(State(limiter): State<Limiter<S>>, why: String) -> Response {
    let by = Author::new("whoever called /pause", why);
    match limiter.change(&Change::Pause { until: None }, &by).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
