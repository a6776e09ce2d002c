use crate::output::{print, print_json};
use crate::place::Place;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_deployer::metering::{self, Period, Usage};

/// Show what calls have used of AI models: tokens and their cost, by tenant and model
///
/// A stack counts it that was deployed with Metering=enabled, or by a target of slowlane.toml that is
/// metered. Days and months are UTC's. A cost is as the price list said when the call was answered;
/// calls of models that it does not have are UNPRICED.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane usage --stage prod --target openai
  slowlane usage --tenant acme --month 2026-11
  slowlane usage --day 2026-11-30 --json | jq '[.usage[].cost | tonumber] | add'")]
pub(crate) struct ShowUsage {
    #[command(flatten)]
    place: Place,
    /// Only of this tenant; "" for calls of no tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Of this day; today if neither is given
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, conflicts_with = "month")]
    day: Option<Period>,
    /// Of this month
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<Period>,
    /// Print JSON: {period, usage: [{tenant, model, calls, input, cached, output, cost,
    /// unpriced}]}
    #[arg(long)]
    json: bool,
}

impl ShowUsage {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (deployer, deployed) = self.place.deployed().await?;
        let period = self.day.or(self.month).unwrap_or_else(|| Period::day_of(Timestamp::now()));
        let tenant = self.tenant.as_deref();
        let usage = metering::usage(deployer.config(), &deployed, period, tenant).await?;
        if self.json {
            print_json(&json!({ "period": period.to_string(), "usage": as_json(&usage) }));
        } else if usage.is_empty() {
            eprintln!("nothing was counted in {period}");
        } else {
            print(metering::table(&usage));
        }
        Ok(())
    }
}

fn as_json(usage: &[Usage]) -> Vec<Value> {
    let of_tenant = |usage: &Usage| {
        let tenant = (!usage.tenant.is_empty()).then(|| usage.tenant.clone());
        let models = usage.used.models().map(|(model, used)| {
            json!({
                "tenant": tenant,
                "model": model,
                "calls": used.calls,
                "input": used.input,
                "cached": used.cached,
                "output": used.output,
                // A text, since a number would lose digits.
                "cost": used.cost.to_string(),
                "unpriced": used.unpriced,
            })
        });
        models.collect::<Vec<_>>()
    };
    usage.iter().flat_map(of_tenant).collect()
}

fn day(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error| format!("{error}"))?;
    match period {
        Period::Day(_) => Ok(period),
        Period::Month(_) => Err("this is a month; give it by --month".to_owned()),
    }
}

fn month(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error| format!("{error}"))?;
    match period {
        Period::Month(_) => Ok(period),
        Period::Day(_) => Err("this is a day; give it by --day".to_owned()),
    }
}
