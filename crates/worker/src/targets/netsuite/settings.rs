//! The NetSuite that the environment describes, and its credentials.

use std::time::Duration;

use aws_config::SdkConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use slowlane_lambda::env;
use slowlane_netsuite::{AccountId, Auth, Client, Invalid, OAuth2, Url};

use super::{NetSuite, SERVER_TIMEOUT};
use crate::aws::secret::{SecretAccessError, StoredSecret};

/// What follows the account in NetSuite's own host names.
const HOST: &str = ".suitetalk.api.netsuite.com";

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

struct Settings {
    base_url: Url,
    secret_id: String,
    settles_after: Duration,
}

/// Where the client comes from, so that it can be made anew.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    secret: StoredSecret,
    base_url: Url,
}

impl Origin {
    /// A client with what the secret holds now.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        let text = self.secret.read().await?;
        let id = self.secret.id();
        // serde's errors quote what they stumble over, so none is kept.
        let credentials: Credentials = serde_json::from_str(text.expose_secret())
            .map_err(|_| Error::SecretForm { id: id.to_owned() })?;
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
        Ok(client.base_url(self.base_url.clone())?.build()?)
    }
}

impl NetSuite {
    /// Makes the target that the environment describes. `API_BASE_URL` is
    /// `https://ACCOUNT.suitetalk.api.netsuite.com`. `API_SECRET` is the name of a secret in
    /// Secrets Manager: a JSON object with `client_id`, `certificate_id` and `private_key_pem`, and
    /// with `account_id` if the URL does not name it. For a sandbox server there is
    /// `API_SETTLES_AFTER_SECS` ([`settling_after`](Self::settling_after)).
    ///
    /// # Errors
    /// See [`enum@Error`]; none of them shows the secret.
    pub async fn from_env(sdk: &SdkConfig) -> Result<Self, Error> {
        let settings = read_settings(env::process)?;
        let secret = StoredSecret::new(sdk, settings.secret_id);
        let origin = Origin { secret, base_url: settings.base_url };
        let mut target = NetSuite::new(origin.client().await?);
        target.origin = Some(origin);
        Ok(target.settling_after(settings.settles_after))
    }
}

fn read_settings(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, env::Error> {
    env::read(lookup, |env| {
        let base_url =
            env.required("API_BASE_URL", &format!("a URL such as https://1234567-sb1{HOST}"));
        let secret_id = env.required("API_SECRET", "the name of a secret in Secrets Manager");
        let settles_after_secs = env.optional(
            "API_SETTLES_AFTER_SECS",
            "a whole number of seconds",
            SERVER_TIMEOUT.as_secs(),
        );
        Ok(Settings {
            base_url: base_url?,
            secret_id: secret_id?,
            settles_after: Duration::from_secs(settles_after_secs?),
        })
    })
}
