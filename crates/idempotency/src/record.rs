//! What a store keeps for a key, and the rules that say when it may change.
//!
//! The rules are here and nowhere else, as pure functions. The in-memory store runs them, and the
//! DynamoDB store states the same in a condition expression. The conformance suite compares the
//! two.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::payload::PayloadHash;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Somebody holds the call. Unless the record is `repeatable`, the request has not
    /// left: a crash here is safe to run again.
    Claimed,
    /// The request is about to leave or has left. If its lease runs out here, nobody
    /// knows whether the target executed it.
    Dispatched,
    /// The holder said that it does not know whether the target executed the request.
    Unknown,
    /// The target could not be asked or did not say; a person must look.
    NeedsPerson,
    /// Done: the result is replayed until it expires.
    Completed,
    /// Nobody holds the call, and what its last holder sent was not executed: the next claim
    /// runs.
    Released,
}

impl Status {
    /// Every status, for stores that look one up by name.
    pub const ALL: [Self; 6] = [
        Self::Claimed,
        Self::Dispatched,
        Self::Unknown,
        Self::NeedsPerson,
        Self::Completed,
        Self::Released,
    ];

    /// The states in which a call is still somebody's to finish.
    pub const OPEN: &'static [Self] =
        &[Self::Claimed, Self::Dispatched, Self::Unknown, Self::NeedsPerson];

    /// The name under which it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "CLAIMED",
            Self::Dispatched => "DISPATCHED",
            Self::Unknown => "UNKNOWN",
            Self::NeedsPerson => "NEEDS_PERSON",
            Self::Completed => "COMPLETED",
            Self::Released => "RELEASED",
        }
    }

    /// The status stored under this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who made a claim: a new random name for every claim, so that a store's answer
/// "somebody holds it" can be recognised as our own earlier try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub Uuid);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose claim a write depends on: the owner and its attempt number together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The claim's random name.
    pub owner: Owner,
    /// The fencing number. It grows by one with every claim for as long as the record lives.
    pub attempt: u64,
}

/// A result as a store keeps it. Its `Debug` says how large it is and not what it is, so
/// that errors and logs do not carry the answers of targets.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredResult {
    /// The JSON text itself.
    Inline(String),
    /// The JSON text lies elsewhere because it is large.
    Offloaded(Pointer),
}

impl fmt::Debug for StoredResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(json) => write!(f, "Inline({} bytes)", json.len()),
            Self::Offloaded(pointer) => f.debug_tuple("Offloaded").field(pointer).finish(),
        }
    }
}

/// Where a large result lies and how to tell that it is still the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// As the offload names it, for example an S3 object key.
    pub location: String,
    /// SHA-256 of the text, as 64 hexadecimal digits.
    pub sha256: String,
    /// Length of the text in bytes.
    pub bytes: u64,
}

/// With which payloads earlier attempts under a key may have been executed, the present
/// attempt not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaybeExecuted {
    /// With none.
    #[default]
    No,
    /// With this one.
    With(PayloadHash),
    /// With more than one.
    WithSeveral,
}

impl MaybeExecuted {
    /// Whether an earlier attempt with this payload may have been executed.
    pub fn includes(self, payload: PayloadHash) -> bool {
        match self {
            Self::No => false,
            Self::With(suspect) => suspect == payload,
            Self::WithSeveral => true,
        }
    }

    /// An attempt with `payload` may have been executed too.
    #[must_use]
    pub fn and(self, payload: PayloadHash) -> Self {
        match self {
            Self::No => Self::With(payload),
            Self::With(suspect) if suspect == payload => self,
            Self::With(_) | Self::WithSeveral => Self::WithSeveral,
        }
    }
}

/// Everything a store keeps for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `{scope}#{key}`.
    pub id: RecordId,
    /// How far the call has come.
    pub status: Status,
    /// Who claimed it last (or adopted its result).
    pub holder: Holder,
    /// Of the payload it was last claimed with.
    pub payload: PayloadHash,
    /// Whether the claimant said that the target may be called twice without harm.
    pub repeatable: bool,
    /// When it was last claimed.
    pub claimed_at: EpochMs,
    /// Until when the claim counts.
    pub lease_until: EpochMs,
    /// When the request was about to leave.
    pub dispatched_at: Option<EpochMs>,
    /// Since when nobody knows.
    pub unknown_since: Option<EpochMs>,
    /// When the target will surely have finished with the request, one way or the other. If the
    /// holder does not come back, this is counted from the end of its lease. Records of the first
    /// format have it only once they are unknown.
    pub settles_at: Option<EpochMs>,
    /// When the result was stored.
    pub completed_at: Option<EpochMs>,
    /// How many of the attempts do not count as tries. These are the attempts that never reached
    /// the target, those that it turned away unread, and all of an earlier life of the key.
    pub untried: u64,
    /// What is known of the attempts before this one.
    pub maybe_executed_before: MaybeExecuted,
    /// Why it was released, is unknown, or needs a person.
    pub why: Option<String>,
    /// The result, once completed.
    pub result: Option<StoredResult>,
    /// Until when the record is kept. `None` while it is unresolved and not safe to repeat:
    /// no such call is ever forgotten by the passing of time.
    pub kept_until: Option<EpochMs>,
}

impl Record {
    /// Whether this record's claim may still be at work at a moment `lapsed_before`,
    /// which is the reader's clock less its skew margin.
    pub fn lease_lapsed(&self, lapsed_before: EpochMs) -> bool {
        self.lease_until < lapsed_before
    }

    /// Whether nobody is left who could know if the target executed the request: it is for a
    /// reconciler or a person to decide. A repeatable one may also just be run again, and is
    /// unresolved only until it expires. `lapsed_before` as in
    /// [`lease_lapsed`](Self::lease_lapsed).
    pub fn unresolved(&self, lapsed_before: EpochMs) -> bool {
        match self.status {
            Status::NeedsPerson => true,
            Status::Unknown => !self.expired(lapsed_before),
            Status::Dispatched => self.lease_lapsed(lapsed_before),
            Status::Claimed => {
                self.repeatable && self.lease_lapsed(lapsed_before) && !self.expired(lapsed_before)
            }
            Status::Completed | Status::Released => false,
        }
    }

    /// From when on the record may be [unresolved](Self::unresolved) if nobody writes it
    /// before; `None` if it cannot be. What an index of unresolved records sorts by.
    pub fn unresolved_from(&self) -> Option<EpochMs> {
        match self.status {
            Status::Unknown | Status::NeedsPerson => Some(self.uncertain_since()),
            Status::Dispatched => Some(self.lease_until),
            Status::Claimed => self.repeatable.then_some(self.lease_until),
            Status::Completed | Status::Released => None,
        }
    }

    /// Whether nothing is promised for the key any more, so that any claim may have it. Either the
    /// result's time is over, or that of a repeatable call that nobody finished.
    pub fn expired(&self, lapsed_before: EpochMs) -> bool {
        let may_expire = match self.status {
            Status::Completed => true,
            Status::Unknown => self.repeatable,
            Status::Claimed => self.repeatable && self.lease_lapsed(lapsed_before),
            Status::Released | Status::Dispatched | Status::NeedsPerson => false,
        };
        may_expire && self.kept_until.is_some_and(|until| until < lapsed_before)
    }

    /// Since when it is not known whether the target executed the request.
    pub fn uncertain_since(&self) -> EpochMs {
        self.unknown_since.or(self.dispatched_at).unwrap_or(self.claimed_at)
    }

    /// When the target has surely finished with the request: as the holder stored it. Where the
    /// holder of a record of the first format never came back, `settle_window` after its lease.
    pub fn settled_at(&self, settle_window: Duration) -> EpochMs {
        self.settles_at.unwrap_or_else(|| self.lease_until.plus(settle_window))
    }

    /// How long the target may work on after its caller gave up, as the holder stored it.
    pub(crate) fn settle_window(&self) -> Option<Duration> {
        let given_up = self.unknown_since.unwrap_or(self.lease_until);
        self.settles_at.map(|settles_at| settles_at.since(given_up))
    }

    /// What its last holder said when it was released, for a claim of the same payload.
    pub(crate) fn released_because(self, next: &Self) -> Option<String> {
        self.why.filter(|_| self.status == Status::Released && self.payload == next.payload)
    }

    /// Starts counting tries anew with the next attempt.
    pub(crate) fn end_life(&mut self) {
        self.untried = self.holder.attempt;
    }

    /// Takes over what the record that this claim `replaced` says about earlier attempts.
    pub(crate) fn succeed(&mut self, replaced: &Self, lapsed_before: EpochMs) {
        let another_life = replaced.status == Status::Completed
            || replaced.payload != self.payload
            || replaced.kept_until.is_some_and(|until| until < lapsed_before);
        self.holder.attempt = replaced.holder.attempt + 1;
        self.untried = if another_life { replaced.holder.attempt } else { replaced.untried };
        let before = replaced.maybe_executed_before;
        self.maybe_executed_before = match replaced.status {
            Status::Completed => MaybeExecuted::No,
            Status::Claimed if !replaced.repeatable => before,
            Status::Released => before,
            Status::Claimed | Status::Dispatched | Status::Unknown | Status::NeedsPerson => {
                before.and(replaced.payload)
            }
        };
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { owner, attempt } = self.holder;
        write!(f, "{}, attempt {attempt}, owner {owner}", self.status)?;
        match self.status {
            Status::Claimed | Status::Dispatched => {
                write!(f, ", lease until {}", self.lease_until)?
            }
            Status::Unknown | Status::NeedsPerson => {
                write!(f, ", since {}", self.uncertain_since())?
            }
            Status::Completed | Status::Released => {}
        }
        if self.repeatable {
            f.write_str(", safe to repeat")?;
        }
        if let Some(kept_until) = self.kept_until {
            write!(f, ", kept until {kept_until}")?;
        }
        match &self.why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// One conditional write: the whole record to store, and what must hold for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The record as it is to be. A store replaces all of it, but under [`When::Free`] it
    /// counts the attempt number up itself, and leaves `untried` and
    /// `maybe_executed_before` as they are.
    pub record: Record,
    /// What must hold.
    pub when: When,
}

/// What must hold for a write to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The key is free to run: nobody has it, or what is there is safe to replace.
    Free {
        /// The writer's clock less its skew margin: leases and results that ended
        /// before this moment have ended for every clock within the margin.
        lapsed_before: EpochMs,
        /// The hash that an earlier version of this crate made of the same payload, if it differs.
        /// A record with this hash has the payload of this write.
        earlier_payload: Option<PayloadHash>,
    },
    /// The call is still this holder's, in one of these states.
    Held {
        /// Owner and attempt as the writer knows them.
        by: Holder,
        /// The states from which the write may be made.
        from: &'static [Status],
    },
}

impl Write {
    /// Whether the write may be applied over `current`. A store evaluates this and
    /// applies the write in one atomic step.
    pub fn permitted(&self, current: Option<&Record>) -> bool {
        match (self.when, current) {
            (When::Free { .. }, None) => true,
            (When::Free { lapsed_before, earlier_payload }, Some(current)) => {
                self.may_replace(current, lapsed_before, earlier_payload)
            }
            (When::Held { .. }, None) => false,
            (When::Held { by, from }, Some(current)) => {
                current.holder == by && from.contains(&current.status)
            }
        }
    }

    /// A claim may replace what was surely not executed and what nobody promises any
    /// more. Between a repeatable request and a repeatable record it may also replace
    /// what may have been executed, provided that the payload is the same.
    fn may_replace(
        &self,
        current: &Record,
        lapsed_before: EpochMs,
        earlier_payload: Option<PayloadHash>,
    ) -> bool {
        let abandoned = current.status == Status::Claimed && current.lease_lapsed(lapsed_before);
        let surely_not_executed = abandoned && !current.repeatable;
        let same_payload =
            current.payload == self.record.payload || Some(current.payload) == earlier_payload;
        let harmless_again = current.repeatable
            && self.record.repeatable
            && same_payload
            && (abandoned || current.status == Status::Unknown);
        current.status == Status::Released
            || surely_not_executed
            || current.expired(lapsed_before)
            || harmless_again
    }

    /// The record after the write. The fencing number grows with every claim; what else is
    /// known of earlier attempts is for the claim's holder to bring up to date.
    pub fn result(&self, current: Option<&Record>) -> Record {
        let mut record = self.record.clone();
        if let When::Free { .. } = self.when {
            record.holder.attempt = current.map_or(0, |current| current.holder.attempt) + 1;
            record.untried = current.map_or(0, |current| current.untried);
            record.maybe_executed_before =
                current.map_or(MaybeExecuted::No, |current| current.maybe_executed_before);
        }
        record
    }
}
