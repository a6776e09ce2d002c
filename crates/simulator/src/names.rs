//! What the queues and functions of a run are called.

/// The names of the queues of calls, most urgent first.
pub const QUEUES: [&str; 3] = ["high", "normal", "batch"];
/// The names of all queues, in the order of their creation.
pub const QUEUE_NAMES: [&str; 5] = ["dead", QUEUES[0], QUEUES[1], QUEUES[2], "doorbell"];
/// The names of all functions, in the order of their creation.
pub const FUNCTION_NAMES: [&str; 3] = ["enqueuer", "worker", "caller"];
