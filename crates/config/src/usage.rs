//! Holds what is said of models' usage to what must be so across its fields.

use slowlane_metering::Most;
use slowlane_profile::mistakes::Finding;

use crate::file::Target;

pub(crate) fn check(target: &Target, found: &mut Vec<Finding>) {
    let mut tell = |span, problem: &str, mend: &str| {
        let (problem, mend) = (problem.to_owned(), Some(mend.to_owned()));
        found.push(Finding { span, problem, mend });
    };
    let budgets = target.budgets.iter().flatten();
    for (index, budget) in budgets.clone().enumerate() {
        let mut earlier = budgets.clone().take(index);
        if earlier.any(|earlier| budget.get_ref().repeats(earlier.get_ref())) {
            tell(budget.span(), "there is a budget of this kind already", "take one of them out");
        }
        if matches!(budget.get_ref().most, Most::Money(_)) && target.prices.is_none() {
            let mend = "write `prices = \"prices.toml\"`, the path of a price list";
            tell(budget.span(), "a budget of money needs to know what models cost", mend);
        }
    }
    let is_needed = target.prices.is_some() || budgets.clone().next().is_some();
    if let Some(metered) = target.metered.as_ref().filter(|metered| !*metered.get_ref())
        && is_needed
    {
        let problem = "prices and budgets need what calls use to be counted";
        tell(metered.span(), problem, "take `metered = false` out, or them");
    }
}
