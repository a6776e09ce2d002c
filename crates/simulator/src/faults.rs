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
    /// A message is handed out twice at about the same time.
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
    /// The API does the work and answers 500 all the same.
    ApiErrorAfterCommit,
    /// The API takes twenty times as long as was drawn.
    ApiSlow,
    /// The API rejects the request for good: it is the caller's mistake.
    ApiReject,
    /// An execution is stopped by somebody while it waits.
    Stop,
    /// The machine that an environment runs on has its clock wrong, by up to a second: no two
    /// clocks are further apart than the guard's margin of 2 s.
    ClockSkew,
    /// A ring is taken off the doorbell queue by an operator's mistake.
    LostRing,
    /// A message that no one can read is put on one of the queues.
    Malformed,
    /// The functions are deployed afresh while calls run: idle environments go at once, busy
    /// ones after the invocation they are in.
    Deploy,
    /// An operator redrives the dead-letter queue into the queues its messages came from.
    Redrive,
}

impl Fault {
    /// Every fault with its name in scenario files and on the command line.
    pub const ALL: [(Fault, &'static str); 22] = [
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
        (Fault::ApiReject, "api-reject"),
        (Fault::Stop, "stop"),
        (Fault::ClockSkew, "clock-skew"),
        (Fault::LostRing, "lost-ring"),
        (Fault::Malformed, "malformed"),
        (Fault::Deploy, "deploy"),
        (Fault::Redrive, "redrive"),
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates([f64; Fault::ALL.len()]);

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
    spared: BTreeSet<u64>,
}

impl Faults {
    /// Faults at these rates, under a run's seed.
    pub fn new(rates: Rates, spared: BTreeSet<u64>, dice: Dice) -> Faults {
        Faults { rates, dice, strikes: 0, spared }
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
        !self.spared.contains(&(self.strikes - 1))
    }

    /// A number in `0..n` that shapes a fault which struck.
    pub fn below(&mut self, n: u64) -> u64 {
        self.dice.below(n)
    }

    /// How many strikes there were, the spared ones included.
    pub fn count(&self) -> u64 {
        self.strikes
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
