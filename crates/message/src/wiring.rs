//! How a queued call finds a slot. Enqueuer, worker and template must agree on it.

use std::fmt;
use std::str::FromStr;

use crate::InvalidValue;

/// How a queued call finds a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wiring {
    /// A ring wakes a slot, which polls the queues itself.
    #[default]
    Doorbell,
    /// Each queue has a mapping of its own; a worker woken by a lower call looks higher first.
    Deferral,
}

impl Wiring {
    /// The environment variable that names it, of the enqueuer and of the worker.
    pub const VARIABLE: &str = "DISPATCH";
    /// What that variable may hold, for errors.
    pub const EXPECTED: &str = "`doorbell` or `deferral`";

    /// As the variable and the template's parameter write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Wiring::Doorbell => "doorbell",
            Wiring::Deferral => "deferral",
        }
    }
}

impl fmt::Display for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Wiring {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Wiring, InvalidValue> {
        [Wiring::Doorbell, Wiring::Deferral]
            .into_iter()
            .find(|wiring| wiring.as_str() == text)
            .ok_or_else(|| InvalidValue {
                expected: Wiring::EXPECTED,
                found: "other text".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiring_is_read_as_it_is_written() {
        for wiring in [Wiring::Doorbell, Wiring::Deferral] {
            assert_eq!(wiring.to_string().parse(), Ok(wiring));
        }
        assert!("Doorbell".parse::<Wiring>().is_err());
    }
}
