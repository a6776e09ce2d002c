//! Hands in a batch twice under one key: one job, and each record made once.
//!
//! `cargo run -p slowlane-netsuite --example batch`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod support;

use serde_json::json;
use slowlane_netsuite::{IdempotencyKey, Poll};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (builder, sandbox) = support::sandbox().await?;
    let customers = builder.build()?.records("customer")?;
    let key = IdempotencyKey::new("cac827ea-3543-4cda-add2-bae634326c27")?;
    let bodies: Vec<_> = (1..=20)
        .map(|n| json!({"companyName": format!("Company {n}"), "subsidiary": {"id": "1"}}))
        .collect();

    let job = customers.batch_create(&bodies, &key).await?;
    let again = customers.batch_create(&bodies, &key).await?;
    println!("job {}, and once more job {} (replayed: {})", job.id(), again.id(), again.replayed());

    let end = job.wait(&Poll::default()).await?;
    println!("it has {}", end.progress);
    for task in job.tasks().await?.iter().take(3) {
        match job.result(task).await {
            Ok(made) => println!("task {task}: {:?}", made.id),
            Err(error) => println!("task {task}: {error}"),
        }
    }
    let made = sandbox.lock().map(|sandbox| sandbox.report().records_created);
    println!("records made: {}", made.unwrap_or_default());
    Ok(())
}
