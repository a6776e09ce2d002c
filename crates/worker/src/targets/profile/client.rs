//! HTTP clients that follow no redirect and repeat nothing.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Identity, redirect, retry};

/// How long a connection may take to come about. A call that waits for one is not sent yet, which
/// is known for certain only if this ends before the call's own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. A write on one that the API has closed meanwhile ends as
/// unknown, which is dear; a new connection is cheap.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Changes the settings of an HTTP client.
pub(super) type Change = Box<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>;

/// Makes the target's HTTP clients itself, because one that follows redirects would hand the
/// credentials to another host and repeat a write there.
pub(super) struct Clients {
    change: Change,
    plain: Client,
}

impl Clients {
    pub(super) fn new(change: Change) -> Result<Self, reqwest::Error> {
        let plain = begin(&change).build()?;
        Ok(Clients { change, plain })
    }

    /// The one that shows no certificate.
    pub(super) fn plain(&self) -> Client {
        self.plain.clone()
    }

    /// One that shows a certificate.
    pub(super) fn showing(&self, identity: Identity) -> Result<Client, reqwest::Error> {
        begin(&self.change).identity(identity).build()
    }
}

fn begin(change: &Change) -> ClientBuilder {
    let usual = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("slowlane-worker/", env!("CARGO_PKG_VERSION")));
    change(usual).redirect(redirect::Policy::none()).retry(retry::never())
}

impl fmt::Debug for Clients {
    /// Leaves out the settings, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}
