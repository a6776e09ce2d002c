use super::outputs;
use crate::exit::Ended;
use crate::kept;
use crate::output::{Question, print_json};
use crate::place::{Chosen, Place};
use crate::stacks::Stack;
use clap::Args;
use serde_json::{Value, json};
use slowlane_config::Limits;
use slowlane_deployer::stack::Conduct;
use slowlane_deployer::{Deployer, Outputs, Plan, Prepared, Progress};
use std::path::PathBuf;

/// Create the stack, or change it to what the template and the parameters say
///
/// With --stage it deploys what slowlane.toml says: a stack for each target, slowlane-STAGE-TARGET.
/// It shows what would be added, changed, replaced and removed, and asks before it does it. A change
/// that fails is rolled back by CloudFormation; deploy again when its cause is gone. A deploy that is
/// interrupted goes on at CloudFormation: wait for its end, and deploy again.
#[derive(Args)]
#[command(after_help = "\
Examples: an API with a limit of 5, with the AWS credentials of a profile; what a higher limit would
change; an API whose answers you have described yourself; all targets of a stage
  slowlane deploy --profile prod -p ApiProfile=stripe -p ApiBaseUrl=https://api.stripe.com \\
    -p ApiSecret=prod/stripe -p ApiConcurrency=5
  slowlane deploy --profile prod -p ApiConcurrency=10 --plan
  slowlane deploy --api-profile crm.toml -p ApiBaseUrl=https://crm.example.com -p ApiSecret=crm
  slowlane deploy --stage prod --lambdas ~/slowlane/target/release")]
pub(crate) struct Deploy {
    #[command(flatten)]
    place: Place,
    /// A template parameter, as often as needed; infra/template.yaml describes them
    ///
    /// A parameter that is not given keeps its value; in a new stack it has its default.
    /// ApiProfile has none.
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    parameters: Vec<(String, String)>,
    /// A profile of your own: what your API's requests and answers mean
    ///
    /// It is checked, and travels in the worker's package: give it with each deploy.
    /// crates/profile/docs/format.md describes the file.
    #[arg(long, value_name = "FILE", conflicts_with = "stage")]
    api_profile: Option<PathBuf>,
    /// What AI models cost: a price list
    ///
    /// It is checked, and travels in the worker's package: give it with each deploy.
    /// crates/metering/README.md describes the file.
    #[arg(long, value_name = "FILE", conflicts_with = "stage")]
    prices: Option<PathBuf>,
    /// Prompts that calls in the common form may name: their folder
    ///
    /// They are checked, and travel in the worker's package: give it with each deploy. A version that
    /// was deployed is never changed.
    #[arg(long, value_name = "DIR", conflicts_with = "stage")]
    prompts: Option<PathBuf>,
    /// A worker of your own, in the place of slowlane-worker: a binary for Lambda
    ///
    /// Give it with each deploy.
    #[arg(long, value_name = "FILE", conflicts_with = "stage")]
    worker: Option<PathBuf>,
    /// A repository whose infra/template.yaml and state-machines/ are taken
    ///
    /// Without it those that this program was built with are.
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
    /// The directory of the release binaries slowlane-enqueuer and slowlane-worker
    ///
    /// By `cargo xtask deploy` they are built, unless this is given.
    #[arg(long, value_name = "DIR", env = "SLOWLANE_LAMBDAS", default_value = "target/release")]
    lambdas: PathBuf,
    /// A bucket of this account for the Lambdas and the state machines
    ///
    /// Without it one is made, slowlane-artifacts-ACCOUNT-REGION.
    #[arg(long, value_name = "NAME")]
    artifact_bucket: Option<String>,
    /// A tag for the stack and all that is in it, as often as needed
    ///
    /// Those that the stack has stay. application=slowlane is always one.
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = name_and_value)]
    tags: Vec<(String, String)>,
    #[command(flatten)]
    conduct: ConductArgs,
    /// Only show what would be done
    #[arg(long, conflicts_with = "yes")]
    plan: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do it even if queues or tables are replaced or leave the stack
    ///
    /// What they hold is then no longer found by the stack, and is lost where the template does not
    /// keep it.
    #[arg(long)]
    allow_replacement: bool,
    /// On a local endpoint: the directory for what the Lambdas print; it is made if need be
    #[arg(long, value_name = "DIR")]
    local_logs: Option<PathBuf>,
    /// Print JSON: [{stack, changes, outputs}]; changes is null if there are none, outputs with --plan
    #[arg(long)]
    json: bool,
}

/// How CloudFormation goes about it. What is given once stays with the stack, but for `revert_drift`.
#[derive(Args)]
struct ConductArgs {
    /// The role in whose name CloudFormation acts, instead of yours
    ///
    /// It needs what infra/permissions/deploy.json allows for resources; you need iam:PassRole on it.
    /// The stack keeps it, also for `slowlane destroy`.
    #[arg(long, value_name = "ARN")]
    role_arn: Option<String>,
    /// A topic of SNS that is told what happens to the stack, as often as needed
    ///
    /// The stack keeps them. For its alarms give -p AlarmTopicArn=ARN.
    #[arg(long = "notify", value_name = "ARN")]
    notification_arns: Vec<String>,
    /// An alarm of CloudWatch that rolls a change back, as often as needed, 5 at most
    ///
    /// It must be there: not one that this deploy makes. The stack keeps them.
    #[arg(long = "rollback-alarm", value_name = "ARN")]
    rollback_alarms: Vec<String>,
    /// For how long after the change those alarms may roll it back
    #[arg(
        long,
        value_name = "MINUTES",
        default_value_t = 10,
        value_parser = clap::value_parser!(u8).range(0..=180),
        requires = "rollback_alarms"
    )]
    rollback_minutes: u8,
    /// Set back what was changed by hand since the last deploy
    ///
    /// Without it a deploy does not see such changes, and leaves them. With --plan it shows them;
    /// `slowlane status --drift` does too.
    #[arg(long)]
    revert_drift: bool,
}

impl ConductArgs {
    fn conduct(&self) -> Conduct {
        Conduct {
            role_arn: self.role_arn.clone(),
            notification_arns: self.notification_arns.clone(),
            rollback_alarms: self.rollback_alarms.clone(),
            watched_minutes: self.rollback_minutes,
            revert_drift: self.revert_drift,
        }
    }
}

impl Deploy {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut done = Vec::new();
        for (region, plan) in self.plans()? {
            let deployer = self.place.deployer(region.as_deref()).await;
            let (changes, outputs) = self.deploy(&deployer, &plan).await?;
            let outputs = outputs.as_ref();
            done.push(json!({
                "stack": plan.stack_name,
                "changes": changes,
                "outputs": outputs.map(outputs::as_json),
            }));
            if let Some(outputs) = outputs.filter(|_| !self.json) {
                outputs::print_table(outputs);
            }
        }
        if self.json {
            print_json(&Value::from(done));
        }
        Ok(())
    }

    /// A plan for each stack, with its region. All of them before the first is carried out: what is
    /// wrong with one is told before another has changed.
    fn plans(&self) -> anyhow::Result<Vec<(Option<String>, Plan)>> {
        self.check_typed_limits()?;
        let deployments = match self.place.chosen()? {
            Chosen::Stack(name) => return Ok(vec![(None, self.plan(&name, self.own()))]),
            Chosen::Deployments(deployments) => deployments,
        };
        if deployments.len() > 1 && !self.parameters.is_empty() {
            let told = "a parameter is of one stack: say which by --target";
            return Err(Ended::Usage(told.to_owned()).into());
        }
        let plan = |deployment: &slowlane_config::Deployment| {
            let stack = Stack::of(deployment, self.place.folder())?;
            let plan = self.plan(&deployment.stack, stack);
            Ok((Some(deployment.region.clone()), plan))
        };
        deployments.iter().map(plan).collect()
    }

    /// Limits that are typed are held to the same rules as those of slowlane.toml.
    fn check_typed_limits(&self) -> Result<(), Ended> {
        let typed = self.parameters.iter().filter(|(name, _)| name == "Limits");
        for (_, text) in typed {
            let limits = Limits::from_json(text).map_err(kept::Refused::from);
            let parameter = limits.and_then(|limits| kept::parameter(&limits));
            parameter.map_err(|why| Ended::Usage(format!("the parameter Limits: {why}")))?;
        }
        Ok(())
    }

    /// What slowlane.toml would say, of a stack that is meant by its name.
    fn own(&self) -> Stack {
        Stack::carrying(
            self.api_profile.clone(),
            self.prices.clone(),
            self.prompts.clone(),
            self.worker.clone(),
        )
    }

    /// What is typed goes before what `stack` says.
    fn plan(&self, name: &str, stack: Stack) -> Plan {
        let mut plan = match &self.repository {
            Some(repository) => Plan::new(name, repository, &self.lambdas),
            None => Plan::built_in(name, &self.lambdas),
        };
        stack.tell(&mut plan);
        plan.parameters.extend(self.parameters.clone());
        plan.tags.extend(self.tags.clone());
        plan.conduct = self.conduct.conduct();
        plan.allow_replacement = self.allow_replacement;
        plan.artifact_bucket = self.artifact_bucket.clone();
        plan.local_log_dir = self.local_logs.clone();
        plan
    }

    /// Answers what was, or would be, changed, and the outputs if it was done.
    async fn deploy(
        &self,
        deployer: &Deployer,
        plan: &Plan,
    ) -> anyhow::Result<(Value, Option<Outputs>)> {
        let progress = Progress::stderr();
        let prepared = deployer.prepare(plan, &progress).await?;
        let changes = serde_json::to_value(prepared.changes())?;
        match prepared.changes() {
            Some(changes) => eprintln!("\n{changes}\n"),
            None if self.plan => eprintln!("{}: nothing to change", plan.stack_name),
            None => {}
        }
        if self.plan {
            prepared.discard().await?;
            return Ok((changes, None));
        }
        if self.must_ask(&prepared) {
            let undone = "nothing was changed";
            let answer = Question { text: "do it? (yes)", wanted: "yes", undone }.ask();
            if let Err(error) = answer {
                prepared.discard().await?;
                return Err(error);
            }
        }
        Ok((changes, Some(prepared.execute(&progress).await?)))
    }

    /// A change that will be refused is not asked about.
    fn must_ask(&self, prepared: &Prepared<'_>) -> bool {
        let allowed = |changes: &slowlane_deployer::stack::Changes| {
            self.allow_replacement || changes.data_at_risk().is_empty()
        };
        !self.yes && prepared.changes().is_some_and(allowed)
    }
}

pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
