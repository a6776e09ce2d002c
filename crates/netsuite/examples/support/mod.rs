// A NetSuite on this machine, for the examples and the README's recipes to talk to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use slowlane_netsuite::{AccountId, Auth, Client, ClientBuilder, OAuth2, Url};
use slowlane_netsuite_sandbox::{Clock, DemoKey, KeyKind, Latency, Sandbox, Settings, serve};
use tokio::net::TcpListener;

/// A sandbox that is served, and what a client needs to sign in to it.
pub(crate) struct Served {
    pub(crate) sandbox: Arc<Mutex<Sandbox>>,
    pub(crate) base_url: Url,
    pub(crate) private_key_pem: String,
}

/// Serves a sandbox whose calls take 20 ms.
pub(crate) async fn start() -> anyhow::Result<Served> {
    let key = DemoKey::generate(KeyKind::P256)?;
    let latency = Latency::Fixed(Duration::from_millis(20));
    let mut sandbox = Sandbox::new(Settings { latency, ..Settings::default() });
    sandbox.register("client", "certificate", key.public_key);
    let sandbox = Arc::new(Mutex::new(sandbox));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base_url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(serve(listener, sandbox.clone(), Clock::system(), std::future::pending()));
    Ok(Served { sandbox, base_url, private_key_pem: key.private_key_pem })
}

/// Serves a sandbox, and makes a client's builder that may sign in to it.
pub(crate) async fn sandbox() -> anyhow::Result<(ClientBuilder, Arc<Mutex<Sandbox>>)> {
    let Served { sandbox, base_url, private_key_pem } = start().await?;
    let auth = Auth::oauth2(OAuth2::new("client", "certificate", private_key_pem))?;
    Ok((Client::builder(AccountId::new("1234567_SB1")?, auth).base_url(base_url)?, sandbox))
}
