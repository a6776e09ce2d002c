//! The program: its help, its line, its files, its end.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_slowlane-netsuite-sandbox"))
}

/// Starts it, and gives its address when it is ready.
fn start(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    (child, line["listening"].as_str().unwrap().to_owned())
}

async fn server_time(base_url: &str) -> u16 {
    let answer = reqwest::get(format!("{base_url}/services/rest/system/v1/serverTime")).await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn open_takes_calls_without_a_token() {
    let (mut child, base_url) = start(program().args(["--open", "--latency-ms", "1"]));
    assert_eq!(server_time(&base_url).await, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn its_help_tells_how_to_use_it() {
    let output = program().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for told in [
        "--port",
        "--limit",
        "--latency-ms",
        "--open",
        "--write-credentials",
        "curl",
        "429",
        "/_sandbox/report",
        "/_sandbox/fault",
        "drop-after-commit:3",
        "every=N",
    ] {
        assert!(help.contains(told), "{told} is not in {help}");
    }
}

#[tokio::test]
async fn it_announces_itself_writes_credentials_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let (oauth2, tba) = (dir.path().join("credentials.json"), dir.path().join("tba.json"));
    let (mut child, base_url) = start(
        program()
            .args(["--limit", "3", "--latency-ms", "1", "--fault", "500:1", "--write-credentials"])
            .arg(&oauth2)
            .arg("--write-tba-credentials")
            .arg(&tba),
    );
    assert_eq!(server_time(&base_url).await, 401, "a call without a token");
    let stats: Value =
        reqwest::get(format!("{base_url}/_sandbox/stats")).await.unwrap().json().await.unwrap();
    assert_eq!(stats["limit"], 3);
    let faults: Value =
        reqwest::get(format!("{base_url}/_sandbox/fault")).await.unwrap().json().await.unwrap();
    assert_eq!(faults["faults"], serde_json::json!(["500:1"]));

    let names = |path| -> Vec<String> {
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        file.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(&oauth2), ["account_id", "certificate_id", "client_id", "private_key_pem"]);
    assert_eq!(
        names(&tba),
        ["account_id", "consumer_key", "consumer_secret", "token_id", "token_secret"]
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&oauth2).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success(), "SIGTERM is a good end");
}
