//! Any pages from a server: the stream of rows ends, and does not panic.
#![no_main]

mod support;

use futures::TryStreamExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|input: (Vec<(Vec<i64>, bool, Option<u64>)>, u16, u8, bool)| {
    let (pages, page_rows, at_once, by_key) = input;
    let client = support::client(move |n| {
        let (ids, more, total) = pages.get(n).cloned().unwrap_or_default();
        let items: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        (200, json!({"items": items, "hasMore": more, "totalResults": total}).to_string().into_bytes())
    });
    let mut query = client.suiteql("q").page_rows(page_rows).pages_at_once(at_once.into());
    if by_key {
        query = query.keyset("id");
    }
    let _ = support::run(query.rows::<serde_json::Value>().try_collect::<Vec<_>>());
});
