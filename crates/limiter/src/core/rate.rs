//! How far apart calls must be so that no window of an API's is passed.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ledger::{RateTake, Span};
use super::units::Units;
use crate::core::units::units_in;
use crate::moment::as_micros;

/// A rate as its API counts it: so many units in so long.
///
/// ```
/// use std::time::Duration;
/// use slowlane_limiter::{Margin, Rate};
///
/// let rate = Rate::new(100, Duration::from_secs(10));
/// let pace = rate.pace(&Margin::default())?;
/// assert_eq!(pace.cost(1)?, Duration::from_micros(102_340));
/// # Ok::<_, slowlane_limiter::RateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Units that the API takes in `per`: calls, points or tokens.
    pub units: u64,
    /// The length of its window, or the time in which its bucket fills by `units`.
    #[serde(with = "as_micros", rename = "per_us")]
    pub per: Duration,
    /// How it counts.
    pub window: Window,
    /// Units of the largest call. A larger one is refused by name. With 1, each call counts as one.
    pub largest: u64,
    /// Units that may go at once beyond the first call, after a time without calls. `None`: as
    /// many as cost no throughput, which is none with windows.
    pub burst: Option<u64>,
    /// Units that are left out, for what calls on their way take beyond the most they were said to.
    /// See [`Rate::tokens`].
    pub carry: u64,
}

/// How an API counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Windows that follow each other. Nobody knows where they begin.
    Fixed,
    /// Every stretch of time of the window's length.
    Sliding,
    /// A bucket of this capacity that fills steadily.
    Bucket {
        /// Units that it holds when it is full.
        capacity: u64,
    },
}

/// What may pass between the moment that was granted and the moment at which the API counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Margin {
    /// A grant used later than this is void.
    #[serde(with = "as_micros", rename = "lateness_us")]
    pub lateness: Duration,
    /// The difference between the quickest and the slowest way to the API.
    #[serde(with = "as_micros", rename = "jitter_us")]
    pub jitter: Duration,
    /// How far any clock of the fleet may be off, after its correction.
    #[serde(with = "as_micros", rename = "skew_us")]
    pub skew: Duration,
}

impl Default for Margin {
    /// 50 ms late, 50 ms of jitter, clocks off by 67 ms: what a
    /// [correction](crate::ClockCorrection) by 30 answers reaches in 99 of 100 cases.
    fn default() -> Self {
        Self {
            lateness: Duration::from_millis(50),
            jitter: Duration::from_millis(50),
            skew: Duration::from_millis(67),
        }
    }
}

impl Margin {
    /// No margin: for an exact clock and calls that arrive at once.
    pub const NONE: Self =
        Self { lateness: Duration::ZERO, jitter: Duration::ZERO, skew: Duration::ZERO };

    /// By how much two calls may be closer at the API than they were granted: one clock may be
    /// early and the other late.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.lateness.saturating_add(self.jitter).saturating_add(self.skew.saturating_mul(2))
    }
}

/// Why a rate cannot be kept, or a call not be made under it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No units, no time, or no largest call.
    #[error("a rate needs units, a time and a largest call that are more than zero")]
    Zero,
    /// What must fit at once is more than the API takes at once.
    #[error(
        "the largest call, the burst and what settling carries are {needed} units together, \
         more than the {available} that the API takes at once"
    )]
    DoesNotFit {
        /// Units of `largest`, `burst` and `carry` together.
        needed: u64,
        /// Units of the window or of the bucket.
        available: u64,
    },
    /// The interval between two units is longer than can be reckoned with.
    #[error("the interval between two units is too long")]
    TooSlow,
    /// The call is larger than the limit allows for.
    #[error("a call of {units} units is larger than the largest that this limit takes, {largest}")]
    CallTooLarge {
        /// Its units.
        units: u64,
        /// The most it may have.
        largest: u64,
    },
}

impl Rate {
    /// `units` in any stretch of time of length `per`, each call one unit. That keeps fixed
    /// windows too, wherever they begin.
    #[must_use]
    pub fn new(units: u64, per: Duration) -> Self {
        Self { units, per, window: Window::Sliding, largest: 1, burst: None, carry: 0 }
    }

    /// The rate of one who has so many times as much. Its largest call stays as large.
    #[must_use]
    pub fn times(self, weight: NonZeroU32) -> Self {
        let weight = u64::from(weight.get());
        let window = match self.window {
            Window::Bucket { capacity } => {
                Window::Bucket { capacity: capacity.saturating_mul(weight) }
            }
            window => window,
        };
        Self { units: self.units.saturating_mul(weight), window, ..self }
    }

    /// A vendor's bucket of `capacity` that fills by `units` in `per`.
    #[must_use]
    pub fn bucket(capacity: u64, units: u64, per: Duration) -> Self {
        Self { window: Window::Bucket { capacity }, ..Self::new(units, per) }
    }

    /// `units` (tokens, points) in `per`, of which a call reserves up to `largest` and
    /// [settles](crate::Limiter::settle) to what it used.
    ///
    /// A ledger keeps it: each call counts for the most that it may take, and from its settling on
    /// for what it took. Nothing is left out. Only calls that take more than the most they were said
    /// to need a `carry`, of as much as those on their way take too much together.
    #[must_use]
    pub fn tokens(units: u64, per: Duration, largest: u64) -> Self {
        Self { largest, ..Self::new(units, per) }
    }

    /// The interval that keeps this rate, with `margin` for what is not exact.
    ///
    /// *Windows* of N units in W, for calls of up to c units, a burst of b beyond the first call
    /// and r carried: (W + margin) / (N - c - b - r + 1) a unit. *A bucket* of capacity B: W / N a
    /// unit, or as much more as c + b + r + margin / interval <= B asks for.
    ///
    /// # Errors
    /// The rate contradicts itself: [`enum@Error`].
    pub fn pace(&self, margin: &Margin) -> Result<Pace, Error> {
        if self.units == 0 || self.per.is_zero() || self.largest == 0 {
            return Err(Error::Zero);
        }
        let (per, margin) = (self.per.as_nanos(), margin.total().as_nanos());
        let at_once = self.largest.saturating_add(self.carry);
        let (interval, burst) = match self.window {
            Window::Fixed | Window::Sliding => {
                let burst = self.burst.unwrap_or(0);
                let units = room(self.units, at_once.saturating_add(burst))? + 1;
                ((per + margin).div_ceil(u128::from(units)), burst)
            }
            Window::Bucket { capacity } => self.bucket_interval(capacity, per, margin)?,
        };
        let unit_nanos = u64::try_from(interval).map_err(|_| Error::TooSlow)?;
        Ok(Pace { unit_nanos, burst, largest: self.largest })
    }

    /// Whether each call counts as one.
    #[must_use]
    pub fn counts_calls(&self) -> bool {
        self.largest == 1
    }

    /// What a call takes of it where a [`Ledger`](crate::Ledger) keeps it.
    ///
    /// *Windows* of N units in W hold N of any W + margin. The pace is (W + margin) / N a unit, and
    /// keeps calls from going all at once. *A bucket* of capacity B: W / N a unit, and a call goes when
    /// the bucket has its units, with margin / interval of them left out.
    ///
    /// # Errors
    /// The rate contradicts itself, or the call is larger than it allows: [`enum@Error`].
    pub fn take(&self, units: Units, margin: &Margin) -> Result<RateTake, Error> {
        let Self { largest, .. } = *self;
        let pace = self.pace(margin)?;
        if self.counts_calls() {
            let (pace, ahead) = (pace.cost(1)?, pace.burst());
            return Ok(RateTake { pace, ahead, counts_calls: true, ..RateTake::default() });
        }
        let too_large = Error::CallTooLarge { units: units.expected, largest };
        let Units { expected, most } = units.within(largest).ok_or(too_large)?;
        let (per, margin) = (self.per.as_nanos(), margin.total());
        let length = self.per.saturating_add(margin);
        let of = |units: u64, nanos: u128, each: u64| {
            let nanos = u128::from(units).saturating_mul(nanos).div_ceil(u128::from(each.max(1)));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        match self.window {
            Window::Fixed | Window::Sliding => {
                let limit = room(self.units, self.carry)?;
                room(limit, largest)?;
                let pace = |units| of(units, length.as_nanos(), limit);
                let window = Some(Span { limit, length });
                let (pace, ahead) = (pace(expected), pace(largest));
                Ok(RateTake { units: most, pace, ahead, window, ..RateTake::default() })
            }
            Window::Bucket { capacity } => {
                let refill = per.div_ceil(u128::from(self.units));
                let bunched = margin.as_nanos().div_ceil(refill);
                let bunched = u64::try_from(bunched).unwrap_or(u64::MAX);
                let units = most.max(expected);
                let holds = capacity.saturating_sub(self.carry).saturating_sub(bunched);
                let (pace, ahead) = match holds < largest {
                    // So small a bucket is kept by going slowly.
                    true => (pace.of_units(units), pace.burst()),
                    false => (of(units, per, self.units), of(holds - units, per, self.units)),
                };
                Ok(RateTake { pace, ahead, ..RateTake::default() })
            }
        }
    }

    fn bucket_interval(
        &self,
        capacity: u64,
        per: u128,
        margin: u128,
    ) -> Result<(u128, u64), Error> {
        let refill = per.div_ceil(u128::from(self.units));
        let at_once = self.largest.saturating_add(self.carry);
        // Units that may come closer together than they were granted.
        let bunched = u64::try_from(margin.div_ceil(refill)).unwrap_or(u64::MAX);
        let free = room(capacity, at_once)?;
        let burst = self.burst.unwrap_or_else(|| free.saturating_sub(bunched));
        let left = room(capacity, at_once.saturating_add(burst))?;
        // With nothing left in the bucket each call must find it full again.
        let full_again = refill + margin;
        let interval = match left {
            0 if margin == 0 => refill,
            0 if burst == 0 && self.carry == 0 => full_again,
            0 => return Err(self.too_much(at_once.saturating_add(burst) + 1, capacity)),
            left => refill.max(margin.div_ceil(u128::from(left))),
        };
        let apart = if burst == 0 && self.carry == 0 { interval.min(full_again) } else { interval };
        Ok((apart, burst))
    }

    fn too_much(&self, needed: u64, available: u64) -> Error {
        Error::DoesNotFit { needed, available }
    }
}

impl fmt::Display for Rate {
    /// `100/10s`; `2/s in a bucket of 40`; `30000/1m in calls of up to 4000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units_in(self.units, self.per))?;
        if let Window::Bucket { capacity } = self.window {
            write!(f, " in a bucket of {capacity}")?;
        }
        match self.largest {
            1 => Ok(()),
            largest => write!(f, " in calls of up to {largest}"),
        }
    }
}

/// What is left of `available`.
fn room(available: u64, needed: u64) -> Result<u64, Error> {
    available.checked_sub(needed).ok_or(Error::DoesNotFit { needed, available })
}

/// The interval that keeps a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    unit_nanos: u64,
    burst: u64,
    largest: u64,
}

impl Pace {
    /// How long a call of `units` keeps the next one waiting, in whole microseconds.
    ///
    /// # Errors
    /// [`Error::CallTooLarge`]: no waiting would help.
    pub fn cost(&self, units: u64) -> Result<Duration, Error> {
        if units > self.largest {
            return Err(Error::CallTooLarge { units, largest: self.largest });
        }
        Ok(self.of_units(units))
    }

    /// The time that `units` take, even where they are more than one call may have.
    #[must_use]
    pub fn of_units(&self, units: u64) -> Duration {
        let micros = (u128::from(units) * u128::from(self.unit_nanos)).div_ceil(1000);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// How far ahead of its pace a call may go.
    #[must_use]
    pub fn burst(&self) -> Duration {
        // Down, as the cost goes up: a burst must not gain by rounding.
        let micros = u128::from(self.burst) * u128::from(self.unit_nanos) / 1000;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The same with an interval `parts` times as long: a share of the rate for each of so many
    /// who cannot hear of each other.
    #[must_use]
    pub fn split(&self, parts: u32) -> Self {
        Self { unit_nanos: self.unit_nanos.saturating_mul(parts.max(1).into()), burst: 0, ..*self }
    }

    /// The same without a burst.
    #[must_use]
    pub fn without_burst(&self) -> Self {
        Self { burst: 0, ..*self }
    }
}
