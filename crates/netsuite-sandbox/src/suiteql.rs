//! SuiteQL: a small part of it over the records that the sandbox holds, and the paging rules.
//!
//! Understood is one `SELECT` from one table: columns, `AS`, `*` or a sole `COUNT(*)`; `WHERE` with
//! comparisons, `IN`, `BETWEEN`, `LIKE`, `IS NULL`, `AND`, `OR`, `NOT`; `UPPER`, `LOWER`, `NVL`,
//! `TO_DATE`; `ORDER BY`; `FETCH FIRST n ROWS ONLY`; `?` for parameters. Everything else (joins,
//! groups, `LIMIT`, subqueries, other functions) is answered 400 and named.

mod plan;
mod value;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::plan::{Condition, Output, Plan, Row, Table};
use crate::{
    Request, Response,
    paging::Page,
    problem::{Problem, json_response},
    records::Store,
    route::{self, SUITEQL_PATH, prefers},
    schema,
};

#[derive(Deserialize)]
struct Body {
    q: String,
    #[serde(default)]
    params: Vec<Value>,
}

/// Answers a query.
pub(crate) fn answer(store: &Store, request: &Request) -> Result<Response, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed());
    }
    if !prefers(request, "transient") {
        return Err(Problem::invalid_header(
            "Prefer",
            "A query needs the header 'Prefer: transient'.",
        ));
    }
    let page = Page::in_query(request)?;
    let body: Body = serde_json::from_slice(request.body()).map_err(|error| {
        let detail = format!("The body is not a query with 'q' and 'params': {error}");
        Problem::new(StatusCode::BAD_REQUEST, "INVALID_CONTENT", detail)
    })?;
    let plan = Plan::parse(&body.q, body.params)?;
    let rows = run(store, &plan);
    let (total, items) = match &plan.output {
        Output::Count(name) => (1, vec![json!({"links": [], name: rows.len().to_string()})]),
        Output::Columns(columns) => {
            let shown = &rows[page.range(rows.len())];
            (rows.len(), shown.iter().map(|row| item(row, columns)).collect())
        }
    };
    let url = format!("{}{SUITEQL_PATH}", route::base_url(request));
    Ok(json_response(StatusCode::OK, &page.body(&url, total, items)))
}

/// A row as NetSuite shows it: all values are texts, and nulls are left out.
fn item(row: &Row<'_>, columns: &[(String, plan::Term)]) -> Value {
    let mut item = Map::new();
    item.insert("links".to_owned(), json!([]));
    for (name, term) in columns {
        if let Some(text) = term.on(row).shown() {
            item.insert(name.clone(), Value::from(text));
        }
    }
    Value::Object(item)
}

/// The rows that pass, in order.
fn run<'s>(store: &'s Store, plan: &'s Plan) -> Vec<Row<'s>> {
    let Table { name, .. } = &plan.table;
    let is_wanted = |type_name: &str| {
        schema::find(type_name).is_some_and(|(known, type_name)| known.table(&type_name) == *name)
    };
    // The next page of a keyset does not look at the rows of the pages before.
    let from_id = plan.filter.as_ref().map_or(0, Condition::lowest_id);
    let mut rows: Vec<Row<'s>> = store
        .tables(is_wanted)
        .filter_map(|(type_name, table)| Some((schema::find(type_name)?.0, table)))
        .flat_map(|(record_type, table)| {
            table.rows_from(from_id).map(move |(id, fields)| Row { id, record_type, fields })
        })
        .filter(|row| plan.filter.as_ref().is_none_or(|filter| filter.holds(row) == Some(true)))
        .collect();
    // One table's rows come by id, and a stable sort keeps that among equals.
    rows.sort_by_key(|row| row.id);
    if !plan.is_by_id() {
        rows.sort_by_cached_key(|row| {
            plan.order.iter().map(|(term, way)| way.key(term.on(row))).collect::<Vec<_>>()
        });
    }
    rows.truncate(plan.fetch.unwrap_or(usize::MAX));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Seed;
    use std::time::Duration;

    fn store() -> Store {
        let mut store = Store::new();
        let now = Duration::from_secs(1_795_255_200);
        let seed = |record_type: &str, count, fields: Value| Seed {
            record_type: record_type.to_owned(),
            count,
            fields: match fields {
                Value::Object(fields) => fields,
                _ => Map::new(),
            },
        };
        store.seed(&seed("customer", 25, json!({"custentity_tier": "gold"})), now).unwrap();
        store.seed(&seed("salesOrder", 3, json!({"memo": null})), now).unwrap();
        store.seed(&seed("invoice", 2, json!({"entity": {"id": "9"}})), now).unwrap();
        store
    }

    fn ask(q: &str, params: Value, paging: &str) -> (u16, Value) {
        let request = http::Request::post(format!("{SUITEQL_PATH}?{paging}"))
            .header("prefer", "transient")
            .body(json!({"q": q, "params": params}).to_string().into())
            .unwrap();
        let response =
            answer(&store(), &request).unwrap_or_else(|problem| problem.answer_to(&request));
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    /// The values of all rows, one row a text.
    fn rows(q: &str, params: Value) -> Vec<String> {
        let (status, body) = ask(q, params, "");
        assert_eq!(status, 200, "{q}: {body}");
        let row = |row: &Value| {
            let row = row.as_object().unwrap().iter().filter(|(name, _)| *name != "links");
            row.map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        body["items"].as_array().unwrap().iter().map(row).collect()
    }

    #[test]
    fn queries_and_their_rows() {
        let none: [&str; 0] = [];
        let table: [(&str, Value, &[&str]); 16] = [
            ("SELECT id FROM customer WHERE id <= 1002", json!([]), &["id=1001", "id=1002"]),
            (
                "select c.ID, c.companyName AS Name from Customer c where c.id = ?",
                json!(["1003"]),
                &["id=1003 name=companyName 3"],
            ),
            (
                "SELECT id FROM customer WHERE id > ? AND id < ? ORDER BY id DESC",
                json!([1003, 1006]),
                &["id=1005", "id=1004"],
            ),
            (
                "SELECT id FROM customer WHERE isinactive = 'T' ORDER BY id",
                json!([]),
                &["id=1010", "id=1020"],
            ),
            (
                "SELECT companyname FROM customer WHERE UPPER(companyname) LIKE 'COMPANYNAME _5'",
                json!([]),
                &["companyname=companyName 15", "companyname=companyName 25"],
            ),
            (
                "SELECT id FROM customer WHERE id IN (1001, ?) OR email = 'person3@example.com'",
                json!([1002]),
                &["id=1001", "id=1002", "id=1003"],
            ),
            (
                "SELECT id FROM customer WHERE id BETWEEN 1004 AND 1005 AND NOT (id = 1004)",
                json!([]),
                &["id=1005"],
            ),
            ("SELECT id FROM customer WHERE email IS NULL", json!([]), &none),
            (
                "SELECT id FROM customer WHERE custentity_tier = 'gold' ORDER BY id FETCH FIRST 1 ROWS ONLY",
                json!([]),
                &["id=1001"],
            ),
            ("SELECT COUNT(*) FROM customer WHERE id > 1020", json!([]), &["expr1=5"]),
            ("SELECT COUNT(*) AS n FROM customer WHERE phone IS NULL", json!([]), &["n=25"]),
            (
                "SELECT id, type, entity FROM transaction WHERE type = 'CustInvc'",
                json!([]),
                &["entity=9 id=1029 type=CustInvc", "entity=9 id=1030 type=CustInvc"],
            ),
            (
                "SELECT id FROM transaction ORDER BY type DESC, id",
                json!([]),
                &["id=1026", "id=1027", "id=1028", "id=1029", "id=1030"],
            ),
            (
                "SELECT NVL(memo, 'none') FROM transaction WHERE id = 1026",
                json!([]),
                &["expr1=none"],
            ),
            (
                "SELECT createddate FROM customer WHERE id = 1001 AND createddate >= TO_DATE('2026-11-21', 'YYYY-MM-DD')",
                json!([]),
                &["createddate=11/21/2026"],
            ),
            (
                "SELECT id FROM customer WHERE createddate > TO_DATE('2026-11-22', 'YYYY-MM-DD')",
                json!([]),
                &none,
            ),
        ];
        for (q, params, expected) in table {
            assert_eq!(rows(q, params), expected, "{q}");
        }
        assert_eq!(rows("SELECT * FROM customer WHERE id = 1001", json!([])).len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        let table = [
            ("SELECT id FROM customer LIMIT 5", "LIMIT"),
            ("SELECT a.id FROM customer a JOIN transaction t ON t.entity = a.id", "JOIN"),
            ("SELECT id FROM customer, vendor", "one table"),
            ("SELECT entity FROM transaction GROUP BY entity", "GROUP BY"),
            ("SELECT DISTINCT id FROM customer", "DISTINCT"),
            ("SELECT id FROM (SELECT id FROM customer)", "SELECT id FROM customer"),
            ("SELECT colour FROM customer", "'colour'"),
            ("SELECT id FROM salesOrder", "'salesOrder'"),
            ("SELECT x.id FROM customer c", "x.id"),
            ("SELECT SUM(id) FROM customer", "SUM"),
            ("SELECT id, COUNT(*) FROM customer", "COUNT"),
            ("SELECT id FROM customer WHERE id = ?", "parameter"),
            ("DELETE FROM customer", "SELECT"),
            ("SELECT id FROM customer; SELECT id FROM customer", "one"),
            ("SELEKT id", "SELEKT"),
        ];
        for (q, named) in table {
            let (status, body) = ask(q, json!([]), "");
            let error = &body["o:errorDetails"][0];
            assert_eq!(
                (status, &error["o:errorCode"]),
                (400, &json!("INVALID_PARAMETER")),
                "{q}: {body}"
            );
            assert!(error["detail"].as_str().unwrap().contains(named), "{q}: {error}");
        }
        let (status, body) = ask("SELECT id FROM customer", json!([7]), "");
        assert_eq!(status, 400, "a parameter without a place: {body}");
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let (_, first) = ask("SELECT id FROM customer ORDER BY id", json!([]), "limit=10");
        assert_eq!(
            (&first["count"], &first["hasMore"], &first["totalResults"]),
            (&json!(10), &json!(true), &json!(25))
        );
        let (_, last) = ask("SELECT id FROM customer ORDER BY id", json!([]), "limit=10&offset=20");
        assert_eq!(
            (&last["count"], &last["hasMore"], &last["offset"]),
            (&json!(5), &json!(false), &json!(20))
        );
        assert_eq!(last["items"][0]["id"], "1021");
    }
}
