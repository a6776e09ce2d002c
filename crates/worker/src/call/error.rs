//! Why a step of a call failed.

use slowlane_idempotency::{claim, complete, dispatch, give_up, resolve};

use crate::aws::{queues, task_callback};

/// A step that AWS did not carry out, or that another worker came before. The call is tried again
/// later; its log line has the whole chain of causes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the call could not be claimed")]
    Claim(#[from] claim::Error),
    #[error("the call could not be marked as sent")]
    Dispatch(#[from] dispatch::Error),
    #[error("the call's result could not be stored")]
    Complete(#[from] complete::Error),
    #[error("the call's claim could not be given up")]
    GiveUp(#[from] give_up::Error),
    #[error("what became of a lost answer could not be stored")]
    Resolve(#[from] resolve::Error),
    #[error(transparent)]
    Queue(#[from] queues::Error),
    #[error(transparent)]
    Callback(#[from] task_callback::Error),
}
