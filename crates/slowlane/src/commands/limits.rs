use super::steer::{self, By};
use crate::exit::Ended;
use crate::kept::is_kept;
use crate::output::{print, print_json};
use crate::place::Place;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use slowlane_config::{Limit, LimitError, Limits as Listed, Scope};
use slowlane_deployer::limits::Setting;
use std::num::NonZeroU32;

/// Look at a deployment's limits, and set others while it runs
///
/// Its control record says whether calls are made, how many at once and how fast, and who has changed
/// that.
#[derive(Args)]
pub(crate) struct Limits {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(Show),
    Set(Set),
}

/// Show the limits, what is used of them, whether calls are made, and who changed that, when and why
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane limits show --stage prod --target crm
  slowlane limits show --json | jq -r .mode")]
struct Show {
    #[command(flatten)]
    place: Place,
    /// Print JSON: {limit, mode, until, who, why, concurrency, ceiling, adaptive, configured,
    /// effective, used, slots, held_until, breaker, changes: [{at, who, why, change}], shared}
    ///
    /// `mode` is run, paused or draining. `configured` has the limits as they were deployed,
    /// `adaptive` what was found out, {found, too_much}, `effective` those that count now: {concurrency,
    /// rates, quotas, tenant_rates, tenant_quotas}. `used` is {rates: [{rate,
    /// next_free_at}], quotas: [{quota, spent, left, resets_at}]}, `slots` the register's [{slot, since,
    /// until}], and `breaker` is closed, open or half-open. `shared` is the same of the limits that are
    /// shared by a name, or null.
    #[arg(long)]
    json: bool,
}

/// Set limits while it runs, in place of those it was deployed with
///
/// They hold within a second and a running call, for all slots, until they are set again: a deploy does
/// not undo them. What is not named stays as it was set. The worker's reserved concurrency stays the
/// ceiling: more calls at once need a deploy. What is shared by a name is set for all stacks that use it.
#[derive(Args)]
#[command(after_help = "\
Examples: half the rate; three at once; tokens, in calls of up to 4,000; each tenant; as deployed
  slowlane limits set --rate 50/20s --why \"the vendor asked\" --stage prod --target crm
  slowlane limits set --concurrency 3 --why \"a slow day\" --stage prod --target crm
  slowlane limits set --rate 15000/1m,largest=4000 --why \"we share the quota until Friday\"
  slowlane limits set --rate 1/s,per=tenant --why \"one tenant was too much\"
  slowlane limits set --as-configured --why \"that is over\"")]
struct Set {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    by: By,
    /// Calls at once, up to the worker's reserved concurrency
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<NonZeroU32>,
    /// A rate, as often as there are several: 100/20s, 2/s,bucket=40, 30000/1m,largest=4000,
    /// 2/s,per=tenant
    ///
    /// All rates of the target are set: one that is not named is not kept any more. So are those of each
    /// tenant, if one is named. Calls that have their turn keep it.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Vec<Limit>,
    /// A quota, as often as there are several: 15000/1d, 1000000/1d,largest=4000, 500/1d,per=tenant
    ///
    /// As with rates.
    #[arg(long, value_name = "QUOTA", value_parser = quota)]
    quota: Vec<Limit>,
    /// Forget what was set before; what is named beside it counts anew
    #[arg(long)]
    as_configured: bool,
    /// Print JSON: {limit, before, now}, each of the two {concurrency, rates, quotas, tenant_rates,
    /// tenant_quotas}
    #[arg(long)]
    json: bool,
}

impl Limits {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Show(command) => command.run().await,
            Command::Set(command) => command.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let (_, limit) = steer::limit(&self.place).await?;
        let standing = limit.standing().await?;
        match self.json {
            true => print_json(&standing.as_json()),
            false => print(standing.as_text()),
        }
        Ok(())
    }
}

impl Set {
    async fn run(self) -> anyhow::Result<()> {
        let setting = self.setting()?;
        let (stack, limit) = steer::limit(&self.place).await?;
        let was_set = limit.set(&setting, &self.by.author()).await?;
        match self.json {
            true => {
                let mut told = was_set.as_json();
                told["limit"] = json!(stack);
                print_json(&told);
            }
            false => {
                eprintln!("{stack}: set, for every slot from within a second on");
                print(was_set);
            }
        }
        Ok(())
    }

    fn setting(&self) -> Result<Setting, Ended> {
        let mut named = self.rate.iter().chain(&self.quota);
        if let Some(limit) = named.find(|limit| !is_kept(limit)) {
            let measure = limit.measure.word();
            let told = format!("a deployed worker does not keep a {measure} yet: {limit}");
            return Err(Ended::Usage(told));
        }
        let setting = Setting {
            as_configured: self.as_configured,
            concurrency: self.concurrency.map(NonZeroU32::get),
            rates: some(of(Scope::Target, &self.rate).filter_map(Limit::rate).collect()),
            quotas: some(of(Scope::Target, &self.quota).filter_map(Limit::quota).collect()),
            tenant_rates: some(of(Scope::Tenant, &self.rate).filter_map(Limit::rate).collect()),
            tenant_quotas: some(of(Scope::Tenant, &self.quota).filter_map(Limit::quota).collect()),
        };
        if setting == Setting::default() {
            let told = "say what to set: --concurrency, --rate, --quota or --as-configured";
            return Err(Ended::Usage(told.to_owned()));
        }
        Ok(setting)
    }
}

fn of(scope: Scope, limits: &[Limit]) -> impl Iterator<Item = &Limit> {
    limits.iter().filter(move |limit| limit.scope == scope)
}

fn some<T>(all: Vec<T>) -> Option<Vec<T>> {
    (!all.is_empty()).then_some(all)
}

fn rate(text: &str) -> Result<Limit, String> {
    entry("rate", text)
}

fn quota(text: &str) -> Result<Limit, String> {
    entry("quota", text)
}

/// The part that says whose a limit is. Each other part is a number.
const PER: &str = "per";

/// `100/20s,bucket=40` as the entry `{ rate = "100/20s", bucket = 40 }`, by the rules of slowlane.toml.
fn entry(measure: &str, text: &str) -> Result<Limit, String> {
    let (value, more) =
        text.split_once(',').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let mut fields = Map::from_iter([(measure.to_owned(), Value::from(value))]);
    for part in more.into_iter().flat_map(|more| more.split(',')) {
        let field = part.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let field = field.and_then(|(name, value)| match name {
            PER => Some((name, Value::from(value))),
            name => Some((name, Value::from(value.parse::<u64>().ok()?))),
        });
        let (name, value) = field
            .ok_or_else(|| format!("`{part}` is no part of a {measure}; write `largest=4000`"))?;
        fields.insert(name.to_owned(), value);
    }
    let limits = Listed::from_json(&json!([fields]).to_string());
    match limits.as_deref() {
        Ok([limit]) => Ok(limit.clone()),
        Ok(_) => Err(format!("`{text}` is no {measure}")),
        Err(LimitError::Entry { problem, .. }) => Err(problem.clone()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_typed_as_it_is_written_in_slowlane_toml() {
        for (measure, text, expected) in [
            ("rate", "100/20s", r#"{"rate":"100/20s"}"#),
            ("rate", "2/s,bucket=40", r#"{"rate":"2/s","bucket":40}"#),
            ("rate", "30000/1m, largest = 4000", r#"{"rate":"30000/1m","largest":4000}"#),
            ("quota", "1000000/1d,largest=4000", r#"{"quota":"1000000/1d","largest":4000}"#),
            ("rate", "2/s, per = tenant", r#"{"rate":"2/s","per":"tenant"}"#),
            ("quota", "500/1d,per=tenant", r#"{"quota":"500/1d","per":"tenant"}"#),
        ] {
            assert_eq!(entry(measure, text).unwrap().to_string(), expected);
        }
        for (measure, text, told) in [
            ("rate", "100", "`100` is no number of calls in a span of time"),
            ("rate", "2/s,40", "`40` is no part of a rate"),
            ("rate", "2/s,largest=many", "`largest=many` is no part of a rate"),
            ("rate", "2/s,burst=4", "unknown field `burst`"),
            ("rate", "2/s,per=day", "tenant"),
            ("rate", "2/s,name=org", "`name=org` is no part of a rate"),
            ("rate", "2/s,concurrency=4", "a limit is one thing"),
            ("quota", "15000/1d,bucket=4", "a bucket fills at a rate"),
            ("rate", "100/20s,largest=4000", "the largest call"),
        ] {
            let error = entry(measure, text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
