//! Our part of the comparison with other clients, which `compare/compare.py` runs. It streams a
//! query, or upserts orders, against a sandbox that runs elsewhere, and prints what it did as JSON.
//!
//! `measure URL CREDENTIALS.json rows|rows-one-by-one|upserts COUNT LIMIT`
#![expect(clippy::print_stdout, reason = "its result goes to the one who started it")]

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use slowlane_netsuite::{
    AccountId, Auth, Client, Error, ExternalId, Lines, OAuth2, Response, Retry, Url,
};
use tokio::time::Instant;

#[derive(Deserialize)]
struct Credentials {
    account_id: String,
    client_id: String,
    certificate_id: String,
    private_key_pem: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read, as by someone who wants it")]
struct Row {
    id: String,
    tranid: Option<String>,
    memo: Option<String>,
    entity: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, credentials, what, count, limit] = &args[..] else {
        anyhow::bail!(
            "usage: measure URL CREDENTIALS.json rows|rows-one-by-one|upserts COUNT LIMIT"
        );
    };
    let (count, limit): (usize, usize) = (count.parse()?, limit.parse()?);
    let client = client(url, credentials, limit)?;
    client.server_time().await.context("signing in")?;
    let start = Instant::now();
    let done = match what.as_str() {
        "rows" => rows(&client, limit).await?,
        "rows-one-by-one" => rows(&client, 1).await?,
        "upserts" => upserts(&client, count, limit).await,
        other => anyhow::bail!("{other} is not something to measure"),
    };
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", json!({"done": done, "seconds": seconds, "peak_mb": peak_megabytes()?}));
    Ok(())
}

fn client(url: &str, credentials: &str, limit: usize) -> anyhow::Result<Client> {
    let credentials: Credentials = serde_json::from_slice(&std::fs::read(credentials)?)?;
    let auth = Auth::oauth2(OAuth2 {
        client_id: credentials.client_id,
        certificate_id: credentials.certificate_id,
        private_key_pem: credentials.private_key_pem.into(),
        algorithm: None,
    })?;
    let builder = Client::builder(AccountId::new(credentials.account_id)?, auth);
    Ok(builder.base_url(Url::parse(url)?)?.max_in_flight(limit).retry(Retry::default()).build()?)
}

/// Reads all orders of the sandbox, and counts those whose id is a number.
async fn rows(client: &Client, pages_at_once: usize) -> anyhow::Result<usize> {
    let rows = client
        .suiteql("SELECT id, tranid, memo, entity FROM transaction WHERE type = ? ORDER BY id")
        .bind("SalesOrd")
        .pages_at_once(pages_at_once)
        .rows::<Row>();
    let is_whole = |row: Row| usize::from(row.id.parse::<u64>().is_ok());
    Ok(rows.try_fold(0, |count, row| async move { Ok(count + is_whole(row)) }).await?)
}

/// Upserts as many orders, and counts the successes. More are begun than may be sent, so that the
/// client always has one that waits for a permit.
async fn upserts(client: &Client, count: usize, limit: usize) -> usize {
    let begun = stream::iter(0..count).map(|n| tokio::spawn(upsert(client.clone(), n)));
    let done = |outcome: &_| std::future::ready(matches!(outcome, Ok(Ok(_))));
    begun.buffer_unordered(limit * 2).filter(done).count().await
}

async fn upsert(client: Client, n: usize) -> Result<Response, Error> {
    let id = ExternalId::new(format!("order-{n}"))?;
    let order = json!({
        "entity": {"id": "7"},
        "memo": format!("order {n}"),
        "item": {"items": [{"item": {"id": "3"}, "quantity": 2}]},
    });
    client.records("salesOrder")?.upsert(&id, &order, Lines::replace(["item"])).await
}

/// The most memory this process has had, as Linux counts it.
fn peak_megabytes() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    Ok(peak.context("no VmHWM")?.trim().parse::<f64>()? / 1024.0)
}
