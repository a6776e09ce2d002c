//! What the guard asks of a store: one conditional write, one read, one listing.

use std::future::Future;

use crate::clock::EpochMs;
use crate::record::{Record, Write};
use crate::request::RecordId;

/// Keeps records. Implementations: [`DynamoDbStore`](crate::DynamoDbStore),
/// [`MemoryStore`](crate::MemoryStore), and any that passes
/// the suite in `conformance` (a feature).
///
/// A store never looks at a clock and never decides anything: every moment it compares
/// with is given to it.
pub trait Store: Send + Sync + 'static {
    /// Applies `write` if [`Write::permitted`] holds for the current record, as one atomic
    /// step, and stores [`Write::result`]. If not, it answers with the record that stood
    /// in the way.
    ///
    /// A store may send the same write again after a lost reply: the guard recognises
    /// its own earlier try in the refusal.
    fn write(&self, write: &Write) -> impl Future<Output = Result<Written, Error>> + Send;

    /// The record of `id`, as new as the last acknowledged write.
    fn read(&self, id: &RecordId) -> impl Future<Output = Result<Option<Record>, Error>> + Send;

    /// Up to `most` records that are [unresolved](Record::unresolved) for a clock at
    /// `lapsed_before`, in no particular order and possibly a little stale: for people and
    /// their tools. It may cost as much as the store is large.
    fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Record>, Error>> + Send;
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Applied.
    Applied {
        /// Under [`When::Free`](crate::When::Free) the record that was replaced, `None` if
        /// there was none; under [`When::Held`](crate::When::Held) always `None`, for the
        /// holder knows what it replaces.
        replaced: Option<Box<Record>>,
    },
    /// Its condition did not hold.
    Refused(
        /// What stood in the way; `None` if there is no record.
        Option<Box<Record>>,
    ),
}

/// Why a store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store asks to slow down. Nothing was written.
    #[error("the store throttles")]
    Throttled(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The result is larger than the store can keep. Nothing was written.
    #[error("the result has {bytes} bytes, the store keeps at most {limit}")]
    TooLarge {
        /// Length of the result's JSON.
        bytes: usize,
        /// The store's limit.
        limit: usize,
    },
    /// What the store holds is not a record that this version understands.
    #[error("the stored record is not readable: {0}")]
    Unreadable(String),
    /// Anything else. A write may have been applied or not.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
