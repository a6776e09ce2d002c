//! The examples do what they say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use lambda_runtime::{Context, LambdaEvent};
use slowlane_limiter::{LimitKey, Limiter, MemoryStore, Moment, Rate, Settings, SlotId};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{START, seconds};

#[expect(dead_code, reason = "its main is not called")]
#[path = "../../examples/limited_axum.rs"]
mod axum_example;
#[expect(dead_code, reason = "its main is not called")]
#[path = "../../examples/limited_batch.rs"]
mod batch_example;
#[expect(dead_code, reason = "its main is not called")]
#[path = "../../examples/limited_lambda.rs"]
mod lambda_example;

/// The time of tokio's clock, which stands still but for sleeps.
fn virtual_time() -> Settings {
    let start = Instant::now();
    let clock = move || SystemTime::from(START.plus(start.elapsed()));
    Settings { clock: Arc::new(clock), ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn lambda() {
    use lambda_example::{Answer, Order, Reply, handle};
    let settings = Settings { rates: vec![Rate::new(100, seconds(20))], ..virtual_time() };
    let limiter = |name: &str| {
        let (limit, slot) = (LimitKey::new("crm").unwrap(), SlotId::new(name).unwrap());
        let store = MemoryStore::new();
        Limiter::new(store, limit, slot, settings.clone()).unwrap()
    };
    let event = |id: &str| LambdaEvent::new(Order { id: id.into() }, Context::default());
    let created = async |order: &Order| Reply::Created(order.id.clone());
    let healthy = limiter("a");
    let start = Instant::now();
    for order in ["1", "2", "3"] {
        let answer = handle(&healthy, event(order), created).await.unwrap();
        assert_eq!(answer, Answer::Done(order.into()));
    }
    let apart = (20_000 + 234) / 100 * 2;
    assert!(start.elapsed() >= Duration::from_millis(apart), "{:?}", start.elapsed());

    let throttled = async |_: &Order| Reply::TooMany(Some(seconds(30)));
    assert_eq!(handle(&healthy, event("4"), throttled).await.unwrap(), Answer::WaitSeconds(30));
    let answer = handle(&healthy, event("5"), created).await.unwrap();
    assert!(matches!(answer, Answer::WaitSeconds(29..=31)), "{answer:?}");

    let refused = limiter("b");
    let unauthorized = async |_: &Order| Reply::Unauthorized;
    for order in ["6", "7"] {
        handle(&refused, event(order), unauthorized).await.unwrap();
    }
    let calls = AtomicU64::new(0);
    let counted = async |_: &Order| {
        calls.fetch_add(1, Ordering::Relaxed);
        Reply::ServerError
    };
    handle(&refused, event("8"), counted).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 0, "the breaker is open");
}

#[tokio::test(start_paused = true)]
async fn axum_service() {
    let limiter = axum_example::limiter(MemoryStore::new(), virtual_time()).unwrap();
    let app = axum_example::app(limiter.clone());
    let post = |path: &str| {
        let request = Request::post(path).body(Body::from("the vendor works on it")).unwrap();
        app.clone().oneshot(request)
    };
    let asked = futures::future::join_all((0..4).map(|_| post("/calls"))).await;
    let answers: Vec<_> = asked.into_iter().map(Result::unwrap).collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    assert_eq!(statuses, [201, 201, 201, 429], "one each 247 ms, and 500 ms at most");
    assert_eq!(answers[3].headers()["retry-after"], "1");
    assert_eq!(post("/pause").await.unwrap().status(), StatusCode::NO_CONTENT);
    let paused = post("/calls").await.unwrap();
    assert_eq!(paused.status(), StatusCode::TOO_MANY_REQUESTS);
    let text = axum::body::to_bytes(paused.into_body(), 1024).await.unwrap();
    assert_eq!(text, "paused by whoever called /pause: the vendor works on it\n");
}

#[tokio::test(start_paused = true)]
async fn batch() {
    use batch_example::{limiter, run, settings};
    let store = MemoryStore::new();
    let with_clock = || Settings { clock: virtual_time().clock, ..settings() };
    let prompts: Vec<_> =
        (0..40).map(|number| format!("{number:02} {}", "word ".repeat(100))).collect();
    let asked: std::sync::Mutex<Vec<(Moment, u64)>> = std::sync::Mutex::default();
    let first = limiter(store.clone(), "a", with_clock()).unwrap();
    let second = limiter(store.clone(), "b", with_clock()).unwrap();
    let ask = async |prompt: &str| {
        let used = prompt.len() as u64 / 4 + 120;
        asked.lock().unwrap().push((first.now(), used));
        tokio::time::sleep(Duration::from_millis(700)).await;
        used
    };
    let (one, other) = prompts.split_at(20);
    let start = Instant::now();
    let done = futures::future::try_join(
        run(&first, one.iter().map(String::as_str), &ask),
        run(&second, other.iter().map(String::as_str), &ask),
    );
    assert_eq!(done.await.unwrap(), (20, 20));
    // 40 calls of 245 tokens, reserved as 625 each: without settling they would take 54 s.
    let tokens: u64 = asked.lock().unwrap().iter().map(|(_, used)| used).sum();
    assert!(start.elapsed() < seconds(35), "{:?} for {tokens} tokens", start.elapsed());
    let record = first.standings().await.unwrap();
    assert_eq!(record.meter.spent[0].units, tokens);
    assert_eq!(record.record.register.slots.len(), 0, "both have left");
}
