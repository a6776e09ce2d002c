//! Settings of the worker, read from its environment.

use std::num::NonZeroU32;
use std::time::Duration;

use slowlane_lambda::env::{self, Env, Recorded};
use slowlane_limiter::{LimitKey, Limits, MAX_KEY_BYTES, Scope};
use slowlane_message::{Priority, Wiring};
use slowlane_metering::{Budgets, Prices};
use slowlane_policy::deferral::OnHigher;
use slowlane_policy::timing::WorkerSettings;

use crate::limits::{self, KEY_BYTES_OF_TENANTS};
use crate::package::beside_the_worker;

/// Everything the worker is told by its template.
#[derive(Debug, Clone)]
pub struct Config {
    /// `AWS_LAMBDA_FUNCTION_NAME`, which Lambda sets: a slot wakes others by invoking this
    /// function.
    pub function: String,
    /// Where calls come from, and where calls go that cannot be run.
    pub queues: QueueUrls,
    /// `DISPATCH`: how a call finds this worker.
    pub dispatch: Dispatch,
    /// `IDEMPOTENCY_TABLE`: the guard's DynamoDB table.
    pub idempotency_table: String,
    /// `LIMIT_KEY`: the name of the limit, under which that table has its control record. By default
    /// it is the function's.
    pub limit_key: LimitKey,
    /// `LIMITS`: the target's limits beside its ceiling, as a JSON array of the entries of
    /// `slowlane.toml`'s `limits`. None if it is not set.
    pub limits: Limits,
    /// `SHARED_LIMITS_TABLE`: the DynamoDB table in which the limits are kept that have a `name`, for
    /// all stacks that use that table. Only those need it.
    pub shared_limits_table: Option<String>,
    /// `USAGE_TABLE`: the DynamoDB table in which it is counted what calls use of models. Nothing is
    /// counted without it.
    pub usage_table: Option<String>,
    /// `PRICES`: the file beside the worker that says what models cost, or its text.
    pub prices: Option<Prices>,
    /// `BUDGETS`: how much each tenant may use, as a JSON array of the entries of `slowlane.toml`'s
    /// `budgets`. None if it is not set.
    pub budgets: Budgets,
    /// `API_TIMEOUT_SECS`: how long the API may take to answer. After it nobody knows
    /// whether the call had its effect.
    pub api_timeout: Duration,
    /// `CALL_VISIBILITY_SECS`: how long a received call stays invisible to other slots, and
    /// how long a claim of the guard is leased.
    pub call_visibility: Duration,
    /// `WORK_WINDOW_SECS`: how long after its start an invocation may still take a call.
    pub work_window: Duration,
    /// `FUNCTION_TIMEOUT_SECS`: when Lambda ends an invocation.
    pub function_timeout: Duration,
    /// `RECORD_EXPIRY_SECS`: how long the guard keeps a record after its last write.
    pub record_expiry: Duration,
    /// `MAX_WAIT_SECS`: how long a call may be put back for others, and how long it may be
    /// throttled before the receives that this costs are too many.
    pub max_wait: Duration,
    /// `MAX_ATTEMPTS`: how often a call is tried at the API before its workflow fails.
    pub max_attempts: u32,
    /// `MAX_RECEIVE_COUNT` of the queues' redrive policy. A call is taken out by the worker,
    /// which tells its workflow, one receive before SQS would do so in silence.
    pub max_receive_count: u32,
    /// `METRICS_NAMESPACE` in CloudWatch.
    pub metrics_namespace: String,
}

const LIMIT_KEY_EXPECTED: &str = "a name of up to 512 bytes without `#`";

/// The queues' URLs.
#[derive(Debug, Clone)]
pub struct QueueUrls {
    /// `HIGH_QUEUE_URL`.
    pub high: String,
    /// `NORMAL_QUEUE_URL`.
    pub normal: String,
    /// `BATCH_QUEUE_URL`.
    pub batch: String,
    /// `DEAD_LETTER_QUEUE_URL`.
    pub dead_letter: String,
}

/// How a queued call finds a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dispatch {
    /// Each queue has a mapping of its own; a worker woken by a lower call looks higher first.
    Deferral {
        /// `ON_HIGHER`: what to do when something more urgent waits.
        on_higher: OnHigher,
        /// `MAX_DEFERRALS`: after this many receives a call runs regardless.
        max_deferrals: u32,
        /// `API_CONCURRENCY`, as in the other wiring, if it is set.
        limit: Option<u32>,
    },
    /// A ring wakes a slot, which polls the queues itself.
    Doorbell {
        /// `DOORBELL_QUEUE_URL`.
        queue_url: String,
        /// `SHARE_EVERY`: after how many turns one of a slot's turns polls a lower queue first.
        share_every: NonZeroU32,
        /// `API_CONCURRENCY`: the API's limit, as the function's reserved concurrency has it.
        limit: u32,
        /// `RING_VISIBILITY_SECS`: how long a ring stays hidden while a slot serves it. After
        /// that every call which a killed slot held is visible again.
        ring_visibility: Duration,
    },
}

impl QueueUrls {
    /// The URL of the queue of `priority`.
    pub fn of(&self, priority: Priority) -> &str {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
            Priority::Batch => &self.batch,
        }
    }
}

impl Config {
    /// Reads the settings with `lookup`, in `main` the process's environment.
    ///
    /// # Errors
    /// One error that names every variable that is missing or ill-formed, or the ones that
    /// contradict each other.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, env::Error> {
        env::read(lookup, |env| {
            let function = env.required("AWS_LAMBDA_FUNCTION_NAME", "this function's name");
            let high = env.required("HIGH_QUEUE_URL", "the URL of the HIGH queue");
            let normal = env.required("NORMAL_QUEUE_URL", "the URL of the NORMAL queue");
            let batch = env.required("BATCH_QUEUE_URL", "the URL of the BATCH queue");
            let dead_letter =
                env.required("DEAD_LETTER_QUEUE_URL", "the URL of the dead-letter queue");
            let dispatch = read_dispatch(env);
            let idempotency_table =
                env.required("IDEMPOTENCY_TABLE", "the name of the guard's DynamoDB table");
            let limit_key = env.maybe("LIMIT_KEY", LIMIT_KEY_EXPECTED);
            let limits = read_limits(env);
            let shared_limits_table =
                env.maybe("SHARED_LIMITS_TABLE", "the name of the DynamoDB table of shared limits");
            let usage_table =
                env.maybe("USAGE_TABLE", "the name of the DynamoDB table of what calls use");
            let prices = read_prices(env);
            let budgets = read_budgets(env);
            let api_timeout = seconds(env, "API_TIMEOUT_SECS");
            let call_visibility = seconds(env, "CALL_VISIBILITY_SECS");
            let work_window = seconds(env, "WORK_WINDOW_SECS");
            let function_timeout = seconds(env, "FUNCTION_TIMEOUT_SECS");
            let record_expiry = seconds(env, "RECORD_EXPIRY_SECS");
            let max_wait = seconds(env, "MAX_WAIT_SECS");
            let max_attempts = env.required("MAX_ATTEMPTS", "a whole number");
            let max_receive_count = env.required("MAX_RECEIVE_COUNT", "a whole number");
            let metrics_namespace =
                env.optional("METRICS_NAMESPACE", "a CloudWatch namespace", "Slowlane".to_owned());
            let function = function?;
            let limit_key = match limit_key? {
                Some(key) => key,
                None => LimitKey::new(&function).map_err(|error| env.refuse(error.to_string()))?,
            };
            let limits = limits?;
            check_room_for_tenants(env, &limit_key, &limits)?;
            let config = Config {
                function,
                queues: QueueUrls {
                    high: high?,
                    normal: normal?,
                    batch: batch?,
                    dead_letter: dead_letter?,
                },
                dispatch: dispatch?,
                idempotency_table: idempotency_table?,
                limit_key,
                limits,
                shared_limits_table: shared_limits_table?,
                usage_table: usage_table?,
                prices: prices?,
                budgets: budgets?,
                api_timeout: api_timeout?,
                call_visibility: call_visibility?,
                work_window: work_window?,
                function_timeout: function_timeout?,
                record_expiry: record_expiry?,
                max_wait: max_wait?,
                max_attempts: max_attempts?,
                max_receive_count: max_receive_count?,
                metrics_namespace: metrics_namespace?,
            };
            config.refuse_contradictions(env);
            Ok(config)
        })
    }

    fn refuse_contradictions(&self, env: &mut Env<'_>) {
        if let (Some((name, _)), None) = (self.limits.shared(), &self.shared_limits_table) {
            let told = "has limits that are shared, and SHARED_LIMITS_TABLE is not set";
            env.refuse(format!("LIMITS {told}: {name}"));
        }
        if !self.budgets.is_empty() && self.usage_table.is_none() {
            env.refuse("BUDGETS are kept by USAGE_TABLE, which is not set".to_owned());
        }
        if self.budgets.count_money() && self.prices.is_none() {
            env.refuse("BUDGETS count money, and PRICES is not set".to_owned());
        }
        for contradiction in self.timing().contradictions() {
            env.refuse(contradiction.to_string());
        }
    }

    /// How many slots there may be, if that is set.
    pub(crate) fn slots(&self) -> Option<u32> {
        match self.dispatch {
            Dispatch::Doorbell { limit, .. } => Some(limit),
            Dispatch::Deferral { limit, .. } => limit,
        }
    }

    fn timing(&self) -> WorkerSettings {
        let (ring_visibility, max_deferrals) = match self.dispatch {
            Dispatch::Doorbell { ring_visibility, .. } => (Some(ring_visibility), None),
            Dispatch::Deferral { max_deferrals, .. } => (None, Some(max_deferrals)),
        };
        WorkerSettings {
            api_timeout: self.api_timeout,
            call_visibility: self.call_visibility,
            work_window: self.work_window,
            function_timeout: self.function_timeout,
            ring_visibility,
            record_expiry: self.record_expiry,
            max_attempts: self.max_attempts,
            max_deferrals,
            max_receive_count: self.max_receive_count,
        }
    }
}

fn read_dispatch(env: &mut Env<'_>) -> Result<Dispatch, Recorded> {
    match env.optional(Wiring::VARIABLE, Wiring::EXPECTED, Wiring::default())? {
        Wiring::Doorbell => {
            let queue_url = env.required("DOORBELL_QUEUE_URL", "the URL of the doorbell queue");
            let share_every = env.required("SHARE_EVERY", "a whole number of turns, 2 or more");
            let limit = env.required("API_CONCURRENCY", "how many calls the API may have at once");
            let ring_visibility = seconds(env, "RING_VISIBILITY_SECS");
            Ok(Dispatch::Doorbell {
                queue_url: queue_url?,
                share_every: share_every?,
                limit: limit?,
                ring_visibility: ring_visibility?,
            })
        }
        Wiring::Deferral => {
            let on_higher = env.required("ON_HIGHER", "`swap` or `yield`");
            let max_deferrals = env.required("MAX_DEFERRALS", "a whole number of receives");
            let limit = env.maybe("API_CONCURRENCY", "how many calls the API may have at once");
            Ok(Dispatch::Deferral {
                on_higher: on_higher?,
                max_deferrals: max_deferrals?,
                limit: limit?,
            })
        }
    }
}

/// Only limits that the worker keeps: one that it does not would be passed in silence.
fn read_limits(env: &mut Env<'_>) -> Result<Limits, Recorded> {
    let expected = "a JSON array of limits, such as [{\"rate\":\"100/20s\"}]";
    let Some(text) = env.maybe::<String>("LIMITS", expected)? else {
        return Ok(Limits::default());
    };
    let limits = Limits::from_json(&text);
    let limits =
        limits.map_err(|error| env.refuse(format!("LIMITS is not {expected}: {error}")))?;
    match limits.iter().find(|limit| !limits::keeps(limit)) {
        Some(limit) => Err(env.refuse(format!("LIMITS: this worker does not keep {limit} yet"))),
        None => Ok(limits),
    }
}

fn read_budgets(env: &mut Env<'_>) -> Result<Budgets, Recorded> {
    let expected = "a JSON array of budgets, such as [{\"tokens\":\"2000000/day\"}]";
    let Some(text) = env.maybe::<String>("BUDGETS", expected)? else {
        return Ok(Budgets::default());
    };
    let budgets = Budgets::from_json(&text);
    budgets.map_err(|error| env.refuse(format!("BUDGETS is not {expected}: {error}")))
}

fn read_prices(env: &mut Env<'_>) -> Result<Option<Prices>, Recorded> {
    let expected = "the name of a price list beside the worker, or its text";
    let Some(named) = env.maybe::<String>("PRICES", expected)? else { return Ok(None) };
    let text = match named.contains('\n') {
        true => Ok(named.clone()),
        false => std::fs::read_to_string(beside_the_worker().join(&named)),
    };
    let text = text.map_err(|error| env.refuse(format!("PRICES: {named}: {error}")))?;
    let prices = Prices::parse(&text);
    prices.map(Some).map_err(|mistakes| env.refuse(format!("PRICES:\n{mistakes}")))
}

/// A tenant's name is a part of the key of its limits.
fn check_room_for_tenants(
    env: &mut Env<'_>,
    key: &LimitKey,
    limits: &Limits,
) -> Result<(), Recorded> {
    let of_tenants = limits.iter().any(|limit| limit.scope == Scope::Tenant);
    let most = MAX_KEY_BYTES - KEY_BYTES_OF_TENANTS;
    match of_tenants && key.as_str().len() > most {
        true => Err(env.refuse(format!(
            "LIMIT_KEY has {} bytes, and beside limits of tenants it may have {most}",
            key.as_str().len()
        ))),
        false => Ok(()),
    }
}

fn seconds(env: &mut Env<'_>, name: &str) -> Result<Duration, Recorded> {
    env.required(name, "a whole number of seconds").map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_variable_is_named_at_once() {
        let vars = [("HIGH_QUEUE_URL", "h"), ("SHARE_EVERY", "0"), ("API_TIMEOUT_SECS", "soon")];
        let error = Config::from_vars(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
        .unwrap_err();
        let text = error.to_string();
        let bad = [
            "AWS_LAMBDA_FUNCTION_NAME",
            "NORMAL_QUEUE_URL",
            "BATCH_QUEUE_URL",
            "DEAD_LETTER_QUEUE_URL",
            "DOORBELL_QUEUE_URL",
            "RING_VISIBILITY_SECS",
            "API_CONCURRENCY",
            "SHARE_EVERY is \"0\"",
            "IDEMPOTENCY_TABLE",
            "API_TIMEOUT_SECS is \"soon\"",
            "CALL_VISIBILITY_SECS",
            "WORK_WINDOW_SECS",
            "FUNCTION_TIMEOUT_SECS",
            "RECORD_EXPIRY_SECS",
            "MAX_WAIT_SECS",
            "MAX_ATTEMPTS",
            "MAX_RECEIVE_COUNT",
        ];
        for name in bad {
            assert!(text.contains(name), "{name} is missing from: {text}");
        }
        assert!(!text.contains("HIGH_QUEUE_URL is"), "HIGH_QUEUE_URL is good: {text}");
    }

    /// An environment as the template makes it, with `changed` in it.
    fn environment(changed: &[(&str, &str)]) -> Result<Config, env::Error> {
        let good = [
            ("AWS_LAMBDA_FUNCTION_NAME", "worker"),
            ("HIGH_QUEUE_URL", "h"),
            ("NORMAL_QUEUE_URL", "n"),
            ("BATCH_QUEUE_URL", "b"),
            ("DEAD_LETTER_QUEUE_URL", "d"),
            ("DOORBELL_QUEUE_URL", "r"),
            ("IDEMPOTENCY_TABLE", "t"),
            ("SHARE_EVERY", "10"),
            ("ON_HIGHER", "swap"),
            ("MAX_DEFERRALS", "10"),
            ("API_CONCURRENCY", "5"),
            ("API_TIMEOUT_SECS", "30"),
            ("CALL_VISIBILITY_SECS", "90"),
            ("WORK_WINDOW_SECS", "180"),
            ("FUNCTION_TIMEOUT_SECS", "270"),
            ("RING_VISIBILITY_SECS", "360"),
            ("RECORD_EXPIRY_SECS", "3024000"),
            ("MAX_WAIT_SECS", "900"),
            ("MAX_ATTEMPTS", "5"),
            ("MAX_RECEIVE_COUNT", "437"),
        ];
        Config::from_vars(|name| {
            let value = |vars: &[(&str, &str)]| {
                vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            value(changed).or_else(|| value(&good))
        })
    }

    #[test]
    fn settings_that_contradict_each_other_stop_the_start_and_are_all_named() {
        let config = environment(&[]).unwrap();
        assert_eq!(config.record_expiry, Duration::from_secs(35 * 86_400));
        assert_eq!(config.function_timeout, Duration::from_secs(270));
        let changed = [("CALL_VISIBILITY_SECS", "60"), ("RECORD_EXPIRY_SECS", "86400")];
        let text = environment(&changed).unwrap_err().to_string();
        for part in
            ["CALL_VISIBILITY_SECS is 60, API_TIMEOUT_SECS is 30", "RECORD_EXPIRY_SECS is 8"]
        {
            assert!(text.contains(part), "{part} is missing from: {text}");
        }
    }

    #[test]
    fn limits_are_read_and_one_that_is_not_kept_is_refused_by_name() {
        let limits = |text| environment(&[("LIMITS", text)]).map(|config| config.limits.len());
        assert_eq!(limits(r#"[{"rate":"100/20s"},{"quota":"15000/1d"}]"#), Ok(2));
        assert_eq!(limits(r#"[{"concurrency":3},{"adaptive":true}]"#), Ok(2));
        assert_eq!(limits(r#"[{"rate":"30000/1m","largest":4000}]"#), Ok(1));
        assert_eq!(
            limits(r#"[{"rate":"2/s","per":"tenant"},{"quota":"9/1d","per":"tenant"}]"#),
            Ok(2)
        );
        assert_eq!(limits("[]"), Ok(0));
        for (text, told) in [
            (r#"[{"adaptive":true,"per":"tenant"}]"#, "does not keep"),
            (r#"[{"rate":"30000/1m","largest":4000,"per":"tenant"}]"#, "does not keep"),
            (r#"[{"rate":"100"}]"#, "limits[1].rate"),
            (r#"[{"rate":"100/20s","name":"org"}]"#, "SHARED_LIMITS_TABLE is not set: org"),
            (r#"[{"adaptive":true,"name":"org"}]"#, "does not keep"),
        ] {
            let error = limits(text).unwrap_err().to_string();
            assert!(error.contains("LIMITS") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn budgets_need_a_table_and_budgets_of_money_need_prices() {
        let table = ("USAGE_TABLE", "usage");
        let prices = "as_of = \"2026-11-01\"\ncurrency = \"USD\"\n[models]\n";
        let tokens = ("BUDGETS", r#"[{"tokens":"2000/day"}]"#);
        let money = ("BUDGETS", r#"[{"money":"2/month"}]"#);
        for fits in
            [vec![], vec![table], vec![table, tokens], vec![table, money, ("PRICES", prices)]]
        {
            assert!(environment(&fits).is_ok(), "{fits:?}");
        }
        for (wrong, told) in [
            (vec![tokens], "USAGE_TABLE, which is not set"),
            (vec![table, money], "PRICES is not set"),
            (vec![table, ("BUDGETS", r#"[{"tokens":"2/week"}]"#)], "budgets[1]"),
            (vec![table, ("PRICES", "as_of = 3\n")], "PRICES:\n1:"),
            (vec![table, ("PRICES", "not-there.toml")], "PRICES: not-there.toml:"),
        ] {
            let error = environment(&wrong).unwrap_err().to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
    }

    #[test]
    fn a_ring_counts_in_the_doorbell_wiring_only_and_deferrals_only_in_the_other() {
        let short = ("RING_VISIBILITY_SECS", "60");
        let few = ("MAX_RECEIVE_COUNT", "11");
        let deferral = ("DISPATCH", "deferral");
        let error = |changed: &[(&str, &str)]| environment(changed).unwrap_err().to_string();
        assert!(error(&[short]).contains("RING_VISIBILITY_SECS is 60"));
        assert!(environment(&[short, deferral]).is_ok());
        assert!(error(&[few, deferral]).contains("MAX_DEFERRALS is 10"));
        assert!(environment(&[few]).is_ok());
    }
}
