//! SuiteQL against a table that keeps NetSuite's paging rules.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::LocalKey,
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use slowlane_netsuite::{Class, ClientBuilder, MAX_ROWS};

use crate::{
    checks::{pages_come_in_order_and_end, paging},
    support::{Log, json as json_answer, refusal, scripted},
};

#[derive(Debug, Deserialize, PartialEq)]
struct Row {
    id: String,
    memo: Option<String>,
}

/// A table of rows with the ids 0, 1, 2, …, or every `step`-th. It keeps NetSuite's rules: limit at
/// most 1,000, offset divisible by limit, 1,000 pages and 100,000 rows at most. With a parameter it
/// holds those whose id is greater.
fn table(rows: u64, step: u64) -> (ClientBuilder, Log) {
    scripted(move |request| async move {
        let (limit, offset) = paging(&request);
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let after =
            body["params"].as_array().and_then(|params| params.last()).and_then(Value::as_i64);
        if limit == 0
            || limit > 1000
            || offset % limit != 0
            || offset + limit > MAX_ROWS
            || offset / limit >= 1000
        {
            return Ok(refusal(400, &["INVALID_PARAMETER"]));
        }
        let first = after.map_or(0, |after| (after + 1).max(0) as u64).div_ceil(step).min(rows);
        let page = first + offset..(first + offset + limit).min(rows);
        let left = rows - first;
        let has_more = page.end < rows;
        // Written by hand, because these tests read some hundred thousand rows.
        let items: Vec<String> =
            page.map(|n| format!(r#"{{"links":[],"id":"{}"}}"#, n * step)).collect();
        let body = format!(
            r#"{{"hasMore":{has_more},"totalResults":{left},"items":[{}]}}"#,
            items.join(",")
        );
        Ok(http::Response::new(Bytes::from_owner(Body(body, Alive::new(&BODIES)))))
    })
}

thread_local! {
    /// How many there are now, and the most there have been. Each test has a thread of its own.
    static BODIES: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    static ROWS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Is counted as long as it lives.
struct Alive(&'static LocalKey<Cell<(usize, usize)>>);

impl Alive {
    fn new(count: &'static LocalKey<Cell<(usize, usize)>>) -> Self {
        let (now, most) = count.get();
        count.set((now + 1, most.max(now + 1)));
        Self(count)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let (now, most) = self.0.get();
        self.0.set((now - 1, most));
    }
}

/// An answer's body.
struct Body(String, #[expect(dead_code, reason = "it counts by being there")] Alive);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A row of which only the number counts.
struct CountedRow(#[expect(dead_code, reason = "it counts by being there")] Alive);

impl<'de> Deserialize<'de> for CountedRow {
    fn deserialize<D: serde::Deserializer<'de>>(row: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(row)?;
        Ok(Self(Alive::new(&ROWS)))
    }
}

#[tokio::test]
async fn memory_is_bounded_by_the_pages_asked_for_at_once() {
    for (pages_at_once, by_key) in [(1, true), (1, false), (4, false)] {
        let (builder, _) = table(20_000, 1);
        let text = if by_key { "SELECT id FROM t WHERE id > ? ORDER BY id ASC" } else { "q" };
        let mut query = builder.build().unwrap().suiteql(text).pages_at_once(pages_at_once);
        if by_key {
            query = query.keyset("id");
        }
        BODIES.set((0, 0));
        ROWS.set((0, 0));
        let mut rows = query.rows::<CountedRow>();
        let mut seen = 0;
        while rows.next().await.transpose().unwrap().is_some() {
            seen += 1;
        }
        let (now, most) = ROWS.get();
        assert_eq!((seen, now), (20_000, 0));
        assert!((1000..=pages_at_once * 1000).contains(&most), "{most} rows at {pages_at_once}");
        assert_eq!(BODIES.get(), (0, 1), "a body is dropped as soon as it is read");
    }
}

#[tokio::test]
async fn values_are_bound_and_never_part_of_the_text() {
    let (builder, log) = table(1, 1);
    let client = builder.build().unwrap();
    let evil = "x'; DROP TABLE transaction --";
    let rows: Vec<Row> = client
        .suiteql("SELECT id FROM transaction WHERE memo = ? AND n < ? AND b = ?")
        .bind(evil)
        .bind(7)
        .bind(true)
        .rows()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows, [Row { id: "0".into(), memo: None }]);
    let sent = &log.calls()[0];
    assert_eq!(
        sent.uri().path_and_query().unwrap(),
        "/services/rest/query/v1/suiteql?limit=1000&offset=0"
    );
    assert_eq!(
        (sent.method().as_str(), sent.headers()["prefer"].to_str().unwrap()),
        ("POST", "transient")
    );
    let body: Value = serde_json::from_slice(sent.body()).unwrap();
    assert_eq!(
        body,
        json!({"q": "SELECT id FROM transaction WHERE memo = ? AND n < ? AND b = ?", "params": [evil, 7, true]})
    );
}

#[tokio::test]
async fn a_query_has_as_many_marks_as_values() {
    let (builder, log) = table(1, 1);
    let client = builder.build().unwrap();
    let fits = "SELECT id FROM t -- don't ask?\n WHERE a = ? AND b = 'is it?' AND \"c?\" = 'it''s ?' \
                /* what's \" this? */ AND 7 / 2 - 1 < 5 AND id > ?";
    client.suiteql(fits).bind(1).keyset("id").rows::<Row>().try_next().await.unwrap();
    client.suiteql(fits).bind(1).bind(2).rows::<Row>().try_next().await.unwrap();
    let sent = log.calls().len();
    for query in [
        client.suiteql(fits).bind(1),
        client.suiteql(fits).keyset("id"),
        client.suiteql(fits).bind(1).bind(2).keyset("id"),
        client.suiteql("SELECT id FROM t").bind(1),
    ] {
        let error = query.rows::<Row>().try_next().await.unwrap_err();
        assert_eq!(error.class(), Class::Rejected);
        assert!(error.to_string().contains("as many `?` as values"), "{error}");
    }
    assert_eq!(log.calls().len(), sent, "nothing more was sent");
}

#[tokio::test]
async fn a_page_is_fetched_when_it_is_needed_and_not_before() {
    let (builder, log) = table(95, 1);
    let client = builder.build().unwrap();
    let mut rows = client.suiteql("SELECT id FROM t").page_rows(10).rows::<Row>();
    assert_eq!(log.calls().len(), 0, "nothing before the first poll");
    for expected in 0..95 {
        assert_eq!(rows.next().await.unwrap().unwrap().id, expected.to_string());
        assert_eq!(log.calls().len(), expected / 10 + 1);
    }
    assert!(rows.next().await.is_none());
    assert_eq!(log.calls().len(), 10);
}

#[tokio::test]
async fn the_ceiling_is_an_error_by_offset_and_no_obstacle_by_key() {
    let (builder, _) = table(100_001, 1);
    let client = builder.build().unwrap();
    let mut seen = 0;
    let error = client
        .suiteql("q")
        .rows::<Row>()
        .try_for_each(|_| {
            seen += 1;
            async { Ok(()) }
        })
        .await
        .unwrap_err();
    assert_eq!((seen, error.class()), (100_000, Class::Rejected));
    assert!(error.to_string().contains("page by `keyset`"), "{error}");

    let (builder, log) = table(100_001, 3);
    let client = builder.build().unwrap();
    let ids: Vec<Row> = client
        .suiteql("SELECT id FROM t WHERE id > ? ORDER BY id ASC")
        .keyset("ID")
        .rows()
        .try_collect()
        .await
        .unwrap();
    assert_eq!((ids.len(), ids[100_000].id.as_str()), (100_001, "300000"));
    let last: Value = serde_json::from_slice(log.calls()[100].body()).unwrap();
    assert_eq!(last["params"], json!([299_997]));
    assert!(log.calls().iter().all(|call| paging(call) == (1000, 0)));
}

#[tokio::test]
async fn small_pages_lower_the_ceiling_and_a_result_may_reach_it() {
    let (builder, log) = table(2000, 1);
    let rows = builder.build().unwrap().suiteql("q").page_rows(2).rows::<Row>();
    assert_eq!(
        (rows.try_collect::<Vec<_>>().await.unwrap().len(), log.calls().len()),
        (2000, 1000)
    );

    let (builder, log) = table(2001, 1);
    let mut seen = 0;
    let rows = builder.build().unwrap().suiteql("q").page_rows(2).rows::<Row>();
    let count = |_| {
        seen += 1;
        async { Ok(()) }
    };
    let error = rows.try_for_each(count).await.unwrap_err();
    assert_eq!((seen, log.calls().len(), error.class()), (2000, 1000, Class::Rejected), "{error}");
}

#[tokio::test]
async fn keys_that_do_not_ascend_are_an_error_and_not_a_loss() {
    let cases = [
        json!([{"id": 2}, {"id": 1}]),
        json!([{"id": 1}, {"id": 1}]),
        json!([{"name": "x"}]),
        json!([{"id": "one"}]),
    ];
    for items in cases {
        let page = json!({"items": items, "hasMore": true});
        let (builder, _) = scripted(move |_| {
            let page = page.clone();
            async move { Ok(json_answer(200, page)) }
        });
        let query = builder.build().unwrap().suiteql("SELECT id FROM t WHERE id > ?").keyset("id");
        let error = query.rows::<Value>().try_collect::<Vec<_>>().await.unwrap_err();
        assert!(error.class() == Class::Rejected && error.to_string().contains("`id`"), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_comes_again_on_the_last_page_is_an_error_too() {
    let (builder, log) = scripted(|request| async move {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let first = body["params"][0].as_i64().unwrap() < -1_000_000;
        let items = if first { json!([{"id": "-5"}, {"id": "1"}]) } else { json!([{"id": "1"}]) };
        Ok(json_answer(200, json!({"items": items, "hasMore": first})))
    });
    let query = builder.build().unwrap().suiteql("WHERE id >= ? ORDER BY id").keyset("id");
    let got: Vec<_> = query.rows::<Row>().collect().await;
    assert_eq!((got.len(), log.calls().len()), (3, 2), "negative ids are not passed over");
    assert!(got[2].as_ref().unwrap_err().to_string().contains("does not ascend (1 after 1)"));
}

#[tokio::test]
async fn a_row_of_another_shape_is_an_error_and_ends_the_stream() {
    let (builder, _) = scripted(|_| async {
        Ok(json_answer(200, json!({"items": [{"id": 7}], "hasMore": true})))
    });
    let rows = builder.build().unwrap().suiteql("q").rows::<Row>();
    let all: Vec<_> = rows.collect().await;
    assert_eq!(all.len(), 1);
    let error = all[0].as_ref().unwrap_err();
    assert_eq!(
        (error.class(), error.is_safe_to_repeat()),
        (Class::Rejected, false),
        "a read that cannot be read is of no use again"
    );
    assert!(
        std::error::Error::source(error).unwrap().to_string().contains("invalid type"),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn pages_at_once_are_fetched_together_and_come_in_order() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let high = most.clone();
    let (builder, log) = scripted(move |request| {
        let (run, high) = (running.clone(), high.clone());
        async move {
            high.fetch_max(run.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let (limit, offset) = paging(&request);
            // The later the page the sooner its answer.
            tokio::time::sleep(std::time::Duration::from_millis(2000 - offset)).await;
            run.fetch_sub(1, Ordering::Relaxed);
            let items: Vec<Value> =
                (offset..offset + limit).map(|id| json!({"id": id.to_string()})).collect();
            Ok(json_answer(
                200,
                json!({"items": items, "hasMore": offset < 900, "totalResults": 1000}),
            ))
        }
    });
    let query = builder.build().unwrap().suiteql("q").page_rows(100).pages_at_once(4);
    let rows: Vec<Row> = query.rows().try_collect().await.unwrap();
    assert!(rows.iter().enumerate().all(|(n, row)| row.id == n.to_string()) && rows.len() == 1000);
    assert_eq!((most.load(Ordering::Relaxed), log.calls().len()), (4, 10));
}

#[tokio::test]
async fn pages_at_once_meet_the_same_ceiling_and_what_was_added_meanwhile() {
    let (builder, _) = table(2050, 1);
    let mut seen = 0;
    let query = builder.build().unwrap().suiteql("q").page_rows(2).pages_at_once(8);
    let count = |_| {
        seen += 1;
        async { Ok(()) }
    };
    let error = query.rows::<Row>().try_for_each(count).await.unwrap_err();
    assert_eq!((seen, error.class()), (2000, Class::Rejected));

    let (builder, _) = scripted(|request| async move {
        let (_, offset) = paging(&request);
        let (total, more) = if offset == 0 { (20, true) } else { (40, offset < 30) };
        Ok(json_answer(
            200,
            json!({"items": vec![json!({"id": offset.to_string()}); 10], "hasMore": more, "totalResults": total}),
        ))
    });
    let query = builder.build().unwrap().suiteql("q").page_rows(10).pages_at_once(3);
    assert_eq!(query.rows::<Row>().try_collect::<Vec<_>>().await.unwrap().len(), 40);
}

#[tokio::test]
async fn dropping_the_stream_stops_the_fetching() {
    let (builder, log) = table(5000, 1);
    let client = builder.build().unwrap();
    let first: Vec<Row> =
        client.suiteql("q").page_rows(100).rows().take(150).try_collect().await.unwrap();
    assert_eq!((first.len(), log.calls().len()), (150, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the sizes, every row comes once and in order, in the least number of pages.
    #[test]
    fn paging_loses_and_repeats_nothing(rows in 0u64..400, page_rows in 1u16..60, step in 1u64..5, at_once in 1usize..6, by_key: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (builder, log) = table(rows, step);
            let text = if by_key { "SELECT id FROM t WHERE id > ? ORDER BY id ASC" } else { "q" };
            let mut query = builder.build().unwrap().suiteql(text).page_rows(page_rows).pages_at_once(at_once);
            if by_key {
                query = query.keyset("id");
            }
            let got: Vec<Row> = query.rows().try_collect().await.unwrap();
            let expected: Vec<String> = (0..rows).map(|n| (n * step).to_string()).collect();
            assert_eq!(got.into_iter().map(|row| row.id).collect::<Vec<_>>(), expected);
            assert_eq!(log.calls().len() as u64, rows.div_ceil(u64::from(page_rows)).max(1));
        });
    }

    #[test]
    fn any_pages_come_in_order_and_end(
        pages in proptest::collection::vec((proptest::collection::vec(-3i64..50, 0..4), any::<bool>(), any::<Option<u64>>()), 1..6),
        page_rows in 400u16..=1000,
        at_once in 1usize..6,
        by_key: bool,
    ) {
        pages_come_in_order_and_end(&pages, page_rows, at_once, by_key);
    }
}
