#![doc = include_str!("../README.md")]
#![warn(clippy::missing_errors_doc)]

mod address;
mod answer;
mod api;
pub mod auth;
mod before;
mod body;
mod call;
pub mod chat;
mod check;
mod fallback;
mod limits;
mod matching;
pub mod mistakes;
mod multipart;
mod parts;
mod pointer;
mod profile;
mod recovery;
mod request;
mod rule;
pub mod schema;
mod shape;
pub mod shipped;
mod source;
mod template;
mod verdict;
mod wait;
mod words;

pub use address::{Base, BaseError, Refused};
pub use answer::{Answer, Body, MAX_PARSED_BYTES};
pub use api::{Api, Error as RequestError};
pub use before::{Given, NotGiven, PreCall};
pub use body::BodyError;
pub use call::{Call, Content, File};
pub use fallback::Fallback;
pub use limits::{LimitKind, SeenLimit, Usage};
pub use mistakes::{Mistake, Mistakes};
pub use parts::Part;
pub use profile::Profile;
pub use recovery::{Found, LookUp, Loss, Recovery};
pub use request::Request;
pub use verdict::{Outcome, Reason, Renew, Verdict};
pub use wait::LONGEST_WAIT;
pub use words::{Method, Period};
