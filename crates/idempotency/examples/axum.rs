//! An HTTP API whose POST may be repeated: the `Idempotency-Key` header of the IETF draft.
//! 400 without the header, 422 for another payload under the same key, 409 while the first
//! is running.
//!
//! ```sh
//! cargo run -p slowlane-idempotency --example axum
//! curl -i 127.0.0.1:3000/payments -H 'idempotency-key: a' --json '{"amount": 5}'
//! ```

use std::convert::Infallible;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use slowlane_idempotency::{
    Done, Failure, Guard, How, Key, MemoryStore, Request, Scope, Settings, Store, claim, run,
};

#[derive(Debug, Deserialize, Serialize)]
struct Payment {
    amount: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Paid {
    id: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    // With several instances of the server this is a DynamoDbStore.
    let guard = Guard::new(MemoryStore::new(), Settings::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(guard)).await
}

pub(crate) fn app<S: Store + 'static>(guard: Guard<S>) -> Router {
    Router::new().route("/payments", post(pay::<S>)).with_state(guard)
}

async fn pay<S: Store>(
    State(guard): State<Guard<S>>,
    headers: HeaderMap,
    Json(payment): Json<Payment>,
) -> Response {
    let request = match request(&headers, &payment) {
        Ok(request) => request,
        Err(problem) => return refusal(StatusCode::BAD_REQUEST, problem),
    };
    let call = async |_| {
        let id = format!("payment of {}", payment.amount);
        Ok::<_, Failure<Infallible>>(Paid { id })
    };
    match guard.run(&request, call).await {
        Ok(done) => answer(done),
        Err(error) => failure(error),
    }
}

fn request(headers: &HeaderMap, payment: &Payment) -> Result<Request, String> {
    let key = headers
        .get("idempotency-key")
        .ok_or("the header Idempotency-Key is missing")?
        .to_str()
        .map_err(|error| error.to_string())?;
    // Keys of different callers must not meet: a real API puts the tenant into the key.
    let text = |error: slowlane_idempotency::RequestError| error.to_string();
    let scope = Scope::new("payments").map_err(text)?;
    Request::new(scope, Key::new(key).map_err(text)?, payment).map_err(text)
}

fn answer(done: Done<Paid>) -> Response {
    let mut response = (StatusCode::CREATED, Json(done.value)).into_response();
    if done.how != How::Ran {
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert("idempotency-replayed", replayed);
    }
    response
}

fn failure(error: run::Error<Paid, Infallible>) -> Response {
    match error {
        run::Error::Claim(claim::Error::PayloadMismatch { .. }) => refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used with another payload".into(),
        ),
        run::Error::InProgress(held) => {
            let wait = held.wait.as_secs().max(1);
            let mut response = refusal(StatusCode::CONFLICT, "it is being processed".into());
            response.headers_mut().insert(header::RETRY_AFTER, wait.into());
            response
        }
        error => {
            eprintln!("{error}");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "not known whether it was done".into())
        }
    }
}

fn refusal(status: StatusCode, problem: String) -> Response {
    (status, Json(json!({ "title": problem }))).into_response()
}
