//! A sandbox on a free port, and a plain HTTP client to it.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slowlane_netsuite_sandbox::{Clock, Latency, Report, Sandbox, Settings, serve};

/// A served sandbox; it lives as long as the test's runtime.
pub(crate) struct Served {
    pub(crate) base_url: String,
    pub(crate) sandbox: Arc<Mutex<Sandbox>>,
    pub(crate) http: reqwest::Client,
}

/// Settings of a sandbox that takes any caller and is quick.
pub(crate) fn open() -> Settings {
    Settings {
        open: true,
        latency: Latency::Fixed(Duration::from_millis(5)),
        ..Settings::default()
    }
}

impl Served {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::start_with(Sandbox::new(settings)).await
    }

    pub(crate) async fn start_with(sandbox: Sandbox) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let sandbox = Arc::new(Mutex::new(sandbox));
        tokio::spawn(serve(listener, sandbox.clone(), Clock::system(), std::future::pending()));
        Self { base_url, sandbox, http: reqwest::Client::new() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url))
    }

    pub(crate) fn upsert(&self, external_id: &str) -> RequestBuilder {
        self.request(Method::PUT, &format!("/services/rest/record/v1/salesOrder/eid:{external_id}"))
            .json(&order())
    }

    /// Waits until so many calls hold a permit.
    pub(crate) async fn until_in_flight(&self, calls: u32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.sandbox.lock().unwrap().stats().in_flight != calls {
            assert!(Instant::now() < deadline, "there never were {calls} calls in flight");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn report(&self) -> Report {
        self.request(Method::GET, "/_sandbox/report").send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn inject(&self, fault: &str) {
        let answer = self
            .request(Method::POST, "/_sandbox/fault")
            .json(&json!({"fault": fault}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 204);
    }
}

pub(crate) fn order() -> Value {
    json!({"entity": {"id": "7"}, "item": {"items": [{"item": {"id": "3"}, "quantity": 2}]}})
}
