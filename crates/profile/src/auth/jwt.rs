//! A signed assertion for a token (RFC 7523).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::header::HeaderMap;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::{Secret, SecretError};
use super::token::{TokenShape, fields, form_request};
use crate::address::Base;
use crate::request::Request;
use crate::template::Template;
use crate::words::Period;

/// A signed assertion. The secret's field `private_key_pem` has the key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtBearer {
    /// Where tokens are: a URL, or a path on the API's own host. Fields of the secret in braces. The
    /// secret's field `token_url`, if it has one, comes before it.
    token_url: Template,
    /// Who vouches: `iss`.
    issuer: Template,
    /// For whom: `sub`.
    subject: Template,
    /// To whom: `aud`.
    audience: Template,
    /// Which key: the header's `kid`.
    key_id: Option<Template>,
    /// How it is signed.
    #[serde(default)]
    algorithm: Signature,
    /// How long the assertion holds: 3 minutes if left out.
    lives: Option<Period>,
    /// More parameters, with fields of the secret in braces.
    #[serde(default)]
    parameters: BTreeMap<String, Template>,
    /// What the answer holds.
    #[serde(default)]
    pub token: TokenShape,
    /// Where the vendor says so.
    pub source: Option<String>,
}

/// How an assertion is signed (RFC 7518, 3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Signature {
    /// RSA with SHA-256.
    #[default]
    RS256,
    /// RSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
}

#[derive(Serialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    exp: i64,
}

const THREE_MINUTES: Duration = Duration::from_secs(180);
const PRIVATE_KEY: &str = "private_key_pem";

impl JwtBearer {
    pub(super) fn secret_fields(&self) -> BTreeSet<&str> {
        let texts = [&self.issuer, &self.subject, &self.audience].into_iter().chain(&self.key_id);
        let own = texts.flat_map(Template::gaps).chain([PRIVATE_KEY]);
        fields(own, &self.token_url, &self.parameters)
    }

    /// The request for a token.
    ///
    /// # Errors
    /// The secret lacks a field, its key cannot be read, or the token URL is not `https`.
    pub fn request(
        &self,
        secret: &Secret,
        base: &Base,
        now: Timestamp,
    ) -> Result<Request, SecretError> {
        let form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
            ("assertion", self.assertion(secret, now)?),
        ];
        form_request(&self.token_url, form, &self.parameters, HeaderMap::new(), secret, base)
    }

    fn assertion(&self, secret: &Secret, now: Timestamp) -> Result<String, SecretError> {
        let lives = self.lives.map_or(THREE_MINUTES, |Period(lives)| lives);
        let iat = now.as_second();
        let claims = Claims {
            iss: secret.fill(&self.issuer)?,
            sub: secret.fill(&self.subject)?,
            aud: secret.fill(&self.audience)?,
            iat,
            exp: iat.saturating_add_unsigned(lives.as_secs()),
        };
        let pem = secret.field(PRIVATE_KEY)?.as_bytes();
        let (algorithm, key, name) = match self.algorithm {
            Signature::RS256 => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem), "RSA"),
            Signature::PS256 => (Algorithm::PS256, EncodingKey::from_rsa_pem(pem), "RSA"),
            Signature::ES256 => (Algorithm::ES256, EncodingKey::from_ec_pem(pem), "P-256"),
        };
        let no_key = |_| SecretError::NoKey(PRIVATE_KEY.to_owned(), name);
        let mut header = Header::new(algorithm);
        header.kid = self.key_id.as_ref().map(|id| secret.fill(id)).transpose()?;
        jsonwebtoken::encode(&header, &claims, &key.map_err(no_key)?).map_err(no_key)
    }
}
