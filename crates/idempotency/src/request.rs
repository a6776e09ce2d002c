//! What a caller asks the guard to run once.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::clock::EpochMs;
use crate::key::{Error, Key, RecordId, Scope};
use crate::payload::PayloadHash;
use crate::settings::Settings;

/// One call to guard. It can be claimed any number of times: a second claim of the same
/// request is a duplicate and is told so.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) id: RecordId,
    pub(crate) payload: PayloadHash,
    /// Its hash in the first record format, where that was another.
    pub(crate) earlier_payload: Option<PayloadHash>,
    pub(crate) terms: Terms,
}

/// What a request asks for, where it does not leave it to the settings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) lease: Option<Lease>,
    pub(crate) repeatable: bool,
    pub(crate) expiry: Option<Duration>,
    pub(crate) settle_window: Option<Duration>,
}

/// The moments that a claim sets.
pub(crate) struct Span {
    pub(crate) lease_until: EpochMs,
    pub(crate) settles_at: EpochMs,
    pub(crate) kept_until: EpochMs,
}

impl Terms {
    pub(crate) fn expiry(&self, settings: &Settings) -> Duration {
        self.expiry.unwrap_or(settings.expiry)
    }

    pub(crate) fn settle_window(&self, settings: &Settings) -> Duration {
        self.settle_window.unwrap_or(settings.settle_window)
    }

    /// Until when a claim at `now` lasts; `Err` with the end of its lease if that is not after
    /// `now`.
    pub(crate) fn span(&self, settings: &Settings, now: EpochMs) -> Result<Span, EpochMs> {
        let lease_until = match self.lease {
            Some(lease) => lease.ends(now),
            None => now.plus(settings.lease),
        };
        if lease_until <= now {
            return Err(lease_until);
        }
        let settles_at = lease_until.plus(self.settle_window(settings));
        let kept_until = settles_at.max(lease_until.plus(self.expiry(settings)));
        Ok(Span { lease_until, settles_at, kept_until })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Lease {
    For(Duration),
    Until(EpochMs),
}

impl Lease {
    pub(crate) fn ends(self, now: EpochMs) -> EpochMs {
        match self {
            Self::For(duration) => now.plus(duration),
            Self::Until(end) => end,
        }
    }
}

impl Request {
    /// A request under `key` with `payload`: the part of the call that must not differ
    /// when the key comes again. Pass `&()` when the key alone says everything.
    ///
    /// # Errors
    /// [`Error::Payload`] for a payload that is no JSON.
    pub fn new<T: Serialize + ?Sized>(scope: Scope, key: Key, payload: &T) -> Result<Self, Error> {
        let value = serde_json::to_value(payload).map_err(Error::Payload)?;
        let payload = PayloadHash::of_value(value.clone())?;
        let earlier_payload = PayloadHash::of_first_format(value)?;
        Ok(Self {
            id: RecordId::new(&scope, &key),
            payload,
            earlier_payload: Some(earlier_payload).filter(|earlier| *earlier != payload),
            terms: Terms::default(),
        })
    }

    /// How long the claim is ours. The request must have left, and its time-out must
    /// have ended, before the lease does. Default: [`Settings::lease`](crate::Settings).
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = Some(Lease::For(lease));
        self
    }

    /// The claim is ours until this moment, usually the Lambda's deadline
    /// (`context.deadline()`), after which the process cannot run on.
    #[must_use]
    pub fn lease_until(mut self, end: SystemTime) -> Self {
        self.terms.lease = Some(Lease::Until(end.into()));
        self
    }

    /// The target may be called twice without harm (a GET, a PUT of the whole record).
    /// Then no dispatched mark is written, and a claim whose lease ran out or whose
    /// outcome is unknown is simply run again. Default: false.
    #[must_use]
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.terms.repeatable = repeatable;
        self
    }

    /// How long the target may work on after its caller has given up on it. Until then its "I do
    /// not have it" does not count. It is stored with the claim, so that it also holds for a worker
    /// that finds the call later. Default: [`Settings::settle_window`](crate::Settings).
    #[must_use]
    pub fn settles_after(mut self, settle_window: Duration) -> Self {
        self.terms.settle_window = Some(settle_window);
        self
    }

    /// How long the result is kept and replayed. A [repeatable](Self::repeatable) call that was
    /// left without one is kept as long. Default: [`Settings::expiry`](crate::Settings).
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.terms.expiry = Some(expiry);
        self
    }

    /// The name of its record.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// The hash of its payload.
    pub fn payload(&self) -> PayloadHash {
        self.payload
    }

    /// Whether `stored` is the hash of its payload, by this version or by an earlier one.
    pub(crate) fn recognises(&self, stored: PayloadHash) -> bool {
        stored == self.payload || Some(stored) == self.earlier_payload
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As recorded. Where no number is beyond 2^53, the hash is still the same.
    #[test]
    fn the_first_format_is_recognised() {
        let recorded = "379c3c261310b93aedb504a467c47b9494b0c2e0205c0130684079a029e3da34";
        let recorded = PayloadHash::parse(recorded).unwrap();
        let (scope, key) = (Scope::new("s").unwrap(), Key::new("k").unwrap());
        for id in [json!(9_007_199_254_740_993_u64), json!("9007199254740993")] {
            let content = json!({ "id": id });
            let request = Request::new(scope.clone(), key.clone(), &content).unwrap();
            assert_ne!(request.payload, recorded);
            assert!(request.recognises(recorded));
        }
        let request = Request::new(scope, key, &json!({ "id": 1 })).unwrap();
        assert_eq!(request.earlier_payload, None);
    }
}
