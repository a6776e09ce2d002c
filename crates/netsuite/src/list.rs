//! Lists of a type's records, by a filter.

use futures::stream::BoxStream;
use http::Method;
use serde::Deserialize;

use crate::{
    Class, Error, Invalid, Page, RecordId, Records, Request,
    paging::{self, Cursor, MAX_PAGE_ROWS, Next, PageBody, Paged},
};

/// The records of one type, all or those that pass a filter; from [`Records::list`].
///
/// NetSuite lists internal ids and nothing else, so each record that is wanted costs a call of its
/// own. A [SuiteQL](crate::SuiteQl) query gives columns of many records in one call.
///
/// ```no_run
/// # async fn example(client: slowlane_netsuite::Client) -> Result<(), slowlane_netsuite::Error> {
/// use futures::TryStreamExt as _;
/// use slowlane_netsuite::quoted;
///
/// let customers = client.records("customer")?;
/// let filter = format!("email START_WITH {} AND isInactive IS false", quoted("ann@")?);
/// let mut ids = customers.list().matching(filter).ids();
/// while let Some(id) = ids.try_next().await? {
///     println!("{id}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is asked for before its stream is polled"]
pub struct List {
    records: Records,
    filter: Option<String>,
    page_rows: u64,
    pages_at_once: usize,
}

/// A text as a value of a [filter](List::matching), in quotation marks.
///
/// # Errors
/// When it has a quotation mark, a backslash or a control character. NetSuite documents no way to
/// write one, and a text that ended its own quotation would be read as further conditions.
pub fn quoted(text: &str) -> Result<String, Invalid> {
    if text.contains(|c: char| matches!(c, '"' | '\\') || c.is_control()) {
        return Err(Invalid::new("filter value", text, "no quotation mark, `\\` or line break"));
    }
    Ok(format!("\"{text}\""))
}

impl Records {
    /// The records of this type.
    pub fn list(&self) -> List {
        List { records: self.clone(), filter: None, page_rows: MAX_PAGE_ROWS, pages_at_once: 1 }
    }
}

impl List {
    /// Only those that pass, in the language of the parameter `q` (Oracle's help, "Record
    /// Collection Filtering", section_1545222128). Conditions such as `email START_WITH "ann"` or
    /// `creditLimit GREATER 500` are joined by `AND` and `OR`, with `()` for precedence. Write
    /// [`quoted`] around values that come from elsewhere.
    pub fn matching(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Ids per page, 1 to 1,000; 1,000 unless set.
    pub fn page_rows(mut self, rows: u16) -> Self {
        self.page_rows = u64::from(rows).clamp(1, MAX_PAGE_ROWS);
        self
    }

    /// Fetches up to `pages` pages at once, in order all the same; 1 unless set. Each page on its
    /// way takes one of the account's concurrent calls.
    pub fn pages_at_once(mut self, pages: usize) -> Self {
        self.pages_at_once = pages.max(1);
        self
    }

    /// The internal ids, page after page. A page is asked for when the ids of the one before are
    /// used up, and not sooner.
    ///
    /// # Errors
    /// The stream ends with the first error. A list of more than [`MAX_ROWS`](crate::MAX_ROWS)
    /// records ends with `Rejected` after the last that NetSuite gives.
    #[must_use]
    pub fn ids(self) -> BoxStream<'static, Result<RecordId, Error>> {
        paging::rows(self.pages())
    }

    /// The pages, each asked for when the stream is polled for it.
    ///
    /// # Errors
    /// As [`ids`](Self::ids).
    #[must_use]
    pub fn pages(self) -> BoxStream<'static, Result<Page<RecordId>, Error>> {
        let at_once = self.pages_at_once;
        paging::pages(self, at_once)
    }

    fn request(&self, cursor: Cursor) -> Result<Request, Invalid> {
        let request = self
            .records
            .request(Method::GET, None)?
            .query("limit", self.page_rows)
            .query("offset", cursor.offset);
        Ok(match &self.filter {
            Some(filter) => request.query("q", filter),
            None => request,
        })
    }
}

impl Paged for List {
    type Row = RecordId;

    fn page_rows(&self) -> u64 {
        self.page_rows
    }

    async fn fetch(self, cursor: Cursor) -> Result<(Page<RecordId>, Next), Error> {
        #[derive(Deserialize)]
        struct Entry {
            id: RecordId,
        }
        let request = self.request(cursor)?;
        let answer = self.records.client().execute(request.clone()).await?;
        let body: PageBody<Entry> = answer.json(request.call())?;
        let is_last = !body.has_more || body.items.is_empty();
        let next = if is_last { Next::End } else { cursor.advance(self.page_rows) };
        let Page { rows, total } = body.into();
        Ok((Page { rows: rows.into_iter().map(|entry| entry.id).collect(), total }, next))
    }

    fn beyond(&self, given: u64) -> Error {
        let why = format!(
            "there are records beyond the {given} that NetSuite lists at this page size: filter them, or page a query by `keyset`"
        );
        match self.request(Cursor::START) {
            Ok(request) => Error::local(request.call(), Class::Rejected, why),
            Err(invalid) => invalid.into(),
        }
    }
}
