//! What must hold whatever a server answers. The tests here call these with made-up input, and so
//! do the fuzz targets below `fuzz/`, which take in this very file.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use slowlane_netsuite::{Class, Error, Method, Request};

use crate::support::{HandClock, HttpRequest, json as json_answer, scripted};

/// The error a client makes of one answer to a write.
pub(crate) fn error_of(answer: http::Response<Bytes>) -> Error {
    error_of_request(Request::new(Method::PATCH, "salesOrder/1").unwrap(), answer)
}

/// The error a client makes of one answer to this request.
pub(crate) fn error_of_request(request: Request, answer: http::Response<Bytes>) -> Error {
    run(async {
        let (builder, _) = scripted(move |_| {
            let answer = answer.clone();
            async { Ok(answer) }
        });
        let client = builder.clock(HandClock::at(784_111_770)).build().unwrap();
        client.send(request).await.unwrap_err()
    })
}

/// No body makes the parser panic or lose something, and neither a 5xx nor a 429 is taken for a
/// definite "no".
pub(crate) fn an_error_body_is_survived_and_kept(status: u16, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    if text.contains("token-") {
        // What looks like the access token is blacked out, which has a test of its own.
        return;
    }
    let answer = http::Response::builder().status(status).body(Bytes::copy_from_slice(body));
    let error = error_of(answer.unwrap());
    let cut = text.floor_char_boundary(64 * 1024);
    assert_eq!(error.body(), (!text.is_empty()).then_some(&text[..cut]));
    assert!(status < 500 || error.class() != Class::Rejected, "{error}");
    assert!(status != 429 || error.class() == Class::Throttled, "{error}");
    let read: Option<Value> = serde_json::from_str(&text).ok();
    let list = read.as_ref().and_then(|body| body.get("o:errorDetails")?.as_array());
    if let Some(list) = list {
        assert_eq!(error.details().len(), list.len());
        for (detail, entry) in error.details().iter().zip(list) {
            assert_eq!(detail.code.as_deref(), entry.get("o:errorCode").and_then(Value::as_str));
        }
    }
    assert!(!format!("{error} {error:?}").is_empty());
}

/// A page as a server gives it, in good faith or bad: the rows' ids, `hasMore`, `totalResults`.
pub(crate) type Told = (Vec<i64>, bool, Option<u64>);

/// Whatever a server says of its pages, their rows come once and in order, and the stream ends.
///
/// The server begins again with the first page after the last.
pub(crate) fn pages_come_in_order_and_end(
    pages: &[Told],
    page_rows: u16,
    pages_at_once: usize,
    by_key: bool,
) {
    if pages.is_empty() {
        return;
    }
    let all = Rows(pages.into());
    let (server, asked) = (all.clone(), Arc::new(AtomicUsize::new(0)));
    let (builder, log) = scripted(move |request| {
        let (limit, offset) = paging(&request);
        let nth = asked.fetch_add(1, Ordering::Relaxed);
        let page = server.page(if by_key { nth } else { (offset / limit) as usize });
        async { Ok(json_answer(200, page)) }
    });
    let client = builder.build().unwrap();
    let text = if by_key { "SELECT id FROM t WHERE id > ? ORDER BY id ASC" } else { "q" };
    let mut query = client.suiteql(text).page_rows(page_rows).pages_at_once(pages_at_once);
    if by_key {
        query = query.keyset("id");
    }
    let mut got: Vec<Value> = Vec::new();
    run(async {
        let mut rows = query.rows();
        while let Some(Ok(row)) = rows.next().await {
            got.push(row);
        }
    });
    assert_eq!(got, all.first(got.len()));
    assert!(!by_key || got.is_sorted_by(|one, next| one["id"].as_i64() < next["id"].as_i64()));
    assert!(log.calls().len() <= 1000, "NetSuite gives no more pages of one query");
}

/// All rows of a server that tells the same pages over and over.
#[derive(Clone)]
struct Rows(Arc<[Told]>);

impl Rows {
    fn items(&self, page: usize) -> impl Iterator<Item = Value> {
        let (ids, ..) = &self.0[page % self.0.len()];
        let item = move |(row, id)| json!({"id": id, "page": page, "row": row});
        ids.iter().enumerate().map(item)
    }

    fn page(&self, page: usize) -> Value {
        let (_, has_more, total) = &self.0[page % self.0.len()];
        let items: Vec<Value> = self.items(page).collect();
        json!({"items": items, "hasMore": has_more, "totalResults": total})
    }

    fn first(&self, count: usize) -> Vec<Value> {
        (0..).flat_map(|page| self.items(page)).take(count).collect()
    }
}

/// The `limit` and the `offset` of a request for a page.
pub(crate) fn paging(request: &HttpRequest) -> (u64, u64) {
    let query = request.uri().query().unwrap().as_bytes();
    let number = |name: &str| {
        let (_, value) = url::form_urlencoded::parse(query).find(|(n, _)| n == name).unwrap();
        value.parse().unwrap()
    };
    (number("limit"), number("offset"))
}

/// Runs a future to its end.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
