//! The crate `netsuite` doing what `examples/measure.rs` does with ours.

use std::{
    error::Error,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use netsuite::{Config, RestApi};
use serde::Deserialize;

#[derive(Deserialize)]
struct Credentials {
    account_id: String,
    consumer_key: String,
    consumer_secret: String,
    token_id: String,
    token_secret: String,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    #[expect(dead_code, reason = "read, as by someone who wants it")]
    tranid: Option<String>,
    #[expect(dead_code, reason = "read, as by someone who wants it")]
    memo: Option<String>,
    #[expect(dead_code, reason = "read, as by someone who wants it")]
    entity: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, credentials, what, count, limit] = &args[..] else {
        return Err("see measure.rs".into());
    };
    let (count, limit): (usize, u8) = (count.parse()?, limit.parse()?);
    let keys: Credentials = serde_json::from_slice(&std::fs::read(credentials)?)?;
    let config = Config::new(
        keys.account_id,
        keys.consumer_key,
        keys.consumer_secret,
        keys.token_id,
        keys.token_secret,
    );
    let mut api = RestApi::new(config).with_base_url(format!("{url}/services/rest"));
    api.suiteql.set_threads(limit.try_into()?);
    // A call before the clock starts, as the others make one. It may meet a 429.
    api.get_raw("system/v1/serverTime", None, None).ok();
    let start = Instant::now();
    let done = if what == "rows" { rows(&api)? } else { upserts(&api, count, limit) };
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({"done": done, "seconds": seconds, "peak_mb": peak_megabytes()?})
    );
    Ok(())
}

/// All pages in memory is its only way. It takes no parameters, so the value stands in the text.
fn rows(api: &RestApi) -> Result<usize, Box<dyn Error>> {
    let query =
        "SELECT id, tranid, memo, entity FROM transaction WHERE type = 'SalesOrd' ORDER BY id";
    let rows: Vec<Row> = api.suiteql.fetch_all(query)?;
    Ok(rows.iter().filter(|row| row.id.parse::<u64>().is_ok()).count())
}

/// The crate is synchronous and has no limit of its own: one thread for each permit.
fn upserts(api: &RestApi, count: usize, limit: u8) -> usize {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = || loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= count {
            return;
        }
        let order = serde_json::json!({
            "entity": {"id": "7"},
            "memo": format!("order {n}"),
            "item": {"items": [{"item": {"id": "3"}, "quantity": 2}]},
        });
        // Its type for query parameters is private, so `replace` cannot be said; these orders are
        // new, so there is nothing to replace.
        let path = format!("record/v1/salesOrder/eid:order-{n}");
        if api.put_raw(&path, None, None, Some(&order.to_string())).is_ok() {
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..limit {
            scope.spawn(worker);
        }
    });
    done.load(Ordering::Relaxed)
}

fn peak_megabytes() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    Ok(peak.ok_or("no VmHWM")?.trim().parse::<f64>()? / 1024.0)
}
