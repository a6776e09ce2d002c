//! The commands, each with its arguments and what it prints.

pub(crate) mod add;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod cost;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod destroy;
pub(crate) mod init;
pub(crate) mod limits;
pub(crate) mod logs;
pub(crate) mod new_target;
pub(crate) mod outputs;
pub(crate) mod status;
pub(crate) mod steer;
pub(crate) mod usage;
pub(crate) mod why;
