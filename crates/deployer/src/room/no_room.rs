//! What an account has no room for.

/// So much of an account's concurrency must stay unreserved (AWS Lambda Developer Guide, "Configuring
/// reserved concurrency").
pub(super) const UNRESERVED: u64 = 100;

/// Something does not fit into the account.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The limit.
    #[error(
        "nothing was changed: the worker would reserve {wanted} of the account's Lambda concurrency, and \
         {room} can be reserved here, since {UNRESERVED} must stay unreserved. Deploy a smaller \
         ApiConcurrency, or ask for more under Service Quotas, AWS Lambda, \"Concurrent executions\" \
         (L-B99A9384)"
    )]
    Concurrency {
        /// What the worker would reserve.
        wanted: u64,
        /// For this worker, with what it reserves already.
        room: u64,
    },
    /// One more stack.
    #[error(
        "nothing was changed: the account has {present} stacks in this region, and may have {most}. Delete \
         one, or ask for more under Service Quotas, AWS CloudFormation, \"Stack count\" (L-0485CB21)"
    )]
    Stacks {
        /// How many there are.
        present: u64,
        /// How many there may be.
        most: u64,
    },
}
