//! The demo as a process: what it says when something is missing, and that nothing it has
//! started outlives it. A shell script stands in for Python, so that no MiniStack is needed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DEMO: &str = env!("CARGO_BIN_EXE_slowlane-local");

/// A directory with all that the demo asks for, none of it real.
struct StandIns {
    directory: tempfile::TempDir,
}

impl StandIns {
    /// The "Python" writes its process id and then waits, as a server that never gets ready.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["slowlane-enqueuer", "slowlane-worker", "sandbox"] {
            std::fs::write(path(name), "").unwrap();
        }
        // Written by another process: what this one has open for writing while another test
        // forks cannot be executed (ETXTBSY).
        let script = "printf '#!/bin/sh\\necho $$ > \"%s\"\\nexec sleep 600\\n' \"$1\" > \"$2\" && chmod +x \"$2\"";
        let written = Command::new("/bin/sh")
            .args(["-c", script, "sh"])
            .args([path("pid"), path("python")])
            .status()
            .unwrap();
        assert!(written.success());
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn demo(&self) -> Command {
        let mut demo = Command::new(DEMO);
        demo.arg("demo")
            .env("SLOWLANE_LAMBDAS", self.directory.path())
            .env("SLOWLANE_SANDBOX", self.path("sandbox"))
            .env("SLOWLANE_PYTHON", self.path("python"))
            .env("TMPDIR", self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        demo
    }

    /// Starts the demo and waits until its "Python" runs.
    fn start(&self) -> (Child, u32) {
        let demo = self.demo().spawn().unwrap();
        let pid = wait_for(|| std::fs::read_to_string(self.path("pid")).ok()?.trim().parse().ok());
        (demo, pid)
    }
}

fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait_until_gone(pid: u32) {
    let stat = PathBuf::from(format!("/proc/{pid}/stat"));
    wait_for(|| {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        // A zombie whose parent is gone waits only for pid 1.
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn error_of(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_signal_stops_everything_and_leaves_no_file() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let stand_ins = StandIns::new();
        let (mut demo, python) = stand_ins.start();
        send(signal, &demo);
        assert_eq!(demo.wait().unwrap().code(), Some(130), "{signal}");
        wait_until_gone(python);
        let left = std::fs::read_dir(stand_ins.directory.path()).unwrap();
        let is_run = |path: &Path| path.is_dir();
        assert!(left.map(|entry| entry.unwrap().path()).all(|path| !is_run(&path)), "{signal}");
    }
}

#[test]
fn not_even_a_kill_leaves_a_process_behind() {
    let stand_ins = StandIns::new();
    let (mut demo, python) = stand_ins.start();
    send("-KILL", &demo);
    demo.wait().unwrap();
    wait_until_gone(python);
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let stand_ins = StandIns::new();
    let output = stand_ins.demo().env_remove("SLOWLANE_PYTHON").stderr(Stdio::piped()).output();
    let error = error_of(&output.unwrap());
    assert!(error.contains("SLOWLANE_PYTHON is not set"), "{error}");
    assert!(error.contains("cargo xtask demo"), "{error}");

    std::fs::remove_file(stand_ins.path("slowlane-worker")).unwrap();
    let error = error_of(&stand_ins.demo().stderr(Stdio::piped()).output().unwrap());
    assert!(error.contains("SLOWLANE_LAMBDAS has no slowlane-worker"), "{error}");
}

#[test]
fn a_file_without_a_single_order_is_an_error_that_tells_each_line() {
    let stand_ins = StandIns::new();
    let input = stand_ins.path("orders.jsonl");
    std::fs::write(&input, "{}\n[]\n").unwrap();
    let mut demo = stand_ins.demo();
    let error = error_of(&demo.arg("--input").arg(&input).stderr(Stdio::piped()).output().unwrap());
    assert!(error.contains("line 1: missing field"), "{error}");
    assert!(error.contains("line 2: "), "{error}");
    assert!(error.contains("has no order that can be run"), "{error}");
}

/// Nobody types the name of this program.
#[test]
fn a_mistake_shows_what_was_typed() {
    let output = Command::new(DEMO).args(["demo", "--bogus"]).output().unwrap();
    let error = error_of(&output);
    assert!(error.contains("Usage: cargo xtask demo ") && !error.contains("slowlane-"), "{error}");
}
