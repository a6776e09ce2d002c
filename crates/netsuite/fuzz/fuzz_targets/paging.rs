//! Any pages from a server.
#![no_main]

#[expect(dead_code, reason = "what other tests and targets need of them")]
#[path = "../../tests/client/checks.rs"]
mod checks;
#[expect(dead_code, reason = "what other tests and targets need of it")]
#[path = "../../tests/client/support.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: (Vec<checks::Told>, u16, u8, bool)| {
    let (pages, page_rows, at_once, by_key) = input;
    checks::pages_come_in_order_and_end(&pages, page_rows, at_once.into(), by_key);
});
