//! The access token: how it is asked for, shared, renewed and dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use serde_json::{Value, json};
use slowlane_netsuite::{
    AccountId, Algorithm, Auth, Class, Client, Method, Request, TransportError,
};

use crate::support::{
    HandClock, HttpRequest, Keys, Log, empty, is_token, json as json_answer, oauth2, p256, p384,
    p521, raw, refusal, rsa_3072, scripted,
};

fn get() -> Request {
    Request::new(Method::GET, "salesOrder/1").unwrap()
}

/// The three parts of the JWT in a token request's form, and what it signs.
fn assertion(request: &HttpRequest) -> (Value, Value, Vec<u8>, String) {
    let form: Vec<(String, String)> =
        url::form_urlencoded::parse(request.body()).into_owned().collect();
    assert_eq!(form[0], ("grant_type".into(), "client_credentials".into()));
    assert_eq!(form[1].1, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert_eq!((form[2].0.as_str(), form.len()), ("client_assertion", 3));
    let parts: Vec<&str> = form[2].1.split('.').collect();
    let part = |i: usize| URL_SAFE_NO_PAD.decode(parts[i]).unwrap();
    let read = |i: usize| serde_json::from_slice(&part(i)).unwrap();
    (read(0), read(1), part(2), format!("{}.{}", parts[0], parts[1]))
}

#[tokio::test]
async fn the_assertion_is_what_netsuite_documents_and_its_signature_holds() {
    let (rsa, ec, ec384, ec521) = (rsa_3072(), p256(), p384(), p521());
    let cases: [(&Keys, Option<Algorithm>, &str, &'static dyn VerificationAlgorithm); 9] = [
        (&rsa, None, "PS256", &RSA_PSS_2048_8192_SHA256),
        (&rsa, Some(Algorithm::Ps256), "PS256", &RSA_PSS_2048_8192_SHA256),
        (&rsa, Some(Algorithm::Ps384), "PS384", &RSA_PSS_2048_8192_SHA384),
        (&rsa, Some(Algorithm::Ps512), "PS512", &RSA_PSS_2048_8192_SHA512),
        (&ec, None, "ES256", &ECDSA_P256_SHA256_FIXED),
        (&ec384, None, "ES384", &ECDSA_P384_SHA384_FIXED),
        (&ec384, Some(Algorithm::Es384), "ES384", &ECDSA_P384_SHA384_FIXED),
        (&ec521, None, "ES512", &ECDSA_P521_SHA512_FIXED),
        (&ec521, Some(Algorithm::Es512), "ES512", &ECDSA_P521_SHA512_FIXED),
    ];
    for (keys, algorithm, name, verification) in cases {
        let log = Log::default();
        let seen = log.clone();
        let auth = Auth::oauth2(oauth2(&keys.private_pem, algorithm)).unwrap();
        let client = Client::builder(AccountId::new("123_SB1").unwrap(), auth)
            .transport(tower::service_fn(move |request: HttpRequest| {
                seen.push(&request);
                async move {
                    Ok(if is_token(&request) {
                        json_answer(200, json!({"access_token": "t", "expires_in": 3600}))
                    } else {
                        empty(204)
                    })
                }
            }))
            .clock(HandClock::at(1_790_000_000))
            .build()
            .unwrap();
        client.send(get()).await.unwrap();

        let request = &log.token_requests()[0];
        let endpoint =
            "https://123-sb1.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token";
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::POST, endpoint)
        );
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        let (header, claims, signature, signed) = assertion(request);
        assert_eq!(header, json!({"typ": "JWT", "alg": name, "kid": "certificate-1"}));
        assert_eq!(
            claims,
            json!({"iss": "client-1", "scope": ["restlets", "rest_webservices"], "aud": endpoint, "iat": 1_790_000_000, "exp": 1_790_000_300})
        );
        UnparsedPublicKey::new(verification, &keys.public)
            .verify(signed.as_bytes(), &signature)
            .unwrap();
    }
}

#[test]
fn a_key_that_cannot_work_is_found_before_the_first_call() {
    let (ec, rsa) = (p256().private_pem, rsa_3072().private_pem);
    let wrong = [
        oauth2("not a key", None),
        oauth2(&ec, Some(Algorithm::Ps256)),
        oauth2(&ec, Some(Algorithm::Es384)),
        oauth2(&rsa, Some(Algorithm::Es256)),
        oauth2(&ec, Some(Algorithm::Es512)),
        oauth2(&p521().private_pem, Some(Algorithm::Es256)),
        slowlane_netsuite::OAuth2 { client_id: " ".into(), ..oauth2(&ec, None) },
    ];
    for credentials in wrong {
        let shown = format!("{credentials:?}");
        let error = Auth::oauth2(credentials).expect_err(&shown);
        let secret = &ec[60..100];
        assert!(!error.to_string().contains(secret) && !shown.contains(secret), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_without_a_token_ask_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let client = raw(move |request| {
        let count = count.clone();
        async move {
            if !is_token(&request) {
                return Ok(empty(204));
            }
            count.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(json_answer(200, json!({"access_token": "t"})))
        }
    })
    .build()
    .unwrap();
    for outcome in join_all((0..50).map(|_| client.send(get()))).await {
        outcome.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_a_refusal_and_nobody_repeats_it_at_once() {
    let clock = HandClock::at(1_790_000_000);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let client = raw(move |request| {
        assert!(is_token(&request), "no call may go out without a token");
        count.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(json_answer(400, json!({"error": "invalid_grant", "error_description": "the certificate is revoked"})))
        }
    })
    .clock(clock.clone())
    .build()
    .unwrap();
    for outcome in join_all((0..20).map(|_| client.send(get()))).await {
        let error = outcome.unwrap_err();
        assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unauthorized, false));
        assert!(error.has_code("invalid_grant"), "{error}");
        assert!(
            error.to_string().starts_with("GET salesOrder/1: no access token: unauthorized (400)"),
            "{error}"
        );
    }
    client.send(get()).await.unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 1, "five failed logins lock the user");
    clock.advance(31);
    client.send(get()).await.unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_call_is_not_sent_when_the_token_service_is_out_of_reach() {
    for answer in [None, Some(503), Some(429)] {
        let client = raw(move |_| async move {
            match answer {
                Some(status) => Ok(empty(status)),
                None => Err(TransportError::MaybeSent("reset".into())),
            }
        })
        .build()
        .unwrap();
        let error =
            client.send(Request::new(Method::POST, "salesOrder").unwrap()).await.unwrap_err();
        let class = if answer == Some(429) { Class::Throttled } else { Class::NotSent };
        assert_eq!((error.class(), error.is_safe_to_repeat()), (class, true), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_of_its_end_while_others_go_on() {
    let clock = HandClock::at(1_790_000_000);
    let (asked, used) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let (count, tokens) = (asked.clone(), used.clone());
    let client = raw(move |request| {
        let number = if is_token(&request) { count.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        if number == 0 {
            tokens
                .lock()
                .unwrap()
                .push(request.headers()["authorization"].to_str().unwrap().to_owned());
        }
        async move {
            if number == 0 {
                return Ok(empty(204));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            match number {
                2 => Err(TransportError::NotSent("down".into())),
                _ => Ok(json_answer(
                    200,
                    json!({"access_token": format!("token-{number}"), "expires_in": 3600}),
                )),
            }
        }
    })
    .clock(clock.clone())
    .build()
    .unwrap();
    client.send(get()).await.unwrap();
    clock.advance(3299);
    client.send(get()).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1, "still more than five minutes to go");
    clock.advance(1);
    for outcome in join_all((0..10).map(|_| client.send(get()))).await {
        outcome.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "one caller tried, and its failure hurt no one");
    clock.advance(31);
    join_all((0..10).map(|_| client.send(get()))).await;
    client.send(get()).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    let used = used.lock().unwrap();
    assert_eq!(used.iter().filter(|t| *t == "Bearer token-1").count(), 21, "{used:?}");
    assert_eq!(used.iter().filter(|t| *t == "Bearer token-3").count(), 2, "{used:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_holds_one_call_up_for_ten_seconds_and_no_other() {
    let clock = HandClock::at(1_790_000_000);
    let log = Log::default();
    let seen = log.clone();
    let client = raw(move |request| {
        seen.push(&request);
        let token_requests = seen.token_requests().len();
        async move {
            match (is_token(&request), token_requests) {
                (false, _) => Ok(empty(204)),
                (true, 1) => Ok(json_answer(200, json!({"access_token": "t"}))),
                (true, _) => std::future::pending().await,
            }
        }
    })
    .clock(clock.clone())
    .build()
    .unwrap();
    client.send(get()).await.unwrap();
    clock.advance(3400);
    let start = tokio::time::Instant::now();
    let mut took = join_all((0..5).map(|_| async {
        client.send(get()).await.unwrap();
        start.elapsed()
    }))
    .await;
    took.sort();
    assert_eq!(took[3..], [Duration::ZERO, Duration::from_secs(10)]);
    assert_eq!((log.token_requests().len(), log.calls().len()), (2, 6));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_then_it_is_final() {
    let (builder, log) = scripted(|request| async move {
        Ok(if request.headers()["authorization"] == "Bearer token-1" {
            refusal(401, &["INVALID_LOGIN"])
        } else {
            empty(204)
        })
    });
    let client = builder.build().unwrap();
    client.send(Request::new(Method::POST, "salesOrder").unwrap()).await.unwrap();
    assert_eq!((log.calls().len(), log.token_requests().len()), (2, 2));
    client.send(get()).await.unwrap();
    assert_eq!(log.token_requests().len(), 2, "the new token is kept");

    let (builder, log) = scripted(|_| async {
        let mut answer = empty(401);
        answer.headers_mut().insert(
            "www-authenticate",
            r#"Bearer realm="x", error="invalid_token""#.parse().unwrap(),
        );
        Ok(answer)
    });
    let error = builder.build().unwrap().send(get()).await.unwrap_err();
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unauthorized, false));
    assert!(error.has_code("invalid_token"));
    assert_eq!((log.calls().len(), log.token_requests().len()), (2, 2), "never a third time");
}

#[tokio::test]
async fn callers_who_hold_the_same_refused_token_get_one_new_one() {
    let (builder, log) = scripted(|request| async move {
        tokio::task::yield_now().await;
        Ok(if request.headers()["authorization"] == "Bearer token-1" {
            empty(401)
        } else {
            empty(204)
        })
    });
    let client = builder.build().unwrap();
    for outcome in join_all((0..20).map(|_| client.send(get()))).await {
        outcome.unwrap();
    }
    assert_eq!(log.token_requests().len(), 2);
}

/// An account over its limit has been reported to answer "Invalid login attempt" after a minute.
#[tokio::test(start_paused = true)]
async fn a_slow_refusal_of_credentials_that_were_good_is_put_down_to_the_limit() {
    let good = Arc::new(AtomicUsize::new(1));
    let left = good.clone();
    let (builder, log) = scripted(move |_| {
        let is_good = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        async move {
            if is_good.is_ok() {
                return Ok(empty(204));
            }
            tokio::time::sleep(Duration::from_secs(61)).await;
            Ok(refusal(401, &["INVALID_LOGIN"]))
        }
    });
    let client = builder.build().unwrap();
    let post = || Request::new(Method::POST, "salesOrder").unwrap();
    let class = async || client.send(post()).await.map_err(|error| error.class());
    class().await.unwrap();
    for _ in 0..2 {
        let error = client.send(post()).await.unwrap_err();
        assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Throttled, true), "{error}");
    }
    assert_eq!((log.calls().len(), log.token_requests().len()), (3, 1), "no new token, no repeat");

    // A third in a row is believed, after one new token; with those before it stays below five.
    assert_eq!(class().await, Err(Class::Unauthorized));
    assert_eq!((log.calls().len(), log.token_requests().len()), (5, 2));
    good.store(1, Ordering::Relaxed);
    class().await.unwrap();
    assert_eq!(class().await, Err(Class::Throttled));
}
