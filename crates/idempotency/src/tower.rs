//! A layer that lets a [`tower`] service run each request once (feature `tower`).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::tower::{Layer, Service};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::guard::Guard;
use crate::key;
use crate::request::Request;
use crate::run::{self, Done, Failure, Turn};
use crate::store::Store;

/// Puts a guard before a service.
///
/// `name` makes of each request what is guarded: its scope, key and payload. The inner
/// service is called with the request and its [`Turn`], which says how long its time-out may
/// be. It fails with a [`Failure`], so that it says whether the request may have been
/// executed. The outer service answers as [`Guard::run`] does.
///
/// ```
/// use std::convert::Infallible;
///
/// use slowlane_idempotency::tower::GuardLayer;
/// use slowlane_idempotency::{Failure, Guard, Key, MemoryStore, Request, Scope, Settings, Turn};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = Guard::new(MemoryStore::new(), Settings::default());
/// let name = |order: &u32| {
///     Request::new(Scope::new("orders")?, Key::new(order.to_string())?, order)
/// };
/// let create = service_fn(async |(order, _turn): (u32, Turn)| {
///     Ok::<_, Failure<Infallible>>(format!("record of {order}"))
/// });
/// let service = ServiceBuilder::new().layer(GuardLayer::new(guard, name)).service(create);
/// assert_eq!(service.clone().oneshot(7).await?.value, "record of 7");
/// assert_eq!(service.oneshot(7).await?.value, "record of 7");
/// # Ok(())
/// # }
/// ```
pub struct GuardLayer<S, F> {
    guard: Guard<S>,
    name: Arc<F>,
}

impl<S, F> GuardLayer<S, F> {
    /// A layer with this guard, which `name`s each request.
    pub fn new(guard: Guard<S>, name: F) -> Self {
        Self { guard, name: Arc::new(name) }
    }
}

/// The service that [`GuardLayer`] makes.
pub struct Guarded<S, F, I> {
    layer: GuardLayer<S, F>,
    inner: I,
}

/// Why a guarded service has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<T, E> {
    /// The request could not be named.
    #[error(transparent)]
    Name(#[from] key::Error),
    /// As [`Guard::run`] says it.
    #[error(transparent)]
    Run(#[from] run::Error<T, E>),
}

impl<S, F, I> Layer<I> for GuardLayer<S, F> {
    type Service = Guarded<S, F, I>;

    fn layer(&self, inner: I) -> Self::Service {
        Guarded { layer: self.clone(), inner }
    }
}

impl<S, F, I, Req, T, E> Service<Req> for Guarded<S, F, I>
where
    S: Store,
    F: Fn(&Req) -> Result<Request, key::Error>,
    I: Service<(Req, Turn), Response = T, Error = Failure<E>> + Clone + Send + 'static,
    I::Future: Send,
    Req: Send + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    type Response = Done<T>;
    type Error = Error<T, E>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    /// Always: the inner service is asked once the call is ours, and not for a replay.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let named = (self.layer.name)(&request);
        let (guard, inner) = (self.layer.guard.clone(), self.inner.clone());
        Box::pin(async move {
            let named = named?;
            let call = |turn| ::tower::ServiceExt::oneshot(inner, (request, turn));
            Ok(guard.run(&named, call).await?)
        })
    }
}

impl<S, F> Clone for GuardLayer<S, F> {
    fn clone(&self) -> Self {
        Self { guard: self.guard.clone(), name: self.name.clone() }
    }
}

impl<S, F, I: Clone> Clone for Guarded<S, F, I> {
    fn clone(&self) -> Self {
        Self { layer: self.layer.clone(), inner: self.inner.clone() }
    }
}

impl<S, F> fmt::Debug for GuardLayer<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl<S, F, I: fmt::Debug> fmt::Debug for Guarded<S, F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner).finish_non_exhaustive()
    }
}
