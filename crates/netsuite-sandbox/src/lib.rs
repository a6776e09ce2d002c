//! slowlane-netsuite-sandbox
