//! Large results kept outside the store, with a pointer in the record.

use std::future::Future;
use std::num::NonZeroUsize;

use sha2::{Digest, Sha256};

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::record::{Pointer, Record, Status, StoredResult, Write};
use crate::store::{Cursor, Error, Page, Store, Written};

/// Where large results lie. Implementation: `S3Blobs` (feature `s3`).
///
/// Blobs are named by their content, so that a late writer can only write again what is
/// already there, and one that no record points to is harmless. Deleting old ones is
/// left to the place itself (on S3 a lifecycle rule longer than the guard's expiry).
pub trait Blobs: Send + Sync + 'static {
    /// Keeps `text`, whose SHA-256 in hexadecimal is `sha256`, and says where.
    ///
    /// # Errors
    /// The place failed, which fails the completion that wants to store the result.
    fn put(&self, sha256: &str, text: &str) -> impl Future<Output = Result<String, Error>> + Send;

    /// The text at `location`, as an earlier [`put`](Self::put) returned it.
    ///
    /// # Errors
    /// The place failed or has no such text, which fails the replay.
    fn get(&self, location: &str) -> impl Future<Output = Result<String, Error>> + Send;
}

/// A store that keeps results of more than `larger_than` bytes in `blobs`.
///
/// One `put` more for a large result that is stored, one `get` more for one that is
/// replayed; nothing more for any other.
#[derive(Clone, Debug)]
pub struct Offloading<S, B> {
    store: S,
    blobs: B,
    larger_than: usize,
}

impl<S: Store, B: Blobs> Offloading<S, B> {
    /// On DynamoDB, [`MAX_RESULT_BYTES`](crate::MAX_RESULT_BYTES) is the most that
    /// `larger_than` can be; a lower one saves write units (one for each KB).
    pub fn new(store: S, blobs: B, larger_than: usize) -> Self {
        Self { store, blobs, larger_than }
    }

    /// The write with its result put away, if the result is large.
    async fn offloaded(&self, write: &Write) -> Result<Option<Write>, Error> {
        let text = match &write.record.result {
            Some(StoredResult::Inline(text)) if text.len() > self.larger_than => text,
            _ => return Ok(None),
        };
        let sha256 = sha256_hex(text);
        let pointer = Pointer {
            location: self.blobs.put(&sha256, text).await?,
            sha256,
            bytes: text.len() as u64,
        };
        let mut write = write.clone();
        write.record.result = Some(StoredResult::Offloaded(pointer));
        Ok(Some(write))
    }

    /// Puts the result of a completed record in its place.
    async fn fetch(&self, record: &mut Record) -> Result<(), Error> {
        let pointer = match &record.result {
            Some(StoredResult::Offloaded(pointer)) if record.status == Status::Completed => pointer,
            _ => return Ok(()),
        };
        let text = self.blobs.get(&pointer.location).await?;
        if sha256_hex(&text) != pointer.sha256 {
            return Err(Error::Unreadable(format!(
                "{}: the result at {:?} is not the one that was stored",
                record.id, pointer.location
            )));
        }
        record.result = Some(StoredResult::Inline(text));
        Ok(())
    }
}

impl<S: Store, B: Blobs> Store for Offloading<S, B> {
    async fn write(&self, write: &Write) -> Result<Written, Error> {
        let offloaded = self.offloaded(write).await?;
        let mut written = self.store.write(offloaded.as_ref().unwrap_or(write)).await?;
        if let Written::Refused(Some(found)) = &mut written {
            self.fetch(found).await?;
        }
        Ok(written)
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, Error> {
        let mut record = self.store.read(id).await?;
        if let Some(record) = &mut record {
            self.fetch(record).await?;
        }
        Ok(record)
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, Error> {
        self.store.unresolved(lapsed_before, most, after).await
    }

    async fn count_unresolved(&self, lapsed_before: EpochMs) -> Result<u64, Error> {
        self.store.count_unresolved(lapsed_before).await
    }
}

fn sha256_hex(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
