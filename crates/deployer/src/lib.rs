//! Deploys Slowlane's CloudFormation template, to AWS or to a local server that speaks its API.
//!
//! One [`Deployer::deploy`] does, in this order:
//!
//! 1. [`package`]: each Lambda binary becomes a zip with a `bootstrap`, byte for byte the same for
//!    the same binary. On the way to AWS its CPU and its glibc symbols are checked.
//! 2. [`artifacts`]: zips and state machine definitions go to S3 under a key that is their content
//!    hash; what is already there is not sent again. So a changed key is a changed artifact, and
//!    CloudFormation sees it.
//! 3. [`stack`]: a change set is created, which says [what it would do](stack::Changes), and
//!    executed, with progress by resource. A change set without changes is a success. A failure is
//!    told by resource, with what to do about it.
//! 4. [`local`]: only when the endpoint is on this machine, what the local server dropped is set.
//!
//! For whoever runs a deployment there are
//!
//! - [`status`]: how many calls wait, what the slots do, what holds them up;
//! - [`whereabouts`]: where one call is, and what happened to it;
//! - [`why`]: why one call waits;
//! - [`logs`]: what the Lambdas have logged;
//! - [`dead_letters`]: the calls that could not be run, to look at and to restart;
//! - [`limits`]: the limit, to look at, to pause, to drain and to resume;
//! - [`metering`]: what calls have used of AI models;
//! - [`unresolved`]: the calls that may or may not have been executed, to decide;
//! - [`watch`]: what the template's alarms and its dashboard watch;
//! - [`destroy`]: what a stack holds, and its end.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use slowlane_deployer::destroy::Data;
//! use slowlane_deployer::{Deployer, Endpoint, Plan, Progress};
//!
//! let deployer = Deployer::new(Endpoint::Local { url: "http://127.0.0.1:4566".into() }).await;
//! let plan = Plan::new("slowlane", "/path/to/repository".as_ref(), "target/release".as_ref())
//!     .parameter("ApiConcurrency", "5")
//!     .parameter("ApiProfile", "stripe")
//!     .parameter("ApiBaseUrl", "https://api.stripe.com")
//!     .parameter("ApiSecret", "prod/stripe");
//! let outputs = deployer.deploy(&plan, &Progress::stderr()).await?;
//! println!("{}", outputs.sales_order_sync_arn);
//! deployer.destroy("slowlane", Data::Delete, &Progress::stderr()).await?;
//! # Ok(()) }
//! ```

mod addition;
pub mod api;
pub mod artifacts;
pub mod aws;
mod clock;
pub mod cost;
pub mod dead_letters;
pub mod destroy;
mod endpoint;
mod error;
mod fallback;
pub mod limits;
pub mod local;
pub mod logs;
pub mod metering;
pub mod outputs;
pub mod package;
mod plan;
mod prepared;
mod progress;
pub mod prompts;
pub mod queues;
mod room;
mod secret;
pub mod stack;
pub mod status;
mod switch;
mod text;
pub mod unresolved;
pub mod watch;
pub mod whereabouts;
pub mod why;
#[cfg(test)]
mod wire;

pub use addition::Addition;
pub use clock::ago;
pub use endpoint::Endpoint;
pub use error::DeployError;
pub use fallback::{Fallback, LeftOut};
pub use outputs::{Deployed, Outputs};
pub use plan::{Files, Plan};
pub use prepared::Prepared;
pub use progress::Progress;
pub use room::NoRoom;
pub use stack::Values;
pub use unresolved::Unresolved;

use aws_config::SdkConfig;
use destroy::{Data, Holdings, HoldingsError};
use stack::Kept;

/// Deploys to and removes from one endpoint.
#[derive(Debug, Clone)]
pub struct Deployer {
    endpoint: Endpoint,
    config: SdkConfig,
}

impl Deployer {
    /// Reads region and credentials for the endpoint. Sends nothing yet: wrong credentials show
    /// at the first call.
    pub async fn new(endpoint: Endpoint) -> Self {
        let config = endpoint.config().await;
        Self { endpoint, config }
    }

    /// The SDK configuration of the endpoint, for clients of other services.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Deletes the stack and waits until it is gone, and, if told so, what it then leaves. Answers
    /// what is left; `None` if there was no stack. The artifact bucket stays: other stacks of the
    /// account use it too.
    ///
    /// # Errors
    /// If CloudFormation refuses, or something cannot be deleted.
    pub async fn destroy(
        &self,
        stack_name: &str,
        data: Data,
        progress: &Progress,
    ) -> Result<Option<Vec<Kept>>, destroy::Error> {
        let Some(kept) = self.stack(stack_name).delete(progress).await? else { return Ok(None) };
        match data {
            Data::Keep => Ok(Some(kept)),
            Data::Delete => {
                let left = destroy::delete_data(&self.config, kept).await;
                left.map(Some).map_err(destroy::Error::Data)
            }
        }
    }

    /// What a stack holds, for whoever is about to delete it.
    ///
    /// # Errors
    /// If a request is refused.
    pub async fn holdings(&self, deployed: &Deployed) -> Result<Holdings, HoldingsError> {
        Holdings::of(&self.config, &self.stack(&deployed.stack_name), deployed).await
    }

    /// What has been changed by hand since a stack was deployed.
    ///
    /// # Errors
    /// If there is no such stack, or CloudFormation refuses.
    pub async fn drift(&self, stack_name: &str) -> Result<stack::Drift, stack::Error> {
        self.stack(stack_name).drift().await
    }

    /// A stack that is already there.
    ///
    /// # Errors
    /// If there is no such stack, or it is not one of ours.
    pub async fn deployed(&self, stack_name: &str) -> Result<Deployed, outputs::Error> {
        match self.stack(stack_name).describe().await {
            Ok(description) => Ok(Deployed::new(stack_name, description)?),
            Err(error) => Err(outputs::Error::explained(&self.config, error).await),
        }
    }

    fn stack<'a>(&self, name: &'a str) -> stack::Stack<'a> {
        stack::Stack::new(&self.config, name, self.endpoint.poll_interval())
    }
}
