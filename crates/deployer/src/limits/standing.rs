//! How a limit stands, for people and for programs.

use super::NO_CEILING;
use super::set::InEffect;
use crate::text;
use serde_json::{Value, json};
use slowlane_limiter::{
    Aimd, AimdRules, Author, Breaker, Change, Control, LimitKey, Limits, Mode, Moment, Overrides,
    Quota, Rate, Spent, Standings,
};

/// How a limit stands at a moment.
#[derive(Debug, Clone)]
pub struct Standing {
    pub(super) name: LimitKey,
    pub(super) now: Moment,
    /// The worker's reserved concurrency, as it was deployed.
    pub(super) ceiling: u32,
    /// The limits below it, as they were deployed.
    pub(super) configured: Limits,
    pub(super) standings: Standings,
    /// How the limits stand that are shared by a name.
    pub(super) shared: Option<Box<Standing>>,
}

/// Whether calls are made, in a word.
fn word(mode: &Mode, now: Moment) -> &'static str {
    match mode {
        Mode::Paused { until: Some(until), .. } if *until <= now => "run",
        Mode::Run => "run",
        Mode::Paused { .. } => "paused",
        Mode::Draining { .. } => "draining",
    }
}

fn change_word(change: &Change) -> &'static str {
    match change {
        Change::Pause { .. } => "pause",
        Change::Drain => "drain",
        Change::Resume => "resume",
        Change::SetLimits { .. } => "set",
    }
}

impl Standing {
    fn control(&self) -> &Control {
        &self.standings.record.control
    }

    /// The author and the end of what keeps calls from being made, if something does.
    fn shut_by(&self) -> Option<(&Author, Option<Moment>)> {
        match &self.control().mode {
            Mode::Paused { until, by } if until.is_none_or(|until| until > self.now) => {
                Some((by, *until))
            }
            Mode::Draining { by } => Some((by, None)),
            Mode::Run | Mode::Paused { .. } => None,
        }
    }

    /// For programs. `used` tells of each rate when its next call is free, and of each quota what was
    /// spent.
    pub fn as_json(&self) -> Value {
        let (by, until) = self.shut_by().unzip();
        let control = self.control();
        let changes = control.changes.iter().map(|noted| {
            json!({
                "at": noted.at.to_string(),
                "who": noted.by.who,
                "why": noted.by.why,
                "change": change_word(&noted.change),
            })
        });
        let slots = self.slots().map(|(slot, entered, until)| {
            json!({ "slot": slot, "since": entered.to_string(), "until": until.to_string() })
        });
        let rates = self.rates().map(|(rate, free_at)| {
            json!({ "rate": rate.to_string(), "next_free_at": free_at.to_string() })
        });
        let quotas = self.quotas().map(|(quota, spent)| {
            json!({
                "quota": quota.to_string(),
                "spent": spent.units,
                "left": quota.units.saturating_sub(spent.units),
                "resets_at": spent.resets_at.to_string(),
            })
        });
        json!({
            "limit": self.name.as_str(),
            "mode": word(&control.mode, self.now),
            "until": until.flatten().map(|until| until.to_string()),
            "who": by.map(|by| &by.who),
            "why": by.map(|by| &by.why),
            "concurrency": self.standings.concurrency,
            "ceiling": self.ceiling,
            "adaptive": self.adaptive().map(|found| {
                json!({ "found": found.value, "too_much": found.too_much })
            }),
            "configured": self.configured,
            "effective": self.effective().as_json(),
            "used": { "rates": rates.collect::<Vec<_>>(), "quotas": quotas.collect::<Vec<_>>() },
            "slots": slots.collect::<Vec<_>>(),
            "held_until": self.held_until().map(|until| until.to_string()),
            "breaker": self.breaker(),
            "changes": changes.collect::<Vec<_>>(),
            "shared": self.shared.as_ref().map(|shared| shared.as_json()),
        })
    }

    fn effective(&self) -> InEffect {
        InEffect {
            concurrency: self.standings.concurrency,
            rates: self.standings.rates.clone(),
            quotas: self.standings.quotas.clone(),
            ..self.set()
        }
    }

    /// What was set, and else what was configured.
    fn set(&self) -> InEffect {
        InEffect::of(&self.control().limits, self.ceiling, &self.configured)
    }

    /// Each rate in effect, and when its next call is free.
    pub(super) fn rates(&self) -> impl Iterator<Item = (&Rate, Moment)> {
        let meter = &self.standings.meter;
        let rates = self.standings.rates.iter().enumerate();
        rates.map(|(index, rate)| (rate, meter.due(index).max(self.now)))
    }

    /// Each quota in effect, and what is spent of it.
    pub(super) fn quotas(&self) -> impl Iterator<Item = (&Quota, Spent)> {
        let quotas = self.standings.quotas.iter().enumerate();
        quotas.map(|(index, quota)| {
            let spent = self.standings.meter.spent.get(index).copied().unwrap_or_default();
            let spent = match spent.resets_at > self.now {
                true => spent,
                // The time zone of a quota was looked up when it was set.
                false => {
                    Spent { units: 0, resets_at: quota.resets_at(self.now).unwrap_or(self.now) }
                }
            };
            (quota, spent)
        })
    }

    /// The slots in the register whose lease holds: name, since when, until when.
    fn slots(&self) -> impl Iterator<Item = (&str, Moment, Moment)> {
        let all = self.standings.record.register.slots.iter();
        let live = all.filter(|(_, entry)| entry.lease_until > self.now);
        live.map(|(slot, entry)| (slot.as_str(), entry.entered_at, entry.lease_until))
    }

    /// What the adaptive concurrency has found, where there is one. It begins at the ceiling.
    fn adaptive(&self) -> Option<Aimd> {
        let begins = || Aimd::new(&AimdRules::up_to(self.ceiling));
        let found = self.control().adaptive.clone();
        self.configured.is_adaptive().then(|| found.unwrap_or_else(begins))
    }

    /// What lets fewer calls be made at once than the ceiling, where all places are taken.
    pub(super) fn full(&self) -> Option<String> {
        let (at_once, slots) = (self.standings.concurrency, self.slots().count());
        let is_full = at_once < self.ceiling && slots >= usize::try_from(at_once).ok()?;
        let found = self.adaptive().filter(|found| found.value <= at_once);
        let why = match found {
            Some(_) => "as many as the API turned out to take",
            None => "below the ceiling",
        };
        is_full.then(|| match self.ceiling {
            NO_CEILING => format!("all places are taken: {at_once} calls at once of all stacks"),
            ceiling => format!("all places are taken: {at_once} calls at once of {ceiling}, {why}"),
        })
    }

    /// Until when nobody calls because the API said so.
    fn held_until(&self) -> Option<Moment> {
        self.control().held_until.filter(|until| *until > self.now)
    }

    /// The breaker in a word.
    fn breaker(&self) -> &'static str {
        match self.control().breaker {
            Breaker::Closed { .. } => "closed",
            Breaker::Open(_) => "open",
            Breaker::HalfOpen { .. } => "half-open",
        }
    }

    /// What keeps calls from being made, in words: `paused until ... by ada: a release`.
    pub fn shut(&self) -> Option<String> {
        let (Author { who, why }, until) = self.shut_by()?;
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        Some(format!("{}{until} by {who}: {why}", word(&self.control().mode, self.now)))
    }

    /// For people.
    pub fn as_text(&self) -> String {
        let own = self.own_text();
        match &self.shared {
            Some(shared) => format!("{own}\n\nshared by its name:\n{}", shared.own_text()),
            None => own,
        }
    }

    fn own_text(&self) -> String {
        let mode = word(&self.control().mode, self.now);
        let mut told = format!("{}: {mode}, {}", self.name, at_once(self.standings.concurrency));
        for line in self.shut().into_iter().chain(self.hindrances()) {
            told += &format!("\n{line}");
        }
        told += &format!("\n\n{}", self.limits_table());
        if self.control().changes.is_empty() {
            return told + "\n\nnobody has changed it since it was deployed";
        }
        let rows = self.control().changes.iter().rev().map(|noted| {
            let change = change_word(&noted.change).to_owned();
            [noted.at.to_string(), change, noted.by.who.clone(), noted.by.why.clone()]
        });
        told + "\n\n" + &text::table(["when", "change", "who", "why"], rows.collect())
    }

    /// What keeps calls from being made, and is nobody's doing.
    pub(super) fn hindrances(&self) -> impl Iterator<Item = String> {
        let held =
            self.held_until().map(|until| format!("the API asked all to wait until {until}"));
        let breaker = self.breaker();
        let breaker = (breaker != "closed").then(|| format!("the breaker is {breaker}"));
        held.into_iter().chain(breaker)
    }

    /// Each limit: as it was deployed, as it is in effect, and what is used of it.
    fn limits_table(&self) -> String {
        let configured = InEffect::of(&Overrides::default(), self.ceiling, &self.configured);
        let set = self.set();
        let slots = self.slots().count();
        let at_work = match slots {
            0 => "-".to_owned(),
            slots => text::count(slots as u64, "slot") + " at work",
        };
        let mut rows = vec![[
            "calls at once".to_owned(),
            number(configured.concurrency),
            number(set.concurrency),
            at_work,
        ]];
        rows.extend(self.adaptive().map(|found| {
            let too_much = found.too_much.map(|at_once| format!("{at_once} was too much"));
            let told = too_much.unwrap_or_else(|| "-".to_owned());
            ["adaptive".to_owned(), "as the API takes".to_owned(), found.value.to_string(), told]
        }));
        let used = self.rates().map(|(rate, free_at)| {
            let ahead = free_at.since(self.now);
            let used = if ahead.is_zero() {
                "free now".to_owned()
            } else {
                format!("next in {ahead:.1?}")
            };
            (rate.to_string(), used)
        });
        rows.extend(side_by_side("rate", configured.rates.iter().map(Rate::to_string), used));
        let used = self.quotas().map(|(quota, spent)| {
            let left = quota.units.saturating_sub(spent.units);
            (quota.to_string(), format!("{left} left until {}", spent.resets_at))
        });
        rows.extend(side_by_side("quota", configured.quotas.iter().map(Quota::to_string), used));
        // What a tenant has used stands in a record of its own.
        let untold = |limit: String| (limit, "-".to_owned());
        let [before, now] = [&configured, &set].map(|all| all.tenant_rates.iter());
        let (before, now) = (before.map(Rate::to_string), now.map(Rate::to_string).map(untold));
        rows.extend(side_by_side("rate of each tenant", before, now));
        let [before, now] = [&configured, &set].map(|all| all.tenant_quotas.iter());
        let (before, now) = (before.map(Quota::to_string), now.map(Quota::to_string).map(untold));
        rows.extend(side_by_side("quota of each tenant", before, now));
        text::table(["limit", "configured", "in effect", "used"], rows)
    }
}

/// So many calls at once, in words. A name without that limit has no ceiling of its own.
fn at_once(number: u32) -> String {
    match number {
        NO_CEILING => "calls at once as each stack has them".to_owned(),
        number => format!("{number} calls at once"),
    }
}

fn number(at_once: u32) -> String {
    if at_once == NO_CEILING { "-".to_owned() } else { at_once.to_string() }
}

/// Rows of what was configured, and beside it what is in effect and used.
fn side_by_side(
    name: &str,
    configured: impl Iterator<Item = String>,
    in_effect: impl Iterator<Item = (String, String)>,
) -> Vec<[String; 4]> {
    let (mut configured, mut in_effect) = (configured.fuse(), in_effect.fuse());
    let none = || "-".to_owned();
    std::iter::from_fn(|| {
        let (before, now) = (configured.next(), in_effect.next());
        if before.is_none() && now.is_none() {
            return None;
        }
        let (effective, used) = now.unwrap_or_else(|| (none(), none()));
        Some([name.to_owned(), before.unwrap_or_else(none), effective, used])
    })
    .collect()
}
