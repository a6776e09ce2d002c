//! What calls have taken of limits that count units: exactly, call by call.
//!
//! A pace alone ([`Meter`](crate::Meter)) must leave out of each window what its largest call has,
//! since it remembers one moment only. A ledger remembers the calls of a window, so that a call waits
//! for its own units and for no more. It is replaced as a whole, under its version.
//!
//! **No window is passed.** A call counts for the most that it may take, until it is known what it
//! took. When it is granted, each window that it falls into holds, with it, no more than the limit. What
//! is settled later only becomes less. So a window can be passed only by a call that takes more than
//! the most it was said to take, and by no more than that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::meter::{Part, QuotaTerm, Refusal, Spent};
use crate::moment::Moment;

/// Calls that are remembered one by one. Of more, those that are closest together count as one, as of
/// the later moment. With these a ledger fits one write unit of DynamoDB.
const ONE_BY_ONE: usize = 40;

/// How much longer than its window a call is remembered: no two clocks differ by more.
const REMEMBERED_LONGER: Duration = Duration::from_secs(1);

/// What calls have taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// How often it was replaced.
    pub version: u64,
    /// Of each rate.
    pub rates: Vec<Account>,
    /// Of each quota.
    pub quotas: Vec<Spent>,
    /// Until when any of it has a meaning.
    pub kept_until: Moment,
}

/// What calls have taken of a rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// When the next call would be due at the rate's pace.
    pub due: Moment,
    /// The latest call that is not remembered any more.
    forgotten: Moment,
    /// When calls go, the earliest first, and how many units they take at most.
    #[serde(with = "compact")]
    calls: Vec<(Moment, u64)>,
}

/// A request for the next moment at which a call's units are free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The fleet's time.
    pub now: Moment,
    /// Who would have to wait longer is refused.
    pub horizon: Duration,
    /// What the call takes of each rate.
    pub rates: Vec<RateTake>,
    /// What it takes of each quota.
    pub quotas: Vec<QuotaTerm>,
    /// The grant that it has so far, which this one takes the place of.
    pub instead_of: Option<Taken>,
}

/// What a call takes of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateTake {
    /// Units that it takes of its windows at most.
    pub units: u64,
    /// How long it keeps the next call waiting.
    pub pace: Duration,
    /// How far ahead of its pace it may go.
    pub ahead: Duration,
    /// How long after the latest grant it goes at the earliest.
    pub apart: Duration,
    /// What its windows hold. None where the pace alone keeps the rate.
    pub window: Option<Span>,
    /// Whether each call counts as one, whatever units it has.
    pub counts_calls: bool,
}

/// A window of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Units that fit into it.
    pub limit: u64,
    /// Two calls that are granted less than this apart may fall into the same one.
    pub length: Duration,
}

/// What a grant has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// When its call goes.
    pub at: Moment,
    /// When it may go at the earliest: its turn.
    pub turn: Moment,
    /// Of each rate: units, and time of its pace.
    pub rates: Vec<(u64, Duration)>,
    /// Of each rate that counts calls: when the next call was due before it, and is since.
    pub due: Vec<Option<(Moment, Moment)>>,
    /// Of each quota: units, and the reset of the counter that they were taken from.
    pub quotas: Vec<Spent>,
}

impl Ledger {
    /// Takes what is asked for at the first moment at which it is free, if that is near enough. This
    /// and [`settled`](Self::settled) are the whole rule.
    ///
    /// # Errors
    /// What stands in the way. Nothing is taken then.
    pub fn reserve(&self, ask: &Ask) -> Result<(Taken, Self), Refusal> {
        let held = ask.instead_of.as_ref();
        let mut after = match held {
            Some(held) => self.settled(held, &Taken::default()),
            None => self.clone(),
        };
        after.rates.resize(ask.rates.len().max(after.rates.len()), Account::default());
        let quotas = after.spend(ask)?;
        // Others may have their moments behind the one that is held: then it counts as it is.
        let counted = after.give_back_calls(held);
        let (at, by, stays) = after.free_at(ask, &counted);
        if at > ask.now.plus(ask.horizon) {
            let retry_at = at.minus(ask.horizon);
            return Err(Refusal { by: Part::Rate(by), retry_at, latest: self.latest() });
        }
        let mut due = Vec::with_capacity(ask.rates.len());
        for (rate, (account, take)) in after.rates.iter_mut().zip(&ask.rates).enumerate() {
            let before = account.due;
            if !(stays && counted.contains(&rate)) {
                account.take(at, take, ask.now);
            }
            due.push(take.counts_calls.then_some((before, account.due)));
        }
        let lasts = ask.rates.iter().filter_map(|take| take.window).map(|span| span.length).max();
        let resets = quotas.iter().map(|spent| spent.resets_at).max().unwrap_or_default();
        after.kept_until = after.means_until(at.plus(lasts.unwrap_or_default()).max(resets));
        after.quotas.clone_from(&quotas);
        after.version = self.version + 1;
        let rates = ask.rates.iter().map(RateTake::given_back_by_settling).collect();
        let units = |term: &QuotaTerm, spent: &Spent| Spent { units: term.units, ..*spent };
        let quotas = ask.quotas.iter().zip(&quotas).map(|(term, spent)| units(term, spent));
        let turn = held.map_or(at, |held| held.turn);
        Ok((Taken { at, turn, rates, due, quotas: quotas.collect() }, after))
    }

    /// Puts what a call really took in the place of what its grant has taken; nothing, if `really` has
    /// none of it. What it took of a window or a counter that is over stays as it is.
    #[must_use]
    pub fn settled(&self, held: &Taken, really: &Taken) -> Self {
        let mut after = self.clone();
        for (rate, (account, taken)) in after.rates.iter_mut().zip(&held.rates).enumerate() {
            let used = really.rates.get(rate).copied().unwrap_or_default();
            account.settle(held.at, *taken, used);
        }
        for (quota, (spent, taken)) in after.quotas.iter_mut().zip(&held.quotas).enumerate() {
            let used = really.quotas.get(quota).map_or(0, |used| used.units);
            if spent.resets_at == taken.resets_at {
                spent.units = spent.units.saturating_sub(taken.units).saturating_add(used);
            }
        }
        after.kept_until = after.means_until(after.kept_until);
        after.version = self.version + 1;
        after
    }

    /// With what a process has taken by itself: time of each rate's pace, and units of each quota.
    #[must_use]
    pub(crate) fn owing(&self, now: Moment, paces: &[Duration], quotas: &[Spent]) -> Self {
        let mut after = self.clone();
        for (account, pace) in after.rates.iter_mut().zip(paces) {
            account.due = account.due.max(now).plus(*pace);
        }
        for (spent, own) in after.quotas.iter_mut().zip(quotas) {
            if spent.resets_at == own.resets_at {
                spent.units = spent.units.saturating_add(own.units);
            }
        }
        after.kept_until = after.means_until(after.kept_until);
        after.version = self.version + 1;
        after
    }

    /// From then on it has no meaning any more, if its windows and counters have none after `over`.
    fn means_until(&self, over: Moment) -> Moment {
        let due = self.rates.iter().map(|account| account.due);
        due.fold(self.kept_until.max(over), Moment::max)
    }

    /// The moment of the latest grant, where a rate has windows.
    #[must_use]
    pub fn latest(&self) -> Moment {
        self.rates.iter().map(Account::latest).max().unwrap_or_default()
    }

    /// Gives back the moment of a held call to the rates that count calls, where nobody has one behind
    /// it. Answers with the rates where somebody has.
    fn give_back_calls(&mut self, held: Option<&Taken>) -> Vec<usize> {
        let taken = held.map(|held| held.due.as_slice()).unwrap_or_default();
        let mut counted = Vec::new();
        for (rate, (account, taken)) in self.rates.iter_mut().zip(taken).enumerate() {
            match taken {
                Some((before, after)) if account.due == *after => account.due = *before,
                Some(_) => counted.push(rate),
                None => {}
            }
        }
        counted
    }

    /// When the call may go, the rate that says so, and whether that is the moment that it has and that
    /// is `counted` by some rates.
    fn free_at(&self, ask: &Ask, counted: &[usize]) -> (Moment, usize, bool) {
        let Some(held) = &ask.instead_of else {
            let (at, by) = self.free_from(ask.now, ask, &[]);
            return (at, by, false);
        };
        let (at, by) = self.free_from(held.turn.max(ask.now), ask, &[]);
        let may_stay = !counted.is_empty() && held.at >= ask.now && at > held.at;
        match may_stay && self.free_from(held.at, ask, counted).0 == held.at {
            true => (held.at, by, true),
            false => (at, by, false),
        }
    }

    /// The first moment that all rates but those `left_out` have free, and the rate that is last.
    fn free_from(&self, from: Moment, ask: &Ask, left_out: &[usize]) -> (Moment, usize) {
        let takes = || self.rates.iter().zip(&ask.rates).enumerate();
        let (mut at, mut by) = (from, 0);
        loop {
            let bound = takes().filter(|(rate, _)| !left_out.contains(rate));
            let free = bound.map(|(rate, (account, take))| (account.free_from(at, take), rate));
            match free.max_by_key(|(free, _)| *free) {
                Some((later, rate)) if later > at => (at, by) = (later, rate),
                _ => return (at, by),
            }
        }
    }

    fn spend(&self, ask: &Ask) -> Result<Vec<Spent>, Refusal> {
        let spend = |(index, term): (usize, &QuotaTerm)| {
            let current = self.quotas.get(index).copied().unwrap_or_default();
            let spent = match current.resets_at > ask.now {
                true => Spent { units: current.units.saturating_add(term.units), ..current },
                false => Spent { units: term.units, resets_at: term.resets_at },
            };
            if spent.units > term.limit {
                let (by, retry_at) = (Part::Quota(index), spent.resets_at);
                return Err(Refusal { by, retry_at, latest: self.latest() });
            }
            Ok(spent)
        };
        ask.quotas.iter().enumerate().map(spend).collect()
    }
}

impl RateTake {
    /// A moment that counts for a call is never given back: others have theirs behind it.
    fn given_back_by_settling(&self) -> (u64, Duration) {
        match self.counts_calls {
            true => (0, Duration::ZERO),
            false => (self.units, self.pace),
        }
    }
}

impl Account {
    fn latest(&self) -> Moment {
        self.calls.last().map_or(Moment(0), |(at, _)| *at)
    }

    /// The first moment, from `from` on, at which the call may go.
    fn free_from(&self, from: Moment, take: &RateTake) -> Moment {
        let after_others = match take.apart.is_zero() {
            true => Moment(0),
            false => self.latest().plus(take.apart),
        };
        let from = from.max(self.due.minus(take.ahead)).max(after_others);
        let Some(span) = &take.window else { return from };
        // There may be room when a call leaves the window, or when the window has left a call.
        let leaves = self.calls.iter().map(|(at, _)| at.plus(span.length));
        let passed = self.calls.iter().map(|(at, _)| at.plus_micros(1));
        let mut moments: Vec<Moment> = leaves.chain(passed).filter(|at| *at > from).collect();
        moments.sort_unstable();
        let mut moments = std::iter::once(from).chain(moments);
        moments.find(|at| self.has_room(*at, take.units, span)).unwrap_or(Moment(u64::MAX))
    }

    /// Whether each window that a call at `at` falls into has room for its units. It is enough to look
    /// at those that end with a call.
    fn has_room(&self, at: Moment, units: u64, span: &Span) -> bool {
        let later = self.calls.iter().map(|(later, _)| *later);
        let later = later.filter(|later| *later > at && *later < at.plus(span.length));
        std::iter::once(at).chain(later).all(|last| {
            let within = self.calls.iter();
            let within = within.filter(|(at, _)| *at <= last && at.plus(span.length) > last);
            let taken: u64 = within.map(|(_, units)| units).sum();
            taken.saturating_add(units) <= span.limit
        })
    }

    fn take(&mut self, at: Moment, take: &RateTake, now: Moment) {
        let Some(span) = &take.window else {
            self.due = self.due.max(at).plus(take.pace);
            return;
        };
        // Whoever waits for room does not fall behind the pace: what is lost meanwhile is made up for.
        self.due = self.due.max(now).plus(take.pace);
        match self.calls.binary_search_by_key(&at, |(at, _)| *at) {
            // Calls of one moment are one: settled, each finds what it has taken.
            Ok(same) => self.calls[same].1 = self.calls[same].1.saturating_add(take.units),
            Err(place) => self.calls.insert(place, (at, take.units)),
        }
        let is_over = |at: Moment| at.plus(span.length).plus(REMEMBERED_LONGER) <= now;
        let over = self.calls.partition_point(|(at, _)| is_over(*at));
        if let Some((last, _)) = self.calls.drain(..over).next_back() {
            self.forgotten = last;
        }
        while self.calls.len() > ONE_BY_ONE && self.merge_closest(now) {}
    }

    /// Makes two calls count as one, as of the later moment: only calls that no other can come
    /// between.
    fn merge_closest(&mut self, now: Moment) -> bool {
        let is_past = |at: Moment| at.plus(REMEMBERED_LONGER) <= now;
        let pairs = self.calls.windows(2).enumerate().filter_map(|(first, pair)| match pair {
            [(one, _), (two, _)] if is_past(*two) => Some((two.since(*one), first)),
            _ => None,
        });
        let Some((_, first)) = pairs.min() else { return false };
        let (_, units) = self.calls.remove(first);
        self.calls[first].1 = self.calls[first].1.saturating_add(units);
        true
    }

    fn settle(&mut self, at: Moment, (held, paced): (u64, Duration), used: (u64, Duration)) {
        self.due = self.due.minus(paced).plus(used.1);
        if at <= self.forgotten || held == 0 {
            return;
        }
        // It may have been merged into a later one.
        let place = self.calls.partition_point(|(earlier, _)| *earlier < at);
        if let Some((_, units)) = self.calls.get_mut(place) {
            *units = units.saturating_sub(held).saturating_add(used.0);
        }
        // What has taken nothing is no call.
        if self.calls.get(place).is_some_and(|(_, units)| *units == 0) {
            self.calls.remove(place);
        }
    }
}

/// Calls as numbers in a row: microseconds since the one before, and units.
mod compact {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Moment;

    pub(super) fn serialize<S: Serializer>(
        calls: &[(Moment, u64)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let before = std::iter::once(0).chain(calls.iter().map(|(at, _)| at.as_micros()));
        let numbers = calls.iter().zip(before);
        let numbers = numbers.flat_map(|((at, units), before)| [at.as_micros() - before, *units]);
        numbers.collect::<Vec<u64>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(Moment, u64)>, D::Error> {
        let numbers = Vec::<u64>::deserialize(deserializer)?;
        let calls = numbers.chunks_exact(2).scan(Moment(0), |at, pair| {
            *at = at.plus_micros(pair[0]);
            Some((*at, pair[1]))
        });
        Ok(calls.collect())
    }
}
