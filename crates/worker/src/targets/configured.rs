//! The target that a deployment has chosen.

use std::time::Duration;

use aws_config::SdkConfig;
use jiff::Timestamp;
use slowlane_lambda::env;
use slowlane_message::QueuedCall;
use slowlane_policy::settle::Outcome;

use crate::target::{AfterLoss, Reconciled, Target, TargetResponse};
use crate::targets::netsuite::{self, NetSuite};
use crate::targets::profile::{FromEnvError, ProfiledApi};

/// The name that stands in `API_PROFILE` for the target whose rules need code.
const NETSUITE: &str = "netsuite";

/// One of the targets that come with the worker.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Configured {
    /// NetSuite.
    NetSuite(NetSuite),
    /// The API that a profile describes.
    Profile(ProfiledApi),
}

/// Why the target could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// NetSuite.
    #[error(transparent)]
    NetSuite(#[from] netsuite::Error),
    /// The API that a profile describes.
    #[error(transparent)]
    Profile(#[from] FromEnvError),
}

impl Configured {
    /// Makes the target that the environment describes: NetSuite where `API_PROFILE` is `netsuite`
    /// ([`NetSuite::from_env`]), else what that profile says ([`ProfiledApi::from_env`]).
    ///
    /// # Errors
    /// See [`enum@Error`]; none of them shows a secret.
    pub async fn from_env(sdk: &SdkConfig) -> Result<Self, Error> {
        if env::process("API_PROFILE").as_deref() == Some(NETSUITE) {
            return Ok(Configured::NetSuite(NetSuite::from_env(sdk).await?));
        }
        Ok(Configured::Profile(ProfiledApi::from_env(sdk).await?))
    }
}

impl Target for Configured {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        match self {
            Configured::NetSuite(target) => target.call(call).await,
            Configured::Profile(target) => target.call(call).await,
        }
    }

    async fn call_within(&self, call: &QueuedCall, longest: Duration) -> Outcome<TargetResponse> {
        match self {
            Configured::NetSuite(target) => target.call_within(call, longest).await,
            Configured::Profile(target) => target.call_within(call, longest).await,
        }
    }

    async fn prepare(&self, call: &QueuedCall) -> bool {
        match self {
            Configured::NetSuite(target) => target.prepare(call).await,
            Configured::Profile(target) => target.prepare(call).await,
        }
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        match self {
            Configured::NetSuite(target) => target.after_loss(call),
            Configured::Profile(target) => target.after_loss(call),
        }
    }

    fn settles_after(&self, call: &QueuedCall) -> Duration {
        match self {
            Configured::NetSuite(target) => target.settles_after(call),
            Configured::Profile(target) => target.settles_after(call),
        }
    }

    fn units(&self, call: &QueuedCall) -> Option<u64> {
        match self {
            Configured::NetSuite(target) => target.units(call),
            Configured::Profile(target) => target.units(call),
        }
    }

    async fn renew_credentials(&self) {
        match self {
            Configured::NetSuite(target) => target.renew_credentials().await,
            Configured::Profile(target) => target.renew_credentials().await,
        }
    }

    fn secret_ends(&self) -> Option<Timestamp> {
        match self {
            Configured::NetSuite(target) => target.secret_ends(),
            Configured::Profile(target) => target.secret_ends(),
        }
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        match self {
            Configured::NetSuite(target) => target.reconcile(call).await,
            Configured::Profile(target) => target.reconcile(call).await,
        }
    }
}
