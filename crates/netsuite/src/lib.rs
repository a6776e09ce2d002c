//! slowlane-netsuite
