//! The API of the example, over a real socket and by hand.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../examples/orders_api.rs"]
#[expect(dead_code, reason = "the example's own main takes a fixed port")]
mod example;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use example::Orders;
use slowlane_sandbox::{Begun, Clock, Finished, Latency, Report, Sandbox, Settings, serve};
use tokio::net::TcpListener;

async fn served(settings: Settings) -> (String, Arc<Mutex<Sandbox<Orders>>>) {
    let sandbox = Arc::new(Mutex::new(Sandbox::new((settings, Orders::default()))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, sandbox.clone(), Clock::system(), std::future::pending()));
    (base, sandbox)
}

#[tokio::test]
async fn a_lost_answer_tried_again_is_an_effect_too_many() {
    let latency = Latency::Fixed(Duration::from_millis(1));
    let (base, sandbox) = served(Settings { latency, ..Settings::default() }).await;
    let client = reqwest::Client::new();
    let fault = client.post(format!("{base}/_sandbox/fault"));
    let asked = fault.body(r#"{"fault":"drop-after-commit:1"}"#).send().await.unwrap();
    assert_eq!(asked.status(), 204);
    let order = async || {
        let post = client.post(format!("{base}/orders/1")).header("idempotency-key", "one");
        post.send().await.map(|answer| answer.status().as_u16())
    };
    order().await.unwrap_err();
    assert_eq!(order().await.unwrap(), 200);
    let report: Report =
        client.get(format!("{base}/_sandbox/report")).send().await.unwrap().json().await.unwrap();
    assert_eq!((report.records["order"], report.duplicate_effects), (2, 1));
    let keys: Vec<_> = report.calls.iter().map(|call| call.idempotency_key.as_deref()).collect();
    assert_eq!(keys, [Some("one"), Some("one")]);
    assert_eq!(report.calls[0].fault.as_deref(), Some("drop-after-commit"));

    let reset = client.post(format!("{base}/_sandbox/reset")).send().await.unwrap();
    assert_eq!(reset.status(), 204);
    assert_eq!(sandbox.lock().unwrap().report().requests, 0);
}

#[tokio::test]
async fn what_it_cannot_do_it_says() {
    let (base, _) = served(Settings::default()).await;
    let client = reqwest::Client::new();
    let said = async |path: &str, body: String| {
        let answer = client.post(format!("{base}{path}")).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, why) = said("/_sandbox/seed", "{}".to_owned()).await;
    assert_eq!((status, why.as_str()), (400, "this API makes no records up\n"));
    let (status, why) = said("/_sandbox/fault", r#"{"fault":"teapot"}"#.to_owned()).await;
    assert_eq!(status, 400);
    assert!(why.contains("'teapot'"), "{why}");
    let (status, _) = said("/orders/1", "x".repeat(10 * 1024 * 1024 + 1)).await;
    assert_eq!(status, 413);
}

/// Each fault with what the caller sees and whether the order was made.
#[test]
fn each_fault_is_seen_as_stated() {
    let now = Duration::from_secs(1_800_000_000);
    let cases = [
        ("429-burst:1", Some(429), 0),
        ("invalid-login:1,by=1s", Some(401), 0),
        ("400:1", Some(400), 0),
        ("500:1", Some(500), 0),
        ("400-after-commit:1", Some(400), 1),
        ("500-after-commit:1", Some(500), 1),
        ("drop-after-commit:1", None, 1),
        ("commit-late:1,by=1s", None, 1),
        ("slow:1,by=1s", Some(200), 1),
    ];
    for (fault, seen, made) in cases {
        let mut sandbox = Sandbox::new((Settings::default(), Orders::default()));
        sandbox.inject(fault.parse().unwrap(), now);
        let order = http::Request::post("/orders/1").body(bytes::Bytes::new()).unwrap();
        let mut status = None;
        let mut ends = now;
        match sandbox.begin(order, now) {
            Begun::Answer(answer) => status = Some(answer.status().as_u16()),
            Begun::Admitted(mut call) => loop {
                ends = call.finish_at();
                match sandbox.finish(call, ends) {
                    Finished::Answer(answer) => break status = Some(answer.status().as_u16()),
                    Finished::Drop => break,
                    Finished::DropAndGoOn(later) => call = later,
                }
            },
        }
        assert_eq!(status, seen, "{fault}");
        assert_eq!(sandbox.report().records["order"], made, "{fault}");
        assert_eq!(sandbox.stats().in_flight, 0, "{fault}");
        let delayed = ends - now > Duration::from_secs(1);
        assert_eq!(delayed, fault.contains("by="), "{fault} ended after {:?}", ends - now);
    }
}
