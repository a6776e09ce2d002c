//! slowlane-tests
