//! What is told of mistakes in a profile: the line, the field and the mend.

use std::fmt::Write as _;

use slowlane_profile::Profile;

const GOOD: &str = r#"
name = "crm"
title = "CRM"
settles_after = "15m"

[request]
content = ["json"]
allow_headers = ["if-match"]

[auth.header]
name = "x-api-key"
value = "{api_key}"

[[before]]
name = "csrf"
methods = ["POST"]
method = "GET"
path = "token"
gives.x-csrf-token = [{ header = "x-csrf-token" }]

[[answers]]
status = "200-299"
outcome = "succeeded"

[[answers]]
status = 429
outcome = "throttled"
limit = "rate"
wait = [{ header = "retry-after", as = "retry_after" }]

[[answers]]
status = 403
header.x-csrf-token = "Required"
body."/code" = { contains = "csrf" }
outcome = "transient"
renew = "csrf"

[[answers]]
status = 410
paths = ["jobs/*"]
outcome = "rejected"

[[after_loss]]
methods = ["POST"]
look_up = { path = "orders?ref={idempotency_key}", found = "/items" }

[[after_loss]]
repeat = { within = "24h" }
"#;

/// What is written, and what is written instead.
const MISTAKES: &[(&str, &str)] = &[
    ("title = \"CRM\"\n", ""),
    ("settles_after = \"15m\"", "settle_after = \"15m\""),
    ("settles_after = \"15m\"", "settles_after = \"soon\""),
    ("name = \"crm\"", "name = \"My CRM\""),
    ("content = [\"json\"]", "content = [\"jsno\"]"),
    ("content = [\"json\"]", "content = \"json\""),
    ("[\"if-match\"]", "[\"authorization\"]"),
    ("[\"if-match\"]", "[\"if match\"]"),
    ("[auth.header]", "[auth.heder]"),
    ("value = \"{api_key}\"", "value = \"{api_key\""),
    ("methods = [\"POST\"]\nmethod", "methods = [\"post\"]\nmethod"),
    ("gives.x-csrf-token = [{ header = \"x-csrf-token\" }]", "gives.x-csrf-token = [{}]"),
    ("status = \"200-299\"", "status = \"2xx\""),
    ("status = \"200-299\"", "status = 20"),
    ("status = \"200-299\"", "status = \"100-599\""),
    ("outcome = \"succeeded\"", "outcome = \"success\""),
    ("limit = \"rate\"\n", ""),
    ("limit = \"rate\"", "limit = \"rates\""),
    (", as = \"retry_after\"", ""),
    ("as = \"retry_after\"", "as = \"retry-after\""),
    ("{ header = \"retry-after\", as", "{ header = \"retry-after\", body = \"/x\", as"),
    ("body.\"/code\"", "body.\"code\""),
    ("{ contains = \"csrf\" }", "{ contain = \"csrf\" }"),
    ("{ contains = \"csrf\" }", "{ contains = \"csrf\", present = true }"),
    ("renew = \"csrf\"", "renew = \"csfr\""),
    ("paths = [\"jobs/*\"]", "paths = [\"jobs/**/x\"]"),
    ("outcome = \"rejected\"", "outcome = \"running\""),
    ("{idempotency_key}\", found", "{idempotency-key}\", found"),
    ("repeat = { within = \"24h\" }", "repeat = { within = \"24h\" }\nnothing = \"x\""),
    ("[[after_loss]]\nmethods", "[[after_loss]]\nnothing = \"x\"\n\n[[after_loss]]\nmethods"),
    (
        "[[after_loss]]\nmethods",
        "[fallback]\nmodel = \"small\"\nafter = \"30s\"\n\n[[after_loss]]\nmethods",
    ),
    ("[[after_loss]]\nrepeat", "[[after_los]]\nrepeat"),
    ("outcome = \"succeeded\"", "outcome = "),
    ("name = \"csrf\"\n", ""),
];

#[test]
fn every_mistake_names_its_line_its_field_and_its_mend() {
    Profile::parse(GOOD).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mut told = String::new();
    for (right, wrong) in MISTAKES {
        assert!(GOOD.contains(right), "{right}");
        let text = GOOD.replacen(right, wrong, 1);
        let Err(mistakes) = Profile::parse(&text) else { panic!("nothing is wrong with {wrong}") };
        writeln!(told, "{} -> {}", right.trim(), wrong.trim()).unwrap();
        writeln!(told, "    {}\n", mistakes.to_string().replace('\n', "\n    ")).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let mut text = GOOD.to_owned();
    for (right, wrong) in [MISTAKES[4], MISTAKES[8], MISTAKES[13], MISTAKES[22]] {
        text = text.replacen(right, wrong, 1);
    }
    let mistakes = Profile::parse(&text).unwrap_err();
    assert_eq!(mistakes.list().len(), 4, "{mistakes}");
}
