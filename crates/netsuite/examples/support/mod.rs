//! A NetSuite on this machine, for the examples to talk to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use slowlane_netsuite::{AccountId, Auth, Client, ClientBuilder, OAuth2, Url};
use slowlane_netsuite_sandbox::{Clock, DemoKey, KeyKind, Latency, Sandbox, Settings, serve};
use tokio::net::TcpListener;

/// Starts a sandbox whose calls take 20 ms, and a client's builder that may sign in to it.
pub(crate) async fn sandbox() -> anyhow::Result<(ClientBuilder, Arc<Mutex<Sandbox>>)> {
    let key = DemoKey::generate(KeyKind::P256)?;
    let settings =
        Settings { latency: Latency::Fixed(Duration::from_millis(20)), ..Settings::default() };
    let account = AccountId::new(&settings.account_id)?;
    let mut sandbox = Sandbox::new(settings);
    sandbox.register("client", "certificate", key.public_key);
    let sandbox = Arc::new(Mutex::new(sandbox));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(serve(listener, sandbox.clone(), Clock::system(), std::future::pending()));
    let auth = Auth::oauth2(OAuth2 {
        client_id: "client".into(),
        certificate_id: "certificate".into(),
        private_key_pem: key.private_key_pem.into(),
        algorithm: None,
    })?;
    Ok((Client::builder(account, auth).base_url(base)?, sandbox))
}
