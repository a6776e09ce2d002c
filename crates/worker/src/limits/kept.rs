//! Which limits the worker keeps.

use slowlane_limiter::{Limit, Measure, Scope};

/// Whether the worker keeps such a limit. It does not start under one that it does not keep.
pub fn keeps(limit: &Limit) -> bool {
    match (&limit.measure, &limit.scope) {
        (_, Scope::Target) => true,
        (measure, Scope::Shared(_)) => *measure != Measure::Adaptive,
        (Measure::Rate { largest, .. } | Measure::Quota { largest, .. }, Scope::Tenant) => {
            largest.is_none()
        }
        (Measure::Concurrency(_) | Measure::Adaptive, Scope::Tenant) => false,
    }
}
