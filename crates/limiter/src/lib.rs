#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::missing_errors_doc)]

mod any_store;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod core;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod fallback;
mod grant;
mod horizon;
mod limit;
mod limiter;
mod memory;
mod moment;
mod names;
mod permit;
#[cfg(feature = "redis")]
mod redis;
mod settle;
mod shared;
pub mod store;
mod units;

#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
pub use any_store::BoxStore;
pub use clock::{Clock, ClockCorrection, SharedCorrection, SystemClock};
pub use core::aimd::{Aimd, AimdRules};
pub use core::breaker::{
    Breaker, BreakerGate, BreakerRules, FailureKind, Outage, SlowStart, Suspect,
};
pub use core::control::{
    Author, Change, Control, ControlRules, Mode, Noted, Overrides, Record, Report,
};
pub use core::form::{Form, QuotaForm, RateForm};
pub use core::horizon::Horizon;
pub use core::ledger::{Account, Ask, Ledger, RateTake, Span, Taken};
pub use core::left::Left;
pub use core::meter::{
    Meter, Part, QuotaTerm, RateTerm, Refund, Refusal, Reservation, Reserve, Spent,
};
pub use core::overtake;
pub use core::quota::{Error as QuotaError, Period, Quota};
pub use core::rate::{Error as RateError, Margin, Pace, Rate, Window};
pub use core::register::{Entry, Register, Standing};
pub use core::units::Units;
pub use core::view::{Gate, Place, Reason, View, ViewSettings, Waiting};
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DateListener, DynamoDbStore};
pub use grant::{Decision, Grant};
pub use limit::{Error as LimitError, Limit, Limits, Measure, Scope, Weights};
pub use limiter::{Error, Fallback, Limiter, Settings, Standings, Stats};
pub use memory::MemoryStore;
pub use moment::Moment;
pub use names::{Error as NameError, LimitKey, MAX_KEY_BYTES, SlotId};
pub use permit::{Entered, Permit};
pub use shared::NO_CEILING;
pub use store::{Error as StoreError, Store};
