//! Real workers, killed with SIGKILL: each call leaves one record, and each workflow ends.
//!
//! The calls are creates, which made twice are two records. Their workers speak to AWS and to
//! the API through a proxy ([`tap`](super::tap)) that kills them at a chosen request.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use aws_sdk_lambda::types::Environment;
use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::setup::{Ended, Scenario, create, settings};
use super::tap::{Kill, Moment, Seen, Step, StepOf, Tap};

/// How long a call takes at the API.
const LATENCY: Duration = Duration::from_millis(1000);

/// The durations of [`slowlane_policy::timing`], in the same order and shorter, so that what a
/// killed worker held comes back soon.
const API_TIMEOUT_SECS: i32 = 5;
const CALL_VISIBILITY_SECS: i32 = 12;
/// The sandbox is done with a call after its latency, whoever waits for it.
const SETTLES_AFTER_SECS: u64 = 5;
const WORK_WINDOW_SECS: i32 = 10;
const FUNCTION_TIMEOUT_SECS: i32 = 22;
const RING_VISIBILITY_SECS: i32 = 34;

/// How much later than a killed worker's call is visible it is taken up, at the latest.
const RECOVERY_SECS: i32 = 30;

#[tokio::test]
async fn a_worker_killed_at_any_step_leaves_one_record() -> anyhow::Result<()> {
    use Moment::{After, Before, During};
    let points = [
        (Step::Claim, Before),
        (Step::Claim, After),
        (Step::DispatchedMark, Before),
        (Step::DispatchedMark, After),
        (Step::ApiCall, Before),
        (Step::ApiCall, During),
        (Step::ApiCall, After),
        (Step::StoredResult, Before),
        (Step::StoredResult, After),
        (Step::Callback, Before),
        (Step::Callback, After),
        (Step::Delete, Before),
        (Step::Delete, After),
    ];
    // Each call is killed once, at its own point.
    let plan = move |seen: &Seen, kills: &[Kill]| {
        let is_its_own = |point: &&(Step, Moment)| {
            let dies_here = |step: &StepOf| is_at(step, **point);
            seen.steps.iter().any(dies_here) && !kills.iter().any(|kill| died_at(kill, **point))
        };
        points.iter().find(is_its_own).map(|(_, moment)| *moment)
    };
    let (scenario, tap) = deploy("killed-at-a-step", plan).await?;
    let mut left = points.to_vec();
    for round in 0..ROUNDS {
        let keys: Vec<String> = left.iter().map(|point| key(*point, round)).collect();
        run(&scenario, &keys).await?;
        check_recovery(&tap)?;
        left.retain(|point| !tap.kills().iter().any(|kill| died_at(kill, *point)));
        if left.is_empty() {
            break;
        }
    }

    let kills = tap.kills();
    for point in points {
        let deaths = kills.iter().filter(|kill| died_at(kill, point)).count();
        ensure!(deaths == 1, "{deaths} died at {point:?}: {kills:#?}");
    }
    // The one that was killed while the API was at work on it.
    let during = kills.iter().find(|kill| kill.moment == During).context("one was")?;
    let calls = scenario.stack.sandbox().report().await?.calls;
    let is_its = |key: &String| during.steps.iter().any(|(_, of)| of == key);
    let worked_on = calls.iter().find(|call| call.external_id.as_ref().is_some_and(is_its));
    let worked_on = worked_on.context("the API saw it")?;
    assert!(worked_on.start_ms < during.at_ms && during.at_ms < worked_on.end_ms, "{worked_on:?}");
    Ok(())
}

/// How often calls are made to be killed at the points at which nobody was killed so far. A worker with
/// two calls in its hands dies at the point of one of them, and the other is then cleared up.
const ROUNDS: u32 = 5;

/// The name of a call that is to be killed at a point.
fn key(point: (Step, Moment), round: u32) -> String {
    let (step, moment) = point;
    format!("{step:?}-{moment:?}-{round}")
}

/// Whether this step is at such a call's own point, in whatever round.
fn is_at((step, key): &StepOf, point: (Step, Moment)) -> bool {
    *step == point.0 && key.starts_with(&format!("{step:?}-{:?}-", point.1))
}

fn died_at(kill: &Kill, point: (Step, Moment)) -> bool {
    kill.moment == point.1 && kill.steps.iter().any(|step| is_at(step, point))
}

/// Kills workers at requests that chance chooses; `KILLS_SEED` replays the choice. (What the
/// machine schedules between the requests is its own.)
#[tokio::test]
async fn workers_killed_at_random_moments_leave_one_record_each() -> anyhow::Result<()> {
    let seed = match std::env::var("KILLS_SEED") {
        Ok(seed) => seed.parse().context("KILLS_SEED is a number")?,
        Err(_) => fastrand::u64(..),
    };
    eprintln!("KILLS_SEED={seed}");
    // The nth worker dies at its request of this number, if it gets so far.
    let mut chance = fastrand::Rng::with_seed(seed);
    let deaths: Vec<(u32, Moment)> = (0..8)
        .map(|_| {
            let moment = if chance.bool() { Moment::Before } else { Moment::After };
            (chance.u32(0..25), moment)
        })
        .collect();
    let plan = move |seen: &Seen, _: &[Kill]| {
        let (request, moment) = deaths.get(seen.worker)?;
        (seen.request == *request).then_some(*moment)
    };
    let (scenario, tap) = deploy("killed-at-random", plan).await?;
    let keys: Vec<String> = (1..=8).map(|number| format!("order-{number}")).collect();
    let done = run(&scenario, &keys).await;
    let kills = tap.kills();
    done.with_context(|| format!("KILLS_SEED={seed} replays {kills:#?}"))?;
    assert!(!kills.is_empty(), "KILLS_SEED={seed} kills nobody");
    check_recovery(&tap).with_context(|| format!("KILLS_SEED={seed} replays {kills:#?}"))
}

/// A killed worker's call is taken up again within its visibility time-out and half a minute. They
/// count from the last kill, since the worker that would have taken it up may be killed as well.
fn check_recovery(tap: &Tap) -> anyhow::Result<()> {
    let last_ms = tap.kills().iter().map(|kill| kill.at_ms).fold(0.0, f64::max);
    let longest_ms = f64::from(CALL_VISIBILITY_SECS + RECOVERY_SECS) * 1000.0;
    let steps = tap.steps();
    for kill in tap.kills() {
        // After its delete nothing of a call is left to be done.
        let left = |step: Step| (step, kill.moment) != (Step::Delete, Moment::After);
        for (_, key) in kill.steps.iter().filter(|(step, _)| left(*step)) {
            let later = steps.iter().filter(|at| at.key == *key && at.at_ms > kill.at_ms);
            let took_ms = later.map(|at| at.at_ms - last_ms).min_by(f64::total_cmp);
            ensure!(took_ms.is_some_and(|took| took <= longest_ms), "{took_ms:?} ms, {kill:?}");
        }
    }
    Ok(())
}

/// A stack whose workers speak through a proxy that follows `plan`, three at a time.
async fn deploy(
    name: &str,
    plan: impl Fn(&Seen, &[Kill]) -> Option<Moment> + Send + 'static,
) -> anyhow::Result<(Scenario, Tap)> {
    let tap = Tap::start(LATENCY / 2, plan).await?;
    let mut settings = settings();
    settings.sandbox.limit = 3;
    settings.sandbox.latency_ms = u64::try_from(LATENCY.as_millis())?;
    settings.parameters = vec![("ApiBaseUrl", tap.url().to_owned())];
    let scenario = Scenario::deploy(name, settings).await?;
    let sdk = scenario.stack.sdk();
    let aws = sdk.endpoint_url().context("a local AWS has a URL")?;
    tap.connect(aws, scenario.stack.sandbox().endpoint())?;

    let lambda = aws_sdk_lambda::Client::new(sdk);
    let worker = &scenario.stack.outputs().worker_function_name;
    let now = lambda.get_function_configuration().function_name(worker).send().await?;
    let mut variables = now.environment.and_then(|all| all.variables).unwrap_or_default();
    for (name, value) in [
        ("API_TIMEOUT_SECS", API_TIMEOUT_SECS.to_string()),
        ("CALL_VISIBILITY_SECS", CALL_VISIBILITY_SECS.to_string()),
        ("WORK_WINDOW_SECS", WORK_WINDOW_SECS.to_string()),
        ("FUNCTION_TIMEOUT_SECS", FUNCTION_TIMEOUT_SECS.to_string()),
        ("RING_VISIBILITY_SECS", RING_VISIBILITY_SECS.to_string()),
        ("API_SETTLES_AFTER_SECS", SETTLES_AFTER_SECS.to_string()),
        ("AWS_ENDPOINT_URL_DYNAMODB", tap.url().to_owned()),
        ("AWS_ENDPOINT_URL_SFN", tap.url().to_owned()),
        ("AWS_ENDPOINT_URL_SQS", tap.url().to_owned()),
    ] {
        variables.insert(name.to_owned(), value);
    }
    let environment = Environment::builder().set_variables(Some(variables)).build();
    lambda
        .update_function_configuration()
        .function_name(worker)
        .environment(environment)
        .timeout(FUNCTION_TIMEOUT_SECS)
        .send()
        .await?;
    let doorbell = scenario.stack.outputs().doorbell_queue_url.as_deref();
    aws_sdk_sqs::Client::new(sdk)
        .set_queue_attributes()
        .queue_url(doorbell.context("the wiring is doorbell")?)
        .attributes(QueueAttributeName::VisibilityTimeout, RING_VISIBILITY_SECS.to_string())
        .send()
        .await?;
    Ok((scenario, tap))
}

/// Runs a workflow for each key, all at once, and checks that each ends with the one record that
/// the API has for it.
async fn run(scenario: &Scenario, keys: &[String]) -> anyhow::Result<()> {
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let inputs: Vec<Value> = keys.iter().map(|key| create("NORMAL", key)).collect();
    let workflows = inputs.iter().map(|input| scenario.execute(machine, input));
    let ended: Vec<Ended> = futures::future::try_join_all(workflows).await?;
    // What was not deleted comes back, and must have no second effect either.
    let settled = scenario.stack.settle(Duration::from_secs(120)).await?;
    ensure!(settled, "messages were left in the queues");
    let calls = scenario.stack.sandbox().report().await?.calls;
    for (key, ended) in keys.iter().zip(&ended) {
        ensure!(ended.status == ExecutionStatus::Succeeded, "{key}: {ended:?}");
        ensure!(ended.output["id"].is_string(), "{key}: {ended:?}");
        let created = calls
            .iter()
            .filter(|call| call.external_id.as_ref() == Some(key) && call.has_effect())
            .count();
        ensure!(created == 1, "{key} was created {created} times: {calls:#?}");
    }
    let ids: HashSet<_> = ended.iter().map(|ended| ended.output["id"].to_string()).collect();
    ensure!(ids.len() == keys.len(), "two workflows got one record: {ended:#?}");
    ensure!(scenario.stack.sandbox().stats().await?.duplicate_effects == 0, "{calls:#?}");
    ensure!(scenario.dead_letters().await? == 0, "nothing was given up");
    Ok(())
}
