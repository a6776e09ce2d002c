//! Limits shared by a fleet without a server.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::missing_errors_doc)]

mod core;
mod moment;

pub use core::form::{Form, QuotaForm, RateForm};
pub use core::meter::{
    Meter, Part, QuotaTerm, RateTerm, Refund, Refusal, Reservation, Reserve, Spent,
};
pub use core::rate::{Error as RateError, Margin, Pace, Rate, Window};
pub use moment::Moment;
