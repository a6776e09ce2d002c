//! A vendor ends a key while calls run. The breaker opens and no workflow fails. Once the new key is in
//! the secret, the calls go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use serde_json::json;
use slowlane_local::Target;
use slowlane_local::run::Ending;
use slowlane_local::sandbox::VendorSettings;

use super::operations::operate_json;
use super::setup::{Scenario, record, wait_until};

const CALLS: u32 = 40;
const SLOTS: u32 = 2;

/// An API that lets one key in at a time.
#[derive(Debug, Default)]
struct Api {
    key: String,
    /// How often each record was written.
    written: BTreeMap<String, u32>,
    refused: u32,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Api>>);

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut Api) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets only this key in from now on.
    fn rotate(&self, key: &str) {
        self.with(|api| key.clone_into(&mut api.key));
    }

    async fn serve(&self) -> anyhow::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = Router::new().fallback(call).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(url)
    }
}

async fn call(State(api): State<Shared>, uri: Uri, headers: HeaderMap) -> (StatusCode, String) {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = sent.and_then(|sent| sent.strip_prefix("Bearer ")).unwrap_or_default();
    let is_let_in = api.with(|api| {
        let is_let_in = key == api.key;
        match is_let_in {
            true => *api.written.entry(uri.path().to_owned()).or_default() += 1,
            false => api.refused += 1,
        }
        is_let_in
    });
    match is_let_in {
        true => (StatusCode::OK, json!({ "id": uri.path() }).to_string()),
        false => (StatusCode::UNAUTHORIZED, json!({ "code": "key_ended" }).to_string()),
    }
}

async fn deploy(url: String) -> anyhow::Result<Scenario> {
    let sandbox = VendorSettings { open: true, ..VendorSettings::new("http", SLOTS, 50) };
    let target = Target { elsewhere: Some(url), ..Target::of_profile(sandbox) };
    let scenario = Scenario::deploy_target("rotated", &target).await?;
    set_key(&scenario, "old").await?;
    Ok(scenario)
}

async fn set_key(scenario: &Scenario, key: &str) -> anyhow::Result<()> {
    Ok(scenario.stack.set_secret("demo/http", &json!({ "api_key": key })).await?)
}

#[tokio::test]
async fn a_key_that_the_vendor_ends_fails_no_workflow() -> anyhow::Result<()> {
    let api = Shared::default();
    api.rotate("old");
    let scenario = deploy(api.serve().await?).await?;
    let breaker =
        async || anyhow::Ok(operate_json(&scenario, &["limits", "show"])?["breaker"].clone());
    let rotation = async {
        wait_until("calls are made", async || Ok(api.with(|api| api.written.len() >= 10))).await?;
        api.rotate("new");
        wait_until("the breaker is open", async || Ok(breaker().await? == "open")).await?;
        let at_opening = api.with(|api| api.refused);
        // The old key is still in the secret: a probe reads it anew, and is refused.
        wait_until("a probe is refused", async || Ok(api.with(|api| api.refused) > at_opening))
            .await?;
        let written = api.with(|api| api.written.len());
        set_key(&scenario, "new").await?;
        anyhow::Ok((at_opening, written))
    };
    let (ended, (at_opening, written)) = futures::try_join!(
        scenario.batch((0..CALLS).map(|n| record("BATCH", &format!("order-{n}")))),
        rotation
    )?;
    let failed = ended.iter().find(|execution| execution.ending != Ending::Succeeded);
    assert!(failed.is_none(), "{failed:?}");
    assert!(written < CALLS as usize, "calls were left to be made with the new key");
    // Two different calls open it, and the slots have one each in hand.
    assert!(at_opening <= 2 * SLOTS, "{at_opening} calls were refused before it opened");
    api.with(|api| {
        assert_eq!(api.written.len(), CALLS as usize);
        assert!(api.written.values().all(|times| *times == 1), "{:?}", api.written);
        // Each probe after 5 s, 10 s and so on is one request.
        assert!(api.refused <= 2 * SLOTS + 4, "{} calls were refused", api.refused);
    });
    assert_eq!(breaker().await?, "closed");
    assert_eq!(scenario.dead_letters().await?, 0);
    Ok(())
}
