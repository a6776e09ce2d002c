//! The file `slowlane.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use slowlane_limiter::Limit;
use slowlane_metering::Budget;
use slowlane_profile::{Base, Period};
use toml::Spanned;

use crate::fallback::Fallback;

/// What a team has written in its `slowlane.toml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The APIs, by names that you choose.
    #[schemars(with = "BTreeMap<String, Target>")]
    pub(crate) targets: BTreeMap<Spanned<String>, Target>,
    /// Where they are deployed, and what differs there.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Stage>")]
    pub(crate) stages: BTreeMap<Spanned<String>, Stage>,
}

/// One API. In a stage, only what differs there is written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What the API's requests and answers mean: the name of a profile that comes with Slowlane, or
    /// the path of a file (`profiles/crm.toml`).
    #[schemars(with = "Option<String>")]
    pub(crate) profile: Option<Spanned<String>>,
    /// A worker of your own instead: the path of its program.
    pub(crate) binary: Option<String>,
    /// Where the API is.
    pub(crate) base_url: Option<Base>,
    /// The name of the secret in Secrets Manager; or a parameter of Parameter Store, as `ssm:/NAME` or by its
    /// ARN.
    #[schemars(with = "Option<String>")]
    pub(crate) secret: Option<Spanned<String>>,
    /// Which of the profile's ways to authenticate; needed where there are several.
    #[schemars(with = "Option<String>")]
    pub(crate) auth: Option<Spanned<String>>,
    /// Where in S3 files lie that calls send, and answers go that no workflow's state holds:
    /// `s3://BUCKET/PREFIX`. The worker reads below it, and writes below its `answers/`.
    #[schemars(with = "Option<String>")]
    pub(crate) files: Option<Spanned<String>>,
    /// The most calls at once, 1 to 1000: what nothing can pass. 5 if left out.
    #[schemars(with = "Option<u32>")]
    pub(crate) concurrency: Option<Spanned<u32>>,
    /// How long an answer is waited for: `10s`, `30s`, `1m`, `2m` or `5m`. `30s` if left out.
    #[schemars(with = "Option<Period>")]
    pub(crate) timeout: Option<Spanned<Period>>,
    /// Limits below `concurrency`. In a stage, they replace all of the target's.
    #[schemars(with = "Option<Vec<Limit>>")]
    pub(crate) limits: Option<Vec<Spanned<Limit>>>,
    /// Whether it is counted what calls use of AI models, by tenant, model and day. True if there are
    /// `prices` or `budgets`, else false.
    #[schemars(with = "Option<bool>")]
    pub(crate) metered: Option<Spanned<bool>>,
    /// What models cost: the path of a price list (`prices.toml`).
    pub(crate) prices: Option<String>,
    /// How much each tenant may use in a day or a month. In a stage, they replace all of the target's.
    #[schemars(with = "Option<Vec<Budget>>")]
    pub(crate) budgets: Option<Vec<Spanned<Budget>>>,
    /// Another provider of models. It answers calls in the common form when the target's own is over its
    /// limit for long, or down. In a stage, it replaces the target's.
    #[schemars(with = "Option<Fallback>")]
    pub(crate) fallback: Option<Spanned<Fallback>>,
    /// Prompts that calls in the common form may name: the path of their folder (`prompts`).
    #[schemars(with = "Option<String>")]
    pub(crate) prompts: Option<Spanned<String>>,
}

/// A place to deploy to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The AWS region.
    #[schemars(with = "String")]
    pub(crate) region: Spanned<String>,
    /// The DynamoDB table of limits that have a `name`; `slowlane add shared-limits` makes one.
    pub(crate) shared_limits_table: Option<String>,
    /// What differs from the target's own settings.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Target>")]
    pub(crate) targets: BTreeMap<Spanned<String>, Target>,
}

/// What runs a target's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerKind {
    /// Slowlane's worker with a profile: the name of one that comes with Slowlane, or a path.
    Profile(String),
    /// Slowlane's worker for NetSuite, whose rules need code.
    NetSuite,
    /// A worker of your own: the path of its program.
    Binary(String),
}

/// The target that is code, in the place of a profile's name.
pub const NETSUITE: &str = "netsuite";

/// A profile that stands beside the configuration is named by its path.
pub fn is_path(profile: &str) -> bool {
    profile.contains('/') || profile.ends_with(".toml")
}

impl Config {
    /// The names of the targets.
    pub fn targets(&self) -> impl Iterator<Item = &str> + Clone {
        self.targets.keys().map(|name| name.get_ref().as_str())
    }

    /// The names of the stages.
    pub fn stages(&self) -> impl Iterator<Item = &str> + Clone {
        self.stages.keys().map(|name| name.get_ref().as_str())
    }
}

impl Target {
    /// These settings, and those of `other` where it has any.
    pub(crate) fn with(&self, other: &Target) -> Target {
        fn either<T: Clone>(own: &Option<T>, other: &Option<T>) -> Option<T> {
            other.as_ref().or(own.as_ref()).cloned()
        }
        // Another way to say what runs the calls takes the place of the first.
        let (profile, binary) = match (&other.profile, &other.binary) {
            (None, None) => (self.profile.clone(), self.binary.clone()),
            (profile, binary) => (profile.clone(), binary.clone()),
        };
        Target {
            profile,
            binary,
            base_url: either(&self.base_url, &other.base_url),
            secret: either(&self.secret, &other.secret),
            auth: either(&self.auth, &other.auth),
            files: either(&self.files, &other.files),
            concurrency: either(&self.concurrency, &other.concurrency),
            timeout: either(&self.timeout, &other.timeout),
            limits: either(&self.limits, &other.limits),
            metered: either(&self.metered, &other.metered),
            prices: either(&self.prices, &other.prices),
            budgets: either(&self.budgets, &other.budgets),
            fallback: either(&self.fallback, &other.fallback),
            prompts: either(&self.prompts, &other.prompts),
        }
    }
}
