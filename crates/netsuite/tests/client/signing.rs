//! Token-based authentication on the wire. The signatures themselves are checked against Oracle's
//! samples beside the code that makes them.

use std::collections::HashSet;

use slowlane_netsuite::{AccountId, Auth, Class, Client, Method, Request, Retry, Tba};

use crate::support::{HandClock, HttpRequest, Log, empty};

fn client(log: &Log, statuses: &'static [u16]) -> Client {
    let seen = log.clone();
    let auth = Auth::tba(Tba {
        consumer_key: "ck".into(),
        consumer_secret: "cs".into(),
        token_id: "tk".into(),
        token_secret: "ts".into(),
    });
    Client::builder(AccountId::new("123-sb1").unwrap(), auth.unwrap())
        .transport(tower::service_fn(move |request: HttpRequest| {
            seen.push(&request);
            let status = statuses[(seen.calls().len() - 1).min(statuses.len() - 1)];
            async move { Ok(empty(status)) }
        }))
        .clock(HandClock::at(1_790_000_000))
        .retry(Retry::default())
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_signed_afresh() {
    let log = Log::default();
    client(&log, &[429, 429, 429, 204])
        .send(Request::new(Method::PUT, "salesOrder/eid:o-1").unwrap())
        .await
        .unwrap();
    let headers: Vec<String> = log
        .calls()
        .iter()
        .map(|call| call.headers()["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(headers.len(), 4);
    for part in ["oauth_nonce=", "oauth_signature="] {
        let values: HashSet<&str> = headers
            .iter()
            .map(|header| header.split(part).nth(1).unwrap().split(',').next().unwrap())
            .collect();
        assert_eq!(values.len(), 4, "{part} was used twice: {headers:?}");
    }
    assert!(
        headers.iter().all(|h| h.starts_with("OAuth realm=\"123_SB1\", oauth_consumer_key=\"ck\"")
            && h.contains("oauth_timestamp=\"1790000000\""))
    );
    assert!(log.calls()[0].headers()["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_refused_signature_is_final_at_once() {
    let log = Log::default();
    let error = client(&log, &[401])
        .send(Request::new(Method::GET, "salesOrder/1").unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        (error.class(), log.calls().len()),
        (Class::Unauthorized, 1),
        "five failed logins lock the user"
    );
}

#[test]
fn an_empty_part_is_found_at_once() {
    let parts = |n: usize| move |i: usize| if i == n { String::new() } else { "x".to_owned() };
    for part in (0..4).map(parts) {
        let credentials = Tba {
            consumer_key: part(0),
            consumer_secret: part(1).into(),
            token_id: part(2),
            token_secret: part(3).into(),
        };
        Auth::tba(credentials).unwrap_err();
    }
}
