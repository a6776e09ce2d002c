//! Large results outside the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use slowlane_idempotency::{
    Blobs, Claimed, Guard, Key, MemoryStore, Offloading, Request, Settings, Store, StoredResult,
    claim, store,
};

use crate::{Stopwatch, order, scope};

/// Blobs in memory, in the place of a bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryBlobs(Arc<Mutex<BTreeMap<String, String>>>);

impl Blobs for MemoryBlobs {
    async fn put(&self, sha256: &str, text: &str) -> Result<String, store::Error> {
        self.0.lock().unwrap().insert(sha256.to_owned(), text.to_owned());
        Ok(sha256.to_owned())
    }

    async fn get(&self, location: &str) -> Result<String, store::Error> {
        let found = self.0.lock().unwrap().get(location).cloned();
        found.ok_or_else(|| store::Error::Failed("there is nothing".into()))
    }
}

#[tokio::test]
async fn only_large_results_are_offloaded() {
    let (store, blobs) = (MemoryStore::new(), MemoryBlobs::default());
    let offloading = Offloading::new(store.clone(), blobs.clone(), 100);
    let guard = Guard::new(offloading, Stopwatch::new().settings());
    for (name, result, pieces) in [("small", "small".to_owned(), 0), ("large", "r".repeat(1000), 1)]
    {
        let key = Key::new(name).unwrap();
        let request = Request::new(scope(), key, &()).unwrap();
        let Claimed::Run(claim) = guard.claim(&request).await.unwrap() else {
            panic!("did not run");
        };
        let claim = claim.dispatched().await.unwrap();
        claim.complete(&json!({ "result": result })).await.unwrap();
        // Again, as after a lost reply: recognised though the store has only a pointer.
        claim.complete(&json!({ "result": result })).await.unwrap();
        assert_eq!(blobs.0.lock().unwrap().len(), pieces);
        let stored = store.read(request.id()).await.unwrap().unwrap();
        let pointer = matches!(stored.result, Some(StoredResult::Offloaded(_)));
        assert_eq!(pointer, pieces == 1);
        let Claimed::Replay(value) = guard.claim(&request).await.unwrap() else {
            panic!("no replay");
        };
        assert_eq!(value["result"], result);
    }
}

#[tokio::test]
async fn a_blob_that_is_not_what_was_stored_is_no_result() {
    let (store, blobs) = (MemoryStore::new(), MemoryBlobs::default());
    let offloading = Offloading::new(store.clone(), blobs.clone(), 0);
    let guard = Guard::new(offloading, Stopwatch::new().settings());
    let Claimed::Run(claim) = guard.claim(&order(1)).await.unwrap() else {
        panic!("did not run");
    };
    let claim = claim.dispatched().await.unwrap();
    claim.complete(&"the result").await.unwrap();
    for blob in blobs.0.lock().unwrap().values_mut() {
        *blob = "\"another\"".into();
    }
    let message = source_message(guard.claim(&order(1)).await.unwrap_err());
    assert!(message.contains("is not the one that was stored"), "{message}");

    let settings =
        Settings { new_owner: Settings::default().new_owner, ..Stopwatch::new().settings() };
    let without = Guard::new(store, settings);
    let message = source_message(without.claim(&order(1)).await.unwrap_err());
    assert!(message.contains("this guard has no offload"), "{message}");
}

fn source_message(error: claim::Error) -> String {
    let claim::Error::Store { source, .. } = error else {
        panic!("{error}");
    };
    source.to_string()
}
