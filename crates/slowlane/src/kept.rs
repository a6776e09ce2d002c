//! Which limits a deployed worker keeps, and how it is told of them.

use slowlane_config::{Limit, LimitError, Limits, Measure, Scope};
use slowlane_deployer::limits::LIMITS_MAX_BYTES;

/// Why a worker cannot be told these limits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Wrong(#[from] LimitError),
    #[error("limits[{number}]: a deployed worker does not keep {limit} yet; take it out")]
    NotKept { number: usize, limit: Limit },
    #[error(
        "the limits have {bytes} bytes as JSON, and a worker can be told {LIMITS_MAX_BYTES}; take some \
         out"
    )]
    TooLong { bytes: usize },
}

/// Whether a deployed worker keeps a limit. What it does not keep is refused: a limit that is written
/// down and not kept would be found out by the API's answers.
pub(crate) fn is_kept(limit: &Limit) -> bool {
    match (&limit.measure, &limit.scope) {
        (_, Scope::Target) => true,
        (measure, Scope::Shared(_)) => *measure != Measure::Adaptive,
        (Measure::Rate { largest, .. } | Measure::Quota { largest, .. }, Scope::Tenant) => {
            largest.is_none()
        }
        (Measure::Concurrency(_) | Measure::Adaptive, Scope::Tenant) => false,
    }
}

/// The template's parameter `Limits`.
pub(crate) fn parameter(limits: &Limits) -> Result<String, Refused> {
    let text = limits.to_json();
    if text.len() > LIMITS_MAX_BYTES {
        return Err(Refused::TooLong { bytes: text.len() });
    }
    match limits.iter().position(|limit| !is_kept(limit)) {
        None => Ok(text),
        Some(index) => Err(Refused::NotKept { number: index + 1, limit: limits[index].clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_to_the_worker_or_refused_by_name() {
        for limit in [
            r#"{"rate":"2/s"}"#,
            r#"{"quota":"2/1d"}"#,
            r#"{"rate":"2/s","largest":2}"#,
            r#"{"quota":"2/1d","largest":2}"#,
            r#"{"concurrency":2}"#,
            r#"{"adaptive":true}"#,
            r#"{"concurrency":2,"name":"org"}"#,
            r#"{"adaptive":true,"name":"org"}"#,
            r#"{"rate":"2/s","per":"tenant"}"#,
            r#"{"quota":"2/1d","per":"tenant"}"#,
            r#"{"rate":"2/s","largest":2,"per":"tenant"}"#,
            r#"{"concurrency":2,"per":"tenant"}"#,
            r#"{"rate":"2/s","name":"org"}"#,
        ] {
            let text = format!("[{limit}]");
            let limits = Limits::from_json(&text).unwrap();
            match parameter(&limits) {
                Ok(told) => assert!(is_kept(&limits[0]) && told == text, "{told}"),
                Err(error) => assert!(error.to_string().contains(limit), "{error}"),
            }
            assert_eq!(is_kept(&limits[0]), slowlane_worker::keeps(&limits[0]), "{limit}");
        }
    }

    #[test]
    fn as_many_are_told_as_a_lambda_can_hold() {
        let many: Vec<String> =
            (1..=60).map(|days| format!("{{\"quota\":\"1/{days}d\"}}")).collect();
        let many = Limits::from_json(&format!("[{}]", many.join(","))).unwrap();
        let bytes = many.to_json().len();
        assert_eq!(parameter(&many), Err(Refused::TooLong { bytes }));
    }
}
