//! Access tokens: kept, renewed ahead, and once when they are refused.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use slowlane_lambda::logs::chain;
use slowlane_profile::Api;
use slowlane_profile::auth::{Secret, Token, TokenError};

use super::service::Service;
use super::{Credentials, Error, Kept, Source};
use crate::targets::profile::send::{Sent, send};

impl Credentials {
    /// A token to use now.
    pub(super) async fn token(
        &self,
        kept: &mut Kept,
        api: &Api,
        service: Service<'_>,
    ) -> Result<Token, Error> {
        let now = self.clock.now();
        let held = kept.token.clone().filter(|token| now < token.expires_at);
        match held {
            Some(token) if now < token.renew_at => Ok(token),
            Some(token) => match self.ask(kept, api, service).await {
                Ok(new) => Ok(new),
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "the access token could not be renewed; the present one is still good"
                    );
                    Ok(token)
                }
            },
            None => self.ask(kept, api, service).await,
        }
    }

    /// Asks for a token, and once more with the secret read anew if the service refuses this one.
    async fn ask(&self, kept: &mut Kept, api: &Api, service: Service<'_>) -> Result<Token, Error> {
        let secret = self.secret(kept).await?;
        let token = match self.ask_with(&secret, api, service).await {
            Err(Error::Token(TokenError::Refused { .. })) if self.read_anew(kept).await? => {
                let secret = self.secret(kept).await?;
                self.ask_with(&secret, api, service).await?
            }
            asked => asked?,
        };
        if let Some(new) = &token.refresh_token {
            self.keep_refresh_token(kept, new).await;
        }
        tracing::debug!(expires_at = %token.expires_at, "a new access token");
        kept.number += 1;
        kept.token = Some(token.clone());
        Ok(token)
    }

    async fn ask_with(
        &self,
        secret: &Secret,
        api: &Api,
        service: Service<'_>,
    ) -> Result<Token, Error> {
        let now = self.clock.now();
        let request = service.request(secret, api.base(), now)?;
        match send(&self.clients.plain(), request).await {
            Sent::Answered(received) => Ok(service.shape().read(&received.answer, now)?),
            Sent::NoConnection(why) | Sent::Lost { why, .. } => Err(Error::NoAnswer(why)),
        }
    }

    /// The service takes the old refresh token no more, so the new one takes its place in the secret,
    /// where the function's other environments find it.
    async fn keep_refresh_token(&self, kept: &mut Kept, new: &SecretString) {
        const FIELD: &str = "refresh_token";
        let Some(text) = &kept.secret else { return };
        let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(text.expose_secret())
        else {
            return;
        };
        if fields.get(FIELD).and_then(Value::as_str) == Some(new.expose_secret()) {
            return;
        }
        fields.insert(FIELD.to_owned(), Value::from(new.expose_secret()));
        let text = SecretString::from(Value::Object(fields).to_string());
        if let Source::Stored(stored) = &self.source
            && let Err(error) = stored.write(&text).await
        {
            tracing::error!(
                error = chain(&error),
                "the API's new refresh token could not be kept, and the old one may be spent: allow \
                 the worker secretsmanager:PutSecretValue on the secret (WorkerPolicyArn), and put a \
                 new one there"
            );
        }
        kept.secret = Some(text);
    }
}
