//! Pages of a collection, one after the other or some at once: the same for SuiteQL and for lists
//! of records.
//!
//! NetSuite's rules (Oracle's help, "Collection Paging", section_156414087576): at most 1,000 rows
//! a page, an offset that the page size divides, 1,000 pages and 100,000 rows at most.

use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, FuturesOrdered},
};
use serde::Deserialize;

use crate::Error;

/// The most rows NetSuite returns for one query, however it is paged.
pub const MAX_ROWS: u64 = 100_000;
/// The most pages NetSuite returns for one query, so small pages lower [`MAX_ROWS`].
const MAX_PAGES: u64 = 1000;
/// The largest page.
pub(crate) const MAX_PAGE_ROWS: u64 = 1000;

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

/// Something that is read page by page.
pub(crate) trait Paged: Clone + Send + Sync + 'static {
    type Row: Send + 'static;

    fn page_rows(&self) -> u64;

    /// The page at the cursor, and what follows it.
    fn fetch(
        self,
        cursor: Cursor,
    ) -> impl Future<Output = Result<(Page<Self::Row>, Next), Error>> + Send;

    /// The error that there are rows beyond the `given` ones.
    fn beyond(&self, given: u64) -> Error;
}

/// The pages, each asked for when the stream is polled for it, `at_once` of them at once.
pub(crate) fn pages<Q: Paged>(
    query: Q,
    at_once: usize,
) -> BoxStream<'static, Result<Page<Q::Row>, Error>> {
    let start = (query, FuturesOrdered::new(), Next::Page(Cursor::START), 0);
    let step = move |(query, mut coming, mut next, mut counted): (Q, FuturesOrdered<_>, _, _)| async move {
        // One page is always fetched; more of them only where the count says that there are.
        while let Next::Page(cursor) = next
            && (coming.is_empty() || coming.len() < at_once && cursor.offset < counted)
        {
            next = cursor.advance(query.page_rows());
            coming.push_back(query.clone().fetch(cursor));
        }
        let Some(outcome) = coming.next().await else {
            return match next {
                Next::Ceiling { given } => Err(query.beyond(given)),
                Next::Page(_) | Next::End => Ok(None),
            };
        };
        let (page, following): (Page<Q::Row>, Next) = outcome?;
        counted = page.total.unwrap_or_default();
        if coming.is_empty() {
            next = following;
        }
        Ok(Some((page, (query, coming, next, counted))))
    };
    stream::try_unfold(start, step).boxed()
}

/// The rows of these pages.
pub(crate) fn rows<T: Send + 'static>(
    pages: BoxStream<'static, Result<Page<T>, Error>>,
) -> BoxStream<'static, Result<T, Error>> {
    let rows = |page: Page<T>| stream::iter(page.rows.into_iter().map(Ok));
    pages.map_ok(rows).try_flatten().boxed()
}

/// Where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) offset: u64,
    pub(crate) after: i64,
}

impl Cursor {
    /// Below every internal id (predefined records have negative ones), and a whole number in any
    /// JSON parser.
    pub(crate) const START: Self = Self { offset: 0, after: -9_007_199_254_740_992 };

    /// The next page by offset.
    pub(crate) fn advance(self, page_rows: u64) -> Next {
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
pub(crate) enum Next {
    Page(Cursor),
    /// There is more, but not for this query: an error, once the rows so far are handed out.
    Ceiling {
        given: u64,
    },
    End,
}

/// A page as NetSuite sends it.
#[derive(Deserialize)]
pub(crate) struct PageBody<T> {
    pub(crate) items: Vec<T>,
    #[serde(rename = "hasMore")]
    pub(crate) has_more: bool,
    #[serde(rename = "totalResults")]
    total_results: Option<u64>,
}

impl<T> From<PageBody<T>> for Page<T> {
    fn from(body: PageBody<T>) -> Self {
        Self { rows: body.items, total: body.total_results }
    }
}
