//! What the guard asks of a store: one conditional write, one read, one listing.

use std::future::Future;
use std::num::NonZeroUsize;

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::record::{Record, Write};

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
    ///
    /// # Errors
    /// [`enum@Error`]; each variant says whether something may have been written.
    fn write(&self, write: &Write) -> impl Future<Output = Result<Written, Error>> + Send;

    /// The record of `id`, as new as the last acknowledged write.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn read(&self, id: &RecordId) -> impl Future<Output = Result<Option<Record>, Error>> + Send;

    /// Up to `most` records that are [unresolved](Record::unresolved) for a clock at
    /// `lapsed_before`, from the beginning or from where an earlier page ended. The order is the
    /// store's own, and the records may be a few seconds stale. This is for people and their tools:
    /// it may have to read the whole store.
    ///
    /// # Errors
    /// [`enum@Error`]; also if the cursor is not from this store.
    fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> impl Future<Output = Result<Page, Error>> + Send;

    /// How many records are unresolved, by whatever counts them at least cost. It goes
    /// through all pages unless the store knows better.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn count_unresolved(
        &self,
        lapsed_before: EpochMs,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        async move {
            const PAGE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99);
            let (mut count, mut after) = (0, None);
            loop {
                let page = self.unresolved(lapsed_before, PAGE, after.as_ref()).await?;
                count += page.records.len() as u64;
                after = page.next;
                if after.is_none() {
                    return Ok(count);
                }
            }
        }
    }
}

/// A part of the unresolved records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records; there may be more although these are few, or none.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

/// Where a page ended, as a text that the store made and that can be handed out and taken
/// back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
    /// A table, an index or a bucket does not exist where the store looks for it. Nothing was
    /// written.
    #[error("there is no {what}")]
    NotFound {
        /// Its kind and its name.
        what: String,
        /// As the service said it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The text is no cursor that this store has made.
    #[error("{0:?} is no cursor of this store")]
    BadCursor(String),
    /// What the store holds is not a record that this version understands.
    #[error("the stored record is not readable: {0}")]
    Unreadable(String),
    /// Anything else. A write may have been applied or not.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The SDK's futures nest so deep that callers would have to raise their `recursion_limit`;
/// a box ends the nesting, and beside a network request it costs nothing.
#[cfg(any(feature = "dynamodb", feature = "s3"))]
pub(crate) fn boxed<F: Future>(request: F) -> std::pin::Pin<Box<F>> {
    Box::pin(request)
}
