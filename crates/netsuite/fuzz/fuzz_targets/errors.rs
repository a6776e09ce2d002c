//! Any bytes as the body of an error.
#![no_main]

#[expect(dead_code, reason = "what other tests and targets need of them")]
#[path = "../../tests/client/checks.rs"]
mod checks;
#[expect(dead_code, reason = "what other tests and targets need of it")]
#[path = "../../tests/client/support.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: (u16, Vec<u8>)| {
    let (status, body) = input;
    checks::an_error_body_is_survived_and_kept(300 + status % 300, &body);
});
