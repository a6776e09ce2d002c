//! Who calls: the secret, and the token that is got with it.
//!
//! Both are kept for this environment. A token is renewed a while before its end, and once when it
//! is refused. The secret is read anew when the API or its token service refuses what it holds. One
//! request at a time does that, and whoever waits for it finds what it has brought.

mod ends;
mod service;
mod token;

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use reqwest::Identity;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use slowlane_lambda::clock::Clock;
use slowlane_lambda::logs::chain;
use slowlane_policy::settle::{Outcome, Why};
use slowlane_profile::auth::{Auth, AwsKeys, Secret, SecretError, Token, TokenError};
use slowlane_profile::{Api, Base, BaseError, Request};
use tokio::sync::Mutex;

use self::ends::Ends;
use self::service::Service;
use super::client::{Clients, Wire};
use crate::aws::secret::{SecretAccessError, StoredSecret};
use crate::target::TargetResponse;

/// How this target authenticates, and what it keeps for that.
pub(super) struct Credentials {
    /// The name of one of the profile's ways; `None` if it has none.
    pub(super) way: Option<&'static str>,
    pub(super) source: Source,
    pub(super) clients: Clients,
    pub(super) clock: Clock,
    pub(super) kept: Mutex<Kept>,
    /// When the secret ends.
    pub(super) ends: Ends,
}

/// Where the secret is, or what stands in its place.
pub(super) enum Source {
    /// No secret is needed.
    None,
    /// The target was made with it.
    Given(SecretString),
    /// Secrets Manager has it.
    Stored(StoredSecret),
    /// The function's role signs.
    Role { keys: Option<SharedCredentialsProvider>, region: Option<String> },
}

/// What is kept between calls.
#[derive(Default)]
pub(super) struct Kept {
    /// Goes up with each renewal, so that of several calls that were refused one renews.
    number: u64,
    secret: Option<SecretString>,
    token: Option<Token>,
    /// The client that shows the secret's certificate.
    client: Option<Wire>,
}

/// What a request is sent with.
pub(super) struct Ready {
    /// The number of what was kept when this was made.
    pub(super) number: u64,
    pub(super) wire: Wire,
    headers: HeaderMap,
    /// Where the API is, if its token service says so.
    pub(super) base: Option<Base>,
}

/// Why there are no credentials. Nothing was sent to the API.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Access(#[from] SecretAccessError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the token service gave no answer: {0}")]
    NoAnswer(String),
    #[error("the base URL that the token service gives {0}")]
    Base(#[from] BaseError),
    #[error("the keys of the function's role cannot be had: {0}")]
    Keys(String),
    #[error("the region is not known, and a signature needs it: set AWS_REGION")]
    NoRegion,
    #[error("the client certificate in the secret cannot be used: {0}")]
    Certificate(String),
}

impl Error {
    /// What it means for the call, which was not sent.
    pub(super) fn outcome(self) -> Outcome<TargetResponse> {
        let why = Why::from(self.to_string());
        match self {
            Error::Token(TokenError::TryAgain(429)) => Outcome::Throttled { retry_after: None },
            Error::Token(TokenError::TryAgain(_))
            | Error::Access(_)
            | Error::NoAnswer(_)
            | Error::Keys(_) => Outcome::Transient(why),
            Error::Secret(_)
            | Error::Token(TokenError::Refused { .. } | TokenError::NoToken(_))
            | Error::Base(_)
            | Error::NoRegion
            | Error::Certificate(_) => Outcome::Unauthorized(why),
        }
    }
}

impl Credentials {
    /// What the next request is sent with.
    pub(super) async fn ready(&self, api: &Api) -> Result<Ready, Error> {
        let mut kept = self.kept.lock().await;
        let mut ready = Ready {
            number: kept.number,
            wire: self.clients.plain(),
            headers: HeaderMap::new(),
            base: None,
        };
        match self.auth(api) {
            None | Some(Auth::SigV4(_)) => {}
            Some(Auth::Header(way)) => {
                ready.headers = way.headers(&self.secret(&mut kept).await?)?;
            }
            Some(Auth::Basic(way)) => {
                ready.headers = way.headers(&self.secret(&mut kept).await?)?
            }
            Some(Auth::ClientCertificate(way)) => {
                let client = match &kept.client {
                    Some(client) => client.clone(),
                    None => {
                        let pem = way.pem(&self.secret(&mut kept).await?)?;
                        self.certified(&pem)?
                    }
                };
                kept.client = Some(client.clone());
                ready.wire = client;
            }
            Some(auth) => {
                let Some(service) = Service::of(auth) else { return Ok(ready) };
                let token = self.token(&mut kept, api, service).await?;
                ready.headers = service.shape().headers(&token)?;
                ready.base = token.base_url.as_deref().map(Base::parse).transpose()?;
                ready.number = kept.number;
            }
        }
        Ok(ready)
    }

    /// Adds to a request who sends it. Nothing in it may be changed afterwards.
    pub(super) async fn sign(
        &self,
        api: &Api,
        ready: &Ready,
        request: &mut Request,
    ) -> Result<(), Error> {
        request.headers.extend(ready.headers.clone());
        let (Some(Auth::SigV4(way)), Source::Role { keys, region }) =
            (self.auth(api), &self.source)
        else {
            return Ok(());
        };
        let region = region.as_deref().ok_or(Error::NoRegion)?;
        let Some(provider) = keys else { return Err(Error::Keys("it has none".to_owned())) };
        let keys = provider.provide_credentials().await;
        let keys = keys.map_err(|error| Error::Keys(chain(&error)))?;
        let keys = AwsKeys {
            access_key_id: keys.access_key_id().to_owned(),
            secret_access_key: keys.secret_access_key().into(),
            session_token: keys.session_token().map(SecretString::from),
        };
        Ok(way.sign(request, &keys, region, self.clock.now())?)
    }

    /// Gets new credentials after those of a number were refused. Whether there is anything new to
    /// try with: a secret that is still the same would be refused again.
    pub(super) async fn renew(&self, api: &Api, refused: u64) -> Result<bool, Error> {
        let mut kept = self.kept.lock().await;
        if kept.number != refused {
            return Ok(true);
        }
        let changed = self.read_anew(&mut kept).await?;
        kept.number += 1;
        kept.token = None;
        Ok(changed || self.auth(api).and_then(Service::of).is_some())
    }

    /// Reads the secret anew, and drops all that was got with the old one.
    pub(super) async fn drop_all(&self) -> Result<(), Error> {
        let mut kept = self.kept.lock().await;
        self.read_anew(&mut kept).await?;
        kept.number += 1;
        (kept.token, kept.client) = (None, None);
        Ok(())
    }

    /// Reads the secret, and checks that it holds what is needed.
    pub(super) async fn check(&self, api: &Api) -> Result<(), super::error::Error> {
        let (Source::Stored(stored), Some(auth)) = (&self.source, self.auth(api)) else {
            return Ok(());
        };
        let text = self.read(stored).await?;
        check_fields(auth, &text)?;
        self.kept.lock().await.secret = Some(text);
        Ok(())
    }

    /// Reads the secret anew, and drops what was got with the old one. Whether it has changed.
    async fn read_anew(&self, kept: &mut Kept) -> Result<bool, Error> {
        let Source::Stored(stored) = &self.source else { return Ok(false) };
        let new = self.read(stored).await?;
        let same = kept.secret.as_ref().map(|old| old.expose_secret() == new.expose_secret());
        kept.secret = Some(new);
        if same == Some(true) {
            return Ok(false);
        }
        (kept.token, kept.client) = (None, None);
        Ok(true)
    }

    async fn secret(&self, kept: &mut Kept) -> Result<Secret, Error> {
        if kept.secret.is_none() {
            kept.secret = match &self.source {
                Source::None | Source::Role { .. } => None,
                Source::Given(text) => {
                    self.note_end(text);
                    Some(text.clone())
                }
                Source::Stored(stored) => Some(self.read(stored).await?),
            };
        }
        match &kept.secret {
            Some(text) => Ok(Secret::from_json(text.expose_secret())?),
            None => Ok(Secret::default()),
        }
    }

    async fn read(&self, stored: &StoredSecret) -> Result<SecretString, SecretAccessError> {
        let text = stored.read().await?;
        self.note_end(&text);
        Ok(text)
    }

    /// Takes a note of when a secret ends. One that does not say it well is good for calls all the same.
    fn note_end(&self, text: &SecretString) {
        let secret = Secret::from_json(text.expose_secret()).unwrap_or_default();
        let end = secret.ends().unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "it is not known when the secret ends");
            None
        });
        self.ends.of_secret(end);
    }

    fn certified(&self, pem: &SecretString) -> Result<Wire, Error> {
        let unfit = |error: reqwest::Error| Error::Certificate(chain(&error));
        let identity = Identity::from_pem(pem.expose_secret().as_bytes()).map_err(unfit)?;
        self.clients.showing(identity).map_err(unfit)
    }

    fn auth<'a>(&self, api: &'a Api) -> Option<Auth<'a>> {
        api.profile().auth.get(self.way?)
    }
}

/// Whether a secret holds all that a way to authenticate needs.
pub(super) fn check_fields(auth: Auth<'_>, text: &SecretString) -> Result<(), SecretError> {
    let secret = Secret::from_json(text.expose_secret())?;
    match auth.secret_fields().into_iter().find(|field| !secret.has(field)) {
        Some(missing) => Err(SecretError::Missing(missing.to_owned())),
        None => Ok(()),
    }
}
