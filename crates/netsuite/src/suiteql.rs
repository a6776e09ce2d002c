//! SuiteQL: queries with bound parameters, and their rows as a stream.

use std::{collections::HashMap, marker::PhantomData};

use futures::stream::BoxStream;
use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use crate::{
    Class, Client, Error, Invalid, Page, Request,
    paging::{self, Cursor, MAX_PAGE_ROWS, Next, PageBody, Paged},
    request::Service,
    response::Answer,
};

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
#[must_use = "nothing is asked for before its stream is polled"]
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

impl Client {
    /// A SuiteQL query. Write `?` for each value and [`bind`](SuiteQl::bind) them in order; values
    /// glued into the text are an injection waiting to happen.
    ///
    /// Result columns come in lower case, and numbers often as strings. Fields that are null are
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

    /// Pages by the integer `column` instead of by offset. Each page is a query of its own for the
    /// rows after the last one seen. So there is no ceiling, and rows that appear or vanish
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
    /// The stream ends with the first error. A result of more than [`MAX_ROWS`](crate::MAX_ROWS)
    /// rows ends with `Rejected` after the last row NetSuite gives, unless paged by
    /// [`keyset`](Self::keyset). `Rejected` without sending when there are not as many values as
    /// `?`.
    #[must_use]
    pub fn rows<T: DeserializeOwned + Send + 'static>(
        self,
    ) -> BoxStream<'static, Result<T, Error>> {
        paging::rows(self.pages())
    }

    /// The pages, each asked for when the stream is polled for it.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    #[must_use]
    pub fn pages<T: DeserializeOwned + Send + 'static>(
        self,
    ) -> BoxStream<'static, Result<Page<T>, Error>> {
        let at_once = if self.keyset.is_some() { 1 } else { self.pages_at_once };
        paging::pages(RowsOf { query: self, row: PhantomData }, at_once)
    }

    fn request(&self, cursor: Cursor) -> Result<Request, Invalid> {
        let mut params: Vec<&Value> = self.params.iter().map(|Param(value)| value).collect();
        let after = Value::from(cursor.after);
        if self.keyset.is_some() {
            params.push(&after);
        }
        self.check_marks(params.len())?;
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

    /// As many `?` as values, the one that [`keyset`](Self::keyset) binds among them.
    fn check_marks(&self, values: usize) -> Result<(), Invalid> {
        let marks = marks_in(&self.text);
        if marks == values {
            return Ok(());
        }
        let keyset =
            if self.keyset.is_some() { ", the last of them bound by `keyset`" } else { "" };
        let wanted = format!("as many `?` as values; it has {marks} and {values}{keyset}");
        Err(Invalid::new("query", &self.text, wanted))
    }
}

/// How many `?` a query has outside of its texts, quoted names and comments.
fn marks_in(query: &str) -> usize {
    // A quotation mark in a text is doubled, which ends the text and begins it again.
    const INSIDES: [(&str, &str); 4] = [("'", "'"), ("\"", "\""), ("--", "\n"), ("/*", "*/")];
    let (mut marks, mut rest) = (0, query);
    while !rest.is_empty() {
        let inside = INSIDES.iter().find_map(|(begin, end)| Some((rest.strip_prefix(begin)?, end)));
        rest = match inside {
            Some((inside, end)) => inside.split_once(end).map_or("", |(_, after)| after),
            None => {
                marks += usize::from(rest.starts_with('?'));
                let mut chars = rest.chars();
                chars.next();
                chars.as_str()
            }
        };
    }
    marks
}

/// A query whose rows are of this type.
struct RowsOf<T> {
    query: SuiteQl,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for RowsOf<T> {
    fn clone(&self) -> Self {
        Self { query: self.query.clone(), row: PhantomData }
    }
}

impl<T: DeserializeOwned + Send + 'static> Paged for RowsOf<T> {
    type Row = T;

    fn page_rows(&self) -> u64 {
        self.query.page_rows
    }

    async fn fetch(self, cursor: Cursor) -> Result<(Page<T>, Next), Error> {
        let Self { query, .. } = self;
        let request = query.request(cursor)?;
        let answer = query.client.execute(request.clone()).await?;
        let body: PageBody<T> = answer.json(request.call())?;
        let after = match &query.keyset {
            Some(column) => last_key(&answer, column, cursor.after)
                .map_err(|why| Error::local(request.call(), Class::Rejected, why))?,
            None => cursor.after,
        };
        let next = match &query.keyset {
            _ if !body.has_more || body.items.is_empty() => Next::End,
            Some(_) => Next::Page(Cursor { offset: 0, after }),
            None => cursor.advance(query.page_rows),
        };
        Ok((body.into(), next))
    }

    fn beyond(&self, given: u64) -> Error {
        let why = format!(
            "there are rows beyond the {given} that NetSuite returns for this query and page size: page by `keyset`"
        );
        match self.query.request(Cursor::START) {
            Ok(request) => Error::local(request.call(), Class::Rejected, why),
            Err(invalid) => invalid.into(),
        }
    }
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
