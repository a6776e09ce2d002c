//! OAuth 2.0 machine-to-machine: a signed assertion buys an access token that lives an hour.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::jwt::{Algorithm, SigningKey, signing_keys};
use crate::{
    Class, Clock, Error, Invalid,
    said::{Answered, Api, Call, Said},
    transport::{self, Transport},
};

/// What OAuth 2.0 machine-to-machine needs, from NetSuite's page "OAuth 2.0 Client Credentials
/// (M2M) Setup".
#[derive(Debug, Clone)]
pub struct OAuth2 {
    /// The integration record's client id.
    pub client_id: String,
    /// The id NetSuite gave the uploaded certificate; it becomes the JWT's `kid`.
    pub certificate_id: String,
    /// The certificate's private key in PEM: RSA of 3072 or 4096 bits (PKCS#8 or PKCS#1), or EC
    /// over P-256, P-384 or P-521 (PKCS#8).
    pub private_key_pem: SecretString,
    /// How to sign; `None` takes PS256 for an RSA key, and for an EC key the one that fits its
    /// curve: ES256, ES384 or ES512.
    pub algorithm: Option<Algorithm>,
}

impl OAuth2 {
    /// Credentials with the algorithm that fits the key.
    pub fn new(
        client_id: impl Into<String>,
        certificate_id: impl Into<String>,
        private_key_pem: impl Into<SecretString>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            certificate_id: certificate_id.into(),
            private_key_pem: private_key_pem.into(),
            algorithm: None,
        }
    }
}

/// Makes assertions. The key stays in here, and is wiped when dropped.
pub(crate) struct Signer {
    client_id: String,
    certificate_id: String,
    algorithm: Algorithm,
    key: SigningKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuth2")
            .field("client_id", &self.client_id)
            .field("certificate_id", &self.certificate_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: [&'static str; 2],
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// NetSuite allows up to an hour; the assertion is used at once, so a short life is enough and
/// limits what a copied one is worth.
const ASSERTION_LIFE: SignedDuration = SignedDuration::from_mins(5);

impl Signer {
    pub(crate) fn new(credentials: OAuth2) -> Result<Self, Invalid> {
        let OAuth2 { client_id, certificate_id, private_key_pem, algorithm } = credentials;
        for (what, id) in [("client id", &client_id), ("certificate id", &certificate_id)] {
            if id.trim().is_empty() {
                return Err(Invalid::new(what, id, "not empty"));
            }
        }
        let fits = |fit: Algorithm| algorithm.is_none_or(|wanted| wanted == fit);
        let candidates = signing_keys(private_key_pem.expose_secret().as_bytes())?;
        for (algorithm, key) in candidates.into_iter().filter(|(fit, _)| fits(*fit)) {
            let (client_id, certificate_id) = (client_id.clone(), certificate_id.clone());
            let signer = Self { client_id, certificate_id, algorithm, key };
            // The library tells a curve from another only when it signs.
            if signer.assertion("trial", Timestamp::UNIX_EPOCH).is_ok() {
                return Ok(signer);
            }
        }
        let wanted =
            algorithm.map_or("any of NetSuite's algorithms".to_owned(), |a| format!("{a:?}"));
        Err(Invalid::unquoted("private key", format!("a key that can sign with {wanted}")))
    }

    /// A JWT for the token service at `audience`.
    pub(crate) fn assertion(
        &self,
        audience: &str,
        now: Timestamp,
    ) -> Result<SecretString, Invalid> {
        let claims = Claims {
            iss: &self.client_id,
            scope: ["restlets", "rest_webservices"],
            aud: audience,
            iat: now.as_second(),
            exp: now.as_second() + ASSERTION_LIFE.as_secs(),
        };
        self.key.sign(&self.certificate_id, &claims).map(SecretString::from)
    }
}

/// The access token of one client, shared by all its calls.
///
/// One caller at a time asks for a new one. Ahead of expiry, the others go on with the old one
/// meanwhile; if there is none, they wait. Callers who waited share its outcome, good or bad,
/// because failed logins add up to a lock. A caller does it and not a task in the background, which
/// a process that is frozen between calls, as a Lambda is, would not run.
pub(crate) struct Tokens {
    signer: Arc<Signer>,
    endpoint: Url,
    transport: Transport,
    clock: Arc<dyn Clock>,
    patience: Duration,
    state: Mutex<State>,
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// How many token requests have ended.
    ended: u64,
    /// Of the latest token request, if it failed.
    failure: Option<(Error, Timestamp)>,
}

#[derive(Clone)]
pub(crate) struct Token {
    access: SecretString,
    /// Which token request brought it: tells a token that was refused from its successor.
    number: u64,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

/// NetSuite's documented life of a token, for an answer that does not state one.
const TOKEN_LIFE_SECS: i64 = 3600;
/// How long before its end a token is renewed, at most; a short-lived one in its last tenth.
const RENEW_AHEAD_SECS: i64 = 300;
/// The most a caller waits for a new token while the old one is still good.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a failed token request stands: a refusal is given to all callers meanwhile, and a
/// token that is still good is not tried to be renewed.
const FAILURE_STANDS: SignedDuration = SignedDuration::from_secs(30);

impl Tokens {
    pub(crate) fn new(
        signer: Arc<Signer>,
        endpoint: Url,
        transport: Transport,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Self {
        Self {
            signer,
            endpoint,
            transport,
            clock,
            patience,
            state: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// A token to use now.
    pub(crate) async fn get(&self) -> Result<Token, Error> {
        let now = self.clock.now();
        let (held, failure, seen) = {
            let state = self.lock();
            let fresh_failure = state.failure.clone().filter(|(_, at)| now < *at + FAILURE_STANDS);
            (state.token.clone().filter(|token| now < token.expires_at), fresh_failure, state.ended)
        };
        match (held, failure) {
            (Some(token), failure) if now < token.renew_at || failure.is_some() => Ok(token),
            (Some(token), _) => Ok(self.renew(seen).await.unwrap_or(token)),
            (None, Some((error, _))) if error.class() == Class::Unauthorized => Err(error),
            (None, _) => {
                let _turn = self.gate.lock().await;
                match self.outcome_since(seen) {
                    Some(outcome) => outcome,
                    None => self.ask(self.patience).await,
                }
            }
        }
    }

    /// Drops a token that NetSuite has refused, unless another has taken its place already.
    pub(crate) fn forget(&self, refused: &Token) {
        let mut state = self.lock();
        if state.token.as_ref().is_some_and(|token| token.number == refused.number) {
            state.token = None;
        }
    }

    /// A new token while the old one is still good; `None` when someone else is at it, or it failed.
    async fn renew(&self, seen: u64) -> Option<Token> {
        let _turn = self.gate.try_lock().ok()?;
        if self.lock().ended != seen {
            return None;
        }
        match self.ask(self.patience.min(RENEWAL_PATIENCE)).await {
            Ok(token) => Some(token),
            Err(error) => {
                tracing::warn!(%error, "the access token could not be renewed; the present one is still good");
                None
            }
        }
    }

    /// What the token requests that ended while we waited have brought.
    fn outcome_since(&self, seen: u64) -> Option<Result<Token, Error>> {
        let state = self.lock();
        match (&state.failure, &state.token) {
            _ if state.ended == seen => None,
            (Some((error, _)), _) => Some(Err(error.clone())),
            (None, token) => token.clone().map(Ok),
        }
    }

    /// Asks for a token and notes the outcome. Only with the gate held.
    async fn ask(&self, patience: Duration) -> Result<Token, Error> {
        let started = self.clock.now();
        let outcome = self.request(started, patience).await;
        let mut state = self.lock();
        state.ended += 1;
        match outcome {
            Ok(granted) => {
                let life = granted.life_secs();
                let token = Token {
                    access: granted.access_token.into(),
                    number: state.ended,
                    renew_at: started
                        + SignedDuration::from_secs(life - RENEW_AHEAD_SECS.min(life / 10)),
                    expires_at: started + SignedDuration::from_secs(life),
                };
                tracing::debug!(life_secs = life, "a new access token");
                state.failure = None;
                state.token = Some(token.clone());
                Ok(token)
            }
            Err(error) => {
                state.failure = Some((error.clone(), self.clock.now()));
                Err(error)
            }
        }
    }

    async fn request(&self, now: Timestamp, patience: Duration) -> Result<Granted, Error> {
        let call = Call {
            method: &Method::POST,
            api: Api::Token,
            path: "token",
            writes: false,
            repeatable: true,
        };
        let internal = |why: String| Error::local(call, Class::NotSent, why);
        let assertion = self
            .signer
            .assertion(self.endpoint.as_str(), now)
            .map_err(|e| internal(e.to_string()))?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", assertion.expose_secret())
            .finish();
        let request = http::Request::post(self.endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(form))
            .map_err(|e| internal(e.to_string()))?;
        let answer = transport::deliver(&self.transport, request, patience)
            .await
            .map_err(|e| Error::transport(call, e))?;
        if answer.status().is_success() {
            return serde_json::from_slice(answer.body()).map_err(|e| Error::unreadable(call, e));
        }
        let said = Said::parse(answer.body(), |text| {
            text.replace(assertion.expose_secret(), "[redacted]")
        })
        .with_challenge(answer.headers());
        let answered = Answered {
            status: answer.status(),
            headers: answer.headers(),
            received_at: self.clock.now(),
        };
        Err(Error::answered(call, answered, said))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a locked section can panic half-way, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    pub(crate) fn expose(&self) -> &str {
        self.access.expose_secret()
    }

    /// The `Authorization` header, marked so that HTTP libraries do not log it.
    pub(crate) fn header(&self) -> Result<HeaderValue, Invalid> {
        let unfit = |_| Invalid::unquoted("access token", "visible ASCII");
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", self.expose())).map_err(unfit)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Oracle's page shows it as a string, other servers send a number.
    expires_in: Option<serde_json::Value>,
}

impl Granted {
    fn life_secs(&self) -> i64 {
        let given = self
            .expires_in
            .as_ref()
            .and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
        given.filter(|secs| (1..=86_400).contains(secs)).unwrap_or(TOKEN_LIFE_SECS)
    }
}
