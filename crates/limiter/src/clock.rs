//! Where the time comes from, and how wrong it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::moment::Moment;

/// Tells the time. Every rule takes its `now` from here, so that a test or a simulator can rule
/// it. Any `Fn() -> SystemTime` is a clock.
pub trait Clock: Send + Sync {
    /// The present moment as this machine sees it.
    fn now(&self) -> SystemTime;
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where this crate reads the machine's clock"
    )]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// How far this machine's clock is from that of the service which everybody asks, from the `Date`
/// headers of its answers.
///
/// A `Date` has whole seconds, rounded down. When an answer says `d`, the service's clock stood
/// between `d` and `d + 1 s` at some moment between the request and the answer. That bounds the
/// difference, and each answer narrows the bounds: after 30 of them the middle is within 67 ms in
/// 99 of 100 cases.
#[derive(Clone, Debug)]
pub struct ClockCorrection {
    /// The service's time less ours lies between these, in microseconds.
    bounds: Option<Bounds>,
    tolerance_micros: i64,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: i64,
    high: i64,
    at: SystemTime,
}

/// Clocks drift apart by less than this: 100 us in a second.
const DRIFT_PER_MILLION: i64 = 100;

impl Default for ClockCorrection {
    fn default() -> Self {
        Self::new(Duration::from_millis(10))
    }
}

impl ClockCorrection {
    /// No answer seen yet. The service is many machines, whose clocks differ by up to `tolerance`.
    #[must_use]
    pub fn new(tolerance: Duration) -> Self {
        let tolerance_micros = i64::try_from(tolerance.as_micros()).unwrap_or(i64::MAX / 4);
        Self { bounds: None, tolerance_micros }
    }

    /// An answer whose `Date` was `date`, to a request sent at `sent` and answered at `received` by
    /// this machine's clock.
    pub fn learns(&mut self, sent: SystemTime, received: SystemTime, date: SystemTime) {
        let (sent, received, date) = (signed(sent), signed(received), signed(date));
        if received < sent {
            // This machine's clock was set back meanwhile.
            return;
        }
        let low = date - received - self.tolerance_micros;
        let high = date + 1_000_000 - sent + self.tolerance_micros;
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(received.unsigned_abs());
        let before = self.bounds.map(|bounds| bounds.widened(at));
        let met = before.map(|b| Bounds { low: b.low.max(low), high: b.high.min(high), at });
        // Bounds that contradict what was known: a clock was set. What was known is void.
        let fresh = Bounds { low, high, at };
        self.bounds = Some(met.filter(|met| met.low <= met.high).unwrap_or(fresh));
    }

    /// The moment that this machine's `time` is for everybody.
    #[must_use]
    pub fn correct(&self, time: SystemTime) -> Moment {
        let shift = self.shift();
        Moment(u64::try_from(signed(time).saturating_add(shift)).unwrap_or(0))
    }

    /// This machine's time at everybody's `moment`.
    #[must_use]
    pub fn local(&self, moment: Moment) -> SystemTime {
        let shift = self.shift();
        let local = i64::try_from(moment.0).unwrap_or(i64::MAX).saturating_sub(shift);
        SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(local).unwrap_or(0))
    }

    /// Most clocks are right. So while the bounds are wide, a clock is believed unless they
    /// contradict it: their middle may be half a second off.
    fn shift(&self) -> i64 {
        match self.bounds {
            Some(bounds) if bounds.is_narrow() || !bounds.has_zero() => bounds.middle(),
            _ => 0,
        }
    }

    /// By how much the correction may still be wrong; `None` before the first answer.
    #[must_use]
    pub fn uncertainty(&self, now: SystemTime) -> Option<Duration> {
        let Bounds { low, high, .. } = self.bounds?.widened(now);
        let shift = self.shift();
        Some(Duration::from_micros((high - shift).max(shift - low).unsigned_abs()))
    }
}

/// Bounds this far apart or less are narrow.
const NARROW_MICROS: i64 = 200_000;

impl Bounds {
    fn is_narrow(self) -> bool {
        self.high - self.low <= NARROW_MICROS
    }

    fn has_zero(self) -> bool {
        self.low <= 0 && 0 <= self.high
    }

    fn middle(self) -> i64 {
        (self.low + self.high) / 2
    }

    /// As they are some time later.
    fn widened(self, now: SystemTime) -> Self {
        let passed = (signed(now) - signed(self.at)).max(0);
        let drift = passed.saturating_mul(DRIFT_PER_MILLION) / 1_000_000;
        Self { low: self.low.saturating_sub(drift), high: self.high.saturating_add(drift), at: now }
    }
}

/// Microseconds since the epoch.
fn signed(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 4)
}

/// A correction that several share: who hears the answers tells it, who asks for the time reads it.
#[derive(Clone, Debug, Default)]
pub struct SharedCorrection(Arc<Mutex<ClockCorrection>>);

impl SharedCorrection {
    /// No answer seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// See [`ClockCorrection::learns`].
    pub fn learns(&self, sent: SystemTime, received: SystemTime, date: SystemTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).learns(sent, received, date);
    }

    /// See [`ClockCorrection::correct`].
    #[must_use]
    pub fn correct(&self, time: SystemTime) -> Moment {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).correct(time)
    }

    /// See [`ClockCorrection::uncertainty`].
    #[must_use]
    pub fn uncertainty(&self, now: SystemTime) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).uncertainty(now)
    }
}
