//! A worker for an API of your own: the README's, which a test compares with this one. Another
//! runs it.

use slowlane_worker::lambda_runtime::Error;
use slowlane_worker::reqwest::header::HeaderName;
use slowlane_worker::targets::http::Http;
use slowlane_worker::{env, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(async |_sdk| {
        let (base, key) = env::read(env::process, |env| {
            let base = env.required("API_URL", "the API's base URL");
            let key = env.secret("API_KEY", "the API's key");
            Ok((base?, key?))
        })?;
        let api = Http::builder(base)
            .header(HeaderName::from_static("x-api-key"), key)
            // Only where the API honours it: every call is then made again after a lost answer.
            .idempotency_header(HeaderName::from_static("idempotency-key"))
            .build()?;
        Ok::<_, Error>(api)
    })
    .await
}
