//! slowlane-idempotency
