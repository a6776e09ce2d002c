//! The examples do what they say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::{Request as HttpRequest, StatusCode};
use lambda_runtime::{Context, LambdaEvent};
use slowlane_idempotency::{Claimed, Failure, Guard, Key, MemoryStore, Request, Scope};
use tower::ServiceExt;

use crate::Stopwatch;

#[expect(dead_code, reason = "its main is not called")]
#[path = "../../examples/axum.rs"]
mod axum_example;
#[expect(dead_code, reason = "its main is not called")]
#[path = "../../examples/lambda.rs"]
mod lambda_example;
#[expect(dead_code, reason = "its main is not called")]
#[path = "../../examples/sqs_batch.rs"]
mod sqs_batch_example;

fn guard() -> (Guard<MemoryStore>, Stopwatch) {
    let time = Stopwatch::new();
    (Guard::new(MemoryStore::new(), time.settings()), time)
}

#[tokio::test]
async fn lambda() {
    use lambda_example::{Order, handle};
    let (guard, _) = guard();
    let event = |amount, seconds| {
        let id = "order-1".to_owned();
        let mut context = Context::default();
        context.deadline = Stopwatch::START.plus(Duration::from_secs(seconds)).as_millis();
        LambdaEvent::new(Order { id, amount }, context)
    };
    let first = handle(&guard, event(5, 30)).await.unwrap();
    assert_eq!(handle(&guard, event(5, 30)).await.unwrap(), first);
    let error = handle(&guard, event(6, 30)).await.unwrap_err();
    assert!(error.to_string().contains("payload differs"), "{error}");
    let error = handle(&guard, event(5, 0)).await.unwrap_err();
    assert!(error.to_string().contains("no time left"), "{error}");
}

/// Creates every record, and loses the answer to the first.
#[derive(Default)]
struct Erp(AtomicU64);

impl sqs_batch_example::Erp for Erp {
    async fn create(
        &self,
        order: &sqs_batch_example::Order,
        _: Duration,
    ) -> Result<String, Failure<lambda_runtime::Error>> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Failure::Unknown("connection reset".into())),
            _ => Ok(order.id.clone()),
        }
    }

    async fn find(&self, external_id: &str) -> Result<Option<String>, lambda_runtime::Error> {
        Ok(Some(external_id.to_owned()))
    }
}

#[tokio::test]
async fn sqs_batch() {
    use sqs_batch_example::{Batch, Message, handle};
    let (guard, _) = guard();
    let erp = Erp::default();
    let deadline: SystemTime = Stopwatch::START.plus(Duration::from_secs(60)).into();
    let batch = |ids: &[&str]| {
        let message = |id: &&str| Message {
            message_id: format!("message of {id}"),
            body: format!(r#"{{"id": "{id}", "lines": []}}"#),
        };
        Batch { records: ids.iter().map(message).collect() }
    };
    let answer = handle(&guard, &erp, batch(&["a", "b"]), deadline).await;
    let failed: Vec<_> = answer.batch_item_failures.iter().collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].item_identifier, "message of a");

    let answer = handle(&guard, &erp, batch(&["a", "b"]), deadline).await;
    assert!(answer.batch_item_failures.is_empty());
    assert_eq!(erp.0.load(Ordering::Relaxed), 2, "each was created once");
}

#[tokio::test]
async fn axum_api() {
    let (guard, _) = guard();
    let app = axum_example::app(guard.clone());
    let post = |key: Option<&str>, body: &'static str| {
        let mut request = HttpRequest::post("/payments").header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        app.clone().oneshot(request.body(Body::from(body)).unwrap())
    };
    let paid = post(Some("a"), r#"{"amount": 5}"#).await.unwrap();
    assert_eq!(paid.status(), StatusCode::CREATED);
    let replayed = post(Some("a"), r#"{ "amount" : 5 }"#).await.unwrap();
    assert_eq!(replayed.headers()["idempotency-replayed"], "true");
    assert_eq!(replayed.status(), StatusCode::CREATED);
    let bodies = [paid, replayed].map(|response| to_bytes(response.into_body(), 1024));
    let [paid, replayed] = bodies.map(futures::executor::block_on).map(Result::unwrap);
    assert_eq!(paid, replayed);

    let missing = post(None, r#"{"amount": 5}"#).await.unwrap();
    assert_eq!(missing.status(), StatusCode::BAD_REQUEST);
    let other = post(Some("a"), r#"{"amount": 6}"#).await.unwrap();
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);

    let (scope, key) = (Scope::new("payments").unwrap(), Key::new("b").unwrap());
    let payload = serde_json::json!({"amount": 5});
    let running = guard.claim(&Request::new(scope, key, &payload).unwrap()).await;
    assert!(matches!(running, Ok(Claimed::Run(_))));
    let concurrent = post(Some("b"), r#"{"amount": 5}"#).await.unwrap();
    assert_eq!(concurrent.status(), StatusCode::CONFLICT);
    assert_eq!(concurrent.headers()["retry-after"], "62");
}
