//! What a service's core decides by chance with.

use super::parameters::Parameters;
use crate::chance::Dice;
use crate::faults::Faults;

/// What a core decides by chance with.
#[derive(Debug)]
pub struct Odds<'a> {
    /// The cloud's own dice.
    pub dice: &'a mut Dice,
    /// The unconfirmed facts.
    pub parameters: &'a Parameters,
    /// What goes wrong.
    pub faults: &'a mut Faults,
}
