//! AWS Signature Version 4.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::secret::SecretError;
use crate::request::Request;

/// AWS Signature Version 4. The keys are those of the role that the program runs under.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigV4 {
    /// The service's name in signatures: `bedrock`, `execute-api`.
    pub service: String,
    /// Where the vendor says so.
    pub source: Option<String>,
}

/// A role's keys.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretString,
    /// The session token of temporary keys.
    pub session_token: Option<SecretString>,
}

impl SigV4 {
    /// Signs a request. Nothing in it may be changed afterwards.
    ///
    /// # Errors
    /// [`SecretError::Signing`].
    pub fn sign(
        &self,
        request: &mut Request,
        keys: &AwsKeys,
        region: &str,
        now: Timestamp,
    ) -> Result<(), SecretError> {
        let token = keys.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let secret = keys.secret_access_key.expose_secret();
        let identity =
            Credentials::new(&keys.access_key_id, secret, token, None, "slowlane-profile").into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(&self.service)
            .time(SystemTime::from(now))
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| SecretError::Signing)?;
        let headers = request.headers.iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method.as_str(),
            request.url.as_str(),
            headers,
            SignableBody::Bytes(&request.body),
        );
        let signable = signable.map_err(|_| SecretError::Signing)?;
        let signed = sign(signable, &parameters.into()).map_err(|_| SecretError::Signing)?;
        let (signed, _) = signed.into_parts();
        let (headers, _) = signed.into_parts();
        for header in headers {
            let mut value =
                HeaderValue::from_str(header.value()).map_err(|_| SecretError::Signing)?;
            value.set_sensitive(header.sensitive() || header.name() == "authorization");
            request.headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}
