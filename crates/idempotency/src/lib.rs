#![doc = include_str!("../README.md")]

mod cache;
pub mod claim;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod dynamodb;
mod guard;
mod memory;
mod offload;
mod record;
mod request;
pub mod run;
#[cfg(feature = "s3")]
mod s3;
pub mod store;
mod unknown;

pub use claim::dispatch::NotDispatched;
pub use claim::{Claim, Dispatched, Lost, complete, dispatch, give_up};
pub use clock::{Clock, EpochMs, SystemClock};
pub use dynamodb::{DynamoDbStore, Layout, MAX_RESULT_BYTES, PartitionValue};
pub use guard::{Claimed, Guard, Held, Settings};
pub use memory::MemoryStore;
pub use offload::{Blobs, Offloading};
pub use record::{
    Holder, MaybeExecuted, Owner, Pointer, Record, Status, StoredResult, When, Write,
};
pub use request::{
    Error as RequestError, Key, MAX_KEY_BYTES, MAX_SCOPE_BYTES, PayloadHash, RecordId, Request,
    Scope,
};
pub use run::{Done, Failure, Found, How, Turn};
#[cfg(feature = "s3")]
pub use s3::S3Blobs;
pub use store::{Store, Written};
pub use unknown::resolve::NotRunAgain;
pub use unknown::{Unknown, resolve};

/// Keeps the code of the guide compiling.
#[cfg(doctest)]
#[doc = include_str!("../docs/powertools.md")]
struct PowertoolsGuide;
