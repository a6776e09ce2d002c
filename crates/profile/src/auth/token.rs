//! Access tokens of OAuth 2.0: how they are asked for, and what the answer holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::secret::{Secret, SecretError, one};
use crate::address::{Base, BaseError, secure};
use crate::answer::{Answer, Seen};
use crate::request::Request;
use crate::shape::HeaderText;
use crate::source::Source;
use crate::template::Template;
use crate::words::{Method, Period};

/// OAuth 2.0 client credentials.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// Where tokens are: a URL, or a path on the API's own host. Fields of the secret in braces. The
    /// secret's field `token_url`, if it has one, comes before it.
    token_url: Template,
    /// Where the client's id and secret are sent.
    #[serde(default)]
    client: ClientIn,
    /// More parameters, such as `scope`, with fields of the secret in braces.
    #[serde(default)]
    parameters: BTreeMap<String, Template>,
    /// What the answer holds.
    #[serde(default)]
    pub token: TokenShape,
    /// Where the vendor says so.
    pub source: Option<String>,
}

/// Where a client's id and secret are sent (RFC 6749, 2.3.1). The secret's fields are `client_id`
/// and `client_secret`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientIn {
    /// In the form.
    #[default]
    Body,
    /// In the header `Authorization`.
    Basic,
}

/// A refresh token that a person's consent has given. The secret's field is `refresh_token`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    /// Where tokens are: a URL, or a path on the API's own host. Fields of the secret in braces. The
    /// secret's field `token_url`, if it has one, comes before it.
    token_url: Template,
    /// Where the client's id and secret are sent.
    #[serde(default)]
    client: ClientIn,
    /// More parameters, with fields of the secret in braces.
    #[serde(default)]
    parameters: BTreeMap<String, Template>,
    /// What the answer holds.
    #[serde(default)]
    pub token: TokenShape,
    /// Where the vendor says so.
    pub source: Option<String>,
}

/// The secret's field that names another token service than the profile: a national cloud's, or one to
/// test against.
const TOKEN_URL: &str = "token_url";

/// What an answer with a token holds, and how the token is sent.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenShape {
    /// The header that takes the token: `Authorization` if left out.
    header: Option<HeaderText>,
    /// Its value: `Bearer {token}` if left out.
    value: Option<Template>,
    /// How long a token lives of which the answer does not say it (`/expires_in`). An hour if left
    /// out.
    lives: Option<Period>,
    /// Where the answer says at which base URL the API is.
    base_url: Option<Source>,
}

/// An access token.
#[derive(Debug, Clone)]
pub struct Token {
    value: SecretString,
    /// From then on a new one is fetched: a tenth of its life, a minute at least, before its end.
    pub renew_at: Timestamp,
    /// From then on it is not accepted.
    pub expires_at: Timestamp,
    /// Where the API is, if the answer says so. [`Base::parse`] refuses all but `https`.
    pub base_url: Option<String>,
    /// The refresh token that replaces the one that was sent. It must be kept.
    pub refresh_token: Option<SecretString>,
}

/// Why an answer holds no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token service refused the credentials.
    #[error("the token service refused the credentials (status {status}, {code})")]
    Refused {
        /// The status.
        status: u16,
        /// The `error` of RFC 6749, 5.2.
        code: String,
    },
    /// It is at its limit, or down. A token service has limits of its own.
    #[error("the token service could not answer (status {0})")]
    TryAgain(u16),
    /// It answered something else.
    #[error("the token service's answer holds no token (status {0})")]
    NoToken(u16),
}

impl ClientCredentials {
    pub(super) fn secret_fields(&self) -> BTreeSet<&str> {
        fields(["client_id", "client_secret"], &self.token_url, &self.parameters)
    }

    /// The request for a token.
    ///
    /// # Errors
    /// The secret lacks a field, or the token URL is not `https`.
    pub fn request(&self, secret: &Secret, base: &Base) -> Result<Request, SecretError> {
        let grant = vec![("grant_type", "client_credentials".to_owned())];
        ask(&self.token_url, self.client, grant, &self.parameters, secret, base)
    }
}

impl RefreshToken {
    pub(super) fn secret_fields(&self) -> BTreeSet<&str> {
        let own = ["client_id", "client_secret", "refresh_token"];
        fields(own, &self.token_url, &self.parameters)
    }

    /// The request for a token.
    ///
    /// # Errors
    /// The secret lacks a field, or the token URL is not `https`.
    pub fn request(&self, secret: &Secret, base: &Base) -> Result<Request, SecretError> {
        let grant = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", secret.field("refresh_token")?.to_owned()),
        ];
        ask(&self.token_url, self.client, grant, &self.parameters, secret, base)
    }
}

/// The fields of a secret that a request for a token needs.
pub(super) fn fields<'a>(
    own: impl IntoIterator<Item = &'a str>,
    token_url: &'a Template,
    parameters: &'a BTreeMap<String, Template>,
) -> BTreeSet<&'a str> {
    let gaps = token_url.gaps().chain(parameters.values().flat_map(Template::gaps));
    own.into_iter().chain(gaps).collect()
}

fn ask(
    token_url: &Template,
    client: ClientIn,
    grant: Vec<(&str, String)>,
    parameters: &BTreeMap<String, Template>,
    secret: &Secret,
    base: &Base,
) -> Result<Request, SecretError> {
    let (id, password) = (secret.field("client_id")?, secret.field("client_secret")?);
    let mut form = grant;
    let mut headers = HeaderMap::new();
    match client {
        ClientIn::Body => {
            form.push(("client_id", id.to_owned()));
            form.push(("client_secret", password.to_owned()));
        }
        ClientIn::Basic => {
            // RFC 6749, 2.3.1: both are written as in a form first.
            let encoded =
                |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = BASE64_STANDARD.encode(format!("{}:{}", encoded(id), encoded(password)));
            headers = one(AUTHORIZATION, &format!("Basic {pair}"))?;
        }
    }
    form_request(token_url, form, parameters, headers, secret, base)
}

pub(super) fn form_request(
    token_url: &Template,
    form: Vec<(&str, String)>,
    parameters: &BTreeMap<String, Template>,
    mut headers: HeaderMap,
    secret: &Secret,
    base: &Base,
) -> Result<Request, SecretError> {
    let told = match secret.field(TOKEN_URL) {
        Ok(own) => own.to_owned(),
        Err(_) => secret.fill(token_url)?,
    };
    let url = base.url().join(&told);
    let url: Url = url.map_err(|_| SecretError::TokenUrl(BaseError::NoUrl))?;
    secure(&url).map_err(SecretError::TokenUrl)?;
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    for (name, value) in parameters {
        body.append_pair(name, &secret.fill(value)?);
    }
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    Ok(Request { method: Method::Post, url, headers, body: body.finish().into() })
}

const AN_HOUR: Duration = Duration::from_secs(3600);

impl TokenShape {
    /// The token that an answer holds.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(&self, answer: &Answer, now: Timestamp) -> Result<Token, TokenError> {
        let seen = Seen::of(answer);
        let text = |name: &str| seen.body().and_then(|body| body[name].as_str());
        let status = answer.status;
        match status {
            200..=299 => {}
            429 | 500..=599 => return Err(TokenError::TryAgain(status)),
            _ => {
                let code = text("error").filter(|code| code.len() <= 64).unwrap_or("no code");
                return Err(TokenError::Refused { status, code: code.to_owned() });
            }
        }
        let value = text("access_token").ok_or(TokenError::NoToken(status))?;
        let told = seen.body().map(|body| &body["expires_in"]);
        let told = told.and_then(|told| told.as_u64().or_else(|| told.as_str()?.parse().ok()));
        let lives = match (told, self.lives) {
            (Some(secs), _) => Duration::from_secs(secs.min(366 * 86_400)),
            (None, Some(Period(lives))) => lives,
            (None, None) => AN_HOUR,
        };
        let ahead = (lives / 10).max(Duration::from_secs(60)).min(lives / 2);
        let at = |after: Duration| now.checked_add(after).unwrap_or(Timestamp::MAX);
        Ok(Token {
            value: value.into(),
            renew_at: at(lives - ahead),
            expires_at: at(lives),
            base_url: self
                .base_url
                .as_ref()
                .and_then(|place| place.text(&seen))
                .map(|url| url.into_owned()),
            refresh_token: text("refresh_token").map(SecretString::from),
        })
    }

    /// The header that sends a token.
    ///
    /// # Errors
    /// The token has a character that no header can have.
    pub fn headers(&self, token: &Token) -> Result<HeaderMap, SecretError> {
        let token = token.value.expose_secret();
        let value = match &self.value {
            None => format!("Bearer {token}"),
            Some(value) => value
                .fill(|gap| (gap == "token").then(|| token.into()))
                .map_err(|unfilled| SecretError::Missing(unfilled.0))?,
        };
        let name = self.header.as_ref().map_or(AUTHORIZATION, |header| header.0.clone());
        one(name, &value)
    }
}
