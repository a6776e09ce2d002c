//! What calls use of AI models: what a stack is told of it, and what it has counted.

use crate::Values;
use crate::outputs::Deployed;
use crate::text;
use aws_config::SdkConfig;
use slowlane_metering::{BudgetError, Budgets, Prices, UsageTable, Used};
use std::path::{Path, PathBuf};

pub use slowlane_metering::{Period, Usage};

/// The name of a price list in the worker's package, which `Prices` then has.
pub(crate) const PRICES_FILE: &str = "prices.toml";

/// Why a stack cannot count so. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stack has a price list, and this deploy brings none.
    #[error(
        "the stack has a price list, which travels in the worker's package: give its file again by \
         --prices, or -p Prices= for none"
    )]
    PricesLeftOut,
    /// The price list cannot be read.
    #[error("cannot read the price list {path}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The price list has mistakes.
    #[error("the price list has mistakes. {path}:\n{mistakes}")]
    Mistakes {
        /// Its path.
        path: PathBuf,
        /// All of them, each with its line.
        mistakes: slowlane_profile::Mistakes,
    },
    /// The budgets cannot be read.
    #[error("the parameter Budgets: {0}")]
    Budgets(#[from] BudgetError),
    /// There are budgets, and nothing is counted.
    #[error("budgets need what calls use to be counted: give -p Metering=enabled")]
    NotCounted,
    /// There are budgets of money, and no prices.
    #[error("budgets of money need a price list: give its file by --prices")]
    NoPrices,
}

/// Completes the parameters that say what is counted, and holds them to what must be so across them.
///
/// # Errors
/// If they do not fit together.
pub(crate) fn choose(
    parameters: &mut Values,
    before: &Values,
    brings_prices: bool,
) -> Result<(), Error> {
    if brings_prices {
        parameters.insert("Prices".into(), PRICES_FILE.into());
    }
    let value = |name: &str| {
        let value = parameters.get(name).or_else(|| before.get(name));
        value.map(String::as_str).unwrap_or_default()
    };
    if value("Prices") == PRICES_FILE && !brings_prices {
        return Err(Error::PricesLeftOut);
    }
    let budgets = match value("Budgets") {
        "" => Budgets::default(),
        text => Budgets::from_json(text)?,
    };
    if !budgets.is_empty() && value("Metering") != "enabled" {
        return Err(Error::NotCounted);
    }
    match budgets.count_money() && value("Prices").is_empty() {
        true => Err(Error::NoPrices),
        false => Ok(()),
    }
}

/// A price list's file, which is one.
///
/// # Errors
/// If it cannot be read, or has mistakes.
pub(crate) fn read_prices(path: &Path) -> Result<Vec<u8>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.into(), source })?;
    Prices::parse(&text).map_err(|mistakes| Error::Mistakes { path: path.into(), mistakes })?;
    Ok(text.into_bytes())
}

/// Why it is not known what calls have used.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The stack does not count it.
    #[error(
        "the stack {0} does not count what calls use: deploy it with -p Metering=enabled, or with \
         `metered = true` in slowlane.toml"
    )]
    NotCounted(String),
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] slowlane_metering::Error),
}

/// What calls have used in a day or a month, by tenants' names.
///
/// # Errors
/// See [`UsageError`].
pub async fn usage(
    config: &SdkConfig,
    deployed: &Deployed,
    period: Period,
    tenant: Option<&str>,
) -> Result<Vec<Usage>, UsageError> {
    let table = deployed.outputs.usage_table_name.as_deref();
    let table = table.ok_or_else(|| UsageError::NotCounted(deployed.stack_name.clone()))?;
    let table = UsageTable::new(aws_sdk_dynamodb::Client::new(config), table);
    Ok(table.usage(period, tenant).await?)
}

/// For people: a line for each tenant and model, and one for all together.
pub fn table(usage: &[Usage]) -> String {
    let heading =
        ["TENANT", "MODEL", "CALLS", "TOKENS READ", "FROM CACHE", "WRITTEN", "COST", "UNPRICED"];
    let mut all = Used::default();
    let mut rows = Vec::new();
    for Usage { tenant, used, .. } in usage {
        all = all.plus(used.total());
        rows.extend(used.models().map(|(model, used)| row(tenant, model, used)));
    }
    if rows.len() > 1 {
        rows.push(row("all", "", &all));
    }
    text::table(heading, rows)
}

fn row(tenant: &str, model: &str, used: &Used) -> [String; 8] {
    let Used { calls, input, cached, output, cost, unpriced } = *used;
    // Nothing is known of what none of the calls cost.
    let cost = if unpriced == calls { String::new() } else { cost.to_string() };
    let number = |number: u64| number.to_string();
    let some = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let name = |name: &str| if name.is_empty() { "-".to_owned() } else { name.to_owned() };
    [
        name(tenant),
        name(model),
        number(calls),
        number(input),
        some(cached),
        number(output),
        cost,
        some(unpriced),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(given: &[(&str, &str)], before: &[(&str, &str)], brings: bool) -> String {
        let values = |pairs: &[(&str, &str)]| -> Values {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let mut parameters = values(given);
        match choose(&mut parameters, &values(before), brings) {
            Ok(()) => parameters.remove("Prices").unwrap_or_else(|| "as it was".to_owned()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_stack_says_what_is_counted() {
        let list = [("Prices", PRICES_FILE)];
        let tokens = ("Budgets", r#"[{"tokens":"5/day"}]"#);
        let money = ("Budgets", r#"[{"money":"5/day"}]"#);
        let counted = ("Metering", "enabled");
        assert_eq!(chosen(&[], &[], false), "as it was");
        assert_eq!(chosen(&[], &[], true), PRICES_FILE);
        assert_eq!(chosen(&[], &list, true), PRICES_FILE);
        assert_eq!(chosen(&[("Prices", "")], &list, false), "");
        assert_eq!(chosen(&[tokens, counted], &[], false), "as it was");
        assert_eq!(chosen(&[], &[money, counted], true), PRICES_FILE);
        for (given, before, told) in [
            (&[][..], &list[..], "give its file again by --prices"),
            (&[tokens][..], &[][..], "give -p Metering=enabled"),
            (&[money][..], &[counted][..], "need a price list"),
            (&[("Budgets", "[{}]")][..], &[counted][..], "Budgets: budgets[1]"),
        ] {
            let error = chosen(given, before, false);
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}
