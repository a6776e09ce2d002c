//! The seam between the client and the network: one HTTP request in, one whole answer out.
//!
//! Any [`tower::Service`] of this shape can stand here. By default it is [`reqwest`]; in a test, a
//! closure through [`tower::service_fn`]; in a simulation under paused time, a server's core called
//! without a socket.

use std::time::Duration;

use bytes::Bytes;
use tower::{BoxError, Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::Invalid;

/// A transport, boxed. Bodies are whole. NetSuite's largest answers are pages of at most 1,000
/// rows, and an answer that broke off half-way must not be taken for a whole one.
pub type Transport =
    BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, TransportError>;

/// Why no answer came. The difference decides whether a write may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No byte of the request reached the server: a name that does not resolve, a refused or
    /// timed-out connection, a request that could not be built.
    #[error("the request was not sent")]
    NotSent(#[source] BoxError),
    /// The request, or a part of it, went out and no whole answer came back: the server may or may
    /// not have acted on it.
    #[error("no whole answer came back")]
    MaybeSent(#[source] BoxError),
}

/// The default transport: one pool of kept-open HTTP/1.1 connections over rustls, gzip, and no
/// redirects. A redirect is not followed because it would repeat a write at another address.
pub(crate) fn over_reqwest(connect_timeout: Duration) -> Result<Transport, Invalid> {
    let client = reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        // A write on a connection that the other side has closed meanwhile ends as "unknown",
        // which is dear; a new connection is cheap.
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("slowlane-netsuite/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| Invalid::new("HTTP client", "reqwest", source.to_string()))?;
    let service = tower::service_fn(move |request| exchange(client.clone(), request));
    Ok(BoxCloneSyncService::new(service))
}

async fn exchange(
    client: reqwest::Client,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, TransportError> {
    let request = reqwest::Request::try_from(request)
        .map_err(|e| TransportError::NotSent(e.without_url().into()))?;
    let mut answer = client.execute(request).await.map_err(|e| {
        let never_left = e.is_builder() || e.is_connect();
        let cause = e.without_url().into();
        if never_left { TransportError::NotSent(cause) } else { TransportError::MaybeSent(cause) }
    })?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let body =
        answer.bytes().await.map_err(|e| TransportError::MaybeSent(e.without_url().into()))?;
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Sends one request, giving up after `patience`. Time spent waiting for the answer says nothing
/// about what the server did with the request, so running out of it is [`TransportError::MaybeSent`].
pub(crate) async fn deliver(
    transport: &Transport,
    request: http::Request<Bytes>,
    patience: Duration,
) -> Result<http::Response<Bytes>, TransportError> {
    let mut transport = transport.clone();
    let ready = transport.ready().await?;
    match tokio::time::timeout(patience, ready.call(request)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(TransportError::MaybeSent(format!("no answer within {patience:?}").into())),
    }
}
