//! A server made of a closure, keys made on the spot, and a clock that the test turns.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa, signature,
    signature::{EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use slowlane_netsuite::{
    AccountId, Algorithm, Auth, Client, ClientBuilder, OAuth2, TransportError,
};

pub(crate) type HttpRequest = http::Request<Bytes>;
pub(crate) type HttpAnswer = Result<http::Response<Bytes>, TransportError>;

/// A private key in PEM and the public key that checks its signatures.
pub(crate) struct Keys {
    pub(crate) private_pem: String,
    pub(crate) public: Vec<u8>,
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

pub(crate) fn p256() -> Keys {
    ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)
}

pub(crate) fn p384() -> Keys {
    ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)
}

pub(crate) fn p521() -> Keys {
    ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING)
}

fn ec(algorithm: &'static signature::EcdsaSigningAlgorithm) -> Keys {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let der = pair.to_pkcs8v1().unwrap();
    Keys { private_pem: pem(der.as_ref()), public: pair.public_key().as_ref().to_vec() }
}

pub(crate) fn rsa_3072() -> Keys {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa3072).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    Keys { private_pem: pem(der.as_ref()), public: pair.public_key().as_ref().to_vec() }
}

pub(crate) fn oauth2(private_pem: &str, algorithm: Option<Algorithm>) -> OAuth2 {
    OAuth2 {
        client_id: "client-1".into(),
        certificate_id: "certificate-1".into(),
        private_key_pem: private_pem.into(),
        algorithm,
    }
}

/// A clock that stands where the test puts it.
#[derive(Clone)]
pub(crate) struct HandClock(Arc<Mutex<Timestamp>>);

impl HandClock {
    pub(crate) fn at(second: i64) -> Self {
        Self(Arc::new(Mutex::new(Timestamp::from_second(second).unwrap())))
    }

    pub(crate) fn advance(&self, secs: i64) {
        let mut now = self.0.lock().unwrap();
        *now += jiff::SignedDuration::from_secs(secs);
    }
}

impl slowlane_netsuite::Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// What a scripted server has been asked.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<HttpRequest>>>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<HttpRequest>> {
        self.0.lock().unwrap()
    }

    pub(crate) fn push(&self, request: &HttpRequest) {
        self.lock().push(request.clone());
    }

    /// The requests that were not for a token.
    pub(crate) fn calls(&self) -> Vec<HttpRequest> {
        self.lock().iter().filter(|r| !is_token(r)).cloned().collect()
    }

    pub(crate) fn token_requests(&self) -> Vec<HttpRequest> {
        self.lock().iter().filter(|r| is_token(r)).cloned().collect()
    }
}

pub(crate) fn is_token(request: &HttpRequest) -> bool {
    request.uri().path().ends_with("/oauth2/v1/token")
}

/// A builder whose server gives tokens (`token-1`, `token-2`, …) and answers all else with `serve`.
pub(crate) fn scripted<F, A>(serve: F) -> (ClientBuilder, Log)
where
    F: Fn(HttpRequest) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = HttpAnswer> + Send + 'static,
{
    let log = Log::default();
    let seen = log.clone();
    let builder = raw(move |request: HttpRequest| {
        seen.push(&request);
        let number = seen.token_requests().len();
        let serve = serve.clone();
        async move {
            if is_token(&request) {
                Ok(json(
                    200,
                    serde_json::json!({"access_token": format!("token-{number}"), "expires_in": "3600", "token_type": "bearer"}),
                ))
            } else {
                serve(request).await
            }
        }
    });
    (builder, log)
}

/// A builder whose server is `serve` alone.
pub(crate) fn raw<F, A>(serve: F) -> ClientBuilder
where
    F: Fn(HttpRequest) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = HttpAnswer> + Send + 'static,
{
    static KEYS: LazyLock<Keys> = LazyLock::new(p256);
    let auth = Auth::oauth2(oauth2(&KEYS.private_pem, None)).unwrap();
    Client::builder(AccountId::new("123_SB1").unwrap(), auth)
        .transport(tower::service_fn(serve))
        .clock(HandClock::at(1_790_000_000))
}

pub(crate) fn json(status: u16, body: serde_json::Value) -> http::Response<Bytes> {
    http::Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .unwrap()
}

pub(crate) fn empty(status: u16) -> http::Response<Bytes> {
    http::Response::builder().status(status).body(Bytes::new()).unwrap()
}

/// NetSuite's error body with these codes.
pub(crate) fn refusal(status: u16, codes: &[&str]) -> http::Response<Bytes> {
    let details: Vec<_> = codes
        .iter()
        .map(|code| serde_json::json!({"detail": format!("it is {code}"), "o:errorCode": code}))
        .collect();
    json(status, serde_json::json!({"title": "No", "status": status, "o:errorDetails": details}))
}
