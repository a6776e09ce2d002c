//! The client: an account, credentials, a transport, and the way of one request through them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::time::Instant;
use tower::{ServiceExt as _, util::BoxCloneSyncService};
use tracing::Instrument as _;
use url::Url;

use crate::{
    AccountId, Auth, Class, Clock, Error, Invalid, Request, Response, Retry, SystemClock,
    TransportError,
    auth::{self, Tokens},
    limits::{Limits, Stack},
    logins::Logins,
    request::Service,
    response::Answer,
    said::{Answered, Said},
    transport::{self, Transport},
};

/// A client of one NetSuite account. Clones share its connections, its token and its limits.
#[derive(Clone)]
#[must_use]
pub struct Client {
    account: AccountId,
    stack: Stack,
    deadline: Option<Instant>,
}

/// Settings of a [`Client`], from [`Client::builder`].
#[must_use = "a builder makes nothing before `build`"]
pub struct ClientBuilder {
    account: AccountId,
    auth: Auth,
    base_url: Option<Url>,
    connect_timeout: Duration,
    answer_timeout: Duration,
    transport: Option<Transport>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Client {
    /// Starts a client for `account` with these credentials.
    pub fn builder(account: AccountId, auth: Auth) -> ClientBuilder {
        ClientBuilder {
            account,
            auth,
            base_url: None,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(120),
            transport: None,
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
        }
    }

    /// The account this client speaks for.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// This client with a [deadline](Request::deadline) for each of its requests that does not
    /// name one itself: records, queries, jobs, all of them.
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends any request to NetSuite.
    ///
    /// # Errors
    /// Whatever is not a 2xx answer; see [`Error::class`].
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        self.execute(request).await.map(Response::from)
    }

    /// As [`send`](Self::send), with the body unread.
    pub(crate) async fn execute(&self, mut request: Request) -> Result<Answer, Error> {
        let span = tracing::debug_span!("netsuite", call = %request.call());
        // Each execution has a flag of its own: the caller may run clones of one request at once.
        request.in_flight = Arc::default();
        request.deadline = request.deadline.or(self.deadline);
        let Some(deadline) = request.deadline else {
            return self.stack.clone().oneshot(request).instrument(span).await;
        };
        let too_late = |class| Err(Error::local(request.call(), class, "the deadline has passed"));
        if Instant::now() >= deadline {
            return too_late(Class::NotSent);
        }
        let waiting = self.stack.clone().oneshot(request.clone()).instrument(span);
        tokio::time::timeout_at(deadline, waiting).await.unwrap_or_else(|_| {
            let class = if request.in_flight.load(Ordering::Acquire) {
                Class::Unknown
            } else {
                Class::NotSent
            };
            too_late(class)
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("account", &self.account).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Sends everything to this server instead of the account's own hosts: the sandbox, a test, a
    /// proxy. Its path is put before NetSuite's.
    ///
    /// # Errors
    /// When it is not an `http` or `https` URL with a host, or has a query, a fragment or a
    /// password.
    pub fn base_url(mut self, url: Url) -> Result<Self, Invalid> {
        let plain = url.query().is_none()
            && url.fragment().is_none()
            && url.password().is_none()
            && url.username().is_empty();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
            return Err(Invalid::unquoted(
                "base URL",
                "http or https, a host, no query, fragment or user",
            ));
        }
        self.base_url = Some(url);
        Ok(self)
    }

    /// How long a connection may take to come about; 10 seconds unless set. Only for the default
    /// transport.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one attempt may wait for its whole answer; 120 seconds unless set. NetSuite itself
    /// gives up after 15 minutes.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// Takes another transport in place of reqwest.
    pub fn transport<S>(mut self, transport: S) -> Self
    where
        S: tower::Service<
                http::Request<Bytes>,
                Response = http::Response<Bytes>,
                Error = TransportError,
            > + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.transport = Some(BoxCloneSyncService::new(transport));
        self
    }

    /// Takes another clock in place of [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Lets at most `permits` calls of this client and its clones be at NetSuite at once; the
    /// others wait their turn. The account's limit is shared with everyone else, so this makes a
    /// 429 rarer and does not rule it out.
    pub fn max_in_flight(mut self, permits: usize) -> Self {
        self.limits.permits = Some(permits);
        self
    }

    /// Starts at most `calls` calls in each `period`.
    pub fn pace(mut self, calls: u64, period: Duration) -> Self {
        self.limits.pace = Some((calls, period));
        self
    }

    /// Repeats calls that are [safe to repeat](Error::is_safe_to_repeat). Without it every error is
    /// the caller's at once.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.limits.retry = Some(retry);
        self
    }

    /// Makes the jitter of retries a function of this seed, for simulations.
    pub fn seed(mut self, seed: u64) -> Self {
        self.limits.seed = Some(seed);
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// The default transport cannot be made, for instance because there are no root certificates. A
    /// limit is zero. There is a [`pace`](Self::pace) and no tokio runtime around.
    pub fn build(self) -> Result<Client, Invalid> {
        let transport = match self.transport {
            Some(transport) => transport,
            None => transport::over_reqwest(self.connect_timeout)?,
        };
        let hosts = Hosts::new(&self.account, self.base_url.as_ref())?;
        let authority = match self.auth.0 {
            auth::Kind::OAuth2(signer) => {
                let endpoint = hosts.url(Service::System, "/services/rest/auth/oauth2/v1/token")?;
                Authority::Bearer(Box::new(Tokens::new(
                    signer,
                    endpoint,
                    transport.clone(),
                    self.clock.clone(),
                    self.answer_timeout,
                )))
            }
            #[cfg(feature = "tba")]
            auth::Kind::Tba(credentials) => {
                Authority::Signed { credentials, realm: self.account.realm_form().to_owned() }
            }
        };
        let exchange = Arc::new(Exchange {
            hosts,
            authority,
            transport,
            clock: self.clock,
            answer_timeout: self.answer_timeout,
            logins: Logins::default(),
        });
        let attempt = tower::service_fn(move |request| exchange.clone().attempt(request));
        let stack = self.limits.around(Stack::new(attempt))?;
        Ok(Client { account: self.account, stack, deadline: None })
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("account", &self.account)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Where the account's services are.
struct Hosts {
    suitetalk: Url,
    restlets: Url,
}

impl Hosts {
    fn new(account: &AccountId, base: Option<&Url>) -> Result<Self, Invalid> {
        let host = |area: &str| match base {
            Some(base) => Ok(base.clone()),
            None => {
                let host = format!("https://{}.{area}.api.netsuite.com", account.host_form());
                Url::parse(&host)
                    .map_err(|e| Invalid::new("account id", account.realm_form(), e.to_string()))
            }
        };
        Ok(Self { suitetalk: host("suitetalk")?, restlets: host("restlets")? })
    }

    fn url(&self, service: Service, path_and_query: &str) -> Result<Url, Invalid> {
        let host = if service == Service::Restlet { &self.restlets } else { &self.suitetalk };
        let whole = format!("{}{path_and_query}", host.as_str().trim_end_matches('/'));
        Url::parse(&whole).map_err(|e| Invalid::unquoted("URL", e.to_string()))
    }
}

/// One attempt: authorise, send, judge the answer.
struct Exchange {
    hosts: Hosts,
    authority: Authority,
    transport: Transport,
    clock: Arc<dyn Clock>,
    answer_timeout: Duration,
    logins: Logins,
}

/// The answer to one attempt.
struct Attempted {
    answer: http::Response<Bytes>,
    /// A refused login that is to be put down to the account's limit.
    is_at_the_limit: bool,
}

impl Attempted {
    /// Whether NetSuite does not take the token, or the signature, for what it is.
    fn is_refused_login(&self) -> bool {
        self.answer.status() == StatusCode::UNAUTHORIZED && !self.is_at_the_limit
    }
}

/// What makes a request ours.
enum Authority {
    Bearer(Box<Tokens>),
    #[cfg(feature = "tba")]
    Signed {
        credentials: Arc<auth::Tba>,
        realm: String,
    },
}

impl Exchange {
    async fn attempt(self: Arc<Self>, request: Request) -> Result<Answer, Error> {
        match &self.authority {
            Authority::Bearer(tokens) => self.attempt_with_token(&request, tokens).await,
            #[cfg(feature = "tba")]
            Authority::Signed { credentials, realm } => {
                let url = self.hosts.url(request.service, &request.path_and_query())?;
                let header =
                    credentials.authorization(&request.method, &url, realm, self.clock.now())?;
                let attempted = self.send(&request, header).await?;
                self.judge(&request, attempted, str::to_owned)
            }
        }
    }

    async fn attempt_with_token(
        &self,
        request: &Request,
        tokens: &Tokens,
    ) -> Result<Answer, Error> {
        let no_token = |error: Error| error.for_want_of_token(request.call());
        let mut token = tokens.get().await.map_err(no_token)?;
        let mut attempted = self.send(request, token.header()?).await?;
        if attempted.is_refused_login() {
            // A refused token says nothing about our credentials: it may have been revoked, or
            // have ended early. One new token, one more try, and never a third.
            tracing::info!("the access token was refused; asking for a new one");
            tokens.forget(&token);
            token = tokens.get().await.map_err(no_token)?;
            attempted = self.send(request, token.header()?).await?;
        }
        self.judge(request, attempted, |text| text.replace(token.expose(), "[redacted]"))
    }

    async fn send(
        &self,
        request: &Request,
        authorization: HeaderValue,
    ) -> Result<Attempted, Error> {
        let url = self.hosts.url(request.service, &request.path_and_query())?;
        let mut outgoing = http::Request::new(request.body.clone());
        *outgoing.method_mut() = request.method.clone();
        *outgoing.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|e: http::uri::InvalidUri| Invalid::unquoted("URL", e.to_string()))?;
        *outgoing.headers_mut() = request.headers.clone();
        outgoing
            .headers_mut()
            .entry(header::ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        outgoing.headers_mut().insert(header::AUTHORIZATION, authorization);
        let patience = request.answer_timeout.unwrap_or(self.answer_timeout);
        let sent = Instant::now();
        request.in_flight.store(true, Ordering::Release);
        let outcome = transport::deliver(&self.transport, outgoing, patience).await;
        request.in_flight.store(false, Ordering::Release);
        let took = sent.elapsed();
        let status = outcome.as_ref().ok().map(|answer| answer.status().as_u16());
        tracing::debug!(status, elapsed_ms = took.as_millis(), "an attempt has ended");
        let answer = outcome.map_err(|failure| Error::transport(request.call(), failure))?;
        let is_at_the_limit = self.logins.refused_at_the_limit(answer.status(), took);
        Ok(Attempted { answer, is_at_the_limit })
    }

    fn judge(
        &self,
        request: &Request,
        attempted: Attempted,
        redact: impl Fn(&str) -> String,
    ) -> Result<Answer, Error> {
        let (parts, body) = attempted.answer.into_parts();
        let received_at = self.clock.now();
        if parts.status.is_success() {
            return Ok(Answer { status: parts.status, headers: parts.headers, body, received_at });
        }
        let said = Said::parse(&body, redact).with_challenge(&parts.headers);
        let answered = Answered { status: parts.status, headers: &parts.headers, received_at };
        if attempted.is_at_the_limit {
            tracing::warn!("a login refused this slowly is put down to the account's limit");
            return Err(Error::answered_as(Class::Throttled, request.call(), answered, said));
        }
        Err(Error::answered(request.call(), answered, said))
    }
}
