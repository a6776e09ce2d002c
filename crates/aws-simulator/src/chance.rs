//! Randomness under a seed: dice, and the distributions that latencies are drawn from.

use std::time::Duration;

/// A seeded source of randomness. Each purpose has its own stream, so that one more draw for a
/// latency does not change which faults strike.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The dice of one `stream` (any fixed number) under a run's `seed`.
    pub fn new(seed: u64, stream: u64) -> Dice {
        // Neighbouring seeds must not give neighbouring streams: fork once from the mixed seed.
        let mut root = fastrand::Rng::with_seed(seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Dice(root.fork())
    }

    /// True with probability `p`; draws nothing when `p` is 0 or less.
    pub fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && self.0.f64() < p
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.u64(0..n) }
    }

    /// A number in `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        self.0.f64()
    }

    /// A fresh seed.
    pub fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A latency, in whole milliseconds: the fraction is rounded up or down by chance, so that
    /// the mean stays true although timers have a grain of 1 ms.
    pub fn draw(&mut self, latency: &Latency) -> Duration {
        let millis = match *latency {
            Latency::Fixed(fixed) => return fixed,
            Latency::LogNormal { median_ms, p99_ms } => {
                median_ms * (sigma(median_ms, p99_ms) * self.normal()).exp()
            }
            Latency::Exponential { mean_ms } => -mean_ms * (1.0 - self.fraction()).ln(),
        };
        let whole = millis.floor();
        let up = self.happens(millis - whole);
        Duration::from_millis(whole as u64 + u64::from(up))
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.fraction()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.fraction()).cos()
    }
}

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Log-normal, given by its median and its 99th percentile, both in milliseconds.
    LogNormal {
        /// Half of the draws are below this.
        median_ms: f64,
        /// 99 of 100 draws are below this.
        p99_ms: f64,
    },
    /// Exponential: the gap between events that know nothing of each other.
    Exponential {
        /// The mean, in milliseconds.
        mean_ms: f64,
    },
}

impl Latency {
    /// One AWS request, there and back: median 6 ms, p99 40 ms.
    pub const AWS_REQUEST: Latency = Latency::LogNormal { median_ms: 6.0, p99_ms: 40.0 };

    /// The mean, in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        match *self {
            Latency::Fixed(fixed) => fixed.as_secs_f64() * 1000.0,
            Latency::LogNormal { median_ms, p99_ms } => {
                let sigma = sigma(median_ms, p99_ms);
                median_ms * (sigma * sigma / 2.0).exp()
            }
            Latency::Exponential { mean_ms } => mean_ms,
        }
    }

    /// Always `millis` milliseconds.
    pub fn fixed_ms(millis: u64) -> Latency {
        Latency::Fixed(Duration::from_millis(millis))
    }
}

/// The standard deviation of the logarithm: 2.3263 is the 0.99 quantile of the standard normal
/// distribution.
fn sigma(median_ms: f64, p99_ms: f64) -> f64 {
    (p99_ms / median_ms).ln() / 2.326_347_874
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_normal_has_the_median_and_p99_it_was_asked_for() {
        let mut dice = Dice::new(7, 0);
        let mut draws: Vec<u64> =
            (0..20_000).map(|_| dice.draw(&Latency::AWS_REQUEST).as_millis() as u64).collect();
        draws.sort_unstable();
        assert!((5..=7).contains(&draws[10_000]), "median {}", draws[10_000]);
        assert!((34..=46).contains(&draws[19_800]), "p99 {}", draws[19_800]);
    }

    #[test]
    fn rounding_to_milliseconds_keeps_the_mean() {
        let mut dice = Dice::new(7, 1);
        let short = Latency::Exponential { mean_ms: 0.4 };
        let total: u128 = (0..100_000).map(|_| dice.draw(&short).as_millis()).sum();
        assert!((39_000..41_000).contains(&total), "sum {total}");
    }
}
