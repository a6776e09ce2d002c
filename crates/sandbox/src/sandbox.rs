//! The state machine: permits, faults and the way of one call.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use crate::{
    Api, Effect, Fault, FaultKind, Latency, Measure, Rate, Refusal, Remaining, Report, Request,
    Response, Stats,
    fault::Faults,
    rate::{Full, Meter},
    report::{Call, Ledger},
};

/// How a sandbox governs the calls to its API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The permits: calls that may run at one time; the next one is answered 429.
    pub limit: u32,
    /// What it takes in a span of time; what is beyond that is refused, and counts in no rate.
    pub rates: Vec<Rate>,
    /// How long a call takes, from its permit to its answer.
    pub latency: Latency,
    /// All chance comes from it: latencies, shares of faults.
    pub seed: u64,
}

impl Default for Settings {
    /// 5 permits, no rates, calls of 200 ms.
    fn default() -> Self {
        Self {
            limit: 5,
            rates: Vec::new(),
            latency: Latency::Fixed(Duration::from_millis(200)),
            seed: 1,
        }
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
    meters: Vec<Meter>,
    /// Until when refused callers were asked to wait.
    quiet_until: Duration,
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
            meters: settings.rates.iter().copied().map(Meter::new).collect(),
            quiet_until: Duration::ZERO,
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
    /// A call is answered at once if it is refused: by its sign-in, without a permit left, or by a
    /// rate. Else it holds a permit; nothing is written before [`Sandbox::finish`].
    pub fn begin(&mut self, request: Request, now: Duration) -> Begun<A> {
        self.advance(now);
        if let Some(answer) = self.api.answer_uncounted(&request, now, &mut self.rng) {
            return Begun::Answer(answer);
        }
        self.ledger.requests += 1;
        if let Err(answer) = self.api.authenticate(&request, now) {
            return Begun::Answer(*answer);
        }
        self.ledger.came_early += u64::from(now < self.quiet_until);
        if self.in_flight >= self.settings.limit {
            return self.over_limit(&request, Refusal::TooManyRequests, now);
        }
        let drawn = self.settings.latency.draw(&mut self.rng);
        let weight = Weight { units: self.api.units(&request), takes: drawn };
        if let Some(refusal) = self.over_rate(weight, now) {
            return self.over_limit(&request, refusal, now);
        }
        let fault = self.faults.for_call(self.api.is_write(&request), now, &mut self.rng);
        if let Some(Fault { kind: FaultKind::TooManyRequests, by, .. }) = fault {
            let refusal = match by {
                Duration::ZERO => Refusal::TooManyRequests,
                wait => Refusal::OverRate { measure: Measure::Calls, wait: Some(wait) },
            };
            return self.over_limit(&request, refusal, now);
        }
        for meter in &mut self.meters {
            meter.count(weight.in_meter(meter), now);
        }

        self.in_flight += 1;
        self.ledger.max_concurrency = self.ledger.max_concurrency.max(self.in_flight);
        let slowed_by = match fault {
            Some(Fault { kind: FaultKind::Slow | FaultKind::InvalidLogin, by, .. }) => by,
            _ => Duration::ZERO,
        };
        let call = Call::new(&request, self.api.subject(&request), A::IDEMPOTENCY_HEADER, now);
        let (start, takes) = self.api.start(&request, drawn, now);
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

    /// Why a rate does not take a call; the one with the longest wait tells.
    fn over_rate(&mut self, weight: Weight, now: Duration) -> Option<Refusal> {
        let mut worst: Option<(Measure, Option<Duration>)> = None;
        for meter in &mut self.meters {
            let wait = match meter.check(weight.in_meter(meter), now) {
                Ok(()) => continue,
                Err(Full::Always) => None,
                Err(Full::For(wait)) => Some(wait),
            };
            let is_worse = match (&worst, wait) {
                (None, _) => true,
                (Some((_, None)), _) => false,
                (Some(_), None) => true,
                (Some((_, Some(so_far))), Some(wait)) => wait > *so_far,
            };
            if is_worse {
                worst = Some((meter.measure(), wait));
            }
        }
        worst.map(|(measure, wait)| Refusal::OverRate { measure, wait })
    }

    fn over_limit(&mut self, request: &Request, refusal: Refusal, now: Duration) -> Begun<A> {
        self.ledger.http_429 += 1;
        if let Refusal::OverRate { wait: Some(wait), .. } = refusal {
            self.quiet_until = self.quiet_until.max(now + wait);
        }
        let mut answer = self.api.refuse(request, refusal);
        self.stamp(&mut answer, now);
        Begun::Answer(answer)
    }

    fn stamp(&mut self, answer: &mut Response, now: Duration) {
        let limits: Vec<Remaining> =
            self.meters.iter_mut().map(|meter| meter.remaining(now)).collect();
        self.api.stamp(answer, &limits, now);
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
        let (mut response, effect) = self.outcome(&request, start, fault, now);
        self.stamp(&mut response, now);
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
        let (refusal, commits) = match fault {
            Some(FaultKind::InvalidLogin) => (Refusal::Unauthorized, false),
            Some(FaultKind::UserError) => (Refusal::BadRequest, false),
            Some(FaultKind::ServerError) => (Refusal::ServerError, false),
            Some(FaultKind::UserErrorAfterCommit) => (Refusal::BadRequest, true),
            Some(FaultKind::ServerErrorAfterCommit) => (Refusal::ServerError, true),
            _ => return self.api.execute(request, start, now),
        };
        self.api.fail(request, start, refusal, commits, now)
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

    /// The faults that are not used up, each with what is left of it.
    #[must_use]
    pub fn faults(&self, now: Duration) -> Vec<Fault> {
        self.faults.left(now).collect()
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
        self.meters = self.settings.rates.iter().copied().map(Meter::new).collect();
        self.quiet_until = Duration::ZERO;
        self.resets += 1;
    }
}

/// What a call weighs.
#[derive(Clone, Copy)]
struct Weight {
    units: u64,
    takes: Duration,
}

impl Weight {
    /// What it weighs in a rate.
    fn in_meter(self, meter: &Meter) -> u64 {
        match meter.measure() {
            Measure::Units => self.units,
            Measure::Calls | Measure::Quota => 1,
            Measure::Time => u64::try_from(self.takes.as_millis()).unwrap_or(u64::MAX),
        }
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
