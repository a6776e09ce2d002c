//! Any bytes as an error body: no panic, nothing lost, and no 5xx taken for a definite "no".
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use slowlane_netsuite::{Class, Method, Request};

fuzz_target!(|input: (u16, Vec<u8>)| {
    let (status, body) = (300 + input.0 % 300, input.1);
    let answered = body.clone();
    let client = support::client(move |_| (status, answered.clone()));
    let request = Request::new(Method::PATCH, "salesOrder/1").expect("a path");
    let error = support::run(client.send(request)).expect_err("no 2xx");
    assert!(status < 500 || error.class() != Class::Rejected);
    assert_eq!(error.body().is_none(), body.is_empty());
    let _ = (error.to_string(), format!("{error:?}"));
});
