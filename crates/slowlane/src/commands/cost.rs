use crate::output::{print, print_json};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use slowlane_deployer::cost::{Load, Metering, table};
use std::time::Duration;

/// What does a month of calls cost at AWS?
///
/// List prices of us-east-1, 2026-11, for each of the services that a call needs. Not in it: free
/// tiers, data transfer, X-Ray, keys and secrets of your own, a NAT gateway. The items are those of calls
/// that come alone, each of which wakes a slot; calls that wait for each other are cheaper. What a
/// call needs is measured with the real worker in the simulator.
#[derive(Args)]
#[command(after_help = "\
Examples: three sizes; an API of 2 s and a workflow of eight states around the call
  slowlane cost
  slowlane cost --calls 250000 --latency 2s --transitions 10
What it costs to count tokens, and to hold tenants to budgets of a month
  slowlane cost --latency 4s --metering --models 3 --budgets month")]
pub(crate) struct AskCost {
    /// Calls a month, as often as you like to compare
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..),
          default_values_t = [10_000, 1_000_000, 100_000_000])]
    calls: Vec<u64>,
    /// How long the API takes for a call
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "200ms")]
    latency: Duration,
    /// State transitions of STANDARD workflows for each call: the start, each state, the end
    #[arg(long, value_name = "NUMBER", default_value_t = 3.0, value_parser = not_negative)]
    transitions: f64,
    /// Bytes of log lines for each call
    #[arg(long, value_name = "BYTES", default_value_t = 1_500.0, value_parser = not_negative)]
    log_bytes: f64,
    /// Bytes of a call's record in the guard's table, the API's answer included
    #[arg(long, value_name = "BYTES", default_value_t = 1_000.0, value_parser = not_negative)]
    record_bytes: f64,
    /// Without alarms and dashboard, as by -p Alarms=disabled -p Dashboard=disabled
    #[arg(long)]
    unwatched: bool,
    /// With Metering=enabled: what calls use of models is counted
    #[arg(long)]
    metering: bool,
    /// How many models there are, each of which has metrics of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "metering")]
    models: u32,
    /// Of which spans there are budgets, read before each call of a tenant
    #[arg(long, value_name = "SPAN", value_delimiter = ',', requires = "metering")]
    budgets: Vec<Span>,
    /// Print JSON: [{calls, items: [{item, quantity, unit, usd}], usd_sparse, usd_flood, at_once}]
    #[arg(long)]
    json: bool,
}

/// How long a budget is for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Span {
    Day,
    Month,
}

impl AskCost {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let metering = self.metering.then(|| Metering {
            models: self.models,
            of_days: self.budgets.contains(&Span::Day),
            of_months: self.budgets.contains(&Span::Month),
        });
        let cost = |calls: &u64| {
            let load = Load {
                calls: *calls,
                latency: self.latency,
                transitions: self.transitions,
                log_bytes: self.log_bytes,
                record_bytes: self.record_bytes,
                watched: !self.unwatched,
                metering,
            };
            load.cost()
        };
        let costs: Vec<_> = self.calls.iter().map(cost).collect();
        match self.json {
            true => print_json(&serde_json::to_value(&costs)?),
            false => print(table(&costs)),
        }
        Ok(())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(span).map_err(|_| "it is negative".to_owned())
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    let fits = number.is_finite() && number >= 0.0;
    fits.then_some(number).ok_or_else(|| "a number of 0 or more is meant".to_owned())
}
