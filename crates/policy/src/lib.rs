//! slowlane-policy
