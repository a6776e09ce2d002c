//! How an API knows who calls, as data.
//!
//! A secret is a JSON object of texts, such as `{"client_id": "...", "client_secret": "..."}`. A
//! profile names its fields in braces. Fetching secrets and keeping tokens is the caller's matter:
//! here a secret becomes headers, or the request for a token, and that request's answer a token.

mod jwt;
mod secret;
mod sigv4;
mod token;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::shape::HeaderText;
use crate::template::Template;

use secret::one;

pub use jwt::JwtBearer;
pub use secret::{Secret, SecretError};
pub use sigv4::{AwsKeys, SigV4};
pub use token::{ClientCredentials, RefreshToken, Token, TokenError, TokenShape};

/// The ways to authenticate that an API takes. A team chooses one by its name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthMethods {
    /// A key in a header.
    pub header: Option<HeaderKey>,
    /// User name and password (RFC 7617).
    pub basic: Option<Basic>,
    /// OAuth 2.0 client credentials (RFC 6749, 4.4).
    pub client_credentials: Option<ClientCredentials>,
    /// A signed assertion (RFC 7523).
    pub jwt_bearer: Option<JwtBearer>,
    /// A refresh token that a person's consent has given (RFC 6749, 6).
    pub refresh_token: Option<RefreshToken>,
    /// AWS Signature Version 4.
    pub sigv4: Option<SigV4>,
    /// A client certificate (mutual TLS).
    pub client_certificate: Option<ClientCertificate>,
}

/// A way to authenticate.
#[derive(Debug, Clone, Copy)]
pub enum Auth<'a> {
    /// A key in a header.
    Header(&'a HeaderKey),
    /// User name and password.
    Basic(&'a Basic),
    /// OAuth 2.0 client credentials.
    ClientCredentials(&'a ClientCredentials),
    /// A signed assertion.
    JwtBearer(&'a JwtBearer),
    /// A refresh token.
    RefreshToken(&'a RefreshToken),
    /// AWS Signature Version 4.
    SigV4(&'a SigV4),
    /// A client certificate.
    ClientCertificate(&'a ClientCertificate),
}

impl AuthMethods {
    /// The ways that the API takes, by their names.
    pub fn all(&self) -> Vec<(&'static str, Auth<'_>)> {
        [
            ("header", self.header.as_ref().map(Auth::Header)),
            ("basic", self.basic.as_ref().map(Auth::Basic)),
            ("client_credentials", self.client_credentials.as_ref().map(Auth::ClientCredentials)),
            ("jwt_bearer", self.jwt_bearer.as_ref().map(Auth::JwtBearer)),
            ("refresh_token", self.refresh_token.as_ref().map(Auth::RefreshToken)),
            ("sigv4", self.sigv4.as_ref().map(Auth::SigV4)),
            ("client_certificate", self.client_certificate.as_ref().map(Auth::ClientCertificate)),
        ]
        .into_iter()
        .filter_map(|(name, auth)| Some((name, auth?)))
        .collect()
    }

    /// The way of a name.
    pub fn get(&self, name: &str) -> Option<Auth<'_>> {
        self.all().into_iter().find(|(known, _)| *known == name).map(|(_, auth)| auth)
    }
}

impl<'a> Auth<'a> {
    /// Where the vendor says so.
    pub fn source(self) -> Option<&'a str> {
        match self {
            Auth::Header(auth) => auth.source.as_deref(),
            Auth::Basic(auth) => auth.source.as_deref(),
            Auth::ClientCredentials(auth) => auth.source.as_deref(),
            Auth::JwtBearer(auth) => auth.source.as_deref(),
            Auth::RefreshToken(auth) => auth.source.as_deref(),
            Auth::SigV4(auth) => auth.source.as_deref(),
            Auth::ClientCertificate(auth) => auth.source.as_deref(),
        }
    }

    /// The fields that the secret must have, in the order of their names.
    pub fn secret_fields(self) -> BTreeSet<&'a str> {
        match self {
            Auth::Header(auth) => auth.value.gaps().collect(),
            Auth::Basic(auth) => auth.user.gaps().chain(auth.password.gaps()).collect(),
            Auth::ClientCredentials(auth) => auth.secret_fields(),
            Auth::JwtBearer(auth) => auth.secret_fields(),
            Auth::RefreshToken(auth) => auth.secret_fields(),
            Auth::SigV4(_) => BTreeSet::new(),
            Auth::ClientCertificate(auth) => {
                BTreeSet::from([auth.certificate.as_str(), auth.private_key.as_str()])
            }
        }
    }
}

/// A key in a header.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderKey {
    /// The header's name.
    name: HeaderText,
    /// Its value, with fields of the secret in braces: `Bearer {api_key}`.
    value: Template,
    /// Where the vendor says so.
    pub source: Option<String>,
}

impl HeaderKey {
    /// The header.
    ///
    /// # Errors
    /// The secret lacks a field, or has one that no header can have.
    pub fn headers(&self, secret: &Secret) -> Result<HeaderMap, SecretError> {
        one(self.name.0.clone(), &secret.fill(&self.value)?)
    }
}

/// User name and password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user, with fields of the secret in braces.
    user: Template,
    /// The password, with fields of the secret in braces.
    password: Template,
    /// Where the vendor says so.
    pub source: Option<String>,
}

impl Basic {
    /// The header `Authorization`.
    ///
    /// # Errors
    /// The secret lacks a field.
    pub fn headers(&self, secret: &Secret) -> Result<HeaderMap, SecretError> {
        let pair = format!("{}:{}", secret.fill(&self.user)?, secret.fill(&self.password)?);
        one(AUTHORIZATION, &format!("Basic {}", BASE64_STANDARD.encode(pair)))
    }
}

/// A client certificate. The code that opens connections has to deal with it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The secret's field with the certificate and its chain in PEM.
    pub certificate: String,
    /// The secret's field with the private key in PEM.
    pub private_key: String,
    /// Where the vendor says so.
    pub source: Option<String>,
}

impl ClientCertificate {
    /// The certificate and its key, one PEM after the other, as HTTP clients take them.
    ///
    /// # Errors
    /// The secret lacks a field.
    pub fn pem(&self, secret: &Secret) -> Result<SecretString, SecretError> {
        let (certificate, key) =
            (secret.field(&self.certificate)?, secret.field(&self.private_key)?);
        Ok(format!("{certificate}\n{key}").into())
    }
}
