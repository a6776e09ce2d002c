use super::{Local, repository};
use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;
use slowlane_deployer::destroy::Data;
use slowlane_deployer::stack::{self, FailedResource};
use slowlane_deployer::{DeployError, Deployer, Files, Plan, Progress, outputs, queues};

/// Reserved concurrency of the worker, and the greatest concurrency of each of its mappings.
async fn concurrency(
    deployer: &Deployer,
    worker: &str,
) -> anyhow::Result<(Option<i32>, Vec<Option<i32>>)> {
    let lambda = aws_sdk_lambda::Client::new(deployer.config());
    let reserved = lambda.get_function_concurrency().function_name(worker).send().await?;
    let mappings = lambda.list_event_source_mappings().function_name(worker).send().await?;
    let limits = mappings
        .event_source_mappings()
        .iter()
        .map(|mapping| mapping.scaling_config()?.maximum_concurrency())
        .collect();
    Ok((reserved.reserved_concurrent_executions(), limits))
}

#[tokio::test]
async fn a_stack_is_created_left_alone_changed_and_deleted() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let progress = Progress::hidden();
    let one_slot = local.plan().parameter("ApiConcurrency", 1);
    let created = local.deployer.deploy(&one_slot, &progress).await?;
    let worker = created.worker_function_name.as_str();
    assert!(created.doorbell_queue_url.is_some());
    assert_eq!(concurrency(&local.deployer, worker).await?, (Some(1), vec![Some(2)]));
    let ttl = aws_sdk_dynamodb::Client::new(local.deployer.config())
        .describe_time_to_live()
        .table_name(&created.idempotency_table_name)
        .send()
        .await?;
    let attribute = ttl.time_to_live_description().and_then(|ttl| ttl.attribute_name());
    assert_eq!(attribute, Some("expires_at"));

    // The second time there is no change, which is no failure. What is not given keeps its value.
    let nothing_given = Plan::new("trial", &repository(), local.directory.path());
    assert_eq!(local.deployer.deploy(&nothing_given, &progress).await?, created);
    assert_eq!(concurrency(&local.deployer, worker).await?.0, Some(1));

    let deferral = local.plan().parameter("ApiConcurrency", 3).parameter("Dispatch", "deferral");
    let changed = local.deployer.deploy(&deferral, &progress).await?;
    assert_eq!(changed.doorbell_queue_url, None);
    assert_eq!(changed.high_queue_url, created.high_queue_url, "the queues keep their messages");
    assert_eq!(concurrency(&local.deployer, worker).await?, (Some(3), vec![None; 3]));
    assert_eq!(local.deployer.deployed("trial").await?.outputs, changed);

    // Switched back: nobody has rung for what waits meanwhile.
    let doorbell = local.plan().parameter("Dispatch", "doorbell");
    let switched = local.deployer.deploy(&doorbell, &progress).await?;
    let url = switched.doorbell_queue_url.context("the doorbell is back")?;
    let rung = queues::depth(&local.sqs(), &url).await?;
    assert_eq!(rung.total(), 1, "{rung:?}");
    local.deployer.deploy(&doorbell, &progress).await?;
    assert_eq!(queues::depth(&local.sqs(), &url).await?.total(), 1, "it is no switch any more");

    let left = local.deployer.destroy("trial", Data::Delete, &progress).await?;
    assert_eq!(left, Some(Vec::new()), "all of it is gone");
    let left = local.deployer.destroy("trial", Data::Delete, &progress).await?;
    assert_eq!(left, None, "it was gone before");
    let gone = local.deployer.deployed("trial").await;
    assert!(matches!(gone, Err(outputs::Error::NoStack { .. })), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_failed_deploy_names_the_resource_and_can_be_repeated() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let progress = Progress::hidden();
    let broken =
        local.changed(|template| template.replace("Key: !Ref ThrottledCallKey", "Key: nowhere"))?;
    let mut plan = local.plan();
    plan.files = Files::Repository(broken);
    let error = local.deployer.deploy(&plan, &progress).await;
    let Err(DeployError::Stack(stack::Error::Failed(failed))) = error else {
        anyhow::bail!("{error:?}");
    };
    assert_eq!(failed.status, "ROLLBACK_COMPLETE");
    let [FailedResource { logical_id, reason, .. }] = &failed.resources[..] else {
        anyhow::bail!("{failed:?}");
    };
    assert_eq!(logical_id, "ThrottledCall");
    assert!(reason.contains("nowhere"), "{reason}");

    // CloudFormation only lets a stack that was rolled back be deleted.
    local.deployer.deploy(&local.plan(), &progress).await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_parameter_is_told_in_the_services_words() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let plan = local.plan().parameter("Dispatch", "bell");
    let error = local.deployer.deploy(&plan, &Progress::hidden()).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("Dispatch") && text.contains("bell"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_stack_that_is_not_there_is_answered_with_those_that_are() -> anyhow::Result<()> {
    let (local, _) = Local::deployed().await?;
    for args in [
        &["calls", "unresolved", "list"][..],
        &["calls", "dead-letters", "list"],
        &["status"],
        &["calls", "find", "order-1"],
        &["outputs"],
        &["destroy"],
    ] {
        let output = local.run_on("slowlane", args)?;
        assert_eq!(output.status.code(), Some(3), "{args:?}: {output:?}");
        let told = String::from_utf8(output.stderr)?;
        let expected = "there is no stack slowlane: there is trial; give --stack trial";
        assert!(told.contains(expected), "{args:?}: {told}");
        assert!(!told.contains("deploying the stack failed"), "{args:?}: {told}");
    }
    Ok(())
}

/// Somebody ends the deployer at its question: the change set stays, and is in nobody's way.
#[tokio::test]
async fn a_deploy_that_was_interrupted_at_its_question_is_repeated() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let progress = Progress::hidden();
    let plan = local.plan();
    for limit in [2, 4] {
        let other = local.plan().parameter("ApiConcurrency", limit);
        let left = local.deployer.prepare(&other, &progress).await?;
        assert!(left.changes().is_some());
        drop(left);
        local.deployer.deploy(&plan.clone().parameter("MaxAttempts", limit / 2), &progress).await?;
    }
    let parameters = local.deployer.deployed("trial").await?.parameters;
    assert_eq!(
        (parameters["ApiConcurrency"].as_str(), parameters["MaxAttempts"].as_str()),
        ("5", "2")
    );
    Ok(())
}

/// A plan that is thrown away leaves nothing, also of a stack that was to be new.
#[tokio::test]
async fn a_plan_that_is_discarded_leaves_nothing() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let plan = local.plan();
    local.deployer.prepare(&plan, &Progress::hidden()).await?.discard().await?;
    let cloudformation = aws_sdk_cloudformation::Client::new(local.deployer.config());
    let stacks = cloudformation.describe_stacks().send().await?;
    assert_eq!(stacks.stacks().len(), 0, "{stacks:?}");
    Ok(())
}

/// The worker may read the one secret that it is told of, in whichever of the two stores that is.
#[tokio::test]
async fn the_worker_may_read_its_secret_and_no_other() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let elsewhere = "arn:aws:ssm:us-east-1:123456789012:parameter/shared/crm";
    let here = "us-east-1:000000000000";
    for (secret, action, resource) in [
        ("ssm:/prod/crm", "ssm:GetParameter", format!("arn:aws:ssm:{here}:parameter/prod/crm")),
        (elsewhere, "ssm:GetParameter", elsewhere.to_owned()),
        (
            "prod/crm",
            "secretsmanager:GetSecretValue",
            format!("arn:aws:secretsmanager:{here}:secret:prod/crm-??????"),
        ),
    ] {
        let plan = local.plan().parameter("ApiSecret", secret);
        local.deployer.deploy(&plan, &Progress::hidden()).await?;
        let policy = local.inline_policy("WorkerRole", "work").await?;
        let of_secrets: Vec<_> = policy["Statement"]
            .as_array()
            .context("statements")?
            .iter()
            .filter(|statement| {
                let actions = statement["Action"].to_string();
                ["ssm:", "secretsmanager:"].iter().any(|service| actions.contains(service))
            })
            .map(|statement| (statement["Action"].clone(), statement["Resource"].clone()))
            .collect();
        assert_eq!(of_secrets, [(action.into(), resource.into())], "{secret}");
    }
    // A value would be shown to whoever may look at the stack.
    let plan = local.plan().parameter("ApiSecret", "{\"api_key\":\"k\"}");
    let error = local.deployer.deploy(&plan, &Progress::hidden()).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("ApiSecret"), "{text}");
    Ok(())
}

/// The worker may read its files and write its answers, and do nothing else in their bucket.
#[tokio::test]
async fn the_worker_may_read_its_files_and_write_its_answers() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let plan = local.plan().parameter("ApiFiles", "s3://acme-files/crm");
    local.deployer.deploy(&plan, &Progress::hidden()).await?;
    let policy = local.inline_policy("WorkerRole", "work").await?;
    let statements = policy["Statement"].as_array().context("statements")?.iter();
    let of_files: Vec<_> = statements
        .filter(|statement| statement["Action"].to_string().contains("s3:"))
        .map(|statement| (&statement["Action"], &statement["Resource"], &statement["Condition"]))
        .collect();
    let own = json!({ "StringEquals": { "s3:ResourceAccount": "000000000000" } });
    let (get, put) = (json!("s3:GetObject"), json!("s3:PutObject"));
    let all = json!("arn:aws:s3:::acme-files/crm/*");
    let answers = json!("arn:aws:s3:::acme-files/crm/answers/*");
    assert_eq!(of_files, [(&get, &all, &own), (&put, &answers, &own)]);
    for wrong in ["s3://acme-files", "s3://acme-files/crm/", "s3://acme-files/*", "acme-files/crm"]
    {
        let plan = local.plan().parameter("ApiFiles", wrong);
        let error = local.deployer.deploy(&plan, &Progress::hidden()).await.unwrap_err();
        let text = format!("{:#}", anyhow::Error::from(error));
        assert!(text.contains("ApiFiles"), "{wrong}: {text}");
    }
    Ok(())
}

impl Local {
    /// A policy of a role of the stack `trial`. IAM has no client here, for this one question.
    async fn inline_policy(&self, role: &str, policy: &str) -> anyhow::Result<serde_json::Value> {
        let deployed = self.deployer.deployed("trial").await?;
        let role = deployed.resources.get(role).context("the template has the role")?;
        let asked =
            format!("Action=GetRolePolicy&Version=2010-05-08&RoleName={role}&PolicyName={policy}");
        let signed = "AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/iam/aws4_request";
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http
            .post(self.ministack.endpoint())
            .header("authorization", signed)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(asked)
            .send()
            .await?;
        let answer = answer.text().await?;
        let encoded = answer
            .split_once("<PolicyDocument>")
            .and_then(|(_, rest)| rest.split_once("</PolicyDocument>"))
            .with_context(|| answer.clone())?
            .0;
        let url = reqwest::Url::parse(&format!("http://x/?document={encoded}"))?;
        let (_, document) = url.query_pairs().next().context("a document")?;
        Ok(serde_json::from_str(&document)?)
    }
}

/// What a stack in production may want beside: each of the template's branches can be deployed.
#[tokio::test]
async fn a_stack_with_a_key_and_subnets_of_ones_own_is_deployed() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let key = "arn:aws:kms:us-east-1:000000000000:key/0f1e2d3c";
    let plan = local
        .plan()
        .parameter("KmsKeyArn", key)
        .parameter("SecretKmsKeyArn", key)
        .parameter("WorkerSubnetIds", "subnet-1,subnet-2")
        .parameter("WorkerSecurityGroupIds", "sg-1")
        .parameter("Tracing", "PassThrough")
        .parameter("WorkflowLogLevel", "ALL")
        .parameter("Dispatch", "deferral");
    let outputs = local.deployer.deploy(&plan, &Progress::hidden()).await?;
    let queue = local
        .sqs()
        .get_queue_attributes()
        .queue_url(outputs.dead_letter_queue_url)
        .attribute_names(QueueAttributeName::KmsMasterKeyId)
        .attribute_names(QueueAttributeName::Policy)
        .send()
        .await?;
    let attributes = queue.attributes.context("the queue has attributes")?;
    assert_eq!(attributes[&QueueAttributeName::KmsMasterKeyId], key);
    assert!(attributes[&QueueAttributeName::Policy].contains("aws:SecureTransport"));
    Ok(())
}
