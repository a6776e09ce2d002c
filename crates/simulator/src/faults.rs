//! What goes wrong, how often, and which of it to leave out when a failing run is shrunk.

use std::collections::BTreeSet;

use crate::chance::Dice;

/// One way in which the cloud, or the API behind it, misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// AWS answers a request with its throttling error; nothing was done.
    AwsThrottle,
    /// AWS answers 500; nothing was done.
    AwsError,
    /// The connection breaks before the request arrives.
    LostRequest,
    /// The request is carried out and the connection breaks before the answer arrives.
    LostReply,
    /// A request takes a hundred times as long as was drawn.
    SlowRequest,
    /// A message is handed out twice at about the same time; the first receipt is stale from then
    /// on.
    Duplicate,
    /// A message loses its place in the queue.
    Reorder,
    /// A deleted message comes back after its visibility timeout.
    Undelete,
    /// The process of an invocation dies at one of its await points.
    Crash,
    /// The API answers 429 although its limit is kept: another integration uses it too.
    ApiThrottle,
    /// The API breaks the connection; nothing was done.
    ApiLostRequest,
    /// The API does the work and breaks the connection before it answers.
    ApiLostReply,
    /// The API answers 500; nothing was done.
    ApiError,
    /// The API does the work and answers 500 all the same, or 400 with a code that nobody has
    /// documented.
    ApiErrorAfterCommit,
    /// The API takes twenty times as long as was drawn, which is often longer than the worker
    /// waits: it works on all the same.
    ApiSlow,
    /// The API is down for up to a minute: it answers 503 to everything.
    ApiOutage,
    /// The API's answer is larger than a workflow, or even the guard's table, can hold.
    ApiLargeAnswer,
    /// The API rejects the request for good: it is the caller's mistake.
    ApiReject,
    /// An execution is stopped by somebody while it waits.
    Stop,
    /// The machine that an environment runs on has its clock wrong, by up to a second: no two
    /// clocks are further apart than the guard's margin of 2 s.
    ClockSkew,
    /// A ring is taken off the doorbell queue by an operator's mistake, who rings again up to five
    /// minutes later, as the next enqueued call would.
    LostRing,
    /// A message that no one can read is put on one of the queues.
    Malformed,
    /// A message as large as SQS takes, and no call, is put on one of the queues.
    Oversized,
    /// The functions are deployed afresh while calls run: idle environments go at once, busy
    /// ones after the invocation they are in.
    Deploy,
    /// An operator redrives the dead-letter queue into the queues its messages came from.
    Redrive,
    /// The API breaks the connection and does the work all the same, up to a quarter of an hour
    /// after.
    ApiWorksLate,
    /// The API is down for up to four hours: it answers 503 to everything.
    ApiDownForHours,
    /// A search of the API's lags behind and does not find a record that is there, which the API
    /// refuses to create once more.
    ApiRefusesDuplicate,
    /// Programs may not receive from queues for up to ten minutes (AccessDenied), while all other
    /// requests work, and event source mappings too.
    ReceiveRefused,
    /// No request reaches DynamoDB for up to an hour.
    TableUnreachable,
    /// The stack is switched between the doorbell and the deferral wiring. The function changes
    /// first; the new mappings come a little later, and the old ones deliver for a while yet.
    SwitchDispatch,
    /// The limit is lowered while calls run.
    LowerLimit,
    /// The limit is raised while calls run.
    RaiseLimit,
    /// An operator starts the workflows of the dead letters anew.
    DeadLettersRestarted,
    /// A workflow asks for a deadline of its own, days away: for one in four of them further than
    /// is allowed.
    LongDeadline,
    /// The clock of an environment's machine is set, by up to two seconds, while it runs.
    ClockSteps,
    /// An environment is paused between two await points of an invocation, for up to two minutes.
    Freeze,
}

impl Fault {
    /// Every fault with its name in scenario files and on the command line.
    pub const ALL: [(Fault, &'static str); 37] = [
        (Fault::AwsThrottle, "aws-throttle"),
        (Fault::AwsError, "aws-error"),
        (Fault::LostRequest, "lost-request"),
        (Fault::LostReply, "lost-reply"),
        (Fault::SlowRequest, "slow-request"),
        (Fault::Duplicate, "duplicate"),
        (Fault::Reorder, "reorder"),
        (Fault::Undelete, "undelete"),
        (Fault::Crash, "crash"),
        (Fault::ApiThrottle, "api-throttle"),
        (Fault::ApiLostRequest, "api-lost-request"),
        (Fault::ApiLostReply, "api-lost-reply"),
        (Fault::ApiError, "api-error"),
        (Fault::ApiErrorAfterCommit, "api-error-after-commit"),
        (Fault::ApiSlow, "api-slow"),
        (Fault::ApiOutage, "api-outage"),
        (Fault::ApiLargeAnswer, "api-large-answer"),
        (Fault::ApiReject, "api-reject"),
        (Fault::Stop, "stop"),
        (Fault::ClockSkew, "clock-skew"),
        (Fault::LostRing, "lost-ring"),
        (Fault::Malformed, "malformed"),
        (Fault::Oversized, "oversized"),
        (Fault::Deploy, "deploy"),
        (Fault::Redrive, "redrive"),
        (Fault::ApiWorksLate, "api-works-late"),
        (Fault::ApiDownForHours, "api-down-for-hours"),
        (Fault::ApiRefusesDuplicate, "api-refuses-duplicate"),
        (Fault::ReceiveRefused, "receive-refused"),
        (Fault::TableUnreachable, "table-unreachable"),
        (Fault::SwitchDispatch, "switch-dispatch"),
        (Fault::LowerLimit, "lower-limit"),
        (Fault::RaiseLimit, "raise-limit"),
        (Fault::DeadLettersRestarted, "dead-letters-restarted"),
        (Fault::LongDeadline, "long-deadline"),
        (Fault::ClockSteps, "clock-steps"),
        (Fault::Freeze, "freeze"),
    ];

    /// The fault of this name.
    pub fn named(name: &str) -> Option<Fault> {
        let (fault, _) = Fault::ALL.iter().find(|(_, known)| *known == name)?;
        Some(*fault)
    }

    /// The name in scenario files and on the command line.
    pub fn name(self) -> &'static str {
        Fault::ALL[self as usize].1
    }
}

/// The probability of each fault at each occasion it has; all zero by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates([f64; Fault::ALL.len()]);

impl Default for Rates {
    fn default() -> Rates {
        Rates([0.0; Fault::ALL.len()])
    }
}

impl Rates {
    /// Sets the probability of one fault, 0 to 1.
    pub fn set(&mut self, fault: Fault, probability: f64) {
        self.0[fault as usize] = probability;
    }

    /// The probability of one fault.
    pub fn of(&self, fault: Fault) -> f64 {
        self.0[fault as usize]
    }

    /// The faults that can strike.
    pub fn active(&self) -> impl Iterator<Item = Fault> + '_ {
        Fault::ALL.iter().map(|(fault, _)| *fault).filter(|fault| self.of(*fault) > 0.0)
    }
}

/// Decides, occasion by occasion, whether a fault strikes. Strikes are numbered in the order
/// they happen, and those in `spared` are left out: a failing run is shrunk by sparing.
#[derive(Clone, Debug)]
pub struct Faults {
    rates: Rates,
    dice: Dice,
    strikes: u64,
    struck: Struck,
    spared: BTreeSet<u64>,
}

/// How often each fault struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck([u64; Fault::ALL.len()]);

impl Default for Struck {
    fn default() -> Struck {
        Struck([0; Fault::ALL.len()])
    }
}

impl Struck {
    /// How often this fault struck.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// How often any fault struck.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl std::ops::AddAssign for Struck {
    fn add_assign(&mut self, other: Struck) {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine += others;
        }
    }
}

impl Faults {
    /// Faults at these rates, under a run's seed.
    pub fn new(rates: Rates, spared: BTreeSet<u64>, dice: Dice) -> Faults {
        Faults { rates, dice, strikes: 0, struck: Struck::default(), spared }
    }

    /// No faults, ever.
    pub fn none() -> Faults {
        Faults::new(Rates::default(), BTreeSet::new(), Dice::new(0, 0))
    }

    /// Whether `fault` strikes at this occasion.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        if !self.dice.happens(self.rates.of(fault)) {
            return false;
        }
        self.strikes += 1;
        let strikes = !self.spared.contains(&(self.strikes - 1));
        self.struck.0[fault as usize] += u64::from(strikes);
        strikes
    }

    /// A number in `0..n` that shapes a fault which struck.
    pub fn below(&mut self, n: u64) -> u64 {
        self.dice.below(n)
    }

    /// How many strikes there were, the spared ones included.
    pub fn count(&self) -> u64 {
        self.strikes
    }

    /// How often each fault struck.
    pub fn struck(&self) -> Struck {
        self.struck
    }

    /// The rates in force.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_positions_agree() {
        for (position, (fault, name)) in Fault::ALL.iter().enumerate() {
            assert_eq!(*fault as usize, position);
            assert_eq!(Fault::named(name), Some(*fault));
        }
    }

    #[test]
    fn a_spared_strike_does_not_happen_and_the_others_stay() {
        let mut rates = Rates::default();
        rates.set(Fault::Crash, 0.5);
        let strikes = |spared: BTreeSet<u64>| -> Vec<bool> {
            let mut faults = Faults::new(rates.clone(), spared, Dice::new(3, 0));
            (0..50).map(|_| faults.strikes(Fault::Crash)).collect()
        };
        let all = strikes(BTreeSet::new());
        let spared = strikes(BTreeSet::from([2]));
        let changed = all.iter().zip(&spared).filter(|(a, b)| a != b).count();
        assert_eq!(changed, 1);
    }
}
