//! What somebody reads who deploys, pauses and drains. `INSTA_UPDATE=always` writes what is read now.

use super::{Local, queued_call, repository};
use anyhow::Context as _;
use slowlane_deployer::destroy::Data;
use slowlane_deployer::{Progress, queues};

const ACCOUNT: [&str; 2] = ["-p", "ApiProfile=http"];

/// Runs `deploy` on the stack `trial` without a terminal. What it prints, and how it ended.
fn deploy(local: &Local, repository: &str, args: &[&str]) -> anyhow::Result<String> {
    let lambdas = local.directory.path().to_string_lossy();
    let always = ["deploy", "--repository", repository, "--lambdas", &lambdas];
    let output = local.run_on("trial", &[&always, args].concat())?;
    Ok(format!(
        "{}{}{}",
        String::from_utf8(output.stderr)?,
        String::from_utf8(output.stdout)?,
        if output.status.success() { "" } else { "(failed)" }
    ))
}

/// Runs commands as somebody types them, one after another. Each with all that it prints, and how it
/// ended.
fn typed(local: &Local, commands: &[&[&str]]) -> anyhow::Result<String> {
    let mut transcript = String::new();
    for args in commands {
        let output = local.run_on("trial", args)?;
        transcript += &format!(
            "$ slowlane {}\n{}{}",
            shell_words::join(*args),
            String::from_utf8(output.stderr)?,
            String::from_utf8(output.stdout)?
        );
        let code = output.status.code().context("it was killed")?;
        transcript += &if code == 0 { "\n".to_owned() } else { format!("(exit code {code})\n\n") };
    }
    Ok(transcript)
}

/// Compares a transcript, without what is different each time or says nothing here.
fn compare(name: &str, transcript: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"-[0-9a-f]{32}\.", "-HASH.");
    settings.add_filter(r"\(\d+ s\)", "(N s)");
    settings.add_filter(r"http://localhost:\d+", "http://localhost:PORT");
    settings.add_filter(r"trial-([A-Z][A-Za-z]+)-[0-9A-Za-z]+", "trial-$1-ID");
    // A time has as many digits as it needs, and a column is as wide as its widest time.
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z *", "TIME ");
    settings.add_filter(r" when +", " when ");
    settings.add_filter(r"[─═]{5,}", "───");
    settings.bind(|| insta::assert_snapshot!(name, transcript));
}

#[tokio::test]
async fn a_stack_is_planned_created_left_alone_and_changed() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let repository = repository();
    let repository = repository.to_str().unwrap_or_default();
    let run = |args: &[&str]| deploy(&local, repository, &[&ACCOUNT, args].concat());
    compare("planned", &run(&["--plan"])?);
    compare("asked_without_a_terminal", last_line(&run(&[])?));
    assert!(local.deployer.deployed("trial").await.is_err(), "nothing was created");

    compare("created", &run(&["--yes"])?);
    compare("unchanged", &run(&["--yes"])?);
    compare("planned_without_a_change", last_line(&run(&["--plan"])?));
    compare("limit_changed", &run(&["--yes", "-p", "ApiConcurrency=3"])?);
    compare("switch_planned", &run(&["--plan", "-p", "Dispatch=deferral"])?);
    let parameters = local.deployer.deployed("trial").await?.parameters;
    assert_eq!(parameters["Dispatch"], "doorbell", "it was only planned");

    let destroyed = local.run_on("trial", &["destroy", "--yes"])?;
    compare("destroyed", &String::from_utf8(destroyed.stderr)?);
    Ok(())
}

#[tokio::test]
async fn a_resource_that_fails_is_told_first_and_what_was_there_stays() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let broken =
        local.changed(|template| template.replace("Key: !Ref ThrottledCallKey", "Key: nowhere"))?;
    let told = deploy(&local, broken.to_str().unwrap_or_default(), &["--yes"])?;
    compare("failed", &told);
    assert_eq!(local.deployer.deployed("trial").await?.outputs, outputs);
    Ok(())
}

#[tokio::test]
async fn a_queue_is_only_replaced_where_that_is_allowed() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let named = local.changed(|template| {
        let queue = "  HighQueue:\n    Type: AWS::SQS::Queue\n    DeletionPolicy: Delete\n    \
                     UpdateReplacePolicy: Delete\n    Properties:\n";
        template.replace(queue, &format!("{queue}      QueueName: another\n"))
    })?;
    let named = named.to_str().unwrap_or_default();
    compare("replacement_refused", &deploy(&local, named, &["--yes"])?);
    assert_eq!(local.deployer.deployed("trial").await?.outputs, outputs);
    queues::depth(&local.sqs(), &outputs.high_queue_url).await?;

    let told = deploy(&local, named, &["--yes", "--allow-replacement"])?;
    assert!(told.contains("HighQueueUrl") && !told.contains("(failed)"), "{told}");
    let replaced = local.deployer.deployed("trial").await?.outputs;
    assert!(replaced.high_queue_url.ends_with("/another"), "{}", replaced.high_queue_url);
    local.deployer.destroy("trial", Data::Delete, &Progress::hidden()).await?;
    Ok(())
}

/// The template has another default since: the stack keeps the one that it was created with.
#[tokio::test]
async fn a_default_that_has_changed_is_told() -> anyhow::Result<()> {
    let (local, _) = Local::deployed().await?;
    let newer = local
        .changed(|template| template.replace("    Default: 21600\n", "    Default: 3600\n"))?;
    let told =
        deploy(&local, newer.to_str().unwrap_or_default(), &["--plan", "-p", "LogLevel=debug"])?;
    compare("default_changed", &told);
    Ok(())
}

/// Two calls wait, and a slot that found the gate shut has left a ring for later.
#[tokio::test]
async fn calls_are_paused_drained_and_resumed() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    for (queue, key) in
        [(&outputs.high_queue_url, "order-1"), (&outputs.batch_queue_url, "order-2")]
    {
        let body = queued_call(key, "AQCEAAAAKgAAAAMAAAAA").to_string();
        local.sqs().send_message().queue_url(queue).message_body(body).send().await?;
    }
    let doorbell = outputs.doorbell_queue_url.context("a doorbell")?;
    let ring = local.sqs().send_message().queue_url(doorbell).message_body("{}");
    ring.delay_seconds(900).send().await?;

    let by = ["--who", "ada", "--why"];
    let pause = [&["pause", "--for", "2h"], &by[..], &["NetSuite release"]].concat();
    compare(
        "paused",
        &typed(&local, &[&["pause", "--who", "ada"], &pause, &["status"], &["limits", "show"]])?,
    );
    let drain = [&["drain"], &by[..], &["the API moves to another host"]].concat();
    compare("drained", &typed(&local, &[&drain, &["status"], &["limits", "show"]])?);
    // With its rings the slots begin, so the queues' numbers may be any.
    let resume = [&["resume"], &by[..], &["the release is through"]].concat();
    compare("resumed", &typed(&local, &[&resume, &["limits", "show"]])?);
    Ok(())
}

#[tokio::test]
async fn tags_reach_the_stack_and_stay() -> anyhow::Result<()> {
    let (local, _) = Local::deployed().await?;
    let repository = repository();
    let repository = repository.to_str().unwrap_or_default();
    for args in [&["--yes", "--tag", "team=erp"][..], &["--yes", "-p", "LogLevel=debug"]] {
        let told = deploy(&local, repository, args)?;
        assert!(!told.contains("(failed)"), "{told}");
    }
    let stacks = aws_sdk_cloudformation::Client::new(local.deployer.config())
        .describe_stacks()
        .stack_name("trial")
        .send()
        .await?;
    let mut tags: Vec<_> = stacks.stacks()[0]
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?, tag.value()?)))
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, [("application", "slowlane"), ("team", "erp")]);
    Ok(())
}

fn last_line(transcript: &str) -> &str {
    transcript.trim_end().trim_end_matches("(failed)").trim_end().lines().last().unwrap_or_default()
}
