//! Which queue a slot of the doorbell wiring asks next.
//!
//! A slot works in *turns*: on each it polls the three queues in some order and takes the first
//! call it finds. Ordinary turns go HIGH, NORMAL, BATCH. Every k-th turn is *owed* to the lower
//! queues; owed turns go alternately
//!
//! - BATCH, NORMAL, HIGH, and
//! - NORMAL, HIGH, BATCH: if every owed turn began with BATCH, NORMAL would starve between a HIGH
//!   and a BATCH queue that are never empty.
//!
//! So a HIGH call is passed over by a lower one only on an owed turn, and no queue starves.
//!
//! # Looking again
//!
//! A slot finds a call by short polls. A short poll asks only some of SQS's servers, so it can say
//! that HIGH is empty when it is not. Also a HIGH call can arrive while a lower one is being
//! claimed, or waits for the slot's present call to end. So the slot polls HIGH again meanwhile,
//! and what it finds runs first; the lower call is given back ([`looks_again`]). It does not do so
//! on an owed turn, nor for a call that has been handed out more than [`MAX_LOOKS`] times. So being
//! given back uses up no more than that of the receives that a call has.
//!
//! # The turn counter
//!
//! It belongs to the slot, and the caller starts it **at a random number**. After a burst all slots
//! start at once. If they counted from the same number, they would take their owed turns in step. A
//! HIGH call that arrives just then would wait for a whole extra call. A turn counts when it took a
//! call. The counter should live as long as the process, not the invocation. A counter that starts
//! anew for each of many short invocations keeps the shares on average, but not the bound below.
//!
//! # The bound
//!
//! Let L slots run calls of at most S each, and let a call arrive while n calls of its own queue
//! are ahead of it. Let it arrive at the worst moment: all slots are busy, and the other queues are
//! never empty. With q = ⌈(n + 1) / L⌉, the number of calls that each slot must take from the
//! queue, the call starts within
//!
//! | Priority | Wait at most | Because |
//! |---|---|---|
//! | HIGH | S · (q + ⌈q / (k − 1)⌉) | at worst a slot's first turn is owed, and one more after each k − 1 ordinary ones |
//! | NORMAL, BATCH | S · 2k · q | one turn in 2k polls this queue first |
//!
//! A slot's m-th turn starts at most m · S after the arrival, since it first ends the call it is
//! at. So with n < L and k > 2 a HIGH call waits 2 S at most: for one call to end, and for one owed
//! turn. It waits that long only if all slots have an owed turn at the same time. [`longest_wait`]
//! computes the bound; a property test holds a model of L slots to it. A slot that fetches early
//! ([`prefetch`](crate::prefetch)) decides its turn before the running call ends, which can add one
//! S to each row.

use std::num::NonZeroU32;
use std::time::Duration;

use slowlane_message::Priority;

/// The order in which to poll the queues on a slot's turn number `turn`, when every
/// `share_every`-th turn is owed to the lower queues.
///
/// `share_every` = 1 would owe every turn and poll HIGH first never; it counts as 2.
pub fn poll_order(turn: u64, share_every: NonZeroU32) -> [Priority; 3] {
    use Priority::{Batch, High, Normal};
    let share_every = turns_per_share(share_every);
    if turn % share_every != share_every - 1 {
        [High, Normal, Batch]
    } else if (turn / share_every).is_multiple_of(2) {
        [Batch, Normal, High]
    } else {
        [Normal, High, Batch]
    }
}

/// How often a call may be handed out before HIGH is no longer polled again for it.
pub const MAX_LOOKS: u32 = 5;

/// Whether to poll HIGH again before a call runs that was found in `order`, the turn's, and
/// handed out `receive_count` times.
pub fn looks_again(order: [Priority; 3], found: Priority, receive_count: u32) -> bool {
    order[0] == Priority::High && found != Priority::High && receive_count <= MAX_LOOKS
}

/// The longest that a call waits before it starts, counted from its arrival on its queue: the
/// bound in the [module documentation](self).
///
/// `ahead` are the calls of the same queue that are taken before it, `service_time` is the
/// longest that a slot is busy with one call. Saturates at [`Duration::MAX`].
pub fn longest_wait(
    priority: Priority,
    ahead: u32,
    slots: NonZeroU32,
    service_time: Duration,
    share_every: NonZeroU32,
) -> Duration {
    let share_every = turns_per_share(share_every);
    let each = u64::from(ahead / slots) + 1;
    let turns = match priority {
        Priority::High => each + each.div_ceil(share_every - 1),
        Priority::Normal | Priority::Batch => (2 * share_every).saturating_mul(each),
    };
    service_time.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
}

fn turns_per_share(share_every: NonZeroU32) -> u64 {
    u64::from(share_every.get()).max(2)
}

#[cfg(test)]
mod tests;
