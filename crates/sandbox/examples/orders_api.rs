//! A test API in a few lines: orders by number, with a limit of two calls at a time.
//!
//! `cargo run -p slowlane-sandbox --example orders_api`, then
//! `curl -d 'an order' 127.0.0.1:8080/orders/1` and `curl 127.0.0.1:8080/_sandbox/report`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slowlane_sandbox::{
    Api, Clock, Created, Effect, Request, Response, Sandbox, Settings, Subject, serve,
};
use tokio::net::TcpListener;

/// The orders by their paths. One that is sent twice is an order twice.
#[derive(Debug, Default)]
pub(crate) struct Orders(Vec<String>);

impl Api for Orders {
    type Start = ();

    fn start(&mut self, _: &Request, takes: Duration, _: Duration) -> ((), Duration) {
        ((), takes)
    }

    fn execute(&mut self, request: &Request, (): (), _: Duration) -> (Response, Effect) {
        let path = request.uri().path().to_owned();
        if request.method() != "POST" {
            let answer = self.0.iter().filter(|order| **order == path).count().to_string();
            return (Response::new(answer.into()), Effect::default());
        }
        self.0.push(path.clone());
        let created = Created { record_type: "order".to_owned(), external_id: Some(path) };
        (Response::default(), Effect { created: vec![created], additions: 0 })
    }

    fn subject(&self, request: &Request) -> Subject {
        let path = request.uri().path();
        Subject { resource: "orders".to_owned(), external_id: Some(path.to_owned()) }
    }

    fn records(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("order".to_owned(), self.0.len() as u64)])
    }

    fn reset(&mut self) {
        self.0.clear();
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let settings = Settings { limit: 2, ..Settings::default() };
    let sandbox = Arc::new(Mutex::new(Sandbox::new((settings, Orders::default()))));
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    serve(listener, sandbox, Clock::system(), std::future::pending()).await;
    Ok(())
}
