//! What the API took, second by second, beside what it would have taken: the oracle of
//! `permitted_used`.

use std::time::Duration;

use slowlane_aws_simulator::time::Moment;

use crate::scenario::{Api, Rate, Window};

/// So many seconds of full use in a row are no accident.
const LASTING_SECS: usize = 5;
/// The share of what the API takes that counts as full use.
const FULL: f64 = 0.9;

/// A run, second by second.
#[derive(Debug, Default)]
pub struct Usage {
    seconds: Vec<Second>,
    working: u32,
    as_of: Moment,
    first: Option<Moment>,
}

/// One second at the API.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Time that it worked, over all of its permits.
    busy: Duration,
    calls: u32,
    units: u64,
    /// How many of our calls it took at once when the second began.
    at_once: u32,
    /// Whether more calls waited then than it takes at once.
    backlog: bool,
}

impl Usage {
    /// The API has taken a request, and works on `working` now.
    pub fn takes(&mut self, units: u64, working: u32, now: Moment) {
        self.first.get_or_insert(now);
        self.works_on(working, now);
        let second = self.second(now.millis() / 1_000);
        second.calls += 1;
        second.units += units;
    }

    /// The API works on so many requests from now on.
    pub fn works_on(&mut self, working: u32, now: Moment) {
        let mut from = self.as_of.millis();
        while from < now.millis() {
            let until = now.millis().min((from / 1_000 + 1) * 1_000);
            let worked = Duration::from_millis(until - from) * self.working;
            self.second(from / 1_000).busy += worked;
            from = until;
        }
        (self.working, self.as_of) = (working, now);
    }

    /// How the API stands when a second begins: how many of our calls it takes at once, and how many
    /// calls wait beside those that it works on.
    pub fn begins(&mut self, now: Moment, at_once: u32, waiting: u64) {
        let backlog = waiting >= u64::from(at_once.max(self.working).max(1));
        let at = now.millis() / 1_000;
        let second = self.second(at);
        (second.at_once, second.backlog) = (at_once, backlog);
        if at == 1 {
            // Nobody looked when the run began.
            let first = self.second(0);
            (first.at_once, first.backlog) = (at_once, backlog);
        }
    }

    /// The share of what the API would have taken, while more calls waited than it takes at once,
    /// that it was given. Of rates it would have taken so many units a second, and of a bucket its
    /// burst beside. Of calls at once it would have taken as many as fit at their mean time. Where
    /// both rule, the stricter one does, second by second. None if there was no such time, or if
    /// rates are each tenant's own: then it depends on whose calls wait.
    pub fn permitted_used(&self, api: &Api) -> Option<f64> {
        if api.rates.iter().any(|rate| rate.per.is_some()) {
            return None;
        }
        let means = self.means()?;
        let (mut permitted, mut used) = (0.0, 0.0);
        for at in 0..self.seconds.len().saturating_sub(1) {
            let share = self.counted_share(at);
            if share > 0.0 {
                let (may, did) = self.compare(at, api, &means);
                permitted += may * share;
                used += did;
            }
        }
        let burst = api.rates.iter().filter(|rate| rate.window == Window::Bucket);
        let burst = burst.map(|rate| rate.capacity() as f64 / means.units).fold(0.0, f64::max);
        let is_bound = |rate: &Rate| means.allowed(rate) * means.service_secs;
        let binds = api.rates.iter().any(|rate| is_bound(rate) < f64::from(self.most_at_once()));
        permitted += if binds { burst } else { 0.0 };
        (permitted > 0.0).then(|| (used / permitted).min(1.0))
    }

    /// How long after `recovered` the API is in full use, for some seconds in a row. None if it
    /// never is again.
    pub fn full_use_after(&self, recovered: Moment, api: &Api) -> Option<Duration> {
        let means = self.means()?;
        let first = recovered.millis().div_ceil(1_000) as usize;
        let is_full = |from: &usize| {
            let seconds = *from..from + LASTING_SECS;
            let (may, did) = seconds.fold((0.0, 0.0), |(may, did), at| {
                let (more, done) = self.compare(at, api, &means);
                (may + more, did + done)
            });
            may > 0.0 && did >= FULL * may
        };
        let lasting = (first..=self.seconds.len().checked_sub(LASTING_SECS)?).find(is_full)?;
        let after = lasting - first;
        Some(Moment::from_millis((first + after) as u64 * 1_000).since(recovered))
    }

    fn compare(&self, at: usize, api: &Api, means: &Means) -> (f64, f64) {
        let holding = api.rates.iter().filter(|rate| rate.holds_in(at as u64));
        self.seconds[at].compare(holding, means)
    }

    /// How much of a second counts: a backlog at its beginning and its end, and nothing of the time
    /// before the first call.
    fn counted_share(&self, at: usize) -> f64 {
        let first = self.first.unwrap_or_default().millis();
        let begins = at as u64 * 1_000;
        let is_counted = self.seconds[at].backlog && self.seconds[at + 1].backlog;
        let before = first.saturating_sub(begins).min(1_000);
        if is_counted { 1.0 - before as f64 / 1_000.0 } else { 0.0 }
    }

    fn means(&self) -> Option<Means> {
        let calls: f64 = self.seconds.iter().map(|second| f64::from(second.calls)).sum();
        let busy: Duration = self.seconds.iter().map(|second| second.busy).sum();
        let units: u64 = self.seconds.iter().map(|second| second.units).sum();
        let means = Means { service_secs: busy.as_secs_f64() / calls, units: units as f64 / calls };
        (calls > 0.0 && !busy.is_zero() && units > 0).then_some(means)
    }

    fn most_at_once(&self) -> u32 {
        self.seconds.iter().map(|second| second.at_once).max().unwrap_or(0)
    }

    fn second(&mut self, at: u64) -> &mut Second {
        let at = at as usize;
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, Second::default());
        }
        &mut self.seconds[at]
    }
}

/// Means over a run's calls.
struct Means {
    service_secs: f64,
    units: f64,
}

impl Means {
    /// Calls a second that a rate allows.
    fn allowed(&self, rate: &Rate) -> f64 {
        rate.units as f64 / rate.per_secs / self.units
    }
}

impl Second {
    /// How many calls the API would have taken in this second, and how many it was given, each as
    /// the stricter of its limits counts.
    fn compare<'a>(&self, rates: impl Iterator<Item = &'a Rate>, means: &Means) -> (f64, f64) {
        let at_once = f64::from(self.at_once) / means.service_secs;
        let rate = rates.map(|rate| means.allowed(rate)).fold(f64::INFINITY, f64::min);
        if at_once <= rate {
            (at_once, self.busy.as_secs_f64() / means.service_secs)
        } else {
            (rate, self.units as f64 / means.units)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECS: u64 = 200;

    /// Each of `starts` is the millisecond at which a call of `lasts` ms begins; calls wait until the
    /// end.
    fn usage(starts: impl Iterator<Item = u64>, lasts: u64, at_once: impl Fn(u64) -> u32) -> Usage {
        let mut usage = Usage::default();
        let mut events: Vec<(u64, bool)> =
            starts.flat_map(|at| [(at, true), (at + lasts, false)]).collect();
        events.sort_unstable();
        let mut working = 0;
        let mut events = events.into_iter().peekable();
        for second in 0..=SECS {
            while let Some((at, starts)) = events.next_if(|(at, _)| *at < second * 1_000) {
                working = if starts { working + 1 } else { working - 1 };
                let now = Moment::from_millis(at);
                if starts {
                    usage.takes(1, working, now);
                } else {
                    usage.works_on(working, now);
                }
            }
            if second > 0 {
                usage.begins(Moment::from_millis(second * 1_000), at_once(second), 1_000);
            }
        }
        usage
    }

    fn near(usage: &Usage, api: &Api, expected: f64) {
        let used = usage.permitted_used(api).unwrap();
        assert!((used - expected).abs() < 0.01, "{used}, not {expected}");
    }

    #[test]
    fn what_is_given_evenly_is_all_that_a_rate_permits() {
        let api = |window| Api { rates: vec![Rate::new(100, 10.0, window)], ..Api::fixed(200.0) };
        let every = |gap: u64| usage((0..SECS * 1_000).step_by(gap as usize), 200, |_| 20);
        near(&every(100), &api(Window::Fixed), 1.0);
        near(&every(125), &api(Window::Sliding), 0.8);
        near(&every(200), &api(Window::Fixed), 0.5);
    }

    #[test]
    fn a_greedy_caller_that_knows_the_phase_uses_all() {
        let bursts = (0..SECS / 10).flat_map(|window| (0..100).map(move |_| window * 10_000));
        let api = Api { rates: vec![Rate::new(100, 10.0, Window::Fixed)], ..Api::fixed(1.0) };
        near(&usage(bursts, 1, |_| 1_000), &api, 1.0);
    }

    #[test]
    fn a_burst_that_is_left_alone_is_not_used() {
        let bucket = Rate { burst: Some(400), ..Rate::new(10, 1.0, Window::Bucket) };
        let api = Api { rates: vec![bucket], ..Api::fixed(1.0) };
        near(&usage((0..SECS * 1_000).step_by(100), 1, |_| 1_000), &api, 2_000.0 / 2_400.0);
    }

    #[test]
    fn calls_at_once_are_used_by_time() {
        let api = Api::fixed(200.0);
        let three = (0..3).flat_map(|_| (0..SECS * 1_000).step_by(200));
        near(&usage(three, 200, |_| 4), &api, 0.75);
    }

    #[test]
    fn steps_count_at_their_times() {
        let at_once = |second: u64| if (60..120).contains(&second) { 1 } else { 4 };
        let one = (0..SECS * 1_000).step_by(200);
        let permitted = (140.0 * 4.0 + 60.0) / 200.0;
        near(&usage(one, 200, at_once), &Api::fixed(200.0), 1.0 / permitted);
    }

    #[test]
    fn time_without_a_backlog_counts_nowhere() {
        let mut usage = usage((0..SECS * 1_000).step_by(1_000), 200, |_| 1);
        near(&usage, &Api::fixed(200.0), 0.2);
        usage.seconds.iter_mut().for_each(|second| second.backlog = false);
        assert_eq!(usage.permitted_used(&Api::fixed(200.0)), None);
    }

    #[test]
    fn full_use_is_found_where_it_lasts() {
        let after = (50_000..SECS * 1_000).step_by(200);
        let alone = (20_000..21_000).step_by(200);
        let usage = usage(alone.chain(after), 200, |_| 1);
        let recovered = Moment::from_millis(10_500);
        let full = usage.full_use_after(recovered, &Api::fixed(200.0)).unwrap();
        assert!((39..=40).contains(&full.as_secs()), "{full:?}");
        let late = Moment::from_millis((SECS - 2) * 1_000);
        assert_eq!(usage.full_use_after(late, &Api::fixed(200.0)), None);
    }
}
