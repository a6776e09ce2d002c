//! What is promised of limits, pauses, outages and tenants, where the way of dispatch keeps it.

use std::time::Duration;

use slowlane_aws_simulator::faults::{Fault as AwsFault, Rates};
use slowlane_aws_simulator::time::Moment;

use crate::api::limits::Refused;
use crate::faults::Fault;
use crate::invariant::{End, Invariant};
use crate::scenario::{Kept, Lowered, Pause, Rate, Scenario, Told};

/// From an operator's pause until everybody knows it.
const KNOWN_AFTER: Duration = Duration::from_secs(2);
/// The same where requests fail and are tried again, and what was under way may be slow.
const KNOWN_AFTER_FAULTS: Duration = Duration::from_secs(60);
/// The longest that a quiet tenant's call waits beside a noisy tenant.
pub const QUIET_WAIT: Duration = Duration::from_secs(12);

/// The faults by which a single request to the table fails, or takes too long.
const READ_FAILS: [Fault; 5] = [
    Fault::Aws(AwsFault::AwsThrottle),
    Fault::Aws(AwsFault::AwsError),
    Fault::Aws(AwsFault::LostRequest),
    Fault::Aws(AwsFault::LostReply),
    Fault::Aws(AwsFault::SlowRequest),
];

/// What is promised of one run, and watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Promises {
    /// The API never refuses a call for a rate.
    rates: bool,
    /// No call is made in these.
    pauses: Vec<Pause>,
    known_after: Duration,
    /// So many calls are made at once.
    at_once: Option<AtOnce>,
    /// While the API is out of order, no workflow fails but by its deadline.
    outages: bool,
    /// Before it no call is overdue.
    first_deadline: Moment,
    /// Tenants but this one wait for [`QUIET_WAIT`] at most.
    noisy: Option<u32>,
}

/// How many calls are made at once.
#[derive(Clone, Debug, PartialEq)]
struct AtOnce {
    /// As it was told.
    told: Option<u32>,
    /// As it was set meanwhile.
    lowered: Vec<Lowered>,
}

/// A promise that was broken, and how.
pub type Broken = (Invariant, String);

impl Promises {
    /// What holds in a scenario: what its way of dispatch keeps, where no fault excuses it.
    pub fn of(scenario: &Scenario, faults: &Rates) -> Promises {
        let keeps = |kind| scenario.dispatch.keeps(kind);
        let strike = |faults_of: &[Fault]| faults_of.iter().any(|fault| faults.of(*fault) > 0.0);
        // A call that is late by no fault of the limiter's comes too close to the next; a limiter
        // whose store is out of reach keeps shares.
        let late = [
            Fault::Aws(AwsFault::Freeze),
            Fault::Aws(AwsFault::ClockSkew),
            Fault::Aws(AwsFault::ClockSteps),
            Fault::Aws(AwsFault::TableUnreachable),
        ];
        let cut_off = [Fault::Aws(AwsFault::TableUnreachable), Fault::Aws(AwsFault::Freeze)];
        let known_after = if faults.is_faultless() { KNOWN_AFTER } else { KNOWN_AFTER_FAULTS };
        let rates = !scenario.api.rates.is_empty() && keeps_rates(scenario, known_after);
        // A process that is new and whose reads fail works as if nobody had paused. With the SDK's
        // own repeats that takes six failures in a row.
        let reads_fail = scenario.sdk_attempts == 1 && strike(&READ_FAILS);
        let pauses = keeps(Kept::Pause) && !strike(&cut_off) && !reads_fail;
        // A slot whose lease runs out unknown to it, or that cannot reach the register, calls on. One
        // request without an answer takes all the time that a slot has for it.
        let unlimited = [
            Fault::Aws(AwsFault::ClockSkew),
            Fault::Aws(AwsFault::ClockSteps),
            Fault::Aws(AwsFault::SlowRequest),
            Fault::Aws(AwsFault::LostRequest),
        ];
        let shared_out = !scenario.shared_table_out.is_empty();
        let strays = strike(&cut_off) || strike(&unlimited) || reads_fail || shared_out;
        let of_calls_at_once = scenario.lowered.iter().filter(|set| set.concurrency.is_some());
        let at_once = AtOnce {
            told: scenario.limits.iter().filter_map(|told| told.concurrency).min(),
            lowered: of_calls_at_once.copied().collect(),
        };
        let is_set = at_once.told.is_some() || !at_once.lowered.is_empty();
        let outages = keeps(Kept::Breaker) && !scenario.api.outages.is_empty();
        let slowed = scenario.lowered.iter().any(|set| set.rate.is_some());
        let quiet = keeps(Kept::TenantRate) && faults.is_faultless() && !slowed;
        Promises {
            rates: rates && !strike(&late),
            pauses: if pauses { scenario.pauses.clone() } else { Vec::new() },
            at_once: (is_set && keeps(Kept::Concurrency) && !strays).then_some(at_once),
            known_after,
            outages: outages && !Fault::ALL.iter().any(|fault| fails_calls(*fault, faults)),
            noisy: scenario.noisy_tenant().filter(|_| quiet),
            first_deadline: Moment::from_millis(scenario.deadline_secs * 1_000),
        }
    }

    /// Somebody asks the API, whose longest call so far took `longest`: what was in hand when the
    /// pause came may follow the call that ran then.
    pub fn on_request(&self, now: Moment, longest: Duration) -> Option<Broken> {
        let known = |pause: &Pause| pause.begins().plus(self.known_after + longest);
        let pause = self.pauses.iter().find(|pause| known(pause) < now && now < pause.ends())?;
        let since = now.since(pause.begins());
        Some((Invariant::PauseKept, format!("a call is made {since:?} after the pause")))
    }

    /// So many calls of live invocations are at the API, whose longest call so far took `longest`. One
    /// that was fetched when a lower number came may follow the call that ran then.
    pub fn on_calls(&self, now: Moment, calls: u32, longest: Duration) -> Option<Broken> {
        let AtOnce { told, lowered } = self.at_once.as_ref()?;
        let is_known = |lowered: &&Lowered| {
            lowered.begins().plus(self.known_after + longest) < now && now < lowered.ends()
        };
        let set = lowered.iter().find(is_known).and_then(|lowered| lowered.concurrency);
        let is_changing = |lowered: &Lowered| {
            lowered.begins() <= now && now < lowered.ends().plus(self.known_after + longest)
        };
        let told = told.filter(|_| !lowered.iter().any(is_changing));
        let most = set.or(told)?;
        let what = format!("{calls} calls at once, of {most}");
        (calls > most).then_some((Invariant::ConcurrencyKept, what))
    }

    /// The API refuses a call.
    pub fn on_refusal(&self, refused: Refused) -> Option<Broken> {
        let by_rate = matches!(refused, Refused::Own { wait: Some(_) });
        let what = format!("the API refuses a call for a rate that was told: {refused:?}");
        (self.rates && by_rate).then_some((Invariant::RateKept, what))
    }

    /// The workflow of a call that the API would take has ended. By its deadline it may fail, and say so
    /// of what nobody knows too.
    pub fn on_end(&self, now: Moment, call: u64, end: &End) -> Option<Broken> {
        let may_be_overdue = now >= self.first_deadline;
        let how = match end {
            End::Failed(name) if name.ends_with("DeadlineExceeded") => return None,
            End::Failed(name) if name.ends_with("NeedsPerson") && may_be_overdue => return None,
            End::Failed(name) => name,
            _ => return None,
        };
        let what = format!("call {call} failed as {how}, and nothing but an outage went wrong");
        self.outages.then_some((Invariant::NothingFailsInOutage, what))
    }

    /// A call has waited so long until it was made.
    pub fn on_start(&self, call: u64, tenant: Option<u32>, wait: Duration) -> Option<Broken> {
        let is_quiet = self.noisy.is_some() && tenant.is_some() && tenant != self.noisy;
        let what = format!("call {call} of quiet tenant {tenant:?} waited {wait:?}");
        (is_quiet && wait > QUIET_WAIT).then_some((Invariant::QuietTenant, what))
    }
}

/// Whether each rate of the API is told, or set in time, and kept.
fn keeps_rates(scenario: &Scenario, known_after: Duration) -> bool {
    // A function with a limiter in it believes what it is told; the worker, that it is off by three.
    let believed = if scenario.dispatch.is_the_workers() { 2.0 } else { 0.0 };
    if scenario.load.iter().any(|load| load.estimate_error > believed) {
        // A call may have more units than were kept free for it.
        return false;
    }
    let most_units = scenario.load.iter().map(|load| load.most_units()).max().unwrap_or(1);
    let keeps = |told: &Told, rate: &Rate| {
        told.tells(rate, most_units) && scenario.dispatch.keeps(told.kind())
    };
    let set = || scenario.lowered.iter().filter_map(|set| Some((set, set.told()?)));
    scenario.api.rates.iter().all(|rate| match rate.between {
        // While others are set in its place, they must keep it too.
        None => {
            let keeps_too = |set: Told| set.per != rate.per || set.is_within(rate);
            scenario.limits.iter().any(|told| keeps(told, rate))
                && set().all(|(_, set)| keeps_too(set))
        }
        Some((from, until)) => set().any(|(set, told)| {
            let is_known = set.begins().plus(known_after) <= Moment::from_millis(from * 1_000);
            let is_on = Moment::from_millis(until * 1_000) <= set.ends();
            is_known && is_on && keeps(&told, rate)
        }),
    })
}

/// Whether a fault may strike by which a workflow fails, with or without an outage.
fn fails_calls(fault: Fault, rates: &Rates) -> bool {
    let is_harmless = matches!(
        fault,
        Fault::Aws(_) | Fault::ApiThrottle | Fault::ApiSlow | Fault::Stop | Fault::Deploy
    );
    !is_harmless && rates.of(fault) > 0.0
}
