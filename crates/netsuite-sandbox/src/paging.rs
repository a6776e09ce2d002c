//! Pages of collections: the same rules for lists of records and for SuiteQL.
//!
//! Source: Oracle help, "Collection Paging" (section_156414087576).

use serde_json::{Value, json};

use crate::{Request, problem::Problem, query::query_param};

/// The most rows of a page.
const MAX_LIMIT: usize = 1000;
/// The most pages of one query, so small pages reach fewer rows.
const MAX_PAGES: usize = 1000;
/// The most rows of all pages of one query together.
const MAX_ROWS: usize = 100_000;

/// Which rows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    limit: usize,
    offset: usize,
}

impl Page {
    /// Reads `limit` and `offset`.
    pub(crate) fn in_query(request: &Request) -> Result<Self, Problem> {
        let number = |name: &'static str, default: usize| match query_param(request, name) {
            None => Ok(default),
            Some(text) => text.parse::<usize>().map_err(|_| {
                Problem::invalid_parameter(
                    name,
                    format!("The {name} '{text}' is not a whole number."),
                )
            }),
        };
        let (limit, offset) = (number("limit", MAX_LIMIT)?, number("offset", 0)?);
        if limit == 0 || limit > MAX_LIMIT {
            let detail = format!("The limit must be between 1 and {MAX_LIMIT}; it is {limit}.");
            return Err(Problem::invalid_parameter("limit", detail));
        }
        if !offset.is_multiple_of(limit) {
            let detail = format!("The offset {offset} must be divisible by the limit {limit}.");
            return Err(Problem::invalid_parameter("offset", detail));
        }
        let page = Self { limit, offset };
        if offset >= page.ceiling() {
            let detail =
                format!("Only the first {} results of a query can be read.", page.ceiling());
            return Err(Problem::invalid_parameter("offset", detail));
        }
        Ok(page)
    }

    /// How many rows pages of this size reach.
    fn ceiling(self) -> usize {
        MAX_ROWS.min(MAX_PAGES * self.limit)
    }

    /// The indexes of this page's rows among `total`.
    pub(crate) fn range(self, total: usize) -> std::ops::Range<usize> {
        let end = total.min(self.ceiling());
        self.offset.min(end)..(self.offset + self.limit).min(end)
    }

    /// The collection's body; `url` has no query.
    pub(crate) fn body(self, url: &str, total: usize, items: Vec<Value>) -> Value {
        let total = total.min(self.ceiling());
        let Self { limit, offset } = self;
        let link = |rel: &str, offset: usize| json!({"rel": rel, "href": format!("{url}?limit={limit}&offset={offset}")});
        let has_more = offset + items.len() < total;
        let mut links = Vec::new();
        if offset > 0 {
            links.push(link("first", 0));
            links.push(link("previous", offset - limit));
        }
        if has_more {
            links.push(link("next", offset + limit));
            links.push(link("last", (total - 1) / limit * limit));
        }
        links.push(link("self", offset));
        json!({
            "links": links,
            "count": items.len(),
            "hasMore": has_more,
            "items": items,
            "offset": offset,
            "totalResults": total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<Page, Value> {
        let request = http::Request::get(format!("/x?{query}")).body(bytes::Bytes::new()).unwrap();
        Page::in_query(&request).map_err(|problem| {
            let body: Value = serde_json::from_slice(problem.answer_to(&request).body()).unwrap();
            body["o:errorDetails"][0]["o:errorQueryParam"].clone()
        })
    }

    #[test]
    fn the_rules_of_limit_and_offset() {
        let table = [
            ("", Ok(Page { limit: 1000, offset: 0 })),
            ("limit=1", Ok(Page { limit: 1, offset: 0 })),
            ("limit=10&offset=30", Ok(Page { limit: 10, offset: 30 })),
            ("limit=0", Err("limit")),
            ("limit=1001", Err("limit")),
            ("limit=ten", Err("limit")),
            ("limit=10&offset=5", Err("offset")),
            ("offset=-1000", Err("offset")),
            ("limit=1000&offset=99000", Ok(Page { limit: 1000, offset: 99_000 })),
            ("limit=1000&offset=100000", Err("offset")),
            ("limit=2&offset=1998", Ok(Page { limit: 2, offset: 1998 })),
            ("limit=2&offset=2000", Err("offset")),
        ];
        for (query, expected) in table {
            assert_eq!(page(query), expected.map_err(Value::from), "{query}");
        }
    }

    #[test]
    fn a_page_ends_at_the_ceiling_of_all_pages() {
        let last = page("limit=1000&offset=99000").unwrap();
        assert_eq!(last.range(250_000), 99_000..100_000);
        let body = last.body("http://x", 250_000, vec![Value::Null; 1000]);
        assert_eq!((&body["hasMore"], &body["totalResults"]), (&json!(false), &json!(100_000)));
        let first = page("limit=1000").unwrap().body("http://x", 2500, vec![Value::Null; 1000]);
        assert_eq!(first["links"][0]["href"], "http://x?limit=1000&offset=1000");
        assert_eq!(first["links"][1]["href"], "http://x?limit=1000&offset=2000");
        assert_eq!(page("limit=7&offset=7").unwrap().range(3), 3..3);
    }
}
