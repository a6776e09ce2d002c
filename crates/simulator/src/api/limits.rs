//! What the API takes: calls at once, which may change and which others use too, and units in a
//! span of time. It counts as real ones do, and tells its callers nothing of it but 429.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use slowlane_aws_simulator::chance::Dice;
use slowlane_aws_simulator::time::Moment;
use slowlane_limiter::Left;

use crate::scenario::{Api, Others, Rate, Window};

/// What the API takes at present.
#[derive(Debug)]
pub struct Limits {
    at_once: AtOnce,
    rates: Vec<Counted>,
    /// Requests it works on, those whose caller is gone included.
    working: u32,
}

/// A request, as the limits see it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Whose it is.
    pub tenant: Option<u32>,
    /// How many units it has.
    pub units: u64,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller's own requests are too many, also without anybody else's.
    Own {
        /// How long until such a request would be taken, if no other came. For calls at once nobody
        /// knows.
        wait: Option<Duration>,
    },
    /// There would be room, did others not use it.
    Others,
}

impl Limits {
    /// The limits of an API, of which `limit` calls at once is one if it has none of its own. The
    /// seed draws where windows begin and what others use.
    pub fn new(api: &Api, limit: u32, seed: u64) -> Limits {
        let mut dice = Dice::new(seed, 8);
        let at_once = AtOnce {
            base: api.concurrency.unwrap_or(limit),
            steps: api.concurrency_steps.clone(),
            others: api.others.clone(),
            seed,
        };
        let rates = api.rates.iter().map(|rate| Counted::new(rate.clone(), &mut dice)).collect();
        Limits { at_once, rates, working: 0 }
    }

    /// Takes a request, or refuses it; one that is refused counts nowhere.
    ///
    /// # Errors
    /// It is refused.
    pub fn take(&mut self, request: Request, now: Moment) -> Result<(), Refused> {
        let at_once = self.at_once.at(now);
        if self.working >= at_once {
            return Err(Refused::Own { wait: None });
        }
        if self.working + self.at_once.others_at(now) >= at_once {
            return Err(Refused::Others);
        }
        let waits = self.holding(now).map(|rate| rate.wait_for(request, now));
        let wait = waits.max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(Refused::Own { wait: Some(wait) });
        }
        self.holding(now).for_each(|rate| rate.counts(request, now));
        self.working += 1;
        Ok(())
    }

    /// What is left of each rate that is everybody's, as its answers may say it.
    pub fn left(&mut self, request: Request, now: Moment) -> Vec<Left> {
        let everybodys = self.holding(now).filter(|rate| rate.rate.per.is_none());
        everybodys.map(|rate| rate.left(request, now)).collect()
    }

    fn holding(&mut self, now: Moment) -> impl Iterator<Item = &mut Counted> {
        let second = now.millis() / 1_000;
        self.rates.iter_mut().filter(move |counted| counted.rate.holds_in(second))
    }

    /// The API has done with a request that it took.
    pub fn is_done(&mut self) {
        self.working -= 1;
    }

    /// How many requests it works on.
    pub fn working(&self) -> u32 {
        self.working
    }

    /// How many of our calls it takes at once at present.
    pub fn at_once(&self, now: Moment) -> u32 {
        self.at_once.at(now).saturating_sub(self.at_once.others_at(now))
    }

    /// The API takes so many at once from now on, if it took fewer.
    pub fn raise(&mut self, limit: u32) {
        self.at_once.base = self.at_once.base.max(limit);
    }
}

/// Calls at once.
#[derive(Debug)]
struct AtOnce {
    base: u32,
    steps: Vec<(u64, u32)>,
    others: Option<Others>,
    seed: u64,
}

impl AtOnce {
    fn at(&self, now: Moment) -> u32 {
        let past = |step: &&(u64, u32)| now.millis() >= step.0 * 1000;
        self.steps.iter().rev().find(past).map_or(self.base, |(_, at_once)| *at_once)
    }

    /// What others use now: drawn anew for each span, and the same whenever it is asked for.
    fn others_at(&self, now: Moment) -> u32 {
        let Some(Others { least, most, every_secs }) = self.others else { return 0 };
        let span = now.millis() / (every_secs * 1000);
        let drawn = Dice::new(self.seed ^ (span << 20), 9).below(u64::from(most - least) + 1);
        least + drawn as u32
    }
}

/// A rate, and what has been counted of it for each who has one.
#[derive(Debug)]
struct Counted {
    rate: Rate,
    /// Where fixed windows begin.
    phase: Duration,
    meters: HashMap<Option<u32>, Meter>,
}

/// What has been counted.
#[derive(Debug)]
enum Meter {
    /// Units in the window of this number.
    Fixed { window: u128, units: u64 },
    /// Units by their moments, oldest first, and their sum.
    Sliding { taken: VecDeque<(Moment, u64)>, units: u64 },
    /// What is in the bucket, as of a moment.
    Bucket { holds: f64, at: Moment },
}

impl Counted {
    fn new(rate: Rate, dice: &mut Dice) -> Counted {
        let phase = rate.per().mul_f64(dice.fraction());
        Counted { rate, phase, meters: HashMap::new() }
    }

    /// How long until the request would be taken: zero if it is now.
    fn wait_for(&mut self, request: Request, now: Moment) -> Duration {
        let Counted { rate, phase, .. } = self;
        let (rate, phase) = (rate.clone(), *phase);
        let meter = self.meter(request, now);
        meter.forgets(&rate, phase, now);
        let room = rate.capacity().saturating_sub(request.units);
        match meter {
            Meter::Fixed { units, .. } if *units <= room => Duration::ZERO,
            Meter::Fixed { window, .. } => ends_of(*window, &rate, phase).since(now),
            Meter::Sliding { taken, units } => {
                let mut units = *units;
                let mut oldest = taken.iter();
                let mut wait = Duration::ZERO;
                while units > room
                    && let Some((at, gone)) = oldest.next()
                {
                    units -= gone;
                    wait = at.plus(rate.per()).since(now);
                }
                wait
            }
            Meter::Bucket { holds, .. } => {
                let lacks = (request.units as f64 - *holds).max(0.0);
                // A rounding error must not count as a millisecond.
                let wait = rate.per().mul_f64(lacks / rate.units as f64);
                Duration::from_millis((wait.as_secs_f64() * 1e3 - 1e-6).ceil() as u64)
            }
        }
    }

    fn left(&mut self, request: Request, now: Moment) -> Left {
        let Counted { rate, phase, .. } = self;
        let (rate, phase) = (rate.clone(), *phase);
        let meter = self.meter(request, now);
        meter.forgets(&rate, phase, now);
        let (units, resets_in) = match meter {
            Meter::Fixed { window, units } => {
                (rate.capacity() - *units, ends_of(*window, &rate, phase).since(now))
            }
            Meter::Sliding { taken, units } => {
                let last = taken.back().map(|(at, _)| at.plus(rate.per()).since(now));
                (rate.capacity() - *units, last.unwrap_or_default())
            }
            Meter::Bucket { holds, .. } => {
                let lacks = rate.capacity() as f64 - *holds;
                (*holds as u64, rate.per().mul_f64(lacks / rate.units as f64))
            }
        };
        let evenly = rate.window == Window::Bucket;
        Left { units, of: Some(rate.capacity()), resets_in, evenly }
    }

    fn counts(&mut self, request: Request, now: Moment) {
        match self.meter(request, now) {
            Meter::Fixed { units, .. } => *units += request.units,
            Meter::Sliding { taken, units } => {
                taken.push_back((now, request.units));
                *units += request.units;
            }
            Meter::Bucket { holds, .. } => *holds -= request.units as f64,
        }
    }

    fn meter(&mut self, request: Request, now: Moment) -> &mut Meter {
        let whose = self.rate.per.and(request.tenant);
        let (window, capacity) = (self.rate.window, self.rate.capacity());
        self.meters.entry(whose).or_insert_with(|| match window {
            Window::Fixed => Meter::Fixed { window: 0, units: 0 },
            Window::Sliding => Meter::Sliding { taken: VecDeque::new(), units: 0 },
            Window::Bucket => Meter::Bucket { holds: capacity as f64, at: now },
        })
    }
}

/// When the window of this number ends.
fn ends_of(window: u128, rate: &Rate, phase: Duration) -> Moment {
    let ends = u64::try_from((window + 1) * rate.per().as_nanos()).unwrap_or(u64::MAX);
    Moment::START.plus(Duration::from_nanos(ends).saturating_sub(phase))
}

impl Meter {
    /// Forgets what no longer counts.
    fn forgets(&mut self, rate: &Rate, phase: Duration, now: Moment) {
        match self {
            Meter::Fixed { window, units } => {
                let since = now.since(Moment::START) + phase;
                let current = since.as_nanos() / rate.per().as_nanos();
                if current != *window {
                    (*window, *units) = (current, 0);
                }
            }
            Meter::Sliding { taken, units } => {
                let is_over = |(at, _): &mut (Moment, u64)| at.plus(rate.per()) <= now;
                while let Some((_, gone)) = taken.pop_front_if(is_over) {
                    *units -= gone;
                }
            }
            Meter::Bucket { holds, at } => {
                let fills = now.since(*at).as_secs_f64() * rate.units as f64 / rate.per_secs;
                *holds = (*holds + fills).min(rate.capacity() as f64);
                *at = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Per;

    const ONE: Request = Request { tenant: None, units: 1 };

    fn limits(api: Api) -> Limits {
        Limits::new(&api, 1_000, 1)
    }

    fn of(rate: Rate) -> Limits {
        limits(Api { rates: vec![rate], ..Api::fixed(1.0) })
    }

    /// How many of one request each 10 ms are taken in each of so many milliseconds.
    fn taken(limits: &mut Limits, spans: &[u64]) -> Vec<u64> {
        let mut now = 0;
        let mut taken = |until: u64| {
            let mut took = 0;
            while now < until {
                let is_taken = limits.take(ONE, Moment::from_millis(now)).is_ok();
                took += u64::from(is_taken);
                if is_taken {
                    limits.is_done();
                }
                now += 10;
            }
            took
        };
        let mut end = 0;
        spans
            .iter()
            .map(|span| {
                taken({
                    end += span;
                    end
                })
            })
            .collect()
    }

    #[test]
    fn a_fixed_window_begins_anew_at_a_phase_of_its_own() {
        let mut limits = of(Rate::new(10, 10.0, Window::Fixed));
        let Refused::Own { wait: Some(wait) } = ({
            (0..10).for_each(|_| limits.take(ONE, Moment::START).unwrap());
            limits.take(ONE, Moment::START).unwrap_err()
        }) else {
            panic!("it would be taken in the next window");
        };
        assert!(wait > Duration::ZERO && wait < Duration::from_secs(10), "{wait:?}");
        let begins = Moment::START.plus(wait);
        let before = Moment::from_millis(begins.millis() - 1);
        assert!(limits.take(ONE, before).is_err());
        (0..10).for_each(|_| limits.take(ONE, begins).unwrap());
        assert!(limits.take(ONE, begins.plus(Duration::from_millis(9_999))).is_err());
        assert!(limits.take(ONE, begins.plus(Duration::from_secs(10))).is_ok());
    }

    #[test]
    fn the_seed_draws_the_phase() {
        let wait = |seed| {
            let api = Api { rates: vec![Rate::new(1, 10.0, Window::Fixed)], ..Api::fixed(1.0) };
            let mut limits = Limits::new(&api, 5, seed);
            limits.take(ONE, Moment::START).unwrap();
            limits.take(ONE, Moment::START).unwrap_err()
        };
        assert_eq!(wait(1), wait(1));
        assert_ne!(wait(1), wait(2));
    }

    #[test]
    fn no_sliding_window_has_more_than_its_units() {
        let mut limits = of(Rate::new(10, 1.0, Window::Sliding));
        assert_eq!(taken(&mut limits, &[1_000, 1_000, 500, 500]), [10, 10, 10, 0]);
        let now = Moment::from_millis(4_000);
        for _ in 0..10 {
            limits.take(ONE, now).unwrap();
        }
        let wait = Some(Duration::from_secs(1));
        assert_eq!(limits.take(ONE, now), Err(Refused::Own { wait }));
        assert!(limits.take(ONE, now.plus(Duration::from_secs(1))).is_ok());
    }

    #[test]
    fn a_bucket_fills_evenly_and_holds_its_burst() {
        let bucket = Rate { burst: Some(40), ..Rate::new(20, 1.0, Window::Bucket) };
        let mut limits = of(bucket);
        assert_eq!(taken(&mut limits, &[1_000, 1_000, 1_000]), [59, 20, 20]);
        let mut limits = of(Rate { burst: Some(40), ..Rate::new(20, 1.0, Window::Bucket) });
        (0..40).for_each(|_| limits.take(ONE, Moment::START).unwrap());
        let wait = Some(Duration::from_millis(50));
        assert_eq!(limits.take(ONE, Moment::START), Err(Refused::Own { wait }));
        assert!(limits.take(ONE, Moment::from_millis(50)).is_ok());
    }

    #[test]
    fn what_is_left_is_told_with_the_time_until_all_of_it_is_there() {
        let left = |limits: &mut Limits, millis| {
            let [left] = limits.left(ONE, Moment::from_millis(millis))[..] else {
                panic!("one rate, one answer")
            };
            (left.units, left.resets_in.as_millis(), left.evenly)
        };
        let mut sliding = of(Rate::new(10, 10.0, Window::Sliding));
        assert_eq!(left(&mut sliding, 0), (10, 0, false));
        assert_eq!(taken(&mut sliding, &[20]), [2]);
        assert_eq!(left(&mut sliding, 5_000), (8, 5_010, false));
        let mut bucket = of(Rate { burst: Some(40), ..Rate::new(20, 1.0, Window::Bucket) });
        (0..40).for_each(|_| bucket.take(ONE, Moment::START).unwrap());
        assert_eq!(left(&mut bucket, 500), (10, 1_500, true));
        let mut fixed = of(Rate::new(10, 10.0, Window::Fixed));
        (0..10).for_each(|_| fixed.take(ONE, Moment::START).unwrap());
        let (none, until_next, _) = left(&mut fixed, 0);
        let Err(Refused::Own { wait: Some(wait) }) = fixed.take(ONE, Moment::START) else {
            panic!("the window is full")
        };
        assert_eq!((none, until_next), (0, wait.as_millis()));
        assert_eq!(left(&mut fixed, wait.as_millis() as u64), (10, 10_000, false));
        let tenants = Rate { per: Some(Per::Tenant), ..Rate::new(1, 1.0, Window::Sliding) };
        assert_eq!(of(tenants).left(ONE, Moment::START), []);
    }

    #[test]
    fn large_calls_take_their_units() {
        let mut limits = of(Rate::new(100, 60.0, Window::Sliding));
        let large = Request { tenant: None, units: 70 };
        limits.take(large, Moment::START).unwrap();
        assert!(limits.take(large, Moment::START).is_err());
        limits.take(Request { tenant: None, units: 30 }, Moment::START).unwrap();
    }

    #[test]
    fn each_tenant_has_a_rate_of_its_own() {
        let mut limits = of(Rate { per: Some(Per::Tenant), ..Rate::new(1, 1.0, Window::Sliding) });
        let of_tenant = |tenant| Request { tenant: Some(tenant), units: 1 };
        limits.take(of_tenant(0), Moment::START).unwrap();
        assert!(limits.take(of_tenant(0), Moment::START).is_err());
        limits.take(of_tenant(1), Moment::START).unwrap();
    }

    #[test]
    fn the_strictest_of_several_rates_rules_and_a_refusal_counts_in_none() {
        let rates = vec![Rate::new(2, 1.0, Window::Sliding), Rate::new(3, 60.0, Window::Sliding)];
        let mut limits = limits(Api { rates, ..Api::fixed(1.0) });
        assert_eq!(taken(&mut limits, &[1_000, 1_000, 1_000]), [2, 1, 0]);
    }

    #[test]
    fn calls_at_once_change_by_the_clock() {
        let api = Api {
            concurrency: Some(3),
            concurrency_steps: vec![(60, 1), (660, 2)],
            ..Api::fixed(1.0)
        };
        let limits = limits(api);
        let at_once = |secs: u64| limits.at_once(Moment::from_millis(secs * 1_000));
        assert_eq!([0, 59, 60, 659, 660].map(at_once), [3, 3, 1, 1, 2]);
    }

    #[test]
    fn a_refusal_tells_whose_doing_it_is() {
        let others = Some(Others { least: 1, most: 1, every_secs: 60 });
        let mut limits = limits(Api { concurrency: Some(3), others, ..Api::fixed(1.0) });
        limits.take(ONE, Moment::START).unwrap();
        limits.take(ONE, Moment::START).unwrap();
        assert_eq!(limits.take(ONE, Moment::START), Err(Refused::Others));
        limits.at_once.others = None;
        limits.take(ONE, Moment::START).unwrap();
        assert_eq!(limits.take(ONE, Moment::START), Err(Refused::Own { wait: None }));
    }

    #[test]
    fn others_use_between_their_least_and_most_anew_each_span() {
        let others = Some(Others { least: 2, most: 14, every_secs: 60 });
        let limits = limits(Api { concurrency: Some(20), others, ..Api::fixed(1.0) });
        let free = |secs: u64| limits.at_once(Moment::from_millis(secs * 1_000));
        let drawn: Vec<u32> = (0..500).map(|span| free(span * 60)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&6), Some(&18)));
        assert_eq!(free(0), free(59));
    }
}
