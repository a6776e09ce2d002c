//! slowlane-worker
