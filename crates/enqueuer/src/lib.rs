//! The enqueuer Lambda: a workflow that pauses on a task token hands its call over here.
//!
//! ```text
//! state machine ──EnqueueRequest──▶ enqueuer ──QueuedCall──▶ HIGH | NORMAL | BATCH
//!                                       └───────ring───────▶ doorbell
//! ```
//!
//! 1. [`Enqueuer::handle`] reads the request, and refuses one that is ill-formed with an
//!    error that names the field: nothing has been queued then, and the task fails. It also
//!    refuses a call that the deployment does not make ([`AllowedCalls`]).
//! 2. It puts the call on the queue of its priority.
//! 3. In the `doorbell` wiring it then rings: one content-free message that wakes a slot.
//!    The ring is sent after the call, so that whoever it wakes finds the call visible.
//!
//! If the ring fails, the task fails too, and the workflow's own retry brings a new task token.
//! The message that is left behind has a token that nobody waits on, and the worker drops it.
//!
//! The SDK's time-outs ([`timeouts()`]) keep both requests well within the function's own. A queue
//! that does not answer is then an error with a name, and not a killed function.

mod allowed;
mod config;
mod enqueue;
mod timeouts;

pub use allowed::{AllowedCalls, ParseError, Refusal, Rule};
pub use config::{Config, Dispatch};
pub use enqueue::{Enqueued, Enqueuer, Error};
pub use timeouts::timeouts;
