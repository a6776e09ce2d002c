//! The default transport over a real socket: what it says when the network fails, and what it
//! saves when it does not.

use std::time::Duration;

use slowlane_netsuite::{
    AccountId, Auth, Class, Client, ClientBuilder, Error, Method, Request, Url,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    secrets::Captured,
    support::{oauth2, p256},
};

const TOKEN: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 32\r\n\r\n{\"access_token\": \"wire-token-1\"}";
/// `{"id":"1"}`
const ZIPPED: [u8; 30] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 202, 76, 81, 178, 82, 50, 84, 170, 5, 0, 243, 200,
    24, 246, 10, 0, 0, 0,
];

/// A port with a listener, and a client of the server that answers there.
async fn listening() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_of(listener.local_addr().unwrap().port()).build().unwrap();
    (listener, client)
}

/// Takes a connection and gives a token over it.
async fn give_token(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    stream.write_all(TOKEN.as_bytes()).await.unwrap();
    stream
}

fn client_of(port: u16) -> ClientBuilder {
    let auth = Auth::oauth2(oauth2(&p256().private_pem, None)).unwrap();
    let base = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    Client::builder(AccountId::new("123").unwrap(), auth).base_url(base).unwrap()
}

fn post() -> Request {
    Request::new(Method::POST, "salesOrder")
        .unwrap()
        .json(&serde_json::json!({"memo": "m"}))
        .unwrap()
}

/// Reads one request, head and body.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    loop {
        let head = String::from_utf8_lossy(&seen).into_owned();
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok())
            .unwrap_or(0);
        match head.find("\r\n\r\n") {
            Some(end) if seen.len() >= end + 4 + length => return head,
            _ => assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "closed after {head}"),
        }
    }
}

/// Serves a token and then `answer` to the request after it, on whatever connection they come;
/// then closes.
async fn failing_after(answer: &'static str) -> Error {
    let (listener, client) = listening().await;
    let server = async {
        let mut stream = give_token(&listener).await;
        assert!(read_request(&mut stream).await.contains("authorization: Bearer wire-token-1"));
        stream.write_all(answer.as_bytes()).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(client.send(post()), server);
    outcome.unwrap_err()
}

#[tokio::test]
async fn a_connection_lost_after_the_request_leaves_the_fate_unknown() {
    let half = "HTTP/1.1 204 No Content\r\nloca";
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":";
    for answer in ["", half, short, "not HTTP at all\r\n\r\n"] {
        let error = failing_after(answer).await;
        assert_eq!(
            (error.class(), error.is_safe_to_repeat()),
            (Class::Unknown, false),
            "{answer:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let error = failing_after(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!((error.class(), error.status().unwrap().as_u16()), (Class::Unknown, 307));
    assert_eq!(error.location(), Some("/elsewhere"));
}

#[tokio::test]
async fn a_connection_that_never_was_means_not_sent() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = client_of(port).build().unwrap().send(post()).await.unwrap_err();
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::NotSent, true), "{error:?}");
    assert!(!format!("{error:?}").contains("/services"), "no URL in errors: {error:?}");
}

#[tokio::test]
async fn a_call_whose_own_connection_is_refused_was_not_sent() {
    // The token comes over a connection that closes; then nobody listens.
    let (listener, client) = listening().await;
    let server = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        drop(listener);
        let closing = TOKEN.replace("200 OK\r\n", "200 OK\r\nconnection: close\r\n");
        stream.write_all(closing.as_bytes()).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(client.send(post()), server);
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
    assert!(!error.to_string().contains("no access token"), "it was the call that failed: {error}");
}

#[tokio::test]
async fn a_silent_server_costs_the_answer_timeout() {
    let (listener, client) = listening().await;
    let server = async {
        let mut stream = give_token(&listener).await;
        read_request(&mut stream).await;
        stream
    };
    let (outcome, _stream) =
        tokio::join!(client.send(post().answer_timeout(Duration::from_millis(50))), server);
    assert_eq!(outcome.unwrap_err().class(), Class::Unknown);
}

#[tokio::test]
async fn one_connection_serves_all_calls_and_answers_come_zipped() {
    let (listener, client) = listening().await;
    let server = async {
        let mut stream = give_token(&listener).await;
        for _ in 0..3 {
            let request = read_request(&mut stream).await;
            assert!(request.contains("accept-encoding: gzip"), "{request}");
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                ZIPPED.len()
            );
            stream.write_all(&[head.as_bytes(), &ZIPPED].concat()).await.unwrap();
        }
    };
    let calls = async {
        for _ in 0..3 {
            let response = client
                .clone()
                .send(Request::new(Method::GET, "salesOrder/1").unwrap())
                .await
                .unwrap();
            assert_eq!(response.body, Some(serde_json::json!({"id": "1"})));
        }
    };
    tokio::join!(calls, server);
}

/// The same of the client's own words is in `secrets.rs`; this is about reqwest and hyper.
#[tokio::test]
async fn no_log_of_the_http_libraries_shows_the_token_the_assertion_or_the_body() {
    let captured = Captured::default();
    let _guard = captured.subscribe();
    let (listener, client) = listening().await;
    let server = async {
        let mut stream = give_token(&listener).await;
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(client.send(post()), server);
    outcome.unwrap();
    let logged = captured.text();
    assert!(logged.contains("hyper_util"), "the libraries' logs are captured: {logged}");
    // `eyJ` is how every JWT begins.
    for secret in ["wire-token-1", "eyJ", "client_assertion=", "memo"] {
        assert!(!logged.contains(secret), "{secret:?} is shown in {logged}");
    }
}

#[test]
fn a_base_url_must_be_plain() {
    for url in
        ["ftp://x", "file:///x", "http://x?a=b", "http://x#f", "http://user:secret@x", "data:,x"]
    {
        let error = client_of(1).base_url(Url::parse(url).unwrap()).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
