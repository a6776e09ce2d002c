//! Limits shared by a fleet without a server.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::missing_errors_doc)]

mod clock;
mod core;
mod moment;
mod names;

pub use clock::{Clock, ClockCorrection, SharedCorrection, SystemClock};
pub use core::aimd::{Aimd, AimdRules};
pub use core::breaker::{
    Breaker, BreakerGate, BreakerRules, FailureKind, Outage, SlowStart, Suspect,
};
pub use core::control::{
    Author, Change, Control, ControlRules, Mode, Noted, Overrides, Record, Report,
};
pub use core::form::{Form, QuotaForm, RateForm};
pub use core::meter::{
    Meter, Part, QuotaTerm, RateTerm, Refund, Refusal, Reservation, Reserve, Spent,
};
pub use core::overtake;
pub use core::quota::{Error as QuotaError, Period, Quota};
pub use core::rate::{Error as RateError, Margin, Pace, Rate, Window};
pub use core::register::{Entry, Register, Standing};
pub use core::view::{Gate, Reason, View, ViewSettings, Waiting};
pub use moment::Moment;
pub use names::{Error as NameError, LimitKey, MAX_KEY_BYTES, SlotId};
