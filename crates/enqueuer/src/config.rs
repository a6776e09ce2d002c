//! Settings of the enqueuer, read from its environment.

use std::time::Duration;

use slowlane_lambda::env::{self, Env, Recorded};
use slowlane_message::{Priority, Wiring};
use slowlane_policy::timing::LONGEST_DEADLINE;

use crate::AllowedCalls;

/// Where calls go and how long they may wait.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HIGH_QUEUE_URL`.
    pub high_queue_url: String,
    /// `NORMAL_QUEUE_URL`.
    pub normal_queue_url: String,
    /// `BATCH_QUEUE_URL`.
    pub batch_queue_url: String,
    /// `DISPATCH`, and with `doorbell` also `DOORBELL_QUEUE_URL`.
    pub dispatch: Dispatch,
    /// `DEFAULT_DEADLINE_SECS`: how long a call may wait whose workflow named no deadline.
    pub default_deadline: Duration,
    /// `ALLOWED_CALLS`: the calls that this deployment makes; all if it is not set.
    pub allowed: AllowedCalls,
}

/// How a queued call finds a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dispatch {
    /// Each queue has an event source mapping of its own: queueing a call is enough.
    Deferral,
    /// Only the doorbell queue has a mapping: each call also sends one ring to it.
    Doorbell {
        /// The doorbell queue.
        queue_url: String,
    },
}

impl Config {
    /// Reads the settings with `lookup`, in `main` the process's environment.
    ///
    /// # Errors
    /// One error that names every variable which is missing or ill-formed.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, env::Error> {
        env::read(lookup, |env| {
            let high_queue_url = env.required("HIGH_QUEUE_URL", "the URL of the HIGH queue");
            let normal_queue_url = env.required("NORMAL_QUEUE_URL", "the URL of the NORMAL queue");
            let batch_queue_url = env.required("BATCH_QUEUE_URL", "the URL of the BATCH queue");
            let wiring = env.optional(Wiring::VARIABLE, Wiring::EXPECTED, Wiring::default());
            let dispatch = wiring.and_then(|wiring| match wiring {
                Wiring::Deferral => Ok(Dispatch::Deferral),
                Wiring::Doorbell => env
                    .required("DOORBELL_QUEUE_URL", "the URL of the doorbell queue")
                    .map(|queue_url| Dispatch::Doorbell { queue_url }),
            });
            let default_deadline = read_default_deadline(env);
            let allowed = read_allowed(env);
            Ok(Config {
                high_queue_url: high_queue_url?,
                normal_queue_url: normal_queue_url?,
                batch_queue_url: batch_queue_url?,
                dispatch: dispatch?,
                default_deadline: default_deadline?,
                allowed: allowed?,
            })
        })
    }

    pub(crate) fn queue_url(&self, priority: Priority) -> &str {
        match priority {
            Priority::High => &self.high_queue_url,
            Priority::Normal => &self.normal_queue_url,
            Priority::Batch => &self.batch_queue_url,
        }
    }
}

fn read_default_deadline(env: &mut Env<'_>) -> Result<Duration, Recorded> {
    let name = "DEFAULT_DEADLINE_SECS";
    let secs = env.optional(name, "a whole number of seconds", 3_600)?;
    let most = LONGEST_DEADLINE.as_secs();
    if !(1..=most).contains(&secs) {
        return Err(env.refuse(format!("{name} is {secs}: it must be 1 to {most}")));
    }
    Ok(Duration::from_secs(secs))
}

fn read_allowed(env: &mut Env<'_>) -> Result<AllowedCalls, Recorded> {
    let name = "ALLOWED_CALLS";
    match env.maybe::<String>(name, "a list of rules")? {
        Some(rules) => rules.parse().map_err(|error| env.refuse(format!("{name}: {error}"))),
        None => Ok(AllowedCalls::All),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, env::Error> {
        Config::from_vars(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_bad_variable_is_named_at_once() {
        let error = read(&[("HIGH_QUEUE_URL", "h"), ("DISPATCH", "lottery")]).unwrap_err();
        let text = error.to_string();
        for name in ["NORMAL_QUEUE_URL", "BATCH_QUEUE_URL", "DISPATCH is \"lottery\""] {
            assert!(text.contains(name), "{name} is missing from: {text}");
        }
        assert!(!text.contains("HIGH_QUEUE_URL"), "HIGH_QUEUE_URL is good: {text}");
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_named_with_its_variable() {
        let error = read(&[("ALLOWED_CALLS", "GET a; FETCH b")]).unwrap_err().to_string();
        assert!(error.contains("ALLOWED_CALLS: the rule `FETCH b` has `FETCH`"), "{error}");
        assert!(error.contains("HIGH_QUEUE_URL"), "beside all other problems: {error}");
    }

    #[test]
    fn a_default_deadline_beyond_the_longest_is_refused() {
        let queues = [
            ("HIGH_QUEUE_URL", "h"),
            ("NORMAL_QUEUE_URL", "n"),
            ("BATCH_QUEUE_URL", "b"),
            ("DOORBELL_QUEUE_URL", "d"),
        ];
        let with = |secs| read(&[&queues[..], &[("DEFAULT_DEADLINE_SECS", secs)]].concat());
        assert_eq!(with("864000").unwrap().default_deadline, LONGEST_DEADLINE);
        for secs in ["0", "864001"] {
            let error = with(secs).unwrap_err().to_string();
            let expected = format!("DEFAULT_DEADLINE_SECS is {secs}: it must be 1 to 864000");
            assert!(error.contains(&expected), "{error}");
        }
    }

    #[test]
    fn deferral_needs_no_doorbell_and_doorbell_does() {
        let queues = [("HIGH_QUEUE_URL", "h"), ("NORMAL_QUEUE_URL", "n"), ("BATCH_QUEUE_URL", "b")];
        let deferral = [&queues[..], &[("DISPATCH", "deferral")]].concat();
        assert_eq!(read(&deferral).unwrap().dispatch, Dispatch::Deferral);
        let error = read(&queues).unwrap_err();
        assert!(error.to_string().contains("DOORBELL_QUEUE_URL is not set"), "{error}");
    }
}
