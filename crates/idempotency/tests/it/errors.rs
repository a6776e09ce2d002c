//! What people read when something is not as they wish.

use serde_json::json;
use slowlane_idempotency::{Claimed, Guard, MemoryStore, claim};

use crate::{Stopwatch, order, seconds};

#[tokio::test]
async fn errors_say_who_what_and_until_when() {
    let time = Stopwatch::new();
    let guard = Guard::new(MemoryStore::new(), time.settings());
    let claimed = guard.claim(&order(1)).await.unwrap();
    let Claimed::Run(claim) = claimed else {
        panic!("{claimed:?}");
    };

    let Ok(Claimed::InProgress(held)) = guard.claim(&order(1)).await else {
        panic!("not in progress");
    };
    assert_eq!(
        held.to_string(),
        "orders#order-123 is in progress until 2027-01-15T08:01:02.000Z: CLAIMED, attempt 1, \
         owner 00000000-0000-0000-0000-000000000001, lease until 2027-01-15T08:01:00.000Z, \
         kept until 2027-01-16T08:01:00.000Z"
    );

    let mismatch = guard.claim(&order(2)).await.unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        "orders#order-123: the payload differs from the one known under this key (sha256 \
         3aefbf1f1cb03be980b8fd05c393f4cbab7b372bd54d88fdfce9f7ec32655fd9 offered, \
         b7e28723407b7750fb0dc3b977699a5223a3b617d41c9a4feaeccbd31feadd06 stored; CLAIMED, \
         attempt 1, owner 00000000-0000-0000-0000-000000000001, lease until \
         2027-01-15T08:01:00.000Z, kept until 2027-01-16T08:01:00.000Z)"
    );

    let claim = claim.dispatched().await.unwrap();
    claim.unknown("reset by peer").await.unwrap();
    let Ok(Claimed::Unknown(unknown)) = guard.claim(&order(1)).await else {
        panic!("not unknown");
    };
    let not_run_again = unknown.run_again().await.unwrap_err();
    assert_eq!(
        not_run_again.to_string(),
        "orders#order-123: the target may still execute it until 2027-01-15T08:00:32.000Z; \
         UNKNOWN, attempt 1, owner 00000000-0000-0000-0000-000000000001, since \
         2027-01-15T08:00:00.000Z (reset by peer)"
    );

    not_run_again.unknown.adopt(&json!(1)).await.unwrap();
    assert_eq!(
        claim.complete(&json!(2)).await.unwrap_err().to_string(),
        "orders#order-123: attempt 1 of owner 00000000-0000-0000-0000-000000000001 no longer \
         holds it; found COMPLETED, attempt 1, owner 00000000-0000-0000-0000-000000000005, \
         kept until 2027-01-16T08:00:00.000Z"
    );
}

/// Powertools took a remaining time of 0 for none given, and kept such a record forever.
#[tokio::test]
async fn a_lambda_without_time_left_claims_nothing() {
    let time = Stopwatch::new();
    let guard = Guard::new(MemoryStore::new(), time.settings());
    for request in [
        order(1).lease(seconds(0)),
        order(1).lease_until(Stopwatch::START.into()),
        order(1).lease_until(Stopwatch::START.minus(seconds(1)).into()),
    ] {
        let error = guard.claim(&request).await.unwrap_err();
        assert!(matches!(error, claim::Error::NoTimeLeft { .. }), "{error}");
    }
    let claimed = guard.claim(&order(1)).await.unwrap();
    assert!(matches!(claimed, Claimed::Run(claim) if claim.attempt() == 1));
}

/// What a target answered may be confidential.
#[tokio::test]
async fn no_message_carries_a_result() {
    let time = Stopwatch::new();
    let guard = Guard::new(MemoryStore::new(), time.settings());
    let claimed = guard.claim(&order(1)).await.unwrap();
    let Claimed::Run(claim) = claimed else {
        panic!("{claimed:?}");
    };
    let claim = claim.dispatched().await.unwrap();
    claim.complete(&"confidential").await.unwrap();
    let mismatch = guard.claim(&order(2)).await.unwrap_err();
    let lost = claim.release().await.unwrap_err();
    for message in [format!("{mismatch} {mismatch:?}"), format!("{lost} {lost:?}")] {
        assert!(message.contains("COMPLETED") && !message.contains("confidential"), "{message}");
    }
}
