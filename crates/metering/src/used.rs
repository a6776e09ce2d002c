//! What calls have used.

use std::collections::BTreeMap;

use crate::money::Money;

/// Tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens that the model read, those of the vendor's cache among them.
    pub input: u64,
    /// Of these, the tokens that came from the vendor's cache.
    pub cached: u64,
    /// Of `input`, the tokens that were put into the vendor's cache.
    pub cache_written: u64,
    /// Tokens that it wrote.
    pub output: u64,
}

/// What some calls have used together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// How many calls were answered.
    pub calls: u64,
    /// Tokens that were read.
    pub input: u64,
    /// Of these, the tokens that came from the vendor's cache.
    pub cached: u64,
    /// Tokens that were written.
    pub output: u64,
    /// What they cost, as far as their models are in the price list.
    pub cost: Money,
    /// How many of the calls are of models that are not in the price list.
    pub unpriced: u64,
}

impl Used {
    /// One call. Its cost is known if its model is in the price list.
    #[must_use]
    pub fn by_call(tokens: Tokens, cost: Option<Money>) -> Self {
        let Tokens { input, cached, output, .. } = tokens;
        let unpriced = u64::from(cost.is_none());
        Self { calls: 1, input, cached, output, cost: cost.unwrap_or_default(), unpriced }
    }

    /// Tokens that were read and written.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            cost: self.cost.plus(other.cost),
            unpriced: self.unpriced.saturating_add(other.unpriced),
        }
    }
}

/// What calls have used of each model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, Used>);

impl Tally {
    /// Adds to what was used of a model.
    pub fn add(&mut self, model: &str, used: Used) {
        let sum = self.0.get(model).copied().unwrap_or_default().plus(used);
        self.0.insert(model.to_owned(), sum);
    }

    /// Adds all of another one.
    pub fn add_all(&mut self, other: &Self) {
        other.models().for_each(|(model, used)| self.add(model, *used));
    }

    /// The models by their names, and what was used of each.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Used)> {
        self.0.iter().map(|(model, used)| (model.as_str(), used))
    }

    /// What was used of all models together.
    #[must_use]
    pub fn total(&self) -> Used {
        self.0.values().fold(Used::default(), |sum, used| sum.plus(*used))
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
