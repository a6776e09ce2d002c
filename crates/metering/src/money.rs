//! Amounts of money.

use std::fmt;
use std::str::FromStr;

/// Digits behind the point that are kept.
const DIGITS: usize = 9;
const BILLION: u64 = 1_000_000_000;

/// An amount of money, to a billionth of the currency of the price list. It has at most 18 billion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u64);

/// A text that is no amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no amount of money; write `20` or `0.15`, with at most nine digits behind the point"
)]
pub struct BadMoney(String);

impl Money {
    /// None.
    pub const ZERO: Self = Self(0);

    /// So many billionths.
    #[must_use]
    pub fn from_billionths(billionths: u64) -> Self {
        Self(billionths)
    }

    /// How many billionths it has.
    #[must_use]
    pub fn billionths(self) -> u64 {
        self.0
    }

    /// Both together. What cannot be told any more stays the most that can.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The price of so many tokens if this is the price of a million, rounded up to a billionth.
    #[must_use]
    pub fn of_million(self, tokens: u64) -> Self {
        let billionths = (u128::from(self.0) * u128::from(tokens)).div_ceil(1_000_000);
        Self(u64::try_from(billionths).unwrap_or(u64::MAX))
    }
}

impl FromStr for Money {
    type Err = BadMoney;

    fn from_str(text: &str) -> Result<Self, BadMoney> {
        let read = || {
            let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if !digits(whole) || !digits(part) || part.len() > DIGITS {
                return None;
            }
            let billionths: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
            whole.parse::<u64>().ok()?.checked_mul(BILLION)?.checked_add(billionths)
        };
        read().map(Self).ok_or_else(|| BadMoney(text.to_owned()))
    }
}

impl fmt::Display for Money {
    /// With two digits behind the point, or more where it has more: `20.00`, `0.0000015`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / BILLION, format!("{:0DIGITS$}", self.0 % BILLION));
        let (cents, rest) = part.split_at(2);
        write!(f, "{whole}.{cents}{}", rest.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_is_read_and_written() {
        for (text, billionths, written) in [
            ("20", 20 * BILLION, "20.00"),
            ("0.15", 150_000_000, "0.15"),
            ("0.0000015", 1_500, "0.0000015"),
            ("0.000000001", 1, "0.000000001"),
            ("0.5", 500_000_000, "0.50"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!((money.billionths(), &*money.to_string()), (billionths, written), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "1e3", "1,5", "0.0000000001", "99999999999999"] {
            let error = text.parse::<Money>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no amount of money")), "{error}");
        }
    }

    #[test]
    fn tokens_are_priced_to_a_billionth_and_never_too_low() {
        let price: Money = "0.15".parse().unwrap();
        assert_eq!(price.of_million(1_000_000), price);
        assert_eq!(price.of_million(1).billionths(), 150);
        let odd: Money = "0.0375".parse().unwrap();
        assert_eq!(odd.of_million(1).billionths(), 38);
        assert_eq!(Money(u64::MAX).of_million(u64::MAX), Money(u64::MAX));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(billionths: u64) {
            let money = Money::from_billionths(billionths);
            prop_assert_eq!(money.to_string().parse::<Money>(), Ok(money));
        }
    }
}
