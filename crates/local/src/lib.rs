//! Slowlane on one machine.
