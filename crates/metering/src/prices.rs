//! Price lists: what a model's tokens cost, as of a date.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use slowlane_profile::mistakes::{self, Finding, Mistakes};
use toml::Spanned;

use crate::money::Money;
use crate::used::Tokens;

/// What models cost. A team brings it, since vendors change their prices:
///
/// ```
/// use slowlane_metering::{Prices, Tokens};
///
/// let prices = Prices::parse(
///     r#"
///     as_of = "2026-11-01"
///     currency = "USD"
///     source = "https://vendor.example/pricing"
///     [models.small]
///     input = 0.15
///     output = 0.60
///     "#,
/// )?;
/// let cost = prices.cost("small", Tokens { input: 1_000, output: 200, ..Tokens::default() });
/// assert_eq!(cost.map(|cost| cost.to_string()).as_deref(), Some("0.00027"));
/// assert_eq!(prices.cost("another", Tokens::default()), None);
/// # Ok::<_, slowlane_profile::mistakes::Mistakes>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// From when on these prices hold, as far as their writer knows.
    as_of: Spanned<String>,
    /// What they are in, such as `USD`.
    currency: Spanned<String>,
    /// Where the vendor says so.
    source: Option<String>,
    /// By the names under which calls ask for them.
    models: BTreeMap<String, Price>,
}

/// What a million tokens of a model cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// That it reads.
    #[serde(deserialize_with = "amount")]
    pub input: Money,
    /// Of these, those that come from the vendor's cache; as `input`, if it is left out.
    #[serde(default, deserialize_with = "maybe_amount")]
    pub cached: Option<Money>,
    /// Of these, those that are put into the vendor's cache; as `input`, if it is left out.
    #[serde(default, deserialize_with = "maybe_amount")]
    pub cache_written: Option<Money>,
    /// That it writes.
    #[serde(deserialize_with = "amount")]
    pub output: Money,
}

impl Price {
    fn of(&self, tokens: Tokens) -> Money {
        let Tokens { input, cached, cache_written, output } = tokens;
        let fresh = input.saturating_sub(cached).saturating_sub(cache_written);
        [
            (self.input, fresh),
            (self.cached.unwrap_or(self.input), cached),
            (self.cache_written.unwrap_or(self.input), cache_written),
            (self.output, output),
        ]
        .into_iter()
        .fold(Money::default(), |sum, (price, tokens)| sum.plus(price.of_million(tokens)))
    }
}

impl Prices {
    /// Reads a price list.
    ///
    /// # Errors
    /// All mistakes, each with its line, its field and its mend.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        mistakes::read(text, findings)
    }

    /// The date as of which they are known: `2026-11-01`.
    #[must_use]
    pub fn as_of(&self) -> &str {
        self.as_of.get_ref()
    }

    /// What they are in.
    #[must_use]
    pub fn currency(&self) -> &str {
        self.currency.get_ref()
    }

    /// Where the vendor says so, if the list tells.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// What a call costs. `None`: its model is not in the list.
    #[must_use]
    pub fn cost(&self, model: &str, tokens: Tokens) -> Option<Money> {
        self.models.get(model).map(|price| price.of(tokens))
    }
}

fn findings(prices: &Prices) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |span, problem: String, mend: &str| {
        found.push(Finding { span, problem, mend: Some(mend.to_owned()) });
    };
    let date = prices.as_of();
    if date.parse::<Date>().is_err() || date.len() != 10 {
        let problem = format!("`{date}` is no date");
        tell(prices.as_of.span(), problem, "write `as_of = \"2026-11-01\"`");
    }
    let currency = prices.currency();
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let problem = format!("`{currency}` is no currency's code");
        tell(prices.currency.span(), problem, "write `currency = \"USD\"`");
    }
    found
}

/// Reads a number as it is written, to the last digit.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
    struct Reader;
    impl Visitor<'_> for Reader {
        type Value = Money;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a price, such as 0.15")
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Money, E> {
            // Without an exponent, and with as many digits as are needed to read it again.
            number.to_string().parse().map_err(E::custom)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Money, E> {
            number.to_string().parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Reader)
}

fn maybe_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    amount(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "as_of = \"2026-11-01\"\ncurrency = \"USD\"\n[models.\"a.b-1\"]\ninput = 3\noutput = 0.0375\n";

    #[test]
    fn a_call_costs_what_it_read_and_what_it_wrote() {
        let prices = Prices::parse(LIST).unwrap();
        assert_eq!(
            (prices.as_of(), prices.currency(), prices.source()),
            ("2026-11-01", "USD", None)
        );
        let cost = prices
            .cost("a.b-1", Tokens { input: 1_000_000, output: 2_000_000, ..Tokens::default() });
        assert_eq!(cost, "3.075".parse().ok());
        assert_eq!(prices.cost("a.b", Tokens::default()), None);
    }

    #[test]
    fn tokens_of_the_cache_have_prices_of_their_own_if_the_list_says_them() {
        let tokens =
            Tokens { input: 1_000_000, cached: 600_000, cache_written: 300_000, output: 0 };
        for (more, expected) in [
            ("", "3"),
            ("cached = 0.30\n", "1.38"),
            ("cached = 0.30\ncache_written = 3.75\n", "1.605"),
        ] {
            let prices = Prices::parse(&format!("{LIST}{more}")).unwrap();
            assert_eq!(prices.cost("a.b-1", tokens), expected.parse().ok(), "{more}");
        }
        // What says that it has read less than came from its cache costs what came from there.
        let odd = Tokens { cached: 1_000_000, ..Tokens::default() };
        let prices = Prices::parse(&format!("{LIST}cached = 0.30\n")).unwrap();
        assert_eq!(prices.cost("a.b-1", odd), "0.3".parse().ok());
    }

    #[test]
    fn a_mistake_names_its_line_and_its_mend() {
        for (from, to, told) in [
            ("2026-11-01", "soon", "1:9: as_of: `soon` is no date; write `as_of"),
            ("2026-11-01", "2026-11-01T00:00", "1:9: as_of: `2026-11-01T00:00` is no date"),
            ("USD", "dollars", "2:12: currency: `dollars` is no currency's code; write"),
            ("= 3", "= -3", "models.a.b-1.input: `-3` is no amount of money; write"),
            ("input", "imput", "4:1: models.a.b-1.imput: there is no field `imput`; did you mean"),
            ("output = 0.0375\n", "", "missing"),
            ("output =", "cached = \"1\"\noutput =", "models.a.b-1.cached: "),
        ] {
            let error = Prices::parse(&LIST.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}
