//! The NetSuite that the environment describes.

use std::time::Duration;

use aws_config::SdkConfig;
use slowlane_lambda::env;
use slowlane_netsuite::Url;

use super::origin::{Error, HOST, Origin};
use super::{NetSuite, SERVER_TIMEOUT};
use crate::aws::secret::StoredSecret;

struct Settings {
    base_url: Url,
    secret_id: String,
    settles_after: Duration,
}

impl NetSuite {
    /// Makes the target that the environment describes. `API_BASE_URL` is
    /// `https://ACCOUNT.suitetalk.api.netsuite.com`. `API_SECRET` is the name of a secret in
    /// Secrets Manager, or of a parameter (`ssm:/NAME`, or its ARN): a JSON object with `client_id`,
    /// `certificate_id` and `private_key_pem`, and with `account_id` if the URL does not name it.
    /// `expires_at` may say when the certificate ends. For a sandbox server there is
    /// `API_SETTLES_AFTER_SECS` ([`settling_after`](Self::settling_after)).
    ///
    /// # Errors
    /// See [`enum@Error`]; none of them shows the secret.
    pub async fn from_env(sdk: &SdkConfig) -> Result<Self, Error> {
        let settings = read_settings(env::process)?;
        let secret = StoredSecret::new(sdk, settings.secret_id);
        let origin = Origin { secret, base_url: settings.base_url };
        let mut target = NetSuite::dated(origin.client().await?);
        target.origin = Some(origin);
        Ok(target.settling_after(settings.settles_after))
    }
}

fn read_settings(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, env::Error> {
    env::read(lookup, |env| {
        let base_url =
            env.required("API_BASE_URL", &format!("a URL such as https://1234567-sb1{HOST}"));
        let secret_id = env
            .required("API_SECRET", "the name of a secret in Secrets Manager, or of a parameter");
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
