//! Prints the JSON Schema of a profile, checks the checked-in one, or renews it.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use slowlane_profile::schema;

const USAGE: &str = "usage: slowlane-profile-schema [--check | --write]
Prints the JSON Schema of a profile.
  --check  compare with crates/profile/schema/ and fail if they differ
  --write  write it there";

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/profile.schema.json");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => io::stdout().write_all(schema::text().as_bytes())?,
        ["--write"] => fs::write(path, schema::text())?,
        ["--check"] if fs::read_to_string(&path).ok().as_deref() == Some(&schema::text()) => {}
        ["--check"] => {
            writeln!(io::stderr(), "{} is out of date: run with --write", path.display())?;
            return Ok(ExitCode::FAILURE);
        }
        ["--help" | "-h"] => writeln!(io::stdout(), "{USAGE}")?,
        _ => {
            writeln!(io::stderr(), "{USAGE}")?;
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
