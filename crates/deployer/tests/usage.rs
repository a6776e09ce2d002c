//! What the command line says of itself.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

const COMMANDS: [&[&str]; 9] = [
    &["deploy"],
    &["destroy"],
    &["status"],
    &["call"],
    &["dead-letters", "list"],
    &["dead-letters", "show"],
    &["dead-letters", "restart"],
    &["dead-letters", "drop"],
    &["unresolved", "list"],
];

fn run(typed_as: Option<&str>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane-deployer"));
    command.env_remove("SLOWLANE_TYPED_AS").args(args);
    if let Some(typed) = typed_as {
        command.env("SLOWLANE_TYPED_AS", typed);
    }
    command.output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn usage_lines_say_what_was_typed() {
    for command in COMMANDS {
        let help = text(run(Some("cargo xtask"), &[command, &["--help"]].concat()).stdout);
        let usage = format!("Usage: cargo xtask {} ", command.join(" "));
        assert!(help.contains(&usage), "{usage}: {help}");
        assert!(!help.contains("slowlane-deployer "), "{help}");
        let refused = run(Some("cargo xtask"), &[command, &["--bogus"]].concat());
        let told = text(refused.stderr);
        assert!(told.contains("Usage: cargo xtask "), "{told}");
        assert_eq!(refused.status.code(), Some(2));
    }
    let help = text(run(None, &["unresolved", "list", "--help"]).stdout);
    assert!(help.contains("Usage: slowlane-deployer unresolved list "), "{help}");
}

#[test]
fn each_command_teaches_by_an_example() {
    for command in COMMANDS {
        let help = text(run(None, &[command, &["--help"]].concat()).stdout);
        let example = format!("\n  cargo xtask {}", command.join(" "));
        assert!(help.contains("\nExample") && help.contains(&example), "{help}");
    }
}
