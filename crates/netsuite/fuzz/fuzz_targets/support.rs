//! A client whose server answers every call with one body.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use slowlane_netsuite::{AccountId, Auth, Client, OAuth2, TransportError};

/// The client; `answers` tells status and body of the n-th call.
pub fn client(answers: impl Fn(usize) -> (u16, Vec<u8>) + Clone + Send + Sync + 'static) -> Client {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let der = STANDARD.encode(pair.to_pkcs8v1().expect("its encoding"));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let auth = Auth::oauth2(OAuth2 {
        client_id: "c".into(),
        certificate_id: "k".into(),
        private_key_pem: pem.into(),
        algorithm: None,
    })
    .expect("credentials");
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let transport = tower::service_fn(move |request: http::Request<Bytes>| {
        let (status, body) = if request.uri().path().ends_with("/token") {
            (200, br#"{"access_token":"t"}"#.to_vec())
        } else {
            answers(calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        };
        async move {
            let mut answer = http::Response::new(Bytes::from(body));
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
            Ok::<_, TransportError>(answer)
        }
    });
    let account = AccountId::new("1").expect("an id");
    Client::builder(account, auth).transport(transport).build().expect("a client")
}

/// Runs a future to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}
