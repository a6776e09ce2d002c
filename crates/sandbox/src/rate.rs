//! What the API takes in a span of time.

use std::{collections::VecDeque, str::FromStr, time::Duration};

use crate::fault::parse_time;

/// A limit on what the API takes in a span of time.
///
/// Read from a text `AMOUNT/SPAN[,fixed|,bucket=N]`: `100/20s`, `2/s,bucket=40`, `500/1m,fixed`. It
/// counts calls; set [`Rate::measure`] for another measure. An amount that is a time counts how long
/// calls take: `20m/5m`.
///
/// ```
/// # use slowlane_sandbox::{Rate, Window};
/// let rate: Rate = "2/s,bucket=40".parse().unwrap();
/// assert_eq!((rate.amount, rate.window), (2, Window::Bucket { holds: 40 }));
/// assert_eq!(rate.to_string(), "2/1s,bucket=40");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What is counted.
    pub measure: Measure,
    /// How much of it is taken in the span.
    pub amount: u64,
    /// The span.
    pub per: Duration,
    /// How it is counted.
    pub window: Window,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Calls in a short span.
    Calls,
    /// What a call weighs ([`Api::units`](crate::Api::units)), such as tokens or points.
    Units,
    /// Calls in a long span, such as a day: APIs refuse it in other words.
    Quota,
    /// How long calls take, in milliseconds. A call counts when it comes.
    Time,
}

/// How a rate is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// No span of that length has more, wherever it begins.
    Sliding,
    /// Spans follow one another, the first begins with the epoch.
    Fixed,
    /// A bucket that fills evenly.
    Bucket {
        /// How much it holds.
        holds: u64,
    },
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The rate.
    pub rate: Rate,
    /// How much of it is left now.
    pub left: u64,
    /// How long until all of it is there again.
    pub resets_in: Duration,
}

/// The text is not a rate.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error(
    "'{0}' is not a rate: write AMOUNT/SPAN such as 100/20s, then ,fixed or ,bucket=N if it is one"
)]
pub struct ParseRateError(String);

impl Rate {
    /// The most that is taken at once.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        match self.window {
            Window::Sliding | Window::Fixed => self.amount,
            Window::Bucket { holds } => holds,
        }
    }
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseRateError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Rate> {
    let (rate, window) = match text.split_once(',') {
        None => (text, Window::Sliding),
        Some((rate, "fixed")) => (rate, Window::Fixed),
        Some((rate, bucket)) => {
            let holds = bucket.strip_prefix("bucket=")?.parse().ok().filter(|holds| *holds > 0)?;
            (rate, Window::Bucket { holds })
        }
    };
    let (amount, per) = rate.split_once('/')?;
    let (measure, amount) = match amount.parse::<u64>() {
        Ok(calls) => (Measure::Calls, calls),
        Err(_) => (Measure::Time, u64::try_from(parse_time(amount)?.as_millis()).ok()?),
    };
    if amount == 0 {
        return None;
    }
    // `2/s` is two in one second.
    let one = per.starts_with(|c: char| c.is_ascii_alphabetic());
    let per = if one { parse_time(&format!("1{per}")) } else { parse_time(per) };
    let per = per.filter(|per| !per.is_zero())?;
    Some(Rate { measure, amount, per, window })
}

impl std::fmt::Display for Rate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = if self.measure == Measure::Time { "ms" } else { "" };
        write!(out, "{}{unit}/{}s", self.amount, self.per.as_secs_f64())?;
        match self.window {
            Window::Sliding => Ok(()),
            Window::Fixed => write!(out, ",fixed"),
            Window::Bucket { holds } => write!(out, ",bucket={holds}"),
        }
    }
}

/// A rate, and what has been counted of it.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Rate,
    counted: Counted,
}

#[derive(Debug)]
enum Counted {
    /// By moment, oldest first, and their sum.
    Sliding { taken: VecDeque<(Duration, u64)>, units: u64 },
    /// In the window of this number.
    Fixed { window: u128, units: u64 },
    /// What the bucket holds, as of a moment.
    Bucket { holds: f64, at: Duration },
}

/// Why a rate does not take a call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// It will after this time, if no other call comes.
    For(Duration),
    /// It never will: the call is larger than the whole rate.
    Always,
}

impl Meter {
    pub(crate) fn new(rate: Rate) -> Self {
        let counted = match rate.window {
            Window::Sliding => Counted::Sliding { taken: VecDeque::new(), units: 0 },
            Window::Fixed => Counted::Fixed { window: 0, units: 0 },
            Window::Bucket { holds } => Counted::Bucket { holds: holds as f64, at: Duration::ZERO },
        };
        Self { rate, counted }
    }

    pub(crate) fn measure(&self) -> Measure {
        self.rate.measure
    }

    /// Whether the rate takes a call of so many units now.
    pub(crate) fn check(&mut self, units: u64, now: Duration) -> Result<(), Full> {
        if units > self.rate.capacity() {
            return Err(Full::Always);
        }
        match self.wait_until_left(units, now) {
            Duration::ZERO => Ok(()),
            wait => Err(Full::For(wait)),
        }
    }

    /// Counts a call that was taken.
    pub(crate) fn count(&mut self, units: u64, now: Duration) {
        self.forget(now);
        match &mut self.counted {
            Counted::Sliding { taken, units: sum } => {
                taken.push_back((now, units));
                *sum += units;
            }
            Counted::Fixed { units: sum, .. } => *sum += units,
            Counted::Bucket { holds, .. } => *holds -= units as f64,
        }
    }

    pub(crate) fn remaining(&mut self, now: Duration) -> Remaining {
        self.forget(now);
        let capacity = self.rate.capacity();
        let left = match &self.counted {
            Counted::Sliding { units, .. } | Counted::Fixed { units, .. } => {
                capacity.saturating_sub(*units)
            }
            Counted::Bucket { holds, .. } => holds.max(0.0) as u64,
        };
        Remaining { rate: self.rate, left, resets_in: self.wait_until_left(capacity, now) }
    }

    /// How long until so much is left.
    fn wait_until_left(&mut self, wanted: u64, now: Duration) -> Duration {
        self.forget(now);
        let Rate { amount, per, .. } = self.rate;
        let room = self.rate.capacity().saturating_sub(wanted);
        match &self.counted {
            Counted::Fixed { units, .. } if *units <= room => Duration::ZERO,
            Counted::Fixed { window, .. } => {
                let ends = u64::try_from((*window + 1) * per.as_nanos()).unwrap_or(u64::MAX);
                Duration::from_nanos(ends).saturating_sub(now)
            }
            Counted::Sliding { taken, units } => {
                let mut units = *units;
                let mut frees = Duration::ZERO;
                let mut oldest = taken.iter();
                while units > room
                    && let Some((at, gone)) = oldest.next()
                {
                    units -= gone;
                    frees = (*at + per).saturating_sub(now);
                }
                frees
            }
            Counted::Bucket { holds, .. } => {
                let lacks = (wanted as f64 - holds).max(0.0);
                let wait = per.as_secs_f64() * lacks / amount as f64;
                // A rounding error must not count as a millisecond.
                Duration::from_millis((wait * 1e3 - 1e-6).ceil() as u64)
            }
        }
    }

    /// Forgets what no longer counts.
    fn forget(&mut self, now: Duration) {
        let Rate { amount, per, .. } = self.rate;
        let capacity = self.rate.capacity() as f64;
        match &mut self.counted {
            Counted::Sliding { taken, units } => {
                while let Some((_, gone)) = taken.pop_front_if(|(at, _)| *at + per <= now) {
                    *units -= gone;
                }
            }
            Counted::Fixed { window, units } => {
                let current = now.as_nanos() / per.as_nanos();
                if current != *window {
                    (*window, *units) = (current, 0);
                }
            }
            Counted::Bucket { holds, at } => {
                let fills =
                    now.saturating_sub(*at).as_secs_f64() * amount as f64 / per.as_secs_f64();
                (*holds, *at) = ((*holds + fills).min(capacity), now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_800_000_000);

    fn meter(text: &str) -> Meter {
        Meter::new(text.parse().unwrap())
    }

    fn at(millis: u64) -> Duration {
        START + Duration::from_millis(millis)
    }

    /// How many calls of one unit are taken in a moment.
    fn taken(meter: &mut Meter, now: Duration) -> u64 {
        let mut taken = 0;
        while meter.check(1, now).is_ok() {
            meter.count(1, now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn texts_become_rates_or_name_the_bad_text() {
        for text in ["100/20s", "2/1s,bucket=40", "500/60s,fixed", "15000/86400s"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("2/s".parse::<Rate>(), "2/1s".parse());
        assert_eq!("9/1d".parse::<Rate>(), "9/24h".parse());
        let time: Rate = "20m/5m".parse().unwrap();
        assert_eq!((time.measure, time.to_string()), (Measure::Time, "1200000ms/300s".to_owned()));
        assert_eq!(time.to_string().parse(), Ok(time));
        for text in
            ["", "100", "0/1s", "1/0s", "1/x", "1/1s,bucket=0", "1/1s,round", "-1/s", "0s/1s"]
        {
            assert_eq!(text.parse::<Rate>(), Err(ParseRateError(text.to_owned())));
        }
    }

    #[test]
    fn no_sliding_window_has_more_than_its_amount() {
        let mut meter = meter("10/1s");
        assert_eq!(taken(&mut meter, at(500)), 10);
        assert_eq!(meter.check(1, at(600)), Err(Full::For(Duration::from_millis(900))));
        assert_eq!(taken(&mut meter, at(1_499)), 0);
        assert_eq!(taken(&mut meter, at(1_500)), 10);
    }

    #[test]
    fn a_fixed_window_begins_anew() {
        let mut meter = meter("10/10s,fixed");
        assert_eq!(taken(&mut meter, at(9_000)), 10);
        assert_eq!(meter.check(1, at(9_000)), Err(Full::For(Duration::from_secs(1))));
        assert_eq!(taken(&mut meter, at(10_000)), 10);
    }

    #[test]
    fn a_bucket_fills_evenly_and_holds_its_burst() {
        let mut meter = meter("20/s,bucket=40");
        assert_eq!(taken(&mut meter, at(0)), 40);
        assert_eq!(meter.check(1, at(0)), Err(Full::For(Duration::from_millis(50))));
        assert_eq!(taken(&mut meter, at(50)), 1);
        assert_eq!(taken(&mut meter, at(10_000)), 40);
    }

    #[test]
    fn what_is_larger_than_the_whole_is_never_taken() {
        let mut meter = meter("100/60s");
        assert_eq!(meter.check(101, at(0)), Err(Full::Always));
        assert_eq!(meter.check(100, at(0)), Ok(()));
    }

    #[test]
    fn what_is_left_and_when_all_of_it_is_back_can_be_told() {
        for (text, left, resets_in) in
            [("10/10s", 7, 9_000), ("10/10s,fixed", 7, 9_000), ("1/s,bucket=10", 8, 2_000)]
        {
            let mut meter = meter(text);
            meter.count(3, at(0));
            let Remaining { left: was, resets_in: resets, .. } = meter.remaining(at(1_000));
            assert_eq!((was, resets), (left, Duration::from_millis(resets_in)), "{text}");
        }
    }
}
