//! The way of a call: what is fetched before it, what is sent, and what is asked when its answer is
//! lost.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_profile::{
    Answer, Api, Base, Call, Content, Found, Given, Loss, Method, Outcome, Profile, Recovery,
    Renew, RequestError, shipped,
};

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn api(name: &str, base: &str) -> Api {
    Api::new(shipped::get(name).unwrap(), Base::parse(base).unwrap())
}

fn own(rules: &str) -> Api {
    let text = format!(
        "name = \"x\"\ntitle = \"X\"\nsettles_after = \"1m\"\n{rules}\n\
         [[answers]]\nstatus = \"200-299\"\noutcome = \"succeeded\"\n\
         [[answers]]\nstatus = 429\noutcome = \"throttled\"\nlimit = \"rate\"\n\
         wait = [{{ header = \"retry-after\", as = \"retry_after\" }}]\n\
         [[answers]]\nstatus = \"400-499\"\noutcome = \"rejected\"\n"
    );
    let profile = Profile::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    Api::new(profile, Base::parse("https://api.example/v1").unwrap())
}

fn answer(status: u16, headers: &[(&str, &str)], body: Value) -> Answer {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        })
        .collect::<Vec<_>>()
        .into_iter()
        .fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        });
    Answer::new(status, headers, body.to_string())
}

#[test]
fn a_change_at_sap_brings_token_cookies_and_etag() {
    let sap = api("sap-odata", "https://s4.example/sap/opu/odata/sap/API_X");
    let call = Call::new(Method::Patch, "Order('17')?sap-client=100").body(json!({"Note": "x"}));
    let before = sap.before(&call);
    let names: Vec<&str> = before.iter().map(|pre_call| pre_call.name()).collect();
    assert_eq!(names, ["csrf", "etag"]);
    let [csrf, etag] = before[..] else { panic!() };
    assert_eq!(csrf.keep_for(), Some(Duration::from_secs(1200)));
    assert_eq!(etag.keep_for(), None);

    let fetch = sap.pre_call_request(csrf, &call).unwrap();
    assert_eq!((fetch.method, fetch.url.path()), (Method::Head, "/sap/opu/odata/sap/API_X/"));
    assert_eq!(fetch.headers["x-csrf-token"], "Fetch");
    let read = sap.pre_call_request(etag, &call).unwrap();
    assert_eq!(read.url.path(), "/sap/opu/odata/sap/API_X/Order('17')");

    let headers = [
        ("x-csrf-token", "tok=="),
        ("set-cookie", "SAP_SESSIONID=abc; path=/; secure"),
        ("set-cookie", "sap-usercontext=sap-client=100; path=/"),
    ];
    let mut given = csrf.read(&answer(200, &headers, json!(null))).unwrap();
    given.add(&etag.read(&answer(200, &[("etag", "W/\"1\"")], json!({}))).unwrap());
    let request = sap.request(&call, &given).unwrap();
    assert_eq!(request.headers["x-csrf-token"], "tok==");
    assert_eq!(request.headers["if-match"], "W/\"1\"");
    assert_eq!(request.headers[COOKIE], "SAP_SESSIONID=abc; sap-usercontext=sap-client=100");
    let shown = format!("{request} {request:?} {given:?}");
    assert!(!shown.contains("SAP_SESSIONID") && !shown.contains("tok=="), "{shown}");

    // A stale token is refused by a header, and only the token is fetched anew.
    let stale = answer(403, &[("x-csrf-token", "Required")], json!(null));
    let verdict = sap.profile().verdict(&call, &stale, now());
    assert_eq!(verdict.renew, Some(Renew::PreCall("csrf".to_owned())));

    // A call that brings its own condition needs no ETag; a read needs nothing.
    let mut own = call.clone();
    own.headers.insert("If-Match".to_owned(), "*".to_owned());
    assert_eq!(sap.before(&own).len(), 1);
    assert!(sap.before(&Call::new(Method::Get, "Order")).is_empty());
}

/// Not every entity has an ETag; where there is none, none is needed.
#[test]
fn a_record_without_an_etag_is_changed_without_one() {
    let sap = api("sap-odata", "https://s4.example/x");
    let call = Call::new(Method::Patch, "Order('17')");
    let etag = sap.before(&call)[1];
    assert_eq!(etag.read(&answer(200, &[], json!({"ID": "17"}))).unwrap(), Given::default());
    let v4 = etag.read(&answer(200, &[], json!({"@odata.etag": "W/\"2\""}))).unwrap();
    assert_eq!(sap.request(&call, &v4).unwrap().headers["if-match"], "W/\"2\"");
    let v2 = json!({"d": {"__metadata": {"etag": "W/\"3\""}}});
    let v2 = etag.read(&answer(200, &[], v2)).unwrap();
    assert_eq!(sap.request(&call, &v2).unwrap().headers["if-match"], "W/\"3\"");
    assert_eq!(etag.read(&answer(404, &[], json!({}))).unwrap_err().status, 404);
}

#[test]
fn an_answer_without_what_it_should_give_is_told() {
    let sap = api("sap-odata", "https://s4.example/x");
    let call = Call::new(Method::Post, "Order");
    let error = sap.before(&call)[0].read(&answer(401, &[], json!(null))).unwrap_err();
    let expected = "the answer to `csrf` (status 401) does not hold what `x-csrf-token` needs";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_call_that_cannot_be_sent_is_refused_with_the_reason() {
    let stripe = api("stripe", "https://api.stripe.com");
    let post = || Call::new(Method::Post, "v1/charges").idempotency_key("k");
    let refused = |call: &Call| stripe.request(call, &Given::default()).unwrap_err().to_string();

    let mut call = post();
    call.headers.insert("authorization".to_owned(), "Bearer other".to_owned());
    let expected = "its header `authorization` is not allowed: the profile allows \
                    stripe-account, stripe-version, stripe-context";
    assert_eq!(refused(&call), expected);
    let mut call = post();
    call.headers.insert("stripe-account".to_owned(), "a\r\nx: y".to_owned());
    assert_eq!(refused(&call), "its header `stripe-account` has a value that no header can have");
    let mut call = post().body(json!({"query": "{ x }"}));
    call.content = Some(Content::GraphQl);
    assert_eq!(
        refused(&call),
        "its body cannot be sent in this form: the profile allows form, json"
    );
    assert_eq!(
        refused(&post().body(json!([1]))),
        "its body is sent as a form, so it must be an object"
    );
    let long = Call::new(Method::Post, "v1/charges").idempotency_key("k".repeat(256));
    let error = stripe.request(&long, &Given::default()).unwrap_err();
    assert_eq!(error, RequestError::Key(255));
    let error = refused(&Call::new(Method::Post, "../v2/charges"));
    assert_eq!(error, "its resource has a dot segment (`.` or `..`), plain or encoded");
}

#[test]
fn keys_of_two_scopes_are_two_keys_for_the_api() {
    let stripe = api("stripe", "https://api.stripe.com");
    let sent = |call: Call| {
        let request = stripe.request(&call, &Given::default()).unwrap();
        request.headers["idempotency-key"].to_str().unwrap().to_owned()
    };
    let post = |key: &str| Call::new(Method::Post, "v1/charges").idempotency_key(key);
    assert_eq!(sent(post("order-1")), "order-1");
    assert_eq!(sent(post("order-1").key_scope("acme")), "acme/order-1");
    assert_eq!(sent(post("b/c").key_scope("a")), "a/b/c");
    assert_eq!(sent(post("c").key_scope("a/b")), "a%2Fb/c");
    assert_eq!(sent(post("c").key_scope("a%2Fb")), "a%252Fb/c");
    let long = post(&"k".repeat(250)).key_scope("globex");
    assert_eq!(stripe.request(&long, &Given::default()).unwrap_err(), RequestError::Key(255));
}

#[test]
fn a_key_is_sent_only_where_the_vendor_takes_it() {
    let zendesk = api("zendesk", "https://acme.zendesk.com");
    let keyed = |method, resource: &str| {
        let call = Call::new(method, resource).idempotency_key("k");
        let request = zendesk.request(&call, &Given::default()).unwrap();
        request.headers.contains_key("idempotency-key")
    };
    assert!(keyed(Method::Post, "api/v2/tickets"));
    assert!(!keyed(Method::Put, "api/v2/tickets/1"));
    assert!(!keyed(Method::Post, "api/v2/users"));
}

const LOOK_UP: &str = "[[after_loss]]\nmethods = [\"POST\"]\n\
    look_up = { path = \"orders?ref={idempotency_key}\", found = \"/items\", \
    id = [{ body = \"/items/0/id\" }], lags = \"1m\" }";

#[test]
fn a_look_up_tells_done_from_not_done_from_nobody_knows() {
    let crm = own(LOOK_UP);
    let call = Call::new(Method::Post, "orders").idempotency_key("order 1/2");
    let Recovery::LookUp(look_up) = crm.profile().recovery(&call, Loss::NoAnswer) else { panic!() };
    assert_eq!(look_up.lags, Duration::from_secs(60));
    let request = crm.look_up_request(&look_up).unwrap();
    assert_eq!(request.url.as_str(), "https://api.example/v1/orders?ref=order%201%2F2");

    let ask = |status, headers: &[(&str, &str)], body| {
        crm.profile().looked_up(&look_up, &answer(status, headers, body), now())
    };
    let one = ask(200, &[], json!({"items": [{"id": 17}]}));
    assert_eq!(one, Found::Done { id: Some("17".to_owned()) });
    assert_eq!(ask(200, &[], json!({"items": []})), Found::NotDone);
    assert_eq!(ask(200, &[], json!({"items": null})), Found::NotDone);
    assert_eq!(ask(200, &[], json!({})), Found::NotDone);
    assert_eq!(ask(404, &[], json!({})), Found::NotDone);
    let two = ask(200, &[], json!({"items": [{"id": 17}, {"id": 18}]}));
    assert_eq!(two, Found::Undecidable("2 records answer to it".to_owned()));
    assert!(matches!(ask(400, &[], json!({})), Found::Undecidable(_)));
    let Found::TryAgain { wait, .. } = ask(429, &[("retry-after", "9")], json!({})) else {
        panic!()
    };
    assert_eq!(wait, Some(Duration::from_secs(9)));
    assert!(matches!(ask(500, &[], json!({})), Found::TryAgain { .. }));
}

/// What would end the text that a query language puts around a value is never sent.
#[test]
fn a_value_that_could_break_out_of_a_query_is_not_looked_up() {
    let crm = own(LOOK_UP);
    for key in ["x' or '1' eq '1", "a\"b", "a\\b", "a`b", "a\nb", ""] {
        let call = Call::new(Method::Post, "orders").idempotency_key(key);
        let recovery = crm.profile().recovery(&call, Loss::NoAnswer);
        assert!(matches!(recovery, Recovery::Nothing(_)), "{key:?} {recovery:?}");
    }
    // A path that would leave the base is refused when it becomes a URL.
    let crm = own("[[after_loss]]\nlook_up = { path = \"orders/{idempotency_key}\" }");
    let call = Call::new(Method::Post, "orders").idempotency_key("..");
    let Recovery::LookUp(look_up) = crm.profile().recovery(&call, Loss::NoAnswer) else { panic!() };
    assert!(crm.look_up_request(&look_up).is_err());
}

#[test]
fn each_part_of_a_composite_has_its_own_verdict() {
    let salesforce = shipped::get("salesforce").unwrap();
    let call = Call::new(Method::Post, "services/data/v62.0/composite");
    let composite = json!({"compositeResponse": [
        {"body": {"id": "001", "success": true}, "httpStatusCode": 201, "referenceId": "account"},
        {"body": [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "x"}], "httpStatusCode": 400, "referenceId": "order"},
        {"body": null, "httpStatusCode": 204, "referenceId": "contact"},
        {"referenceId": "odd"},
    ]});
    let parts = salesforce.parts(&call, &answer(200, &[], composite), now());
    let told: Vec<String> = parts
        .iter()
        .map(|part| {
            let (verdict, name) = (&part.verdict, part.reference.as_deref().unwrap_or_default());
            format!("{name} {:?} {:?}", verdict.outcome, verdict.id.as_deref())
        })
        .collect();
    let expected = [
        "account Succeeded Some(\"001\")",
        "order Transient None",
        "contact Succeeded None",
        "odd Unknown None",
    ];
    assert_eq!(told, expected);

    let batch = json!({"hasErrors": true, "results": [
        {"statusCode": 204, "result": null},
        {"statusCode": 404, "result": [{"errorCode": "NOT_FOUND", "message": "x"}]},
    ]});
    let parts = salesforce.parts(&call, &answer(200, &[], batch), now());
    let outcomes: Vec<Outcome> = parts.iter().map(|part| part.verdict.outcome).collect();
    assert_eq!(outcomes, [Outcome::Succeeded, Outcome::Rejected]);
    assert_eq!(parts[1].verdict.reason.code.as_deref(), Some("NOT_FOUND"));

    let sap = shipped::get("sap-odata").unwrap();
    let batch = json!({"responses": [{"id": "1", "status": "201", "body": {"ID": "7"}}]});
    let parts = sap.parts(&Call::new(Method::Post, "$batch"), &answer(200, &[], batch), now());
    assert_eq!(parts[0].reference.as_deref(), Some("1"));
    assert_eq!(parts[0].verdict.id.as_deref(), Some("7"));

    let batch = json!({ "requests": [
        { "id": "1", "method": "POST", "url": "A_SalesOrder", "body": {}, "atomicityGroup": "g" },
        { "id": "2", "method": "PATCH", "url": "A_Customer('1')", "body": {}, "atomicityGroup": "g" },
        { "id": "3", "method": "GET", "url": "A_SalesOrder" },
    ] });
    let mut multipart = Call::new(Method::Post, "$batch").body(batch);
    multipart.content = Some(Content::Multipart);
    let refused = "--x\r\ncontent-type: application/http\r\n\r\nHTTP/1.1 400 Bad Request\r\n\
        content-type: application/json\r\n\r\n{\"error\":{\"code\":\"X/1\"}}\r\n--x--\r\n";
    let mime = HeaderMap::from_iter([(
        CONTENT_TYPE,
        HeaderValue::from_static("multipart/mixed; boundary=x"),
    )]);
    let told = sap.readable(&multipart, Answer::new(202, mime, refused));
    let verdict = sap.verdict(&multipart, &told, now());
    assert_eq!(verdict.outcome, Outcome::PartlySucceeded);
    let parts = sap.parts(&multipart, &told, now());
    let told = parts.iter().map(|part| {
        let (name, verdict) = (part.reference.as_deref().unwrap_or_default(), &part.verdict);
        format!("{name} {:?} {:?}", verdict.outcome, verdict.reason.code.as_deref())
    });
    let expected = ["1 Rejected Some(\"X/1\")", "2 Rejected Some(\"X/1\")", "3 Unknown None"];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let plain = salesforce.parts(&call, &answer(200, &[], json!({"id": "1"})), now());
    assert!(plain.is_empty());
}
