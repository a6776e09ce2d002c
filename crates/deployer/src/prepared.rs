//! A deploy that has been thought through and not yet been done.

use crate::api::{self, Brought};
use crate::artifacts::{self, Artifact};
use crate::outputs::Outputs;
use crate::room::Demand;
use crate::stack::{ChangeSet, Changes, Description, Wanted};
use crate::{
    DeployError, Deployer, Plan, Progress, fallback, local, metering, prompts, secret, switch,
};

/// A change set of a plan, whose artifacts are uploaded. It is run or discarded; one that is
/// neither stays with CloudFormation until its stack is deleted.
#[derive(Debug)]
#[must_use = "a change set stays until it is executed or discarded"]
pub struct Prepared<'a> {
    deployer: &'a Deployer,
    plan: &'a Plan,
    /// A stack that is not there yet has no wiring that it could be switched from.
    before: Option<Description>,
    change_set: Option<ChangeSet>,
}

impl Deployer {
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
}

impl<'a> Prepared<'a> {
    async fn new(
        deployer: &'a Deployer,
        plan: &'a Plan,
        progress: &Progress,
    ) -> Result<Self, DeployError> {
        let is_local = deployer.endpoint.is_local();
        let stack = deployer.stack(&plan.stack_name);
        let before = stack.describe().await.ok();
        let mut parameters = plan.parameters.clone();
        let brought =
            Brought { profile: plan.api_profile.is_some(), worker: plan.worker.is_some() };
        let present = before.as_ref().map(|before| before.parameters.clone()).unwrap_or_default();
        if let Some(carried_over) = api::choose(&mut parameters, &present, brought)? {
            progress.say(&carried_over);
        }
        fallback::choose(&mut parameters, &present, plan.fallback.as_ref())?;
        prompts::choose(&mut parameters, &present, plan.prompts.as_deref())?;
        secret::choose(&mut parameters, &present);
        metering::choose(&mut parameters, &present, plan.prices.is_some())?;
        let template = plan.files.template()?;
        let deployed = before.as_ref().map(|before| &before.parameters);
        let demand = Demand::of(&parameters, deployed, &template);
        demand.check(&deployer.config, is_local, progress).await?;
        let bucket = plan.artifact_bucket.as_deref();
        let store = artifacts::Store::open(&deployer.config, is_local, bucket).await?;
        if is_local {
            local::choose(&mut parameters);
        }
        parameters.insert("ArtifactBucket".into(), store.bucket().into());
        for (parameter, artifact) in plan.artifacts(is_local)? {
            artifact.tell(&parameter, progress);
            // To a local server nothing is packed small.
            if let Some(heavy) = artifact.heavy().filter(|_| !is_local) {
                progress.say(&heavy);
            }
            store.put(&artifact).await?;
            parameters.insert(parameter, artifact.key().into());
        }
        // By its address, since a request takes no more than 51,200 bytes of template.
        let template = Artifact::new("template/slowlane", "yaml", template.into_bytes());
        store.put(&template).await?;
        let template_url = store.url(&template).await?;
        let wanted = Wanted {
            template_url: &template_url,
            parameters: &parameters,
            tags: &plan.tags,
            conduct: &plan.conduct,
        };
        let change_set = stack.prepare(wanted, progress).await?;
        Ok(Self { deployer, plan, before, change_set })
    }

    /// What would be done; `None` if the stack is what the plan says.
    pub fn changes(&self) -> Option<&Changes> {
        self.change_set.as_ref().map(ChangeSet::changes)
    }

    /// Does it, and waits for its end.
    ///
    /// # Errors
    /// [`DeployError::Replaces`] if queues or tables would be replaced and the plan does not allow
    /// it; the change set is gone then. See [`DeployError`] for the others.
    pub async fn execute(self, progress: &Progress) -> Result<Outputs, DeployError> {
        let at_risk = self.changes().map(Changes::data_at_risk).unwrap_or_default();
        if !at_risk.is_empty() && !self.plan.allow_replacement {
            let at_risk = at_risk.into_iter().cloned().collect();
            self.discard().await?;
            return Err(DeployError::Replaces(at_risk));
        }
        let Self { deployer, plan, before, change_set } = self;
        let stack = deployer.stack(&plan.stack_name);
        match change_set {
            Some(change_set) => stack.execute(change_set, progress).await?,
            None => progress.say(&format!("{}: nothing to change", plan.stack_name)),
        }
        let described = stack.describe().await?;
        if deployer.endpoint.is_local() {
            local::complete(&deployer.config, &described).await?;
        }
        let outputs = Outputs::from_map(&described.outputs)?;
        if let Some(doorbell) = switched_to(before.as_ref(), &outputs) {
            progress.say("ringing for the calls that waited in the other wiring");
            switch::ring_for_all(&deployer.config, doorbell).await?;
        }
        Ok(outputs)
    }

    /// Leaves everything as it is. What was uploaded stays in the bucket.
    ///
    /// # Errors
    /// If CloudFormation refuses.
    pub async fn discard(self) -> Result<(), DeployError> {
        let Some(change_set) = self.change_set else { return Ok(()) };
        Ok(self.deployer.stack(&self.plan.stack_name).discard(change_set).await?)
    }
}

/// The doorbell of a stack that had none before the deploy.
fn switched_to<'a>(before: Option<&Description>, outputs: &'a Outputs) -> Option<&'a str> {
    // One that was never whole has no outputs.
    let before = before.filter(|before| !before.outputs.is_empty())?;
    let had_one = before.outputs.contains_key("DoorbellQueueUrl");
    outputs.doorbell_queue_url.as_deref().filter(|_| !had_one)
}
