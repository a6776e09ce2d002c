//! What is done with a slowlane.toml and without AWS: `init`, `check` and `call --dry-run`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use tempfile::TempDir;

struct Folder(TempDir);

/// How a run ended, and what it printed.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(text: &str) -> Self {
        let folder = Self::new();
        folder.write("slowlane.toml", text);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane"));
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        let output = command.output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self, args: &[&str]) -> (Option<i32>, Value) {
        let ended = self.run(&[args, &["--json"]].concat());
        let json = serde_json::from_str(&ended.stdout);
        (ended.code, json.unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr)))
    }
}

const GOOD: &str = r#"
[targets.crm]
profile = "salesforce"
auth = "client_credentials"
base_url = "https://acme.my.salesforce.com"
secret = "prod/salesforce"

[targets.shop]
profile = "profiles/shop.toml"
base_url = "https://shop.example.com/v2"
secret = "prod/shop"

[targets.sap]
profile = "sap-odata"
auth = "basic"
base_url = "https://sap.example.com/odata"
secret = "prod/sap"

[targets.erp]
profile = "netsuite"
base_url = "https://1234567.suitetalk.api.netsuite.com"
secret = "prod/netsuite"

[stages.prod]
region = "eu-central-1"
"#;

const SHOP: &str = r#"
name = "shop"
title = "Our shop"
settles_after = "5m"

[auth.header]
name = "x-api-key"
value = "{api_key}"

[idempotency]
header = "idempotency-key"
methods = ["POST"]

[[answers]]
status = "200-299"
outcome = "succeeded"

[[after_loss]]
with_key = true
repeat = { within = "1d" }
"#;

fn good() -> Folder {
    let folder = Folder::with(GOOD);
    folder.write("profiles/shop.toml", SHOP);
    folder
}

#[test]
fn what_is_right_is_said_with_the_stacks_that_it_makes() {
    let folder = good();
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    insta::assert_snapshot!("right", ended.stdout);
    let (code, told) = folder.json(&["check"]);
    assert_eq!((code, &told["kind"]), (Some(0), &json!("configuration")));
    assert_eq!(told["mistakes"], json!([]));
    let erp = told["stacks"].as_array().unwrap().iter().find(|stack| stack["target"] == "erp");
    let expected = json!({"stage": "prod", "stack": "slowlane-prod-erp", "target": "erp",
        "region": "eu-central-1", "refused": null});
    assert_eq!(erp, Some(&expected));

    let ended = folder.run(&["check", "profiles/shop.toml"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "the profile is right\n"));
}

#[test]
fn all_mistakes_of_a_configuration_and_of_its_profiles_are_told_at_once() {
    let folder = good();
    let wrong = GOOD
        .replace("salesforce\"\nauth", "salesfroce\"\nauth")
        .replace("auth = \"basic\"", "auth = \"basics\"")
        .replace("eu-central-1", "frankfurt");
    folder.write("slowlane.toml", &wrong);
    let shop = SHOP.replace("succeeded", "suceeded").replace("settles_after", "setles_after");
    folder.write("profiles/shop.toml", &shop);
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(1));
    insta::assert_snapshot!("wrong", format!("{}{}", ended.stdout, ended.stderr));

    // Another command says the same, and does nothing.
    let other = folder.run(&["status", "--stage", "prod"]);
    assert_eq!(other.code, Some(1));
    for line in ended.stdout.lines() {
        assert!(other.stderr.contains(line), "{line}: {}", other.stderr);
    }
    let (code, told) = folder.json(&["check", "profiles/shop.toml"]);
    assert_eq!((code, &told["kind"]), (Some(1), &json!("profile")));
    assert_eq!(told["mistakes"][0]["mend"], "did you mean `settles_after`?", "{told:#}");
    assert_eq!(told["mistakes"][0]["line"], 4);

    folder.write("slowlane.toml", "[targets.crm\n");
    let (code, told) = folder.json(&["check"]);
    assert_eq!((code, &told["kind"]), (Some(1), &json!("configuration")));
    let missing = folder.run(&["check", "nowhere.toml"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("cannot read nowhere.toml"), "{}", missing.stderr);
}

#[test]
fn a_first_file_is_written_from_options_and_is_right() {
    let folder = Folder::new();
    folder.write(".gitignore", "/target\n*.pem");
    let salesforce = [
        "init",
        "--api",
        "salesforce",
        "--auth",
        "jwt_bearer",
        "--target",
        "crm",
        "--base-url",
        "https://acme.my.salesforce.com",
        "--region",
        "eu-north-1",
    ];
    let ended = folder.run(&salesforce);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    insta::assert_snapshot!("first_file", folder.read("slowlane.toml"));
    insta::assert_snapshot!("what_comes_next", ended.stdout);
    assert_eq!(folder.read(".gitignore"), "/target\n*.pem\n*.p8\n*.key\n.env\n");
    assert_eq!(folder.run(&["check"]).code, Some(0));

    // Never over one that is there.
    let again = folder.run(&salesforce);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("there is a ./slowlane.toml already"), "{}", again.stderr);

    let folder = Folder::new();
    let netsuite = ["init", "--api", "netsuite", "--region", "eu-north-1", "--base-url"];
    let netsuite = [&netsuite[..], &["https://1234567.suitetalk.api.netsuite.com"]].concat();
    let (code, told) = folder.json(&netsuite);
    assert_eq!(code, Some(0));
    let secret = json!({"name": "prod/netsuite",
        "fields": ["client_id", "certificate_id", "private_key_pem"]});
    assert_eq!(told["secret"], secret);
    assert_eq!(folder.run(&["check"]).code, Some(0));
}

#[test]
fn without_a_terminal_all_that_is_missing_is_told_at_once() {
    let folder = Folder::new();
    let told = |args: &[&str]| {
        let ended = folder.run(&[&["init"], args].concat());
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        ended.stderr
    };
    let all = told(&[]);
    for text in ["--api: ", "stripe", "netsuite", "--base-url", "--region"] {
        assert!(all.contains(text), "{text}: {all}");
    }
    let ways = told(&["--api", "salesforce", "--region", "eu-north-1"]);
    assert!(ways.contains("--auth: client_credentials, jwt_bearer"), "{ways}");
    for (args, mend) in [
        (&["--api", "salesfroce"][..], "did you mean `salesforce`?"),
        (&["--api", "salesforce", "--auth", "jwt_baerer"], "did you mean `jwt_bearer`?"),
        (&["--target", "My CRM"], "lower-case letters"),
        (&["--region", "frankfurt"], "eu-central-1"),
        (&["--base-url", "http://acme.my.salesforce.com"], "https"),
    ] {
        let told = told(args);
        assert!(told.contains(mend), "{args:?}: {told}");
    }
    assert!(!folder.0.path().join("slowlane.toml").exists());
}

#[test]
fn a_call_is_shown_as_it_would_be_sent() {
    let folder = good();
    let mut all = String::new();
    for args in [
        &["crm", "--method", "GET", "--path", "services/data/v62.0/limits"][..],
        &["shop", "--method", "POST", "--path", "/orders?draft=1", "--key", "order-1", "--body"],
        &["sap", "--method", "PATCH", "--path", "A_SalesOrder('1')", "--body"],
    ] {
        let body = [r#"{"sku": "A1", "amount": 2}"#];
        let body = if args.last() == Some(&"--body") { &body[..] } else { &[] };
        let ended = folder.run(&[&["call", "--dry-run"], args, body].concat());
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        all += &format!("{}\n{}\n", "=".repeat(60), ended.stdout);
    }
    insta::assert_snapshot!("calls", all);

    folder.write("order.json", r#"{"sku": "A1"}"#);
    let post = ["call", "--dry-run", "shop", "--method", "POST", "--path", "orders"];
    let (_, told) = folder.json(&[&post[..], &["--body", "@order.json"]].concat());
    assert_eq!(told["request"]["url"], "https://shop.example.com/v2/orders");
    assert_eq!(told["request"]["body"], r#"{"sku":"A1"}"#);
    assert_eq!(told["request"]["headers"]["x-api-key"], "(secret)");
    let auth = json!({"way": "header", "secret": "prod/shop", "fields": ["api_key"]});
    assert_eq!(told["auth"], auth);
    assert_eq!(told["reads"], false);
}

#[test]
fn a_call_that_cannot_be_made_is_refused() {
    let folder = good();
    let get = |target: &str, rest: &[&str]| {
        folder.run(&[&["call", target, "--method", "GET"], rest].concat())
    };
    for (target, rest, code, told) in [
        ("crm", &["--path", "x"][..], 2, "--dry-run"),
        ("crn", &["--path", "x", "--dry-run"], 2, "did you mean `crm`?"),
        ("crm", &["--path", "x", "--dry-run", "--stage", "pord"], 2, "did you mean `prod`?"),
        ("crm", &["--path", "../x", "--dry-run"], 1, "dot segment"),
        ("crm", &["--path", "x", "--dry-run", "--body", "{"], 1, "--body is no JSON"),
        ("crm", &["--path", "x", "--dry-run", "--body", "@no"], 1, "cannot read no"),
        ("crm", &["--path", "x", "--dry-run", "--header", "cookie=1"], 1, "is not allowed"),
        ("erp", &["--path", "x", "--dry-run"], 1, "NetSuite's requests are made by code"),
    ] {
        let ended = get(target, rest);
        assert_eq!(ended.code, Some(code), "{rest:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{rest:?}: {}", ended.stderr);
    }
}

#[test]
fn a_worker_of_ones_own_is_written_once() {
    let folder = Folder::new();
    let clone = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let ended = folder.run(&["new-target", "crm"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    insta::assert_snapshot!("new_target", ended.stdout);
    let example = include_str!("../../worker/examples/http.rs");
    assert_eq!(folder.read("crm-worker/src/main.rs"), example);
    assert!(folder.read("crm-worker/Cargo.toml").contains("name = \"crm-worker\""));
    assert!(folder.read("crm-worker/README.md").contains("[targets.crm]"));
    assert_eq!(folder.read("crm-worker/.gitignore"), "/target\n");

    let again = folder.run(&["new-target", "crm"]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("there is a crm-worker already"), "{}", again.stderr);
    let wrong = folder.run(&["new-target", "My CRM"]);
    assert_eq!(wrong.code, Some(2));

    // Against a clone: cargo can read what was written, and finds the worker's crate there.
    let against = ["new-target", "erp", "--slowlane", clone, "--directory", "erp"];
    let (code, told) = folder.json(&against);
    assert_eq!((code, &told["directory"]), (Some(0), &json!("erp")));
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata = metadata.current_dir(folder.0.path().join("erp")).output().unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let worker = &metadata["packages"][0]["dependencies"][0];
    assert_eq!(worker["name"], "slowlane-worker");
    let path = std::path::PathBuf::from(worker["path"].as_str().unwrap());
    assert!(path.join("src/target.rs").is_file(), "{path:?}");
    let nowhere = folder.run(&["new-target", "shop", "--slowlane", "nowhere"]);
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
}

#[test]
fn what_no_sandbox_can_stand_in_for_is_refused_before_anything_is_built() {
    let text = GOOD.replace("sap-odata", "http").replace("\"basic\"", "\"client_certificate\"");
    let text = text.replace("\"client_credentials\"", "\"jwt_bearer\"");
    let folder = Folder::with(&text);
    folder.write("profiles/shop.toml", SHOP);
    for (target, told) in [
        ("erp", "target erp: NetSuite has a demo of its own"),
        ("sap", "target sap: client_certificate: a sandbox on this machine speaks no TLS"),
        ("crm", "target crm: jwt_bearer: a sandbox on this machine has no private key"),
        ("shopp", "there is no target `shopp`; did you mean `shop`?"),
        ("", "say which target: "),
    ] {
        let stage = ["demo", "--stage", "prod"];
        let named = [target];
        let args = [&stage[..], if target.is_empty() { &[] } else { &named }].concat();
        let ended = folder.run(&args);
        assert_eq!(ended.code, Some(2), "{target}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{target}: {}", ended.stderr);
    }
    let missing = folder.run(&["demo", "shop", "--stage", "prod", "--call", "none.json"]);
    assert!(missing.stderr.contains("cannot read none.json"), "{}", missing.stderr);
}

const MODEL: &str = r#"
[targets.model]
profile = "openai"
base_url = "https://api.openai.com"
secret = "prod/openai"
prompts = "prompts"

[stages.prod]
region = "eu-central-1"
"#;

const PROMPT: &str =
    "inputs = [\"review\"]\n[[messages]]\nrole = \"user\"\ncontent = \"{review}\"\n";

#[test]
fn prompts_are_checked_with_the_configuration_that_names_them() {
    let folder = Folder::with(MODEL);
    let missing = folder.run(&["check"]);
    assert!(missing.stdout.contains("the prompts cannot be read"), "{}", missing.stdout);
    folder.write("prompts/README.md", "ours");
    assert!(folder.run(&["check"]).stdout.contains("there is no prompt in this folder"));
    folder.write("prompts/review.v3.toml", PROMPT);
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    folder.write("prompts/review.v3.toml", &PROMPT.replace("{review}", "{reviw}"));
    let (code, told) = folder.json(&["check"]);
    assert_eq!((code, told["mistakes"].as_array().map(Vec::len)), (Some(1), Some(2)), "{told}");
    let mistake = &told["mistakes"][1];
    assert_eq!(mistake["file"], "prompts/review.v3.toml");
    assert_eq!((&mistake["line"], &mistake["field"]), (&json!(4), &json!("messages[1].content")));
    folder.write("prompts/review.v3.toml", PROMPT);
    folder.write("prompts/review.toml", PROMPT);
    assert!(folder.run(&["check"]).stdout.contains("write NAME.vN.toml"));
}

#[test]
fn a_question_in_the_common_form_is_shown_as_its_provider_is_asked() {
    let folder = Folder::with(MODEL);
    folder.write("prompts/review.v3.toml", PROMPT);
    let ask = |path: &str, body: &str| {
        let call = ["call", "model", "--dry-run", "--method", "POST", "--content", "chat"];
        folder.json(&[&call[..], &["--path", path, "--body", body]].concat())
    };
    let prompt = r#"{"name": "review", "version": 3, "input": {"review": "It broke."}}"#;
    let body = format!(r#"{{"model": "small", "max_tokens": 9, "prompt": {prompt}}}"#);
    let (code, told) = ask("chat", &body);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told["request"]["url"], "https://api.openai.com/v1/chat/completions");
    let sent: Value = serde_json::from_str(told["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["messages"], json!([{ "role": "user", "content": "It broke." }]));
    assert_eq!(told["after_loss"], "it is made again; the API charges for it again");
    let call = ["call", "model", "--dry-run", "--method", "POST", "--content", "chat"];
    for (path, body, expected) in [
        ("v1/chat/completions", body.as_str(), "a call in the common form is `POST chat`"),
        (
            "chat",
            r#"{"model": "m", "max_tokens": 9, "stream": true}"#,
            "streaming is not for queues",
        ),
    ] {
        let ended = folder.run(&[&call[..], &["--path", path, "--body", body]].concat());
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../README.md");
    let folder = Folder::new();
    let stripe = ["init", "--api", "stripe", "--base-url", "https://api.stripe.com"];
    let stripe = folder.run(&[&stripe[..], &["--region", "eu-central-1"]].concat());
    let call = ["call", "stripe", "--method", "POST", "--path", "v1/customers", "--dry-run"];
    let call =
        folder.run(&[&call[..], &["--body", r#"{"name": "Ada"}"#, "--key", "ada-1"]].concat());
    folder
        .write("slowlane.toml", &folder.read("slowlane.toml").replace("\"stripe\"", "\"strpie\""));
    let check = folder.run(&["check"]);
    for printed in [stripe.stdout, call.stdout, check.stdout, check.stderr] {
        assert!(readme.contains(printed.trim_end()), "{printed}");
    }
}
