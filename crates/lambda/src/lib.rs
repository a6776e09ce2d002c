//! The frame that every Lambda of Slowlane stands in: its settings come from the
//! environment ([`mod@env`]), its logs go to stdout as JSON lines ([`logs`]), and its metrics
//! ride in those logs in CloudWatch's embedded metric format ([`emf`]). Its clock is that of
//! its AWS SDK ([`clock`]).
//!
//! Nothing here knows of queues, calls or targets.

pub mod clock;
pub mod emf;
pub mod env;
pub mod logs;
