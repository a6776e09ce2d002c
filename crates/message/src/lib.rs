//! slowlane-message
