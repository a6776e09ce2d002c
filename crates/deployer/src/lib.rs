//! slowlane-deployer
