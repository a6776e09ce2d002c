//! The program: its line, its files, its end.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

#[tokio::test]
async fn it_announces_itself_writes_credentials_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let (oauth2, tba) = (dir.path().join("credentials.json"), dir.path().join("tba.json"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_slowlane-netsuite-sandbox"))
        .args(["--limit", "3", "--latency-ms", "1", "--fault", "500:1", "--write-credentials"])
        .arg(&oauth2)
        .arg("--write-tba-credentials")
        .arg(&tba)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let base_url = line["listening"].as_str().unwrap();
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
