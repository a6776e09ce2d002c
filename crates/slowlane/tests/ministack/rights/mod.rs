//! The policies of `infra/permissions`: they allow what is really asked of AWS, and nothing that
//! nobody asks.
//!
//! Two ask: `slowlane`, whose requests a proxy notes, and CloudFormation in the name of whoever
//! deploys. What the latter asks is known from the schemas of the resource types (`handlers.json`).

mod policy;
pub(crate) mod tap;

use super::{Local, dispatched, queued_call, repository, template};
use anyhow::{Context as _, ensure};
use policy::{Asked, Policy, texts};
use serde_json::json;
use serde_yaml_ng::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use tap::Tap;

const STACK: &str = "slowlane-trial";
const SPENT: &str = "AQCEAAAAKgAAAAMAAAAA";
const WHY: [&str; 4] = ["--who", "ada", "--why", "the vendor works on it"];

/// What CloudFormation's handlers may ask and the deploys of this template do not, each with why.
const UNUSED: [(&str, &str); 14] = [
    (
        "dynamodb:AssociateTableReplica dynamodb:BatchWriteItem dynamodb:CreateTableReplica \
         dynamodb:DeleteItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:Scan \
         dynamodb:UpdateItem iam:CreateServiceLinkedRole",
        "the table has no replica",
    ),
    (
        "dynamodb:DescribeImport dynamodb:ImportTable logs:CreateLogStream \
         logs:DescribeLogStreams logs:PutLogEvents s3:GetObjectMetadata",
        "the table is not made of an import",
    ),
    (
        "dynamodb:DisableKinesisStreamingDestination dynamodb:EnableKinesisStreamingDestination \
         dynamodb:UpdateKinesisStreamingDestination kinesis:DescribeStream kinesis:PutRecords",
        "the table has no stream",
    ),
    (
        "dynamodb:DeleteResourcePolicy dynamodb:PutResourcePolicy \
         dynamodb:UpdateContributorInsights",
        "the table has neither a policy of its own nor contributor insights",
    ),
    ("kms:ListAliases kms:RevokeGrant", "KmsKeyArn is a key's ARN, and its grants stay"),
    (
        "iam:DeleteGroupPolicy iam:DeleteUserPolicy iam:GetGroupPolicy iam:GetUserPolicy \
         iam:PutGroupPolicy iam:PutUserPolicy",
        "the template's policies are of roles",
    ),
    (
        "iam:DeleteRolePermissionsBoundary iam:PutRolePermissionsBoundary iam:UpdateRole \
         iam:UpdateRoleDescription",
        "the roles have neither a boundary nor a description",
    ),
    (
        "lambda:DeleteFunctionCodeSigningConfig lambda:GetCodeSigningConfig \
         lambda:PutFunctionCodeSigningConfig",
        "the code is not signed",
    ),
    (
        "elasticfilesystem:DescribeMountTargets lambda:GetLayerVersion s3files:ListMountTargets",
        "the functions have neither layers nor file systems",
    ),
    (
        "lambda:AssociateRuntimeAlias lambda:PassCapacityProvider lambda:PublishVersion \
         lambda:PutFunctionScalingConfig lambda:PutRuntimeManagementConfig",
        "the functions run as Lambda runs them by itself, in their newest version",
    ),
    ("s3:GetObjectVersion", "the artifacts' names are their hashes: no version is asked for"),
    (
        "logs:CreateLogDelivery logs:DeleteResourcePolicy logs:PutBearerTokenAuthentication \
         logs:PutResourcePolicy firehose:TagDeliveryStream s3:REST.PUT.OBJECT",
        "the log groups are read by nobody, and written by the Lambdas and the workflows alone",
    ),
    (
        "logs:DeleteIndexPolicy logs:PutDataProtectionPolicy logs:PutIndexPolicy",
        "the log groups have neither data protection nor an index",
    ),
    ("logs:PutLogGroupDeletionProtection", "they are deleted with their stack"),
];

/// What the policies allow and neither list shows, each with why.
const BESIDE: [(&str, &str); 7] = [
    ("cloudformation:DescribeAccountLimits", "asked of AWS only: a local server has no quotas"),
    ("cloudformation:ListStacks", "the same"),
    ("cloudformation:DetectStackResourceDrift", "AWS asks for it beside DetectStackDrift"),
    ("cloudformation:DescribeEvents", "asked after a refused change set only"),
    ("cloudformation:TagResource", "a stack has tags, and AWS asks for it beside CreateChangeSet"),
    ("cloudformation:UntagResource", "the same, where a tag goes"),
    ("lambda:ListTags", "asked where the tags of a function are read for a change"),
];

/// The statements for which IAM knows no resource, or none before it is there.
const WIDE: [(&str, &str); 9] = [
    ("deploy", "LookAtLogs"),
    ("deploy", "LookAtMappings"),
    ("deploy", "Mappings"),
    ("deploy", "RoomInTheAccount"),
    ("deploy", "Templates"),
    ("deploy-options", "WhereKmsKeyArnIsGiven"),
    ("deploy-options", "WhereWorkerSubnetIdsAreGiven"),
    ("watch", "Mappings"),
    ("watch", "WhetherAWorkflowStillWaits"),
];

/// What IAM's own list knows no log group for.
const OF_NO_LOG_GROUP: [&str; 3] =
    ["DescribeIndexPolicies", "DescribeLogGroups", "DescribeResourcePolicies"];

/// Any state machine of a team's own may call: only its executions' ARNs are known.
const ANY_WORKFLOW: (&str, &str) = ("watch", "Workflows");

fn policies() -> anyhow::Result<Vec<Policy>> {
    ["deploy", "deploy-options", "watch", "operate"].into_iter().map(Policy::read).collect()
}

/// By resource type, what its handlers ask.
fn handlers() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let text = fs::read_to_string(repository().join("infra/permissions/handlers.json"))?;
    let handlers: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> =
        serde_json::from_str(&text)?;
    let all = |(name, handlers): (String, BTreeMap<_, BTreeSet<_>>)| {
        (name, handlers.into_values().flatten().collect())
    };
    Ok(handlers.into_iter().map(all).collect())
}

fn is_unused(action: &str) -> bool {
    UNUSED.iter().any(|(actions, _)| actions.split_whitespace().any(|unused| unused == action))
}

/// What a handler of this type asks for, on a stack of this name.
fn resource_of(resource_type: &str, action: &str, stack: &str) -> anyhow::Result<String> {
    let place = "eu-central-1:123456789012";
    let (service, operation) = action.split_once(':').context("an action")?;
    Ok(match (service, resource_type) {
        ("ec2", _) => "*".to_owned(),
        ("logs", _) if OF_NO_LOG_GROUP.contains(&operation) => "*".to_owned(),
        ("logs", _) => format!("arn:aws:logs:{place}:log-group:/aws/lambda/{stack}-worker"),
        ("kms", _) => format!("arn:aws:kms:{place}:key/0f1e2d3c"),
        ("s3", _) => format!("arn:aws:s3:::{stack}-artifacts-1-eu/lambda/worker-0.zip"),
        ("iam", _) => format!("arn:aws:iam::123456789012:role/{stack}-WorkerRole-1A"),
        ("sqs", _) => format!("arn:aws:sqs:{place}:{stack}-HighQueue-1A"),
        ("dynamodb", _) => format!("arn:aws:dynamodb:{place}:table/{stack}-IdempotencyTable-1A"),
        ("states", _) => format!("arn:aws:states:{place}:stateMachine:{stack}-throttled-call"),
        ("cloudwatch", "AWS::CloudWatch::Alarm") => {
            format!("arn:aws:cloudwatch:{place}:alarm:{stack}-DeadLetters")
        }
        ("cloudwatch", _) => format!("arn:aws:cloudwatch::123456789012:dashboard/{stack}-eu"),
        ("lambda", "AWS::Lambda::EventSourceMapping")
            if ["Get", "Tag", "Untag", "ListTags"].iter().any(|of| operation.starts_with(of)) =>
        {
            format!("arn:aws:lambda:{place}:event-source-mapping:0f1e2d3c")
        }
        ("lambda", "AWS::Lambda::EventSourceMapping") => "*".to_owned(),
        ("lambda", _) => format!("arn:aws:lambda:{place}:function:{stack}-WorkerFunction-1A"),
        other => anyhow::bail!("{action} of {other:?}"),
    })
}

#[test]
fn a_deploy_may_what_cloudformation_asks_for_each_resource() -> anyhow::Result<()> {
    let policies = policies()?;
    let may = |asked: &Asked| policies[..2].iter().any(|policy| policy.allows(asked));
    let mut unused: BTreeSet<&str> =
        UNUSED.iter().flat_map(|(actions, _)| actions.split_whitespace()).collect();
    let everything = handlers()?;
    for (resource_type, actions) in &everything {
        for action in actions {
            unused.remove(action.as_str());
            // A bucket's list is asked by the deployer itself, and by an import.
            if is_unused(action) || action == "s3:ListBucket" {
                continue;
            }
            let asked = |stack: &str| {
                let resource = resource_of(resource_type, action, stack)?;
                anyhow::Ok(Asked { action: action.clone(), resource })
            };
            let ours = asked("slowlane")?;
            ensure!(may(&ours), "{resource_type}: {ours:?} is not allowed");
            let others = asked("another")?;
            ensure!(others == ours || !may(&others), "{others:?} is allowed");
        }
    }
    assert_eq!(unused, BTreeSet::new(), "no handler asks for these any more");
    for action in UNUSED.iter().flat_map(|(actions, _)| actions.split_whitespace()) {
        for policy in &policies[..2] {
            assert!(!policy.actions().contains(action), "{action} is in {}", policy.name);
        }
    }
    Ok(())
}

/// Only roles that these policies name may be given a managed policy.
#[test]
fn a_deploy_may_give_managed_policies_to_the_roles_that_take_them() -> anyhow::Result<()> {
    let options = Policy::read("deploy-options")?;
    let mut takers = BTreeSet::new();
    for name in ["template", "cascade", "reviews", "shared-limits"] {
        let template = template(name)?;
        let resources = template["Resources"].as_mapping().context("resources")?.iter();
        let takes = |(_, resource): &(&Value, &Value)| {
            !resource["Properties"]["ManagedPolicyArns"].is_null()
        };
        takers.extend(
            resources.filter(takes).filter_map(|(name, _)| Some(name.as_str()?.to_owned())),
        );
    }
    assert_eq!(takers.iter().map(String::as_str).collect::<Vec<_>>(), ["CallerRole", "WorkerRole"]);
    for role in takers {
        for (stack, may) in [("slowlane-trial", true), ("another", false)] {
            for action in ["iam:AttachRolePolicy", "iam:DetachRolePolicy"] {
                let resource = format!("arn:aws:iam::123456789012:role/{stack}-{role}-1A");
                let asked = Asked { action: action.to_owned(), resource };
                assert_eq!(options.allows(&asked), may, "{asked:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn no_policy_is_wider_or_longer_than_it_may() -> anyhow::Result<()> {
    for policy in policies()? {
        let name = policy.name;
        // A managed policy has 6,144 characters at most.
        assert!(policy.characters() <= 6_144, "{name}: {}", policy.characters());
        assert_eq!(policy.unknown_conditions(), [""; 0], "{name}");
        for statement in policy.statements() {
            let sid = statement["Sid"].as_str().context("each has one")?;
            assert_eq!(statement["Effect"], "Allow", "{name}: {sid}");
            assert!(texts(&statement["Action"]).all(|action| !action.contains('*')), "{sid}");
            let ours = texts(&statement["Resource"]).all(|resource| {
                resource.rsplit([':', '/']).any(|part| part.starts_with("slowlane"))
            });
            let listed = WIDE.contains(&(name, sid)) || (name, sid) == ANY_WORKFLOW;
            assert_eq!(ours, !listed, "{name}: {sid}");
        }
    }
    Ok(())
}

/// A stack between which and AWS a proxy stands, with something to look at.
struct Watched {
    local: Local,
    tap: Tap,
    used: BTreeSet<String>,
}

impl Watched {
    async fn start() -> anyhow::Result<Self> {
        let local = Local::start().await?;
        let tap = Tap::start(local.ministack.endpoint()).await?;
        Ok(Self { local, tap, used: BTreeSet::new() })
    }

    /// Runs a command, which may ask what these policies allow.
    async fn run(&mut self, policies: &[&'static str], args: &[&str]) -> anyhow::Result<()> {
        self.run_on(STACK, policies, args).await
    }

    async fn run_on(
        &mut self,
        stack: &str,
        policies: &[&'static str],
        args: &[&str],
    ) -> anyhow::Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane"));
        command.args(args).args(["--stack", stack, "--endpoint-url", &self.tap.url]);
        // The proxy runs on this thread.
        let ended = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
        let output = ended.await??;
        ensure!(output.status.success(), "{args:?}: {output:?}");
        let asked = self.tap.take()?;
        ensure!(!asked.is_empty(), "{args:?} asked nothing");
        let policies: Vec<Policy> =
            policies.iter().copied().map(Policy::read).collect::<anyhow::Result<_>>()?;
        for one in asked {
            let allowed = policies.iter().any(|policy| policy.allows(&one));
            ensure!(allowed, "{args:?} asks for {one:?}");
            self.used.insert(one.action);
        }
        Ok(())
    }

    async fn deploy(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let always = self.always("deploy")?;
        let always: Vec<&str> = always.iter().map(String::as_str).collect();
        self.run(&["deploy"], &[&always[..], &["-p", "ApiProfile=http"], args].concat()).await
    }

    /// Makes a stack beside it, and leaves it alone.
    async fn add(&mut self, kind: &str, parameters: &[&str]) -> anyhow::Result<()> {
        let always = self.always("add")?;
        let mut args: Vec<&str> = always.iter().map(String::as_str).collect();
        args.push(kind);
        args.extend(parameters.iter().flat_map(|parameter| ["-p", parameter]));
        let stack = format!("slowlane-{kind}");
        for _ in ["created", "unchanged"] {
            self.run_on(&stack, &["deploy"], &args).await?;
        }
        Ok(())
    }

    /// A command that deploys, and what it deploys.
    fn always(&self, command: &str) -> anyhow::Result<[String; 5]> {
        let repository = repository();
        Ok([
            command.to_owned(),
            "--repository".to_owned(),
            repository.to_str().context("a path")?.to_owned(),
            "--lambdas".to_owned(),
            self.local.directory.path().to_string_lossy().into_owned(),
        ])
    }

    /// Calls that went wrong: a dead letter of a workflow that has ended, one of a workflow that
    /// waits, and a call of which nobody knows.
    async fn something_goes_wrong(&self) -> anyhow::Result<String> {
        let local = &self.local;
        let outputs = local.deployer.deployed(STACK).await?.outputs;
        let (token, execution) = local.token().await?;
        for (key, token) in [("ended", SPENT), ("dropped", SPENT), ("waits", &token)] {
            let body = queued_call(key, token).to_string();
            let queue = &outputs.dead_letter_queue_url;
            local.sqs().send_message().queue_url(queue).message_body(body).send().await?;
        }
        let lost = dispatched(&local.guard(&outputs), "calls", "lost").await?;
        lost.needs_person("no answer").await?;
        let line = json!({"message": "queued", "idempotency_key": "lost", "priority": "HIGH",
            "execution_arn": execution});
        local.log_in(STACK, "EnqueuerLogs", &[line]).await?;
        Ok(execution)
    }
}

#[tokio::test]
async fn the_policies_allow_what_is_asked_and_nothing_else() -> anyhow::Result<()> {
    let mut watched = Watched::start().await?;
    for args in [
        &["--plan"][..],
        &["--yes"],
        &["--yes"],
        &["--yes", "-p", "ApiConcurrency=3"],
        &["--yes", "-p", "Dispatch=deferral"],
        &["--yes", "-p", "Dispatch=doorbell"],
    ] {
        watched.deploy(args).await?;
    }
    watched.add("shared-limits", &[]).await?;
    watched.add("cascade", &["ApiUrl=https://api.example.com"]).await?;
    let of_the_model =
        ["EnqueuerFunctionName=enqueuer", "GraceSeconds=270", "Model=m", "DatasetBucket=reviews"];
    watched.add("reviews", &of_the_model).await?;
    let execution = watched.something_goes_wrong().await?;
    for args in [
        &["outputs"][..],
        &["status"],
        &["why", "lost"],
        &["logs", "--call", "lost"],
        &["limits", "show"],
        &["calls", "find", "lost"],
        &["calls", "find", &execution],
        &["calls", "dead-letters", "list"],
        &["calls", "dead-letters", "show", "ended"],
        &["calls", "unresolved", "list"],
    ] {
        watched.run(&["watch"], args).await?;
    }
    for args in [
        &[&["pause"], &WHY[..]].concat()[..],
        &[&["drain"], &WHY[..]].concat(),
        &[&["resume"], &WHY[..]].concat(),
        &[&["limits", "set", "--rate", "50/20s"], &WHY[..]].concat(),
        &["calls", "dead-letters", "restart", "ended"],
        &["calls", "dead-letters", "restart", "waits"],
        &["calls", "dead-letters", "drop", "dropped", "--yes"],
        &["calls", "unresolved", "resolve", "lost", "--done", "--id", "1001"],
    ] {
        watched.run(&["watch", "operate"], args).await?;
    }
    watched.run(&["deploy", "watch"], &["status", "--drift"]).await?;
    watched.run(&["deploy", "watch"], &["destroy", "--yes", "--delete-data"]).await?;

    let mut needed = watched.used;
    needed.extend(handlers()?.into_values().flatten());
    needed.extend(BESIDE.map(|(action, _)| action.to_owned()));
    for policy in policies()? {
        for action in policy.actions() {
            assert!(needed.contains(action), "{}: nobody asks for {action}", policy.name);
        }
    }
    Ok(())
}

/// The page shows how long each is, and which command needs which.
#[test]
fn the_page_names_every_policy() -> anyhow::Result<()> {
    let page = fs::read_to_string(repository().join("infra/permissions/README.md"))?;
    for policy in policies()? {
        assert!(page.contains(&format!("[`{0}.json`]({0}.json)", policy.name)), "{}", policy.name);
    }
    Ok(())
}
