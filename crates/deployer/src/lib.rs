//! Deploys Slowlane's CloudFormation template, to AWS or to a local server that speaks its API.
//!
//! One [`Deployer::deploy`] does, in this order:
//!
//! 1. [`package`]: each Lambda binary becomes a zip with a `bootstrap`, byte for byte the same
//!    for the same binary; on the way to AWS its CPU and its glibc symbols are checked.
//! 2. [`artifacts`]: zips and state machine definitions go to S3 under a key that is their content
//!    hash; what is already there is not sent again. So a changed key is a changed artifact, and
//!    CloudFormation sees it.
//! 3. [`stack`]: a change set is created, which says [what it would do](stack::Changes), and
//!    executed, with progress by resource; a change set without changes is a success; a failure is
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
pub mod cost;
pub mod dead_letters;
pub mod destroy;
mod endpoint;
pub mod limits;
pub mod local;
pub mod logs;
pub mod outputs;
pub mod package;
mod plan;
mod prepared;
mod progress;
pub mod queues;
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
pub use endpoint::Endpoint;
pub use outputs::{Deployed, Outputs};
pub use plan::{Files, Plan};
pub use prepared::Prepared;
pub use progress::Progress;
pub use unresolved::Unresolved;

use aws_config::SdkConfig;
use destroy::{Data, Holdings, HoldingsError};
use jiff::{SignedDuration, Timestamp};
use stack::Kept;
use stack::changes::ResourceChange;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Why a deploy did not reach its end. Each source says which file, call or resource it was.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// It cannot be told which API the stack is for.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// A Lambda binary cannot become a package.
    #[error("packaging failed")]
    Package(#[from] package::Error),
    /// A file could not be read or could not be put into the artifact bucket.
    #[error("uploading the artifacts failed")]
    Artifacts(#[from] artifacts::Error),
    /// The directory for what the Lambdas print could not be made.
    #[error("cannot make the directory {path} for what the Lambdas print")]
    Logs {
        /// The directory.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// CloudFormation refused the change or could not carry it out.
    #[error("deploying the stack failed")]
    Stack(#[from] stack::Error),
    /// The change would replace queues or tables, or take them out of the stack, and the plan does
    /// not allow that.
    #[error("{}", told_at_risk(.0))]
    Replaces(Vec<ResourceChange>),
    /// What is to stand beside a Slowlane stack has that one's name, and would replace it.
    #[error(
        "nothing was changed: {0} is a Slowlane stack, and this is another one beside it; give it a \
         name of its own by --stack"
    )]
    IsSlowlane(String),
    /// The stack is deployed, but what the local server drops could not be set.
    #[error("completing the stack on the local server failed")]
    Local(#[from] local::Error),
    /// The stack was switched to the doorbell, and SQS did not take the ring for what waited. A
    /// deploy that is repeated sees no switch; the next call's ring finds what is visible then.
    #[error("ringing for the calls that wait failed")]
    Switch(#[source] aws::Error),
    /// The stack is deployed, but its template gives other outputs than this code knows.
    #[error(transparent)]
    Outputs(#[from] outputs::Missing),
}

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

    /// Creates the stack, or changes it into what the plan says: [`prepare`](Self::prepare) and
    /// [`Prepared::execute`] in one.
    ///
    /// # Errors
    /// See [`DeployError`]. After an error in the change itself CloudFormation has rolled the
    /// stack back to what it was before.
    pub async fn deploy(&self, plan: &Plan, progress: &Progress) -> Result<Outputs, DeployError> {
        self.prepare(plan, progress).await?.execute(progress).await
    }

    /// Uploads what is not there yet, and asks CloudFormation what it would do.
    ///
    /// A stack whose creation was rolled back is deleted first, since CloudFormation lets nothing
    /// else be done with it.
    ///
    /// # Errors
    /// See [`DeployError`]. The stack is as it was.
    pub async fn prepare<'a>(
        &'a self,
        plan: &'a Plan,
        progress: &Progress,
    ) -> Result<Prepared<'a>, DeployError> {
        Prepared::new(self, plan, progress).await
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

fn told_at_risk(changes: &[ResourceChange]) -> String {
    let mut told = String::from(
        "nothing was changed: what these hold would no longer be found. Allow it by --allow-replacement, \
         once they are empty or you have what they hold",
    );
    for ResourceChange { logical_id, resource_type, .. } in changes {
        told += &format!("\n  {logical_id} ({resource_type})");
    }
    told
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this crate reads the machine's clock"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The moment that long ago.
pub fn ago(window: Duration) -> Timestamp {
    let window = SignedDuration::try_from(window).unwrap_or_default();
    now().saturating_sub(window).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Names and values, as CloudFormation's parameters and outputs are.
pub type Values = BTreeMap<String, String>;
