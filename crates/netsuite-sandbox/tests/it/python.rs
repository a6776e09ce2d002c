//! A client that was not made for this sandbox: `netsuite` for Python, unmodified but for its base
//! address.
//!
//! Needs the Python environment that `cargo xtask test` makes.

use std::{path::Path, process::Command};

use anyhow::{Context, ensure};
use slowlane_netsuite_sandbox::{Sandbox, Settings, TbaCredentials};

use crate::client::{Served, open};

#[tokio::test]
async fn the_python_client_signs_in_creates_reads_and_queries() -> anyhow::Result<()> {
    let python = std::env::var_os("SLOWLANE_NETSUITE_PYTHON").context(
        "SLOWLANE_NETSUITE_PYTHON names no Python that has the client: run this by `cargo xtask test`",
    )?;
    let credentials = TbaCredentials::generate("1234567_SB1")?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tba.json");
    std::fs::write(&file, serde_json::to_vec(&credentials)?)?;
    let mut sandbox = Sandbox::new(Settings { open: false, ..open() });
    sandbox.register_tba(credentials);
    let served = Served::start_with(sandbox).await;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/python_client.py");
    let mut check = Command::new(python);
    check.arg(script).arg(&served.base_url).arg(&file);
    let output = tokio::task::spawn_blocking(move || check.output()).await??;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    ensure!(output.status.success(), "{}", said.concat());

    // What it says it did is what was done here.
    let report = served.report().await;
    assert_eq!((report.records_created, report.duplicate_effects), (2, 0));
    let called = |method: &str, resource: &str| {
        report.calls.iter().any(|call| call.method == method && call.resource.starts_with(resource))
    };
    for (method, resource) in [
        ("POST", "salesOrder"),
        ("PUT", "customer/eid:py-2"),
        ("GET", "customer/eid:py-2"),
        ("POST", "query/v1/suiteql"),
    ] {
        assert!(called(method, resource), "{method} {resource}: {:?}", report.calls);
    }
    Ok(())
}
