//! What the limiter asks of a store: reservations that are atomic, and one record with versions.

use std::future::Future;

use crate::core::control::{Control, Record};
use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, Refund, Refusal, Reservation, Reserve};
use crate::core::register::Entry;
use crate::moment::Moment;
use crate::names::{LimitKey, SlotId};

/// Keeps what a fleet shares. Implementations: [`MemoryStore`](crate::MemoryStore),
/// `DynamoDbStore` and `RedisStore` (features), and any that passes the suite in `conformance` (a
/// feature).
///
/// A store never looks at a clock and never decides anything: the rules are pure functions, and
/// every moment they compare with is given to it.
pub trait Store: Send + Sync + 'static {
    /// Applies [`Meter::reserve`] to the limit's meter as one atomic step.
    ///
    /// A store whose reply is lost may reserve twice. That leaves a moment unused, and passes no
    /// limit.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn reserve(
        &self,
        limit: &LimitKey,
        reserve: &Reserve,
    ) -> impl Future<Output = Result<Result<Reservation, Refusal>, Error>> + Send;

    /// Applies [`Meter::refund`] to the limit's meter as one atomic step.
    ///
    /// It may be lost, which leaves something unused. Applied twice, a refund would pass the limit:
    /// an implementation does not send it again after a lost reply.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn refund(
        &self,
        limit: &LimitKey,
        refund: &Refund,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Puts the meter back to `before` if it still is `after`, as one atomic step. This undoes a
    /// reservation that is not used, as long as nobody has reserved behind it. Says whether it did.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn undo(
        &self,
        limit: &LimitKey,
        before: &Meter,
        after: &Meter,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// The limit's ledger, as new as the last acknowledged write. An empty one if there is none.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn ledger(&self, limit: &LimitKey) -> impl Future<Output = Result<Ledger, Error>> + Send;

    /// Stores the ledger if the stored one has the version before it, as one atomic step. Says whether
    /// it did.
    ///
    /// It may be lost, or stored without a reply. Whoever settles a call twice passes the limit: an
    /// implementation does not send it again after a lost reply.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn replace_ledger(
        &self,
        limit: &LimitKey,
        ledger: &Ledger,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// The limit's meter, for people and their tools.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn meter(&self, limit: &LimitKey) -> impl Future<Output = Result<Meter, Error>> + Send;

    /// The limit's record, as new as the last acknowledged write. The default record if there is
    /// none.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn record(&self, limit: &LimitKey) -> impl Future<Output = Result<Record, Error>> + Send;

    /// Stores the control record if the stored one has the version before it, as one atomic step.
    /// Says whether it did.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn control(
        &self,
        limit: &LimitKey,
        control: &Control,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Enters a slot into the register, or renews its lease, and answers with the record as it is
    /// after that. Of two that enter at once the second sees both.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn enter(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        entry: Entry,
    ) -> impl Future<Output = Result<Record, Error>> + Send;

    /// Takes a slot out of the register; with `if_lapsed_before` only if its lease was over then.
    ///
    /// # Errors
    /// [`enum@Error`].
    fn leave(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Why a store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store asks to slow down. Nothing was written.
    #[error("the store throttles")]
    Throttled(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// So many others write the same item that this write lost each time. Nothing was written.
    #[error("lost {attempts} times against others who write the same item")]
    Contended {
        /// Writes tried.
        attempts: u32,
    },
    /// A table does not exist where the store looks for it. Nothing was written.
    #[error("there is no {what}")]
    NotFound {
        /// Its kind and its name.
        what: String,
        /// As the service said it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the store holds is nothing that this version understands.
    #[error("the stored {what} is not readable: {problem}")]
    Unreadable {
        /// A meter or a record, and of which limit.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Anything else. A write may have been applied or not.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
