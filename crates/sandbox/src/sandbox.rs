//! The state machine: permits, faults and the way of one call.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use crate::{
    Api, Effect, Fault, FaultKind, Latency, Refusal, Report, Request, Response, Stats,
    fault::Faults,
    report::{Call, Ledger},
};

/// How a sandbox governs the calls to its API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The permits: calls that may run at one time; the next one is answered 429.
    pub limit: u32,
    /// How long a call takes, from its permit to its answer.
    pub latency: Latency,
    /// All chance comes from it: latencies, shares of faults.
    pub seed: u64,
}

impl Default for Settings {
    /// 5 permits, calls of 200 ms.
    fn default() -> Self {
        Self { limit: 5, latency: Latency::Fixed(Duration::from_millis(200)), seed: 1 }
    }
}

/// What a sandbox is made with: a pair of [`Settings`] and the API, or the API's own settings.
#[derive(Debug)]
pub struct Setup<A> {
    /// How calls are governed.
    pub settings: Settings,
    /// What they are calls to.
    pub api: A,
}

impl<A> From<(Settings, A)> for Setup<A> {
    fn from((settings, api): (Settings, A)) -> Self {
        Self { settings, api }
    }
}

/// A test API, without a clock and without a socket.
///
/// `now` is always the time since the Unix epoch and must not go back from one call to the next.
/// The sandbox dereferences to the API that it holds, so that a test can look into it.
#[derive(Debug)]
pub struct Sandbox<A: Api> {
    settings: Settings,
    rng: fastrand::Rng,
    api: A,
    faults: Faults,
    ledger: Ledger,
    in_flight: u32,
    /// Counts the resets, so that a call admitted before one leaves no trace after it.
    resets: u64,
}

/// What became of a request at once.
#[derive(Debug)]
#[must_use]
pub enum Begun<A: Api> {
    /// It holds a permit until [`Sandbox::finish`].
    Admitted(Box<Admitted<A>>),
    /// It was answered without a permit.
    Answer(Response),
}

/// A call that holds a permit. It must be given to [`Sandbox::finish`], or its permit is lost.
#[derive(Debug)]
#[must_use]
pub struct Admitted<A: Api> {
    request: Request,
    call: Call,
    start: A::Start,
    fault: Option<Fault>,
    finish_at: Duration,
    resets: u64,
    connection_dropped: bool,
}

impl<A: Api> Admitted<A> {
    /// When to call [`Sandbox::finish`].
    #[must_use]
    pub fn finish_at(&self) -> Duration {
        self.finish_at
    }
}

/// What the caller of a finished call sees.
#[derive(Debug)]
#[must_use]
pub enum Finished<A: Api> {
    /// An answer.
    Answer(Response),
    /// The connection closes without an answer.
    Drop,
    /// The connection closes without an answer, and the call still runs: finish it again.
    DropAndGoOn(Box<Admitted<A>>),
}

impl<A: Api> Sandbox<A> {
    /// A sandbox that has seen no call.
    #[must_use]
    pub fn new(setup: impl Into<Setup<A>>) -> Self {
        let Setup { settings, api } = setup.into();
        Self {
            rng: fastrand::Rng::with_seed(settings.seed),
            settings,
            api,
            faults: Faults::default(),
            ledger: Ledger::new(0),
            in_flight: 0,
            resets: 0,
        }
    }

    /// Takes a request at the time `now`.
    ///
    /// A call is answered at once if it is refused: by its sign-in, or with 429 without a permit
    /// left. Else it holds a permit; nothing is written before [`Sandbox::finish`].
    pub fn begin(&mut self, request: Request, now: Duration) -> Begun<A> {
        self.advance(now);
        if let Some(answer) = self.api.answer_uncounted(&request, now, &mut self.rng) {
            return Begun::Answer(answer);
        }
        self.ledger.requests += 1;
        if let Err(answer) = self.api.authenticate(&request, now) {
            return Begun::Answer(*answer);
        }
        if self.in_flight >= self.settings.limit {
            return self.over_limit(&request);
        }
        let fault = self.faults.for_call(self.api.is_write(&request), now, &mut self.rng);
        if fault.is_some_and(|fault| fault.kind == FaultKind::TooManyRequests) {
            return self.over_limit(&request);
        }

        self.in_flight += 1;
        self.ledger.max_concurrency = self.ledger.max_concurrency.max(self.in_flight);
        let slowed_by = match fault {
            Some(Fault { kind: FaultKind::Slow | FaultKind::InvalidLogin, by, .. }) => by,
            _ => Duration::ZERO,
        };
        let drawn = self.settings.latency.draw(&mut self.rng);
        let call = Call::new(&request, self.api.subject(&request), A::IDEMPOTENCY_HEADER, now);
        let (start, takes) = self.api.start(&request, drawn);
        Begun::Admitted(Box::new(Admitted {
            call,
            start,
            finish_at: now + takes + slowed_by,
            request,
            fault,
            resets: self.resets,
            connection_dropped: false,
        }))
    }

    fn over_limit(&mut self, request: &Request) -> Begun<A> {
        self.ledger.http_429 += 1;
        Begun::Answer(self.api.refuse(request, Refusal::TooManyRequests))
    }

    /// Ends a call at the time `now`, which is not before [`Admitted::finish_at`]: writes what it
    /// writes, gives its permit back and says what its caller sees.
    pub fn finish(&mut self, mut admitted: Box<Admitted<A>>, now: Duration) -> Finished<A> {
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
        start: A::Start,
        fault: Option<FaultKind>,
        now: Duration,
    ) -> (Response, Effect) {
        let (refusal, executed) = match fault {
            Some(FaultKind::InvalidLogin) => (Refusal::Unauthorized, false),
            Some(FaultKind::UserError) => (Refusal::BadRequest, false),
            Some(FaultKind::ServerError) => (Refusal::ServerError, false),
            Some(FaultKind::UserErrorAfterCommit) => (Refusal::BadRequest, true),
            Some(FaultKind::ServerErrorAfterCommit) => (Refusal::ServerError, true),
            _ => return self.api.execute(request, start, now),
        };
        let effect = match executed {
            true => self.api.execute(request, start, now).1,
            false => Effect::default(),
        };
        (self.api.refuse(request, refusal), effect)
    }

    /// Lets the API do what has become due. [`Sandbox::begin`] and [`Sandbox::finish`] do it
    /// themselves; a report between them wants it done first.
    pub fn advance(&mut self, now: Duration) {
        for late in self.api.advance(now) {
            self.ledger.record_late(&late);
        }
    }

    /// Asks for a fault from now on. If several faults fit a call, the first one asked for strikes.
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
        self.ledger.report(self.settings.limit, self.api.records(), self.api.attachments())
    }

    /// The counters alone.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.ledger.stats(self.settings.limit, self.in_flight, self.api.records())
    }

    /// Empties the API: records, counters, calls and faults go, and chance starts again at the
    /// seed. Sign-ins stay. Calls that run keep their permits to their end, but write nothing any
    /// more.
    pub fn reset(&mut self) {
        self.rng = fastrand::Rng::with_seed(self.settings.seed);
        self.faults.clear();
        self.api.reset();
        self.ledger = Ledger::new(self.in_flight);
        self.resets += 1;
    }
}

impl<A: Api> Deref for Sandbox<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.api
    }
}

impl<A: Api> DerefMut for Sandbox<A> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.api
    }
}
