//! Prints the JSON Schemas of the wire contract, checks the checked-in ones, or renews them.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use slowlane_message::schema::documents;

const USAGE: &str = "usage: slowlane-message-schema [--check | --write]
Prints the JSON Schemas of EnqueueRequest and QueuedCall.
  --check  compare with crates/message/schema/ and fail if they differ
  --write  write them there";

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            for document in documents() {
                io::stdout().write_all(document.text().as_bytes())?;
            }
        }
        ["--write"] => {
            for document in documents() {
                fs::write(directory.join(document.file_name), document.text())?;
            }
        }
        ["--check"] => return check(&directory),
        ["--help" | "-h"] => writeln!(io::stdout(), "{USAGE}")?,
        _ => {
            writeln!(io::stderr(), "{USAGE}")?;
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(directory: &Path) -> io::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for document in documents() {
        let path = directory.join(document.file_name);
        if fs::read_to_string(&path).ok().as_deref() != Some(document.text().as_str()) {
            let path = path.display();
            writeln!(io::stderr(), "{path} is out of date: run with --write")?;
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
