use crate::stack::changes::ResourceChange;
use crate::{
    NoRoom, api, artifacts, aws, fallback, local, metering, outputs, package, prompts, stack,
};
use std::path::PathBuf;

/// Why a deploy did not reach its end. Each source says which file, call or resource it was.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// It cannot be told which API the stack is for.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// What is to be counted of models does not fit together.
    #[error(transparent)]
    Metering(#[from] metering::Error),
    /// The second provider of models would be left out.
    #[error(transparent)]
    Fallback(#[from] fallback::LeftOut),
    /// The prompts cannot be had, or one of them would change.
    #[error(transparent)]
    Prompts(#[from] prompts::Error),
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
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The account cannot reserve what the limit needs.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
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
