//! How an urgent call goes before its own tenant's batch, under a rate that is reserved exactly.
//!
//! Reservations alone invert priority: a tenant's HIGH call comes after every BATCH call that has
//! reserved. So HIGH *overtakes*: it goes at once and leaves a debt, which the next due BATCH call
//! pays by giving it its moment and reserving again. No call more is made in all, but until the debt
//! is paid one more has been made than was due. So the pace must leave room for the debts: a burst
//! of as many in [`Rate::burst`](crate::Rate::burst), which nobody else uses
//! ([`Pace::without_burst`](crate::Pace::without_burst)).

/// Whether an urgent call may go at once. It then leaves one more debt.
///
/// `owed` debts are not yet paid, of `most` that the pace leaves room for. `payers` calls of lower
/// priority have reserved a moment that is still to come: only they can pay.
#[must_use]
pub fn may_overtake(owed: u32, most: u32, payers: u32) -> bool {
    owed < most.min(payers)
}

/// What a call does whose reserved moment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It goes.
    Goes,
    /// It pays: it reserves again, and one debt less is owed.
    Pays,
}

/// What a call does whose reserved moment has come. An urgent call never pays.
#[must_use]
pub fn when_due(owed: u32, urgent: bool) -> Due {
    match owed > 0 && !urgent {
        true => Due::Pays,
        false => Due::Goes,
    }
}
