//! The frame of every Lambda of Slowlane. Its settings come from the environment ([`mod@env`]), and
//! its logs go to stdout as JSON lines ([`logs`]). Its metrics travel in those logs, in
//! CloudWatch's embedded metric format ([`emf`]). Spans go to a collector, where one is named
//! ([`spans`]). Its clock is that of its AWS SDK ([`clock`]).
//!
//! Nothing here knows of queues, calls or targets.

pub mod clock;
pub mod emf;
pub mod env;
pub mod logs;
pub mod spans;
