//! slowlane-enqueuer
