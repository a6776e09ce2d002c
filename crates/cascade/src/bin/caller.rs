//! The caller Lambda.

use std::time::Duration;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use slowlane_cascade::{Caller, Config};
use slowlane_lambda::{env, logs};
use slowlane_profile::Base;

/// What the environment says.
struct Settings {
    base: Base,
    secret_id: Option<String>,
    secret_header: HeaderName,
    idempotency_header: Option<HeaderName>,
    timeout_secs: u64,
}

impl Settings {
    fn from_env() -> Result<Self, env::Error> {
        env::read(env::process, |env| {
            let base = env.required("API_URL", "the API's base URL, with https://");
            let secret_id = env.maybe("API_SECRET_ID", "the name of a secret");
            let secret_header = env.optional("API_SECRET_HEADER", "an HTTP header", AUTHORIZATION);
            let idempotency_header = env.maybe("IDEMPOTENCY_HEADER", "an HTTP header");
            let timeout_secs = env.optional("API_TIMEOUT_SECS", "a whole number of seconds", 25);
            Ok(Self {
                base: base?,
                secret_id: secret_id?,
                secret_header: secret_header?,
                idempotency_header: idempotency_header?,
                timeout_secs: timeout_secs?,
            })
        })
    }

    async fn into_config(self) -> Result<Config, Error> {
        let key = match &self.secret_id {
            None => None,
            Some(id) => Some((self.secret_header, secret(id).await?)),
        };
        Ok(Config {
            base: self.base,
            key,
            idempotency_header: self.idempotency_header,
            timeout: Duration::from_secs(self.timeout_secs),
        })
    }
}

/// The secret's text is the header's value as it goes to the API, as in `Bearer abc`.
async fn secret(id: &str) -> Result<HeaderValue, Error> {
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let secret = aws_sdk_secretsmanager::Client::new(&sdk).get_secret_value().secret_id(id);
    let text = secret.send().await?.secret_string.unwrap_or_default();
    let mut value = HeaderValue::from_str(text.trim())
        .map_err(|_| format!("the secret {id} cannot be an HTTP header's value"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init(&env::process("LOG_LEVEL").unwrap_or_default());
    let caller = Caller::new(Settings::from_env()?.into_config().await?)?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        caller.handle(&event.payload).await
    }))
    .await
}
