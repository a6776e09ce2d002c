//! How long the API takes for a call.

use std::{str::FromStr, time::Duration};

/// The distribution that each admitted call's service time is drawn from.
///
/// Read from a text: `200` or `fixed:200` (milliseconds), `uniform:100..400`,
/// `lognormal:median=2000,sigma=1`.
///
/// ```
/// # use slowlane_sandbox::Latency;
/// let latency: Latency = "lognormal:median=2000,sigma=1".parse().unwrap();
/// assert_eq!(latency.to_string(), "lognormal:median=2000,sigma=1");
/// assert!("lognormal:median=2000".parse::<Latency>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Evenly spread between two bounds.
    Uniform {
        /// The shortest.
        from: Duration,
        /// The longest.
        to: Duration,
    },
    /// The shape that measured services have: most calls near the median, few far above it.
    LogNormal {
        /// Half of the calls are shorter than this.
        median: Duration,
        /// Standard deviation of the logarithm; at 1, one call in twenty takes over five medians.
        sigma: f64,
    },
}

impl Latency {
    /// One service time, never above [`Latency::LONGEST`].
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> Duration {
        match *self {
            Self::Fixed(time) => time,
            Self::Uniform { from, to } => from + to.saturating_sub(from).mul_f64(rng.f64()),
            Self::LogNormal { median, sigma } => {
                let seconds = median.as_secs_f64() * (sigma * standard_normal(rng)).exp();
                Duration::try_from_secs_f64(seconds).unwrap_or(Self::LONGEST)
            }
        }
        .min(Self::LONGEST)
    }

    /// No call is longer: servers end a request after some minutes, and NetSuite after 15.
    pub const LONGEST: Duration = Duration::from_secs(15 * 60);
}

/// Box and Muller's transform; one of its two values is enough here.
fn standard_normal(rng: &mut fastrand::Rng) -> f64 {
    let uniform_above_zero = 1.0 - rng.f64();
    (-2.0 * uniform_above_zero.ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// The text is not a latency.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error(
    "'{0}' is not a latency: write milliseconds (200), uniform:100..400 or lognormal:median=2000,sigma=1"
)]
pub struct ParseLatencyError(String);

impl FromStr for Latency {
    type Err = ParseLatencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseLatencyError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Latency> {
    let (kind, parameters) = text.split_once(':').unwrap_or(("fixed", text));
    match kind {
        "fixed" => Some(Latency::Fixed(millis(parameters)?)),
        "uniform" => {
            let (from, to) = parameters.split_once("..")?;
            let (from, to) = (millis(from)?, millis(to)?);
            (from <= to).then_some(Latency::Uniform { from, to })
        }
        "lognormal" => {
            let (median, sigma) = parameters.split_once(',')?;
            let median = millis(median.strip_prefix("median=")?)?;
            let sigma: f64 = sigma.strip_prefix("sigma=")?.parse().ok()?;
            (sigma.is_finite() && sigma >= 0.0).then_some(Latency::LogNormal { median, sigma })
        }
        _ => None,
    }
}

fn millis(text: &str) -> Option<Duration> {
    let millis: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(millis / 1000.0).ok().filter(|time| *time <= Latency::LONGEST)
}

impl std::fmt::Display for Latency {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |time: &Duration| time.as_secs_f64() * 1000.0;
        match self {
            Self::Fixed(time) => write!(out, "{}", millis(time)),
            Self::Uniform { from, to } => write!(out, "uniform:{}..{}", millis(from), millis(to)),
            Self::LogNormal { median, sigma } => {
                write!(out, "lognormal:median={},sigma={sigma}", millis(median))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_latencies_or_name_the_bad_text() {
        let ms = Duration::from_millis;
        let good = [
            ("200", Latency::Fixed(ms(200))),
            ("fixed:0", Latency::Fixed(ms(0))),
            ("uniform:100..400", Latency::Uniform { from: ms(100), to: ms(400) }),
            (
                "lognormal:median=2000,sigma=0.5",
                Latency::LogNormal { median: ms(2000), sigma: 0.5 },
            ),
        ];
        for (text, latency) in good {
            assert_eq!(text.parse(), Ok(latency));
            assert_eq!(latency.to_string().parse(), Ok(latency));
        }
        for text in [
            "",
            "fast",
            "-1",
            "NaN",
            "uniform:400..100",
            "lognormal:median=1",
            "lognormal:median=1,sigma=-1",
            "901000",
        ] {
            assert_eq!(text.parse::<Latency>(), Err(ParseLatencyError(text.to_owned())));
        }
    }

    #[test]
    fn a_lognormal_has_its_median_and_spread() {
        let latency: Latency = "lognormal:median=1000,sigma=1".parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut drawn: Vec<_> = (0..20_000).map(|_| latency.draw(&mut rng).as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        let quantile = |q: f64| drawn[(drawn.len() as f64 * q) as usize];
        assert!((0.95..1.05).contains(&quantile(0.5)), "median {}", quantile(0.5));
        // e^1.645 = 5.18 is the 95th percentile of a lognormal of median 1 and sigma 1.
        assert!((4.8..5.6).contains(&quantile(0.95)), "p95 {}", quantile(0.95));
    }
}
