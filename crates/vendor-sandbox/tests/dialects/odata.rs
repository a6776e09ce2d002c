//! SAP's traps: a CSRF token with its cookie, ETags, `$batch`, and two versions of OData.

use std::time::Duration;

use serde_json::{Value, json};
use slowlane_sandbox::{Begun, Finished};
use slowlane_vendor_sandbox::{Dialect, Response, Sandbox, Vendor};

use crate::served::{quick, request};

const NOW: Duration = Duration::from_secs(1_800_000_000);
const V2: &str = "/sap/opu/odata/sap/API_SALES_ORDER_SRV";
const V4: &str = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001";

/// A service, and the headers of a session with it.
struct Session(Sandbox, Vec<(&'static str, String)>);

impl Session {
    fn new() -> Self {
        let vendor = Vendor::new(Dialect::of("sap-odata").unwrap()).open();
        Self(Sandbox::new((quick(), vendor)), Vec::new())
    }

    /// Fetches a token, as the profile has it done before each write.
    fn begun() -> Self {
        let mut session = Self::new();
        session.1.push(("x-csrf-token", "Fetch".to_owned()));
        let answer = session.call("HEAD", V2, &[], Value::Null);
        let text = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let cookie = text("set-cookie").split(';').next().unwrap().to_owned();
        session.1 = vec![("x-csrf-token", text("x-csrf-token")), ("cookie", cookie)];
        session
    }

    fn call(&mut self, method: &str, path: &str, more: &[(&str, &str)], body: Value) -> Response {
        let own = self.1.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        match self.0.begin(request(method, path, &headers, &body), NOW) {
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
}

fn body(answer: &Response) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_default()
}

#[test]
fn a_write_without_the_token_or_its_cookie_is_asked_for_it() {
    let mut session = Session::begun();
    let cookie = session.1.pop();
    let refused = session.call("POST", &format!("{V2}/A_SalesOrder"), &[], json!({}));
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["x-csrf-token"], "Required");
    session.1.extend(cookie);
    let made = session.call("POST", &format!("{V2}/A_SalesOrder"), &[], json!({}));
    assert_eq!(made.status(), 201, "{made:?}");
}

#[test]
fn a_change_says_which_version_it_means() {
    let mut session = Session::begun();
    for root in [V2, V4] {
        let (set, one) = (format!("{root}/A_SalesOrder"), format!("{root}/A_SalesOrder('o-1')"));
        let order = json!({"SalesOrder": "o-1", "Size": 2});
        session.call("DELETE", &one, &[("if-match", "*")], Value::Null);
        let made = session.call("POST", &set, &[], order.clone());
        assert!(made.headers()["location"].to_str().unwrap().ends_with(&one), "{made:?}");
        let etag = made.headers()["etag"].to_str().unwrap().to_owned();
        let mut change = |headers: &[(&str, &str)]| {
            session.call("PATCH", &one, headers, json!({"Size": 3})).status().as_u16()
        };
        assert_eq!(change(&[]), 428);
        assert_eq!(change(&[("if-match", &etag)]), 204);
        assert_eq!(change(&[("if-match", &etag)]), 412, "it has changed since");
        let again = session.call("POST", &set, &[], order);
        assert_eq!(again.status(), 400, "{again:?}");
    }
    let v2 = body(&session.call("GET", &format!("{V2}/A_SalesOrder('o-1')"), &[], Value::Null));
    assert_eq!(v2["d"]["Size"], 3, "{v2}");
    let filter = format!("{V4}/A_SalesOrder?$filter=Size%20eq%203");
    let v4 = body(&session.call("GET", &filter, &[], Value::Null));
    assert_eq!(v4["value"].as_array().map(Vec::len), Some(1), "{v4}");
}

#[test]
fn a_batch_has_a_status_for_each_part() {
    let mut session = Session::begun();
    let parts = json!({"requests": [
        {"id": "1", "method": "POST", "url": "A_SalesOrder", "body": {"SalesOrder": "o-1"}},
        {"id": "2", "method": "GET", "url": "A_SalesOrder('none')"},
    ]});
    let answer = body(&session.call("POST", &format!("{V4}/$batch"), &[], parts));
    let parts = answer["responses"].as_array().unwrap().iter();
    let statuses: Vec<_> = parts.map(|part| (&part["id"], &part["status"])).collect();
    assert_eq!(json!(statuses), json!([["1", 201], ["2", 404]]), "{answer}");
}
