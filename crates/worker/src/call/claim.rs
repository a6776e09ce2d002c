//! What becomes of the claim of a call that is not made.

use slowlane_idempotency::{Claim, DynamoDbStore, give_up};
use slowlane_lambda::logs::chain;
use slowlane_message::QueuedCall;
use slowlane_policy::tenants::Appointment;

/// Gives up a claim whose call was not made. The next claim has its appointment.
pub(super) async fn release_unmade<P>(
    claim: &Claim<DynamoDbStore, P>,
    appointment: Option<Appointment>,
) -> Result<(), give_up::Error> {
    match appointment {
        Some(appointment) => claim.release_untried_because(appointment).await,
        None => claim.release_untried().await,
    }
}

/// Lets go of the claim of a call that was not sent, as far as that can be done.
pub(super) async fn let_go(
    queued: &QueuedCall,
    claim: &Claim<DynamoDbStore>,
    appointment: Option<Appointment>,
) {
    if let Err(error) = release_unmade(claim, appointment).await {
        tracing::warn!(
            idempotency_key = queued.idempotency_key.as_str(),
            error = chain(&error),
            "a claim ends only with its lease"
        );
    }
}
