//! A target as it is in a stage: what one stack is made from.

use std::ops::RangeInclusive;
use std::time::Duration;

use slowlane_limiter::Limit;
use slowlane_metering::Budget;
use slowlane_profile::Base;
use slowlane_profile::chat::SecondProvider;
use slowlane_profile::mistakes::proposal;
use toml::Spanned;

use crate::file::{Config, NETSUITE, Target, WorkerKind};

/// How many calls at once a target may have: Lambda's reserved concurrency.
pub(crate) const CONCURRENCY: RangeInclusive<u32> = 1..=1000;
/// How long an answer may be waited for: the template derives its own time-outs from each.
pub(crate) const TIMEOUTS: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
const USUAL_CONCURRENCY: u32 = 5;
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);

/// One target in one stage, with every setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The stack's name: `slowlane-STAGE-TARGET`.
    pub stack: String,
    /// The target's name.
    pub target: String,
    /// The AWS region.
    pub region: String,
    /// What runs the calls.
    pub worker: WorkerKind,
    /// Where the API is. A worker of your own may know it itself.
    pub base_url: Option<Base>,
    /// The name of the secret.
    pub secret: Option<String>,
    /// The chosen way to authenticate; the profile's only one if `None`.
    pub auth: Option<String>,
    /// Where files lie in S3.
    pub files: Option<String>,
    /// The most calls at once.
    pub concurrency: u32,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Limits below `concurrency`.
    pub limits: Vec<Limit>,
    /// The DynamoDB table of those that have a name.
    pub shared_limits_table: Option<String>,
    /// Whether it is counted what calls use of models.
    pub metered: bool,
    /// The path of the price list.
    pub prices: Option<String>,
    /// How much each tenant may use.
    pub budgets: Vec<Budget>,
    /// Another provider of models, for when the target's own does not answer for long.
    pub fallback: Option<SecondProvider>,
    /// The path of the folder of prompts.
    pub prompts: Option<String>,
}

/// A stage that the configuration does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no stage `{stage}`{}", mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default())]
pub struct UnknownStage {
    /// Its name.
    pub stage: String,
    /// What may have been meant.
    pub mend: Option<String>,
}

impl Config {
    /// All targets as they are in a stage, by their names.
    ///
    /// # Errors
    /// There is no such stage.
    pub fn deployments(&self, stage: &str) -> Result<Vec<Deployment>, UnknownStage> {
        let found = self.stages.iter().find(|(name, _)| name.get_ref() == stage);
        let Some((_, settings)) = found else {
            let mend = proposal(stage, self.stages());
            return Err(UnknownStage { stage: stage.to_owned(), mend });
        };
        let region = settings.region.get_ref();
        let all = self.targets.iter().filter_map(|(name, target)| {
            let changes = settings.targets.iter().find(|(of, _)| of.get_ref() == name.get_ref());
            let target =
                changes.map_or_else(|| target.clone(), |(_, changes)| target.with(changes));
            let deployment = deployment(stage, region, name.get_ref(), target)?;
            let shared_limits_table = settings.shared_limits_table.clone();
            Some(Deployment { shared_limits_table, ..deployment })
        });
        Ok(all.collect())
    }
}

/// `None` for a target without a worker, which the check does not let through.
fn deployment(stage: &str, region: &str, name: &str, target: Target) -> Option<Deployment> {
    let worker = match (target.profile.map(Spanned::into_inner), target.binary) {
        (Some(profile), _) if profile == NETSUITE => WorkerKind::NetSuite,
        (Some(profile), _) => WorkerKind::Profile(profile),
        (None, binary) => WorkerKind::Binary(binary?),
    };
    let budgets = target.budgets.into_iter().flatten().map(Spanned::into_inner);
    let budgets: Vec<Budget> = budgets.collect();
    let needs_counting = target.prices.is_some() || !budgets.is_empty();
    Some(Deployment {
        stack: format!("slowlane-{stage}-{name}"),
        target: name.to_owned(),
        region: region.to_owned(),
        worker,
        base_url: target.base_url,
        secret: target.secret.map(Spanned::into_inner),
        auth: target.auth.map(Spanned::into_inner),
        files: target.files.map(Spanned::into_inner),
        concurrency: target.concurrency.map_or(USUAL_CONCURRENCY, Spanned::into_inner),
        timeout: target.timeout.map_or(USUAL_TIMEOUT, |timeout| timeout.into_inner().0),
        limits: target.limits.into_iter().flatten().map(Spanned::into_inner).collect(),
        metered: target.metered.map_or(needs_counting, Spanned::into_inner),
        prices: target.prices,
        budgets,
        fallback: target.fallback.map(|fallback| fallback.into_inner().into()),
        prompts: target.prompts.map(Spanned::into_inner),
        shared_limits_table: None,
    })
}
