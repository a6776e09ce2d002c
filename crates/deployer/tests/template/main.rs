//! The template: that its derived parts are what their sources say, that it protects what it holds,
//! and that it fits.
//!
//! `UPDATE_TEMPLATE=1 cargo test -p slowlane-deployer --test template` (or `cargo xtask template`)
//! writes the derived parts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod environment;
mod fires;
mod parsed;
mod protection;
mod timing;
mod watch;

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn template() -> String {
    fs::read_to_string(repository().join("infra/template.yaml")).unwrap()
}

/// Compares what stands in a file between two marks with what should stand there, or writes it.
fn check_between(file: &str, begin: &str, end: &str, expected: &str) {
    // Several tests may write to one file.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let path = repository().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let from = text.find(begin).unwrap();
    let from = from + text[from..].find('\n').unwrap() + 1;
    let to = text.find(end).unwrap();
    if std::env::var_os("UPDATE_TEMPLATE").is_some() {
        fs::write(path, format!("{}{expected}{}", &text[..from], &text[to..])).unwrap();
    } else {
        assert_eq!(&text[from..to], expected, "run `cargo xtask template`");
    }
}

/// A section of the template, from its name to the next empty line.
fn section<'a>(template: &'a str, name: &str) -> &'a str {
    let begin = template.find(&format!("\n  {name}:\n")).unwrap() + 1;
    let section = &template[begin..];
    &section[..section.find("\n\n").unwrap()]
}

/// CloudFormation takes up to 1 MB from S3.
#[test]
fn the_template_fits() {
    assert!(template().len() <= 1_000_000, "{} bytes", template().len());
}
