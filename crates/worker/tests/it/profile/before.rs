//! Calls before the call: a CSRF token with its cookies, an ETag.

use std::sync::{Arc, Mutex};

use serde_json::json;
use slowlane_policy::settle::Outcome;
use slowlane_worker::Target as _;
use slowlane_worker::profile::shipped;
use slowlane_worker::targets::profile::ProfiledApi;
use tokio::io::AsyncWriteExt as _;

use super::{call, name, of, queued, succeeded, why};
use crate::server::{Server, answer};

/// An OData service: it gives CSRF tokens by number, and takes the last one only.
struct Service {
    server: Server,
    tokens: Arc<Mutex<u32>>,
}

impl Service {
    async fn start() -> Self {
        let tokens = Arc::new(Mutex::new(0));
        let given = tokens.clone();
        let server = Server::serving(move |request, mut stream| {
            let answer = Service::answer(&request, &mut given.lock().unwrap());
            async move { stream.write_all(answer.as_bytes()).await.unwrap() }
        })
        .await;
        Service { server, tokens }
    }

    fn answer(request: &str, tokens: &mut u32) -> String {
        let has = |header: &str| request.contains(&format!("\r\n{header}\r\n"));
        let (method, rest) = request.split_once(' ').unwrap();
        let (path, _) = rest.split_once(' ').unwrap();
        match method {
            "HEAD" if has("x-csrf-token: Fetch") => {
                *tokens += 1;
                let token = format!("x-csrf-token: token-{tokens}");
                let session = format!("set-cookie: session={tokens}; path=/; secure");
                answer(200, &[&token, &session, "set-cookie: lang=en"], "")
            }
            "GET" if path.ends_with("missing") => answer(404, &[], ""),
            "GET" if path.ends_with("etagged") => answer(200, &["etag: W/\"7\""], "{}"),
            "GET" => answer(200, &[], "{}"),
            _ if !has(&format!("x-csrf-token: token-{tokens}"))
                || !has(&format!("cookie: session={tokens}; lang=en")) =>
            {
                answer(403, &["x-csrf-token: Required"], "")
            }
            "PATCH" if path.ends_with("etagged") && !request.contains("if-match: ") => {
                answer(428, &[], "")
            }
            _ => answer(201, &["location: Orders('17')"], ""),
        }
    }

    fn sap(&self) -> ProfiledApi {
        let secret = json!({ "user": "ada", "password": "secret-credential" }).to_string();
        let sap = of(shipped::get("sap-odata").unwrap(), &self.server.url());
        sap.auth("basic").secret(secret).build().unwrap()
    }

    /// The methods of the requests so far.
    fn methods(&self) -> Vec<String> {
        let requests = self.server.requests();
        requests.iter().map(|request| request.split(' ').next().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_csrf_token_goes_with_its_cookies_and_serves_several_calls() {
    let service = Service::start().await;
    let sap = service.sap();
    let create = call("POST", "Orders", Some(json!({ "Total": 1 })));
    let response = succeeded(sap.call(&create).await);
    assert_eq!((response.status, response.id.as_deref()), (201, Some("17")));
    succeeded(sap.call(&create).await);
    assert_eq!(service.methods(), ["HEAD", "POST", "POST"]);
    // Who calls is said with each request, and what reads needs no token.
    succeeded(sap.call(&call("GET", "Orders", None)).await);
    let requests = service.server.requests();
    assert!(requests.iter().all(|request| request.contains("authorization: Basic ")));
    assert_eq!(service.methods()[3..], ["GET"]);
}

#[tokio::test]
async fn a_csrf_token_that_has_ended_is_fetched_anew_once() {
    let service = Service::start().await;
    let sap = service.sap();
    let create = call("POST", "Orders", None);
    succeeded(sap.call(&create).await);
    // The service has forgotten the session.
    *service.tokens.lock().unwrap() = 100;
    succeeded(sap.call(&create).await);
    assert_eq!(service.methods(), ["HEAD", "POST", "POST", "HEAD", "POST"]);
}

#[tokio::test]
async fn a_csrf_token_that_is_never_taken_ends_the_attempt() {
    let service = Server::serving(|request, mut stream| async move {
        let given = answer(200, &["x-csrf-token: one"], "");
        let never = answer(403, &["x-csrf-token: Required"], "");
        let answer = if request.starts_with("HEAD") { given } else { never };
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let service = Service { server: service, tokens: Arc::default() };
    let outcome = service.sap().call(&call("POST", "Orders", None)).await;
    assert_eq!(name(&outcome), "transient", "{outcome:?}");
    assert_eq!(service.methods(), ["HEAD", "POST", "HEAD", "POST"]);
}

#[tokio::test]
async fn a_change_brings_the_records_etag() {
    let service = Service::start().await;
    let sap = service.sap();
    succeeded(sap.call(&call("PATCH", "etagged", Some(json!({ "a": 1 })))).await);
    assert_eq!(service.methods(), ["HEAD", "GET", "PATCH"]);
    assert!(service.server.requests()[2].contains("\r\nif-match: W/\"7\"\r\n"));
    // Not every entity has one.
    succeeded(sap.call(&call("PATCH", "plain", None)).await);
    assert_eq!(service.methods()[3..], ["GET", "PATCH"]);
    // A call that brings its own is not asked.
    let own = json!({ "method": "PATCH", "resource": "etagged", "headers": { "if-match": "*" } });
    succeeded(sap.call(&queued(own)).await);
    assert_eq!(service.methods()[5..], ["PATCH"]);
    assert!(service.server.requests()[5].contains("\r\nif-match: *\r\n"));
}

#[tokio::test]
async fn a_call_is_not_made_when_the_call_before_it_fails() {
    let service = Service::start().await;
    let outcome = service.sap().call(&call("PATCH", "missing", None)).await;
    assert_eq!(name(&outcome), "rejected", "{outcome:?}");
    let why = why(outcome);
    assert!(why.message.contains("the call `etag` before it"), "{why}");
    assert_eq!(why.status, Some(404));
    assert_eq!(service.methods(), ["HEAD", "GET"]);

    for (answered, expected) in [
        (answer(401, &[], ""), "unauthorized"),
        (answer(429, &["retry-after: 7"], ""), "throttled"),
        (answer(500, &[], ""), "transient"),
        (answer(200, &[], ""), "transient"),
        (String::new(), "transient"),
    ] {
        let server = Server::answering(answered.clone()).await;
        let service = Service { server, tokens: Arc::default() };
        let outcome = service.sap().call(&call("POST", "Orders", None)).await;
        assert_eq!(name(&outcome), expected, "{answered}: {outcome:?}");
        if let Outcome::Throttled { retry_after } = outcome {
            assert_eq!(retry_after, Some(std::time::Duration::from_secs(7)));
        }
        assert!(!service.methods().contains(&"POST".to_owned()), "{answered}");
    }
}
