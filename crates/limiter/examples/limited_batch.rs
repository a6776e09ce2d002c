//! A batch that several machines work on together: a model of 30,000 tokens a minute, four calls at
//! once in all, and a day's quota.
//!
//! ```sh
//! LIMITS_TABLE=limits cargo run -p slowlane-limiter --example limited_batch -- prompts.txt
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use slowlane_limiter::{
    Decision, DynamoDbStore, Entered, Horizon, LimitKey, Limiter, Quota, Rate, Settings, SlotId,
    Standing, Store, Waiting,
};

/// Tokens of the largest answer that is asked for.
const GREATEST_OUTPUT: u64 = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("which file of prompts?")?;
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_dynamodb::Client::new(&aws);
    let store = DynamoDbStore::new(client, std::env::var("LIMITS_TABLE")?);
    let limiter = limiter(store, &format!("process {}", std::process::id()), settings())?;
    let prompts = std::fs::read_to_string(file)?;
    let done = run(&limiter, prompts.lines(), ask).await?;
    eprintln!("{done} prompts done");
    Ok(())
}

pub(crate) fn settings() -> Settings {
    Settings {
        rates: vec![Rate::tokens(30_000, Duration::from_secs(60), 4_000)],
        quotas: vec![Quota::daily(1_000_000, "UTC").in_units(4_000)],
        ceiling: 4,
        horizon: Horizon::Fixed(Duration::from_secs(2)),
        ..Settings::default()
    }
}

pub(crate) fn limiter<S: Store>(
    store: S,
    slot: &str,
    settings: Settings,
) -> Result<Limiter<S>, Box<dyn Error>> {
    Ok(Limiter::new(store, LimitKey::new("model")?, SlotId::new(slot)?, settings)?)
}

/// Asks each prompt once; says how many were asked before it had to stand down.
pub(crate) async fn run<S: Store>(
    limiter: &Limiter<S>,
    prompts: impl Iterator<Item = &str>,
    ask: impl AsyncFn(&str) -> u64,
) -> Result<u64, Box<dyn Error>> {
    let mut permit = loop {
        match limiter.enter().await? {
            Entered::Permit(permit) => break permit,
            Entered::Refused(waiting) => wait(limiter, &waiting).await,
        }
    };
    let mut done = 0;
    for prompt in prompts {
        let estimate = prompt.len() as u64 / 4 + GREATEST_OUTPUT;
        let grant = loop {
            match limiter.grant(estimate).await? {
                Decision::Granted(grant) => break grant,
                Decision::Refused(waiting) => wait(limiter, &waiting).await,
            }
        };
        tokio::time::sleep(limiter.until(grant.at())).await;
        let start = Instant::now();
        let used = ask(prompt).await;
        limiter.settle(&grant, used).await?;
        limiter.answered(prompt, start.elapsed()).await;
        done += 1;
        if permit.keep().await? != Standing::Stays {
            break;
        }
    }
    permit.leave().await?;
    Ok(done)
}

async fn wait<S: Store>(limiter: &Limiter<S>, waiting: &Waiting) {
    eprintln!("waiting: {}", waiting.reason);
    let until = waiting.until.map(|until| limiter.until(until));
    tokio::time::sleep(until.unwrap_or(Duration::from_secs(5))).await;
}

/// Stands for the call of a model; says how many tokens it used.
async fn ask(prompt: &str) -> u64 {
    prompt.len() as u64 / 4 + 120
}
