//! SuiteQL: queries with bound parameters, and their rows as a stream.

use std::collections::HashMap;

use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, FuturesOrdered},
};
use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use crate::{Class, Client, Error, Invalid, Request, request::Service, response::Answer};

/// The most rows NetSuite returns for one query, however it is paged.
pub const MAX_ROWS: u64 = 100_000;
/// The most pages NetSuite returns for one query, so small pages lower [`MAX_ROWS`].
const MAX_PAGES: u64 = 1000;
/// The largest page.
const MAX_PAGE_ROWS: u64 = 1000;

/// A query; from [`Client::suiteql`].
///
/// ```no_run
/// # async fn example(client: slowlane_netsuite::Client) -> Result<(), slowlane_netsuite::Error> {
/// use futures::TryStreamExt as _;
///
/// #[derive(serde::Deserialize)]
/// struct Order { id: String, tranid: Option<String> }
///
/// let mut orders = client
///     .suiteql("SELECT id, tranid FROM transaction WHERE type = ? ORDER BY id")
///     .bind("SalesOrd")
///     .rows::<Order>();
/// while let Some(order) = orders.try_next().await? {
///     println!("{} {:?}", order.id, order.tranid);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct SuiteQl {
    client: Client,
    text: String,
    params: Vec<Param>,
    page_rows: u64,
    pages_at_once: usize,
    keyset: Option<String>,
}

/// A value for a `?` of a query. It travels beside the text and is never a part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Param(Value);

macro_rules! param_from {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Param {
            fn from(value: $kind) -> Self {
                Self(value.into())
            }
        }
    )*};
}
param_from!(&str, String, bool, i32, i64, u32, u64, f64);

/// One page of a result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The rows, at most as many as the page size.
    pub rows: Vec<T>,
    /// How many rows the query has in all, as NetSuite counted them for this page. With keyset
    /// paging: how many are left, this page included.
    pub total: Option<u64>,
}

impl Client {
    /// A SuiteQL query. Write `?` for each value and [`bind`](SuiteQl::bind) them in order; values
    /// glued into the text are an injection waiting to happen.
    ///
    /// Result columns come in lower case, numbers often as strings, and fields that are null are
    /// left out of their row: give them an `Option` in the row type.
    pub fn suiteql(&self, text: impl Into<String>) -> SuiteQl {
        SuiteQl {
            client: self.clone(),
            text: text.into(),
            params: Vec::new(),
            page_rows: MAX_PAGE_ROWS,
            pages_at_once: 1,
            keyset: None,
        }
    }
}

impl SuiteQl {
    /// Gives the next `?` its value.
    pub fn bind(mut self, value: impl Into<Param>) -> Self {
        self.params.push(value.into());
        self
    }

    /// Rows per page, 1 to 1,000; 1,000 unless set. Memory is bounded by one page.
    pub fn page_rows(mut self, rows: u16) -> Self {
        self.page_rows = u64::from(rows).clamp(1, MAX_PAGE_ROWS);
        self
    }

    /// Fetches up to `pages` pages at once, in order all the same; 1 unless set. It divides the time
    /// and multiplies the memory. Each page on its way takes one of the account's concurrent
    /// calls, so stay below its limit. Of no effect with [`keyset`](Self::keyset), where each page
    /// depends on the one before.
    ///
    /// The query needs an `ORDER BY` that is unique: pages are cut from separate runs of it.
    pub fn pages_at_once(mut self, pages: usize) -> Self {
        self.pages_at_once = pages.max(1);
        self
    }

    /// Pages by the integer `column` instead of by offset: each page is a query of its own for the
    /// rows after the last one seen, so there is no ceiling, and rows that appear or vanish
    /// meanwhile shift nothing.
    ///
    /// The query must select the column, have `column > ?` as its last condition (the client binds
    /// this `?`, after all others, beginning below every id), and end in `ORDER BY column ASC`. A page
    /// whose keys do not ascend from the last one is an error and not a silent loss.
    ///
    /// ```no_run
    /// # fn example(client: slowlane_netsuite::Client) {
    /// let rows = client
    ///     .suiteql("SELECT id, entity FROM transaction WHERE type = ? AND id > ? ORDER BY id ASC")
    ///     .bind("SalesOrd")
    ///     .keyset("id")
    ///     .rows::<serde_json::Value>();
    /// # }
    /// ```
    pub fn keyset(mut self, column: impl Into<String>) -> Self {
        self.keyset = Some(column.into());
        self
    }

    /// The rows, page after page. A page is asked for when the rows of the one before are used up,
    /// and not sooner.
    ///
    /// # Errors
    /// The stream ends with the first error. A result of more than [`MAX_ROWS`] rows ends with
    /// `Rejected` after the last row NetSuite gives, unless paged by [`keyset`](Self::keyset).
    pub fn rows<T: DeserializeOwned + Send + 'static>(
        self,
    ) -> BoxStream<'static, Result<T, Error>> {
        let rows = |page: Page<T>| stream::iter(page.rows.into_iter().map(Ok));
        self.pages().map_ok(rows).try_flatten().boxed()
    }

    /// The pages, each asked for when the stream is polled for it.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn pages<T: DeserializeOwned + Send + 'static>(
        self,
    ) -> BoxStream<'static, Result<Page<T>, Error>> {
        let at_once = if self.keyset.is_some() { 1 } else { self.pages_at_once };
        let start = (self, FuturesOrdered::new(), Next::Page(Cursor::START), 0);
        let step = move |(query, mut coming, mut next, mut counted): (
            Self,
            FuturesOrdered<_>,
            _,
            _,
        )| async move {
            // One page is always fetched; more of them only where the count says that there are.
            while let Next::Page(cursor) = next
                && (coming.is_empty() || coming.len() < at_once && cursor.offset < counted)
            {
                let query = query.clone();
                next = cursor.advance(query.page_rows);
                coming.push_back(async move { query.page::<T>(cursor).await });
            }
            let Some(outcome) = coming.next().await else {
                return match next {
                    Next::Ceiling { given } => Err(query.ceiling(given)?),
                    Next::Page(_) | Next::End => Ok(None),
                };
            };
            let (page, following) = outcome?;
            counted = page.total.unwrap_or_default();
            if coming.is_empty() {
                next = following;
            }
            Ok(Some((page, (query, coming, next, counted))))
        };
        stream::try_unfold(start, step).boxed()
    }

    async fn page<T: DeserializeOwned>(&self, cursor: Cursor) -> Result<(Page<T>, Next), Error> {
        let request = self.request(cursor)?;
        let answer = self.client.execute(request.clone()).await?;
        let body: PageBody<T> = answer.json(request.call())?;
        let page = Page { rows: body.items, total: body.total_results };
        let after = match &self.keyset {
            Some(column) => last_key(&answer, column, cursor.after)
                .map_err(|why| Error::local(request.call(), Class::Rejected, why))?,
            None => cursor.after,
        };
        let next = match &self.keyset {
            _ if !body.has_more || page.rows.is_empty() => Next::End,
            Some(_) => Next::Page(Cursor { offset: 0, after }),
            None => cursor.advance(self.page_rows),
        };
        Ok((page, next))
    }

    fn ceiling(&self, given: u64) -> Result<Error, Invalid> {
        let why = format!(
            "there are rows beyond the {given} that NetSuite returns for this query and page size: page by `keyset`"
        );
        Ok(Error::local(self.request(Cursor::START)?.call(), Class::Rejected, why))
    }

    fn request(&self, cursor: Cursor) -> Result<Request, Invalid> {
        let mut params: Vec<&Value> = self.params.iter().map(|Param(value)| value).collect();
        let after = Value::from(cursor.after);
        if self.keyset.is_some() {
            params.push(&after);
        }
        let request = Request::to(Service::Query, Method::POST, "suiteql")?
            .query("limit", self.page_rows)
            .query("offset", cursor.offset)
            .header("prefer", "transient")?
            .repeatable();
        if params.is_empty() {
            request.json(&json!({"q": self.text}))
        } else {
            request.json(&json!({"q": self.text, "params": params}))
        }
    }
}

/// Where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cursor {
    offset: u64,
    after: i64,
}

impl Cursor {
    /// Below every internal id (predefined records have negative ones), and a whole number in any
    /// JSON parser.
    const START: Self = Self { offset: 0, after: -9_007_199_254_740_992 };

    /// The next page by offset.
    fn advance(self, page_rows: u64) -> Next {
        let offset = self.offset + page_rows;
        // The next page must lie wholly below the ceiling: with a page size that does not divide
        // it, the last one would be refused.
        if offset + page_rows <= MAX_ROWS && offset < MAX_PAGES * page_rows {
            Next::Page(Self { offset, ..self })
        } else {
            Next::Ceiling { given: offset }
        }
    }
}

/// What follows a page.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Next {
    Page(Cursor),
    /// There is more, but not for this query: an error, once the rows so far are handed out.
    Ceiling {
        given: u64,
    },
    End,
}

#[derive(Deserialize)]
struct PageBody<T> {
    items: Vec<T>,
    #[serde(rename = "hasMore")]
    has_more: bool,
    #[serde(rename = "totalResults")]
    total_results: Option<u64>,
}

/// The key of the last row, having checked that the keys ascend from `after`.
fn last_key(answer: &Answer, column: &str, after: i64) -> Result<i64, String> {
    #[derive(Deserialize)]
    struct Rows<'a> {
        #[serde(borrow)]
        items: Vec<HashMap<String, &'a RawValue>>,
    }
    let rows: Rows<'_> = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    rows.items.iter().try_fold(after, |last, row| {
        let cell = row.iter().find(|(name, _)| name.eq_ignore_ascii_case(column));
        let key = cell.and_then(|(_, raw)| raw.get().trim_matches('"').parse::<i64>().ok());
        match key {
            Some(key) if key > last => Ok(key),
            Some(key) => Err(format!(
                "`{column}` does not ascend ({key} after {last}): \
                 the query must have `{column} > ?` last and `ORDER BY {column} ASC`"
            )),
            None => Err(format!("a row without an integer `{column}` to page by")),
        }
    })
}
