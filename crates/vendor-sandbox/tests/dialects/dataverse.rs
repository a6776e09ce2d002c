//! Dataverse's traps: answers without a body, alternate keys, conditions, several rows in one call.

use std::time::Duration;

use serde_json::{Value, json};
use slowlane_sandbox::{Begun, Finished};
use slowlane_vendor_sandbox::{Dialect, Response, Sandbox, Vendor};

use crate::served::{quick, request};

const NOW: Duration = Duration::from_secs(1_800_000_000);

struct Service(Sandbox);

impl Service {
    fn new() -> Self {
        let vendor = Vendor::new(Dialect::of("dynamics").unwrap()).open();
        Self(Sandbox::new((quick(), vendor)))
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Response {
        let path = format!("/api/data/v9.2/{path}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        match self.0.begin(request(method, &path, headers, &body), NOW) {
            Begun::Answer(answer) => answer,
            Begun::Admitted(call) => {
                let ends = call.finish_at();
                let Finished::Answer(answer) = self.0.finish(call, ends) else {
                    panic!("no fault")
                };
                answer
            }
        }
    }

    /// The status of a call, and the code of its error.
    fn ends(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> (u16, String) {
        let answer = self.call(method, path, headers, body);
        let said = read(&answer);
        (answer.status().as_u16(), said["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn made(&self) -> u64 {
        self.0.report().records_created
    }
}

fn read(answer: &Response) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_default()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers()[name].to_str().unwrap()
}

fn good(status: u16) -> (u16, String) {
    (status, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_patch_by_alternate_key_makes_a_row_and_then_changes_it() {
    let mut service = Service::new();
    let by_key = "accounts(new_key='it''s%2017',new_line=2)";
    let made = service.call("PATCH", by_key, &[], json!({ "name": "Acme" }));
    assert_eq!((made.status().as_u16(), made.body().len()), (204, 0));
    let address = header(&made, "odata-entityid").to_owned();
    let changed = service.call("PATCH", by_key, &[], json!({ "name": "Acme & Söhne" }));
    assert_eq!((changed.status(), header(&changed, "odata-entityid")), (made.status(), &*address));
    assert_eq!(service.made(), 1);

    let row = read(&service.call("GET", by_key, &[], Value::Null));
    assert_eq!((&row["name"], &row["new_key"]), (&json!("Acme & Söhne"), &json!("it's 17")));
    let id = row["accountid"].as_str().unwrap();
    assert!(address.ends_with(&format!("/api/data/v9.2/accounts({id})")), "{address}");
    let by_id = read(&service.call("GET", &format!("accounts({id})"), &[], Value::Null));
    assert_eq!(by_id, row);

    // A field by which rows are found is unique, also where a POST brings it.
    let same = json!({ "new_key": "it's 17", "new_line": 2 });
    assert_eq!(service.ends("POST", "accounts", &[], same), refused(412, "0x80060892"));
    let other = json!({ "new_key": "it's 17", "new_line": 3 });
    assert_eq!(service.ends("POST", "accounts", &[], other), good(204));
    assert_eq!(service.made(), 2);
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let mut service = Service::new();
    let name = json!({ "name": "Acme" });
    let mut patch =
        |path: &str, headers: &[(&str, &str)]| service.ends("PATCH", path, headers, name.clone());
    // Only an update: there is nothing to update.
    let (by_id, by_key) =
        ("accounts(0000000a-0000-4000-8000-00000000000a)", "accounts(new_key='1')");
    assert_eq!(patch(by_id, &[("if-match", "*")]), refused(404, "0x80040217"));
    assert_eq!(patch(by_key, &[("if-match", "*")]), refused(404, "0x80060891"));
    // Only a creation: once.
    assert_eq!(patch(by_key, &[("if-none-match", "*")]), good(204));
    assert_eq!(patch(by_key, &[("if-none-match", "*")]), refused(412, "0x80060892"));
    assert_eq!(patch(by_key, &[("if-match", "W/\"0\"")]), refused(412, "0x80060882"));

    let row = service.call("GET", by_key, &[], Value::Null);
    let etag = header(&row, "etag").to_owned();
    assert_eq!(read(&row)["@odata.etag"], etag);
    let known = service.call("GET", by_key, &[("if-none-match", &etag)], Value::Null);
    assert_eq!(known.status(), 304);
    assert_eq!(service.ends("PATCH", by_key, &[("if-match", &etag)], json!({})), good(204));
    // The version is another one now.
    let stale = service.ends("DELETE", by_key, &[("if-match", &etag)], Value::Null);
    assert_eq!(stale, refused(412, "0x80060882"));
    assert_eq!(service.ends("DELETE", by_key, &[], Value::Null), good(204));
    assert_eq!(service.ends("GET", by_key, &[], Value::Null), refused(404, "0x80060891"));
}

#[test]
fn several_rows_are_all_written_or_none() {
    let mut service = Service::new();
    let action = |name: &str| format!("accounts/Microsoft.Dynamics.CRM.{name}");
    let of_type = "Microsoft.Dynamics.CRM.account";
    let two = json!({ "Targets": [
        { "@odata.type": of_type, "name": "one" }, { "@odata.type": of_type, "name": "two" },
    ] });
    let made = read(&service.call("POST", &action("CreateMultiple"), &[], two));
    let ids = made["Ids"].as_array().unwrap();
    assert_eq!((ids.len(), service.made()), (2, 2));

    let upsert = |quantity: u32| {
        json!({ "Targets": [
        { "@odata.id": "accounts(new_key='3')", "name": "three", "new_quantity": quantity },
    ] })
    };
    for quantity in [1, 2] {
        let ended = service.ends("POST", &action("UpsertMultiple"), &[], upsert(quantity));
        assert_eq!(ended, good(204));
    }
    assert_eq!(service.made(), 3);
    let path = "accounts?$filter=name%20eq%20'three'%20and%20new_quantity%20eq%202&$select=name";
    let listed = read(&service.call("GET", path, &[], Value::Null));
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1), "{listed}");
    assert!(listed["value"][0]["new_quantity"].is_null(), "{listed}");

    // The second of them is not there, so the first keeps its name.
    let half = json!({ "Targets": [
        { "accountid": ids[0], "name": "changed" }, { "accountid": "none", "name": "changed" },
    ] });
    let ended = service.ends("POST", &action("UpdateMultiple"), &[], half);
    assert_eq!(ended, refused(404, "0x80040217"));
    let first = format!("accounts({})/name", ids[0].as_str().unwrap());
    assert_eq!(read(&service.call("GET", &first, &[], Value::Null))["value"], "one");
}

#[test]
fn parts_of_a_batch_have_their_own_statuses() {
    let mut service = Service::new();
    let batch = json!({ "requests": [
        { "id": "1", "method": "PATCH", "url": "accounts(new_key='1')", "body": { "name": "x" } },
        { "id": "2", "method": "GET", "url": "accounts(new_key='2')" },
    ] });
    let answer = read(&service.call("POST", "$batch", &[], batch));
    let statuses: Vec<_> =
        answer["responses"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [&json!(204), &json!(404)], "{answer}");
    assert_eq!(service.made(), 1);
}

#[test]
fn what_it_does_not_serve_it_refuses() {
    let mut service = Service::new();
    for path in ["accounts?$orderby=name", "accounts?$filter=contains(name,'x')", "accounts(a=)"] {
        assert_eq!(
            service.ends("GET", path, &[], Value::Null),
            refused(400, "0x80060888"),
            "{path}"
        );
    }
    assert_eq!(service.ends("PUT", "accounts", &[], json!({})).0, 405);
    assert_eq!(service.ends("POST", "accounts", &[], json!([])), refused(400, "0x80048d19"));
}
