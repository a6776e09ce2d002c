//! What goes wrong, how often, and which of it to leave out when a failing run is shrunk.
//!
//! The cloud's own faults are [`Fault`]. A harness that tests programs on it has faults of its own,
//! of an API behind them or of people: any type that is a [`Kind`]. All of them strike by the same
//! dice and are numbered together, so that one list of strikes to spare shrinks the whole run.

use std::collections::{BTreeMap, BTreeSet};

use crate::chance::Dice;

/// A kind of fault, known by its name.
pub trait Kind: Copy {
    /// Its name in rates and figures; no two kinds share one.
    fn name(self) -> &'static str;
}

/// One way in which the cloud misbehaves.
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
    /// The machine that an environment runs on has its clock wrong, by up to a second.
    ClockSkew,
    /// The clock of an environment's machine is set, by up to two seconds, while it runs.
    ClockSteps,
    /// An environment is paused between two await points of an invocation, for up to two minutes.
    Freeze,
    /// Programs may not receive from queues for up to ten minutes (AccessDenied), while all other
    /// requests work, and event source mappings too.
    ReceiveRefused,
    /// No request reaches DynamoDB for up to an hour.
    TableUnreachable,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 14] = [
        Fault::AwsThrottle,
        Fault::AwsError,
        Fault::LostRequest,
        Fault::LostReply,
        Fault::SlowRequest,
        Fault::Duplicate,
        Fault::Reorder,
        Fault::Undelete,
        Fault::Crash,
        Fault::ClockSkew,
        Fault::ClockSteps,
        Fault::Freeze,
        Fault::ReceiveRefused,
        Fault::TableUnreachable,
    ];
}

impl Kind for Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::AwsThrottle => "aws-throttle",
            Fault::AwsError => "aws-error",
            Fault::LostRequest => "lost-request",
            Fault::LostReply => "lost-reply",
            Fault::SlowRequest => "slow-request",
            Fault::Duplicate => "duplicate",
            Fault::Reorder => "reorder",
            Fault::Undelete => "undelete",
            Fault::Crash => "crash",
            Fault::ClockSkew => "clock-skew",
            Fault::ClockSteps => "clock-steps",
            Fault::Freeze => "freeze",
            Fault::ReceiveRefused => "receive-refused",
            Fault::TableUnreachable => "table-unreachable",
        }
    }
}

/// The probability of each kind of fault at each occasion it has; zero unless set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Those above zero. A run has a few dozen at most and asks for them at every request: a list
    /// of names is searched faster than a map.
    active: Vec<(&'static str, f64)>,
}

impl Rates {
    /// Sets the probability of one kind, 0 to 1.
    pub fn set(&mut self, kind: impl Kind, probability: f64) {
        self.active.retain(|(name, _)| *name != kind.name());
        if probability > 0.0 {
            self.active.push((kind.name(), probability));
        }
    }

    /// The probability of one kind.
    pub fn of(&self, kind: impl Kind) -> f64 {
        let active = self.active.iter().find(|(name, _)| *name == kind.name());
        active.map_or(0.0, |(_, probability)| *probability)
    }

    /// Whether nothing can strike.
    pub fn is_faultless(&self) -> bool {
        self.active.is_empty()
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

/// How often each kind of fault struck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Struck(BTreeMap<&'static str, u64>);

impl Struck {
    /// How often this kind struck.
    pub fn of(&self, kind: impl Kind) -> u64 {
        self.0.get(kind.name()).copied().unwrap_or(0)
    }

    /// How often any fault struck.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl std::ops::AddAssign for Struck {
    fn add_assign(&mut self, other: Struck) {
        for (name, times) in other.0 {
            *self.0.entry(name).or_default() += times;
        }
    }
}

impl Faults {
    /// Faults at these rates, by these dice, without the strikes of these numbers (from 0).
    pub fn new(rates: Rates, spared: BTreeSet<u64>, dice: Dice) -> Faults {
        Faults { rates, dice, strikes: 0, struck: Struck::default(), spared }
    }

    /// No faults, ever.
    pub fn none() -> Faults {
        Faults::new(Rates::default(), BTreeSet::new(), Dice::new(0, 0))
    }

    /// Whether a fault of this kind strikes at this occasion.
    pub fn strikes(&mut self, kind: impl Kind) -> bool {
        if !self.dice.happens(self.rates.of(kind)) {
            return false;
        }
        self.strikes += 1;
        let strikes = !self.spared.contains(&(self.strikes - 1));
        *self.struck.0.entry(kind.name()).or_default() += u64::from(strikes);
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

    /// How often each kind struck.
    pub fn struck(&self) -> &Struck {
        &self.struck
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
    fn no_two_faults_share_a_name() {
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
    }

    #[test]
    fn a_harness_has_faults_of_its_own_by_the_same_dice() {
        #[derive(Clone, Copy)]
        struct Quake;
        impl Kind for Quake {
            fn name(self) -> &'static str {
                "quake"
            }
        }
        let mut rates = Rates::default();
        rates.set(Quake, 1.0);
        let mut faults = Faults::new(rates, BTreeSet::from([1]), Dice::new(3, 0));
        assert!(faults.strikes(Quake));
        assert!(!faults.strikes(Fault::Crash));
        assert!(!faults.strikes(Quake));
        let (quakes, strikes) = (faults.struck().of(Quake), faults.count());
        assert_eq!((quakes, faults.struck().total(), strikes), (1, 1, 2));
    }

    #[test]
    fn a_rate_that_is_set_to_zero_strikes_no_more() {
        let mut rates = Rates::default();
        rates.set(Fault::Crash, 0.5);
        rates.set(Fault::Crash, 1.0);
        assert_eq!(rates.of(Fault::Crash), 1.0);
        rates.set(Fault::Crash, 0.0);
        assert!(rates.is_faultless());
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
