//! No secret is shown: not by Debug, not by an error, not in the logs at their most talkative.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use serde_json::json;
use slowlane_netsuite::{AccountId, Auth, Client, Method, Request, Retry};

use crate::support::{
    HandClock, HttpRequest, Log, empty, is_token, json as json_answer, oauth2, p256,
};

/// All that is logged on this thread, at the most talkative level.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(crate) fn subscribe(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs a client through good and bad days and returns all that was shown on the way.
async fn all_that_is_shown(auth: Auth, log: &Log) -> String {
    let captured = Captured::default();
    let _guard = captured.subscribe();
    let (seen, clock) = (log.clone(), HandClock::at(1_790_000_000));
    let builder = Client::builder(AccountId::new("123").unwrap(), auth.clone())
        .transport(tower::service_fn(move |request: HttpRequest| {
            seen.push(&request);
            let (tokens, calls) = (seen.token_requests().len(), seen.calls().len());
            async move {
                let echo = format!("{:?} {}", request.headers().get("authorization").map(|h| h.to_str().unwrap().to_owned()), String::from_utf8_lossy(request.body()));
                Ok(match (is_token(&request), tokens % 3, calls % 4) {
                    (true, 0, _) => json_answer(400, json!({"error": "invalid_grant", "error_description": echo})),
                    (true, _, _) => json_answer(200, json!({"access_token": "the-access-token", "expires_in": 3600})),
                    (false, _, 0 | 1) => json_answer(401, json!({"o:errorDetails": [{"detail": echo, "o:errorCode": "INVALID_LOGIN"}]})),
                    (false, _, 2) => json_answer(429, json!({"title": echo})),
                    (false, _, _) => empty(204),
                })
            }
        }))
        .clock(clock.clone())
        .retry(Retry { max_attempts: 2, ..Retry::default() });
    let mut shown = format!("{builder:?} {auth:?}");
    let client = builder.build().unwrap();
    shown.push_str(&format!("{client:?}"));
    for _ in 0..12 {
        if let Err(error) = client.send(Request::new(Method::GET, "salesOrder/1").unwrap()).await {
            shown.push_str(&format!("{error} {error:?} {:?}", error.body()));
        }
        // A refused token request stands for half a minute.
        clock.advance(31);
    }
    let logged = captured.text();
    assert!(logged.len() > 500, "the logs were captured");
    shown + &logged
}

fn assert_hidden(shown: &str, secrets: &[&str]) {
    for seen in ["unauthorized", "throttled", "will be repeated"] {
        assert!(shown.contains(seen), "the bad days happened, and the logs tell of them: {seen}");
    }
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret:?} is shown in {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_oauth2() {
    let pem = p256().private_pem;
    let credentials = oauth2(&pem, None);
    let log = Log::default();
    let debugged = format!("{credentials:?}");
    let mut shown = all_that_is_shown(Auth::oauth2(credentials).unwrap(), &log).await;
    shown.push_str(&debugged);
    let assertions: Vec<String> = log
        .token_requests()
        .iter()
        .map(|request| {
            String::from_utf8_lossy(request.body())
                .split_once("client_assertion=")
                .unwrap()
                .1
                .to_owned()
        })
        .collect();
    let mut secrets: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    secrets.push("the-access-token");
    secrets.extend(assertions.iter().map(String::as_str));
    assert_hidden(&shown, &secrets);
}

#[tokio::test(start_paused = true)]
async fn of_tba() {
    let credentials = slowlane_netsuite::Tba {
        consumer_key: "the-consumer".into(),
        consumer_secret: "the-consumer-secret".into(),
        token_id: "the-token".into(),
        token_secret: "the-token-secret".into(),
    };
    let debugged = format!("{credentials:?}");
    let shown = all_that_is_shown(Auth::tba(credentials).unwrap(), &Log::default()).await;
    assert_hidden(&(shown + &debugged), &["the-consumer-secret", "the-token-secret"]);
}
