//! A secret in Secrets Manager.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use secrecy::{ExposeSecret as _, SecretString};

/// The place of a secret. It is read anew each time, so that a rotated one is found.
#[derive(Debug, Clone)]
pub(crate) struct StoredSecret {
    client: Client,
    id: String,
}

/// Why a secret could not be read or written. No message holds any of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretAccessError {
    /// Secrets Manager did not give it.
    #[error("could not read the secret {id}: {cause}")]
    Read {
        /// The secret's name.
        id: String,
        /// What Secrets Manager said.
        cause: String,
    },
    /// Secrets Manager did not take it.
    #[error("could not write the secret {id}: {cause}")]
    Write {
        /// The secret's name.
        id: String,
        /// What Secrets Manager said.
        cause: String,
    },
    /// It holds bytes and no text.
    #[error("the secret {id} holds no text")]
    NoText {
        /// The secret's name.
        id: String,
    },
}

impl StoredSecret {
    pub(crate) fn new(sdk: &SdkConfig, id: String) -> Self {
        StoredSecret { client: Client::new(sdk), id }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) async fn read(&self) -> Result<SecretString, SecretAccessError> {
        let id = &self.id;
        let read = self.client.get_secret_value().secret_id(id).send().await;
        let secret = read.map_err(|error| SecretAccessError::Read {
            id: id.clone(),
            cause: DisplayErrorContext(error).to_string(),
        })?;
        let text = secret.secret_string.ok_or_else(|| SecretAccessError::NoText { id: id.clone() });
        text.map(SecretString::from)
    }

    pub(crate) async fn write(&self, text: &SecretString) -> Result<(), SecretAccessError> {
        let request = self.client.put_secret_value().secret_id(&self.id);
        let written = request.secret_string(text.expose_secret()).send().await;
        written.map(drop).map_err(|error| SecretAccessError::Write {
            id: self.id.clone(),
            cause: DisplayErrorContext(error).to_string(),
        })
    }
}
