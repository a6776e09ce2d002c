//! Writes an order, loses the answer, and still ends with one order.
//!
//! `cargo run -p slowlane-netsuite --example orders`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod support;

use serde_json::{Value, json};
use slowlane_netsuite::{Class, ExternalId, Lines, View};
use slowlane_netsuite_sandbox::Clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (builder, sandbox) = support::sandbox().await?;
    let client = builder.build()?;
    let orders = client.records("salesOrder")?.strict();
    let id = ExternalId::new("web-1001")?;
    let order = json!({
        "entity": {"id": "107"},
        "item": {"items": [{"item": {"id": "33"}, "quantity": 2}]},
    });

    // The sandbox will save the next write and then close the connection without an answer.
    let fault = "drop-after-commit".parse()?;
    if let Ok(mut sandbox) = sandbox.lock() {
        sandbox.inject(fault, Clock::system().now());
    }
    let saved = match orders.upsert(&id, &order, Lines::replace(["item"])).await {
        Err(error) if error.class() == Class::Unknown => {
            println!("its fate is unknown: {error}");
            // An upsert that replaces its lines can be done twice; a create could not.
            orders.upsert(&id, &order, Lines::replace(["item"])).await?
        }
        outcome => outcome?,
    };
    let whole: Value = orders.view(&id, &View::whole().expand_sub_resources()).await?;
    let lines = whole["item"]["items"].as_array().map_or(0, Vec::len);
    println!("order {:?} has {lines} line", saved.id);

    let forgotten = orders.update(&id, &order, Lines::none()).await;
    println!(
        "without saying what is meant: {:?}",
        forgotten.map(|_| ()).map_err(|e| e.to_string())
    );
    Ok(())
}
