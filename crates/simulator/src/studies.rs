//! What many runs tell together: comparisons, promises, random searches, and pictures of them.

pub mod bars;
pub mod bench;
pub mod chaos;
mod docs;
pub mod limits;
mod parallel;
pub mod plots;
