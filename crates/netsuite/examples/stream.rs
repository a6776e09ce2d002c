//! Streams 5,000 rows of a query, one page in memory at a time.
//!
//! `cargo run -p slowlane-netsuite --example stream`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod support;

use futures::TryStreamExt as _;
use serde::Deserialize;
use serde_json::json;
use slowlane_netsuite_sandbox::Clock;

#[derive(Deserialize)]
struct Order {
    id: String,
    memo: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (builder, sandbox) = support::sandbox().await?;
    let seed = json!({"type": "salesOrder", "count": 5000, "fields": {"memo": "of the example"}});
    if let Ok(mut sandbox) = sandbox.lock() {
        let seeded = sandbox.seed(&serde_json::from_value(seed)?, Clock::system().now());
        anyhow::ensure!(seeded.is_ok(), "{seeded:?}");
    }
    let client = builder.build()?;

    let mut orders = client
        .suiteql("SELECT id, memo FROM transaction WHERE type = ? AND id > ? ORDER BY id ASC")
        .bind("SalesOrd")
        .keyset("id")
        .rows::<Order>();
    let (mut count, mut last) = (0, None);
    while let Some(order) = orders.try_next().await? {
        count += 1;
        last = Some(order);
    }
    if let Some(Order { id, memo }) = last {
        println!("{count} orders, the last {id} with {memo:?}");
    }
    Ok(())
}
