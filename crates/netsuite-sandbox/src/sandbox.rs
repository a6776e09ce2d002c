//! The state machine: governance, faults and the way of one call.

use std::time::Duration;

use crate::{
    Request, Response, Seed,
    account::{Account, Start},
    fault::{Fault, FaultKind, Faults},
    latency::Latency,
    oauth2::{OAuth2, PublicKey},
    problem::Problem,
    records::Effect,
    report::{Call, Ledger, Report, Stats},
    route::{self, Service, text_header},
    tba::{Tba, TbaCredentials},
};

/// How a sandbox behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account, such as `123_SB1`. Its host name is one of the audiences that an assertion
    /// may name; the other is the address at which the sandbox was reached.
    pub account_id: String,
    /// The permits of the account: calls that may run at one time.
    pub limit: u32,
    /// How long a call takes, from its permit to its answer.
    pub latency: Latency,
    /// All chance comes from it: latencies, shares of faults, access tokens.
    pub seed: u64,
    /// Whether calls are taken without a token, for load generators.
    pub open: bool,
    /// How long an access token is good: NetSuite's hour, or less for a test of expiry.
    pub token_life: Duration,
}

impl Default for Settings {
    /// A developer account: 5 permits, tokens of an hour, calls of 200 ms.
    fn default() -> Self {
        Self {
            account_id: "1234567_SB1".to_owned(),
            limit: 5,
            latency: Latency::Fixed(Duration::from_millis(200)),
            seed: 1,
            open: false,
            token_life: Duration::from_secs(3600),
        }
    }
}

/// A NetSuite account, without a clock and without a socket.
///
/// `now` is always the time since the Unix epoch and must not go back from one call to the next.
#[derive(Debug)]
pub struct Sandbox {
    settings: Settings,
    rng: fastrand::Rng,
    oauth2: OAuth2,
    tba: Tba,
    faults: Faults,
    account: Account,
    ledger: Ledger,
    in_flight: u32,
    /// Counts the resets, so that a call admitted before one leaves no trace after it.
    resets: u64,
}

/// What became of a request at once.
#[derive(Debug)]
#[must_use]
pub enum Begun {
    /// It holds a permit until [`Sandbox::finish`].
    Admitted(Box<Admitted>),
    /// It was answered without a permit.
    Answer(Response),
}

/// A call that holds a permit. It must be given to [`Sandbox::finish`], or its permit is lost.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    request: Request,
    call: Call,
    start: Start,
    fault: Option<Fault>,
    finish_at: Duration,
    resets: u64,
    connection_dropped: bool,
}

impl Admitted {
    /// When to call [`Sandbox::finish`].
    #[must_use]
    pub fn finish_at(&self) -> Duration {
        self.finish_at
    }
}

/// What the caller of a finished call sees.
#[derive(Debug)]
#[must_use]
pub enum Finished {
    /// An answer.
    Answer(Response),
    /// The connection closes without an answer.
    Drop,
    /// The connection closes without an answer, and the call still runs: finish it again.
    DropAndGoOn(Box<Admitted>),
}

impl Sandbox {
    /// An empty account.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(settings.seed),
            account: Account::new(settings.limit),
            settings,
            oauth2: OAuth2::default(),
            tba: Tba::default(),
            faults: Faults::default(),
            ledger: Ledger::new(0),
            in_flight: 0,
            resets: 0,
        }
    }

    /// Lets an integration sign in by OAuth 2.0 with a certificate's key.
    pub fn register(&mut self, client_id: &str, certificate_id: &str, key: PublicKey) {
        self.oauth2.register(client_id, certificate_id, key);
    }

    /// Lets a token sign requests by token-based authentication.
    pub fn register_tba(&mut self, credentials: TbaCredentials) {
        self.tba.register(credentials);
    }

    /// Takes a request at the time `now`.
    ///
    /// A token request is answered at once and needs no permit. Another request is answered at
    /// once if it is refused: 401 without a good token, 429 without a permit left. Else it holds
    /// a permit; nothing is written before [`Sandbox::finish`].
    pub fn begin(&mut self, request: Request, now: Duration) -> Begun {
        self.advance(now);
        if Service::of(&request) == Service::Token {
            let host = self.account_host();
            let life = self.settings.token_life;
            return Begun::Answer(self.oauth2.token(&request, &host, life, now, &mut self.rng));
        }
        self.ledger.requests += 1;
        if let Err(problem) = self.authenticate(&request, now) {
            return Begun::Answer(problem.answer_to(&request));
        }
        if self.in_flight >= self.settings.limit {
            return self.refuse(&request);
        }
        let fault = self.faults.for_call(route::is_write(&request), now, &mut self.rng);
        if fault.is_some_and(|fault| fault.kind == FaultKind::TooManyRequests) {
            return self.refuse(&request);
        }

        self.in_flight += 1;
        self.ledger.max_concurrency = self.ledger.max_concurrency.max(self.in_flight);
        let slowed_by = match fault {
            Some(Fault { kind: FaultKind::Slow | FaultKind::InvalidLogin, by, .. }) => by,
            _ => Duration::ZERO,
        };
        let takes = self.settings.latency.draw(&mut self.rng);
        // A job is handed in at once; what it does takes its time afterwards.
        let (takes, job_takes) = match route::is_async(&request) {
            true => (Duration::ZERO, takes),
            false => (takes, Duration::ZERO),
        };
        Begun::Admitted(Box::new(Admitted {
            call: Call::new(&request, now),
            start: self.account.start(&request, job_takes),
            finish_at: now + takes + slowed_by,
            request,
            fault,
            resets: self.resets,
            connection_dropped: false,
        }))
    }

    fn refuse(&mut self, request: &Request) -> Begun {
        self.ledger.http_429 += 1;
        Begun::Answer(Problem::concurrency_limit_exceeded().answer_to(request))
    }

    /// Ends a call at the time `now`, which is not before [`Admitted::finish_at`]: writes what it
    /// writes, gives its permit back and says what its caller sees.
    pub fn finish(&mut self, mut admitted: Box<Admitted>, now: Duration) -> Finished {
        let fault = admitted.fault.map(|fault| fault.kind);
        if let Some(Fault { kind: FaultKind::CommitLate, by, .. }) = admitted.fault
            && !admitted.connection_dropped
        {
            admitted.connection_dropped = true;
            admitted.finish_at = now + by;
            return Finished::DropAndGoOn(admitted);
        }
        self.advance(now);
        self.in_flight -= 1;
        if admitted.resets != self.resets {
            return Finished::Drop;
        }

        let Admitted { request, call, start, .. } = *admitted;
        let (response, effect) = self.outcome(&request, start, fault, now);
        self.ledger.record(call, response.status(), fault, &effect, now);
        match fault {
            Some(FaultKind::DropAfterCommit | FaultKind::CommitLate) => Finished::Drop,
            _ => Finished::Answer(response),
        }
    }

    /// What a call does and answers, its fault included.
    fn outcome(
        &mut self,
        request: &Request,
        start: Start,
        fault: Option<FaultKind>,
        now: Duration,
    ) -> (Response, Effect) {
        let only = |problem: Problem| (problem.answer_to(request), Effect::default());
        match fault {
            Some(FaultKind::InvalidLogin) => only(Problem::invalid_login("over the limit")),
            Some(FaultKind::UserError) => only(Problem::user_error()),
            Some(FaultKind::ServerError) => only(Problem::unexpected()),
            Some(FaultKind::UserErrorAfterCommit) => {
                let (_, effect) = self.account.execute(request, start, now);
                (Problem::user_error().answer_to(request), effect)
            }
            Some(FaultKind::ServerErrorAfterCommit) => {
                let (_, effect) = self.account.execute(request, start, now);
                (Problem::unexpected().answer_to(request), effect)
            }
            _ => self.account.execute(request, start, now),
        }
    }

    /// Lets the jobs run whose time has come. [`Sandbox::begin`] and [`Sandbox::finish`] do it
    /// themselves; a report between them wants it done first.
    pub fn advance(&mut self, now: Duration) {
        for effect in self.account.advance(now) {
            self.ledger.record_job(&effect);
        }
    }

    fn authenticate(&mut self, request: &Request, now: Duration) -> Result<(), Problem> {
        if self.settings.open {
            return Ok(());
        }
        let authorization = text_header(request, "authorization").unwrap_or_default();
        match authorization.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                self.oauth2.authenticate(token.trim(), Service::of(request).scope(), now)
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("oauth") => {
                self.tba.authenticate(request, now)
            }
            _ => {
                Err(Problem::invalid_login("the Authorization header is neither Bearer nor OAuth"))
            }
        }
    }

    /// Fills the account with made-up records, which do not count as created by calls.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the request; records made before that stay.
    pub fn seed(&mut self, seed: &Seed, now: Duration) -> Result<(), String> {
        self.account.seed(seed, now)
    }

    fn account_host(&self) -> String {
        let account = self.settings.account_id.to_lowercase().replace('_', "-");
        format!("{account}.suitetalk.api.netsuite.com")
    }

    /// Asks for a fault from now on. Of several faults the first asked for befalls a call.
    pub fn inject(&mut self, fault: Fault, now: Duration) {
        self.faults.add(fault, now);
    }

    /// Takes all faults back.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The faults that are not used up.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.faults.list().collect()
    }

    /// Everything that was seen since the start or the last reset.
    #[must_use]
    pub fn report(&self) -> Report {
        let (counts, attachments) = (self.account.counts(), self.account.attachments());
        self.ledger.report(self.settings.limit, counts, attachments)
    }

    /// The counters alone.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.ledger.stats(self.settings.limit, self.in_flight, self.account.counts())
    }

    /// Empties the account: records, counters, calls and faults go, and chance starts again at
    /// the seed. Integrations and their tokens stay. Calls that run keep their permits to their
    /// end, but write nothing any more.
    pub fn reset(&mut self) {
        self.rng = fastrand::Rng::with_seed(self.settings.seed);
        self.faults.clear();
        self.account = Account::new(self.settings.limit);
        self.ledger = Ledger::new(self.in_flight);
        self.resets += 1;
    }
}
