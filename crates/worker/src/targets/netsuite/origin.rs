//! Where a client with credentials comes from.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use slowlane_lambda::env;
use slowlane_lambda::logs::chain;
use slowlane_netsuite::{AccountId, Auth, Client, Invalid, OAuth2, Url};
use slowlane_profile::auth::Secret;

use crate::aws::secret::{SecretAccessError, StoredSecret};

/// What follows the account in NetSuite's own host names.
pub(super) const HOST: &str = ".suitetalk.api.netsuite.com";

/// Why the target could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `API_BASE_URL`, `API_SECRET` or `API_SETTLES_AFTER_SECS`.
    #[error(transparent)]
    Environment(#[from] env::Error),
    /// The secret could not be read.
    #[error("API_SECRET: {0}")]
    Secret(#[from] SecretAccessError),
    /// The secret is not the JSON object it must be. What it holds is not shown.
    #[error(
        "the secret {id} must be a JSON object with the strings client_id, certificate_id and \
         private_key_pem, and account_id if the API is not at NetSuite's own host"
    )]
    SecretForm {
        /// The secret's id.
        id: String,
    },
    /// Nothing says which account this is.
    #[error(
        "API_BASE_URL is not https://ACCOUNT{HOST}, so the secret {id} must have the account's \
         account_id, such as 1234567_SB1"
    )]
    NoAccount {
        /// The secret's id.
        id: String,
    },
    /// The account, the key or the URL is not one that NetSuite could have.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// The secret's content, as an administrator of NetSuite is given it.
#[derive(Deserialize)]
struct Credentials {
    client_id: String,
    certificate_id: String,
    private_key_pem: String,
    account_id: Option<String>,
}

/// A client, and until when its credentials are good, if the secret says so.
#[derive(Debug, Clone)]
pub(super) struct Dated {
    pub(super) client: Client,
    pub(super) ends: Option<Timestamp>,
}

/// Where the client comes from, so that it can be made anew.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) secret: StoredSecret,
    pub(super) base_url: Url,
}

impl Origin {
    /// A client with what the secret holds now.
    pub(super) async fn client(&self) -> Result<Dated, Error> {
        let text = self.secret.read().await?;
        let id = self.secret.id();
        // serde's errors quote what they stumble over, so none is kept.
        let credentials: Credentials = serde_json::from_str(text.expose_secret())
            .map_err(|_| Error::SecretForm { id: id.to_owned() })?;
        let ends = Secret::from_json(text.expose_secret()).unwrap_or_default().ends();
        let ends = ends.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "it is not known when the secret ends");
            None
        });
        let of_host = || Some(self.base_url.host_str()?.strip_suffix(HOST)?.to_owned());
        let account = credentials.account_id.or_else(of_host);
        let account = account.ok_or_else(|| Error::NoAccount { id: id.to_owned() })?;
        let auth = Auth::oauth2(OAuth2 {
            client_id: credentials.client_id,
            certificate_id: credentials.certificate_id,
            private_key_pem: SecretString::from(credentials.private_key_pem),
            algorithm: None,
        })?;
        let client = Client::builder(AccountId::new(account)?, auth);
        let client = client.base_url(self.base_url.clone())?.build()?;
        Ok(Dated { client, ends })
    }
}
