//! What carries requests: HTTP clients that follow no redirect and repeat nothing, or what a test has put
//! in their place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::{Client, ClientBuilder, Identity, redirect, retry};
use slowlane_profile::{Answer, Request};

/// How long a connection may take to come about. A call that waits for one is not sent yet, which
/// is known for certain only if this ends before the call's own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. A write on one that the API has closed meanwhile ends as
/// unknown, which is dear; a new connection is cheap.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Changes the settings of an HTTP client.
pub(super) type Change = Box<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>;

/// Carries a request in the place of an HTTP client. Nothing is what a caller sees whose connection broke.
pub(super) type Carrier = Arc<dyn Fn(Request) -> BoxFuture<'static, Option<Answer>> + Send + Sync>;

/// By what a request goes.
#[derive(Clone)]
pub(super) enum Wire {
    Http(Client),
    Carried(Carrier),
}

/// Makes the target's HTTP clients itself, because one that follows redirects would hand the
/// credentials to another host and repeat a write there.
pub(super) struct Clients {
    change: Change,
    plain: Wire,
}

impl Clients {
    pub(super) fn new(change: Change, carrier: Option<Carrier>) -> Result<Self, reqwest::Error> {
        let plain = match carrier {
            Some(carrier) => Wire::Carried(carrier),
            None => Wire::Http(begin(&change).build()?),
        };
        Ok(Clients { change, plain })
    }

    /// The one that shows no certificate.
    pub(super) fn plain(&self) -> Wire {
        self.plain.clone()
    }

    /// One that shows a certificate.
    pub(super) fn showing(&self, identity: Identity) -> Result<Wire, reqwest::Error> {
        begin(&self.change).identity(identity).build().map(Wire::Http)
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
