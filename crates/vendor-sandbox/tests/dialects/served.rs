//! A sandbox behind a socket, for a test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use slowlane_vendor_sandbox::{
    Clock, Dialect, Latency, Report, Request, Sandbox, Settings, Vendor, serve,
};
use tokio::net::TcpListener;

/// A sandbox that is served until it is dropped.
pub(crate) struct Served {
    pub(crate) base_url: String,
    sandbox: Arc<Mutex<Sandbox>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(dialect: &str, settings: Settings) -> Self {
        let vendor = Vendor::new(Dialect::of(dialect).expect("there is such a dialect"));
        let sandbox = Arc::new(Mutex::new(Sandbox::new((settings, vendor))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let serving =
            tokio::spawn(serve(listener, sandbox.clone(), Clock::system(), std::future::pending()));
        Self { base_url, sandbox, serving }
    }

    pub(crate) fn report(&self) -> Report {
        self.sandbox.lock().unwrap().report()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Five at once, calls of a millisecond, no rates.
pub(crate) fn quick() -> Settings {
    Settings { latency: Latency::Fixed(Duration::from_millis(1)), ..Settings::default() }
}

/// A request by hand, with a body of JSON if there is one.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut request = http::Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    request.body(body.to_owned().into()).unwrap()
}
