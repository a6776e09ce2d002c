#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::missing_errors_doc)]

mod any_store;
mod cache;
pub mod claim;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod guard;
mod inner;
mod key;
mod memory;
mod offload;
mod payload;
mod record;
mod request;
pub mod run;
#[cfg(feature = "s3")]
mod s3;
mod settings;
pub mod store;
#[cfg(feature = "tower")]
pub mod tower;
mod unknown;

pub use any_store::BoxStore;
pub use claim::complete::Error as CompleteError;
pub use claim::dispatch::{Error as DispatchError, NotDispatched};
pub use claim::give_up::Error as GiveUpError;
pub use claim::{Claim, Dispatched, Error as ClaimError, Lost, complete, dispatch, give_up};
pub use clock::{Clock, EpochMs, SystemClock};
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoDbStore, Layout, MAX_RESULT_BYTES, PartitionValue};
pub use guard::{Claimed, Guard, Held};
pub use key::{Error as RequestError, Key, MAX_KEY_BYTES, MAX_SCOPE_BYTES, RecordId, Scope};
pub use memory::MemoryStore;
pub use offload::{Blobs, Offloading};
pub use payload::PayloadHash;
pub use record::{
    Holder, MaybeExecuted, Owner, Pointer, Record, Status, StoredResult, When, Write,
};
pub use request::Request;
pub use run::{Done, Error as RunError, Failure, Found, How, Turn};
#[cfg(feature = "s3")]
pub use s3::S3Blobs;
pub use settings::Settings;
pub use store::{Cursor, Error as StoreError, Page, Store, Written};
pub use unknown::resolve::{Error as ResolveError, NotRunAgain};
pub use unknown::{Unknown, resolve};

/// Keeps the code of the guide compiling.
#[cfg(all(doctest, feature = "dynamodb"))]
#[doc = include_str!("../docs/powertools.md")]
struct PowertoolsGuide;
