use crate::exit::Ended;
use crate::output::{print, print_json};
use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use slowlane_config::is_name;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The worker's own example, which its tests compile and run.
const MAIN: &str = include_str!("../../../worker/examples/http.rs");
const MANIFEST: &str = include_str!("new_target/Cargo.toml.in");
const README: &str = include_str!("new_target/README.md");
const GITIGNORE: &str = "/target\n";
const FROM_GIT: &str = "git = \"https://github.com/slowlane/slowlane\"";

/// Write a worker of one's own, for an API that no profile can describe
///
/// It is a Rust package with one file, which begins with a profile and adds a rule to it. Change that
/// rule, build it, and name the program in slowlane.toml: binary = \"target/release/NAME-worker\".
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane new-target crm
  slowlane new-target crm --directory workers/crm --slowlane ~/slowlane")]
pub(crate) struct NewTarget {
    /// The target's name, as in slowlane.toml
    #[arg(value_parser = name)]
    name: String,
    /// Where to write; NAME-worker if left out. It must not be there yet
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// A clone of Slowlane to build against, rather than the one on GitHub
    #[arg(long, value_name = "DIR")]
    slowlane: Option<PathBuf>,
    /// Print JSON: {directory, files}
    #[arg(long)]
    json: bool,
}

impl NewTarget {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let package = format!("{}-worker", self.name);
        let directory = self.directory.clone().unwrap_or_else(|| package.clone().into());
        let source = self.source()?;
        let filled = |text: &str| text.replace("NAME", &self.name).replace(FROM_GIT, &source);
        let files = [
            ("Cargo.toml", filled(MANIFEST)),
            ("src/main.rs", MAIN.to_owned()),
            ("README.md", filled(README)),
            (".gitignore", GITIGNORE.to_owned()),
        ];
        match fs::create_dir(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let told = "give another --directory";
                anyhow::bail!("there is a {} already: {told}", directory.display())
            }
            Err(error) => {
                Err(error).with_context(|| format!("cannot make {}", directory.display()))?
            }
        }
        fs::create_dir(directory.join("src"))?;
        for (name, text) in &files {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json {
            let names: Vec<_> = files.iter().map(|(name, _)| name).collect();
            print_json(&json!({ "directory": directory.display().to_string(), "files": names }));
            return Ok(());
        }
        let directory = directory.display();
        print(format_args!("{directory} is written. Change {directory}/src/main.rs, and then:\n"));
        print(format_args!("  cargo build --release --manifest-path {directory}/Cargo.toml"));
        print(format_args!("\nIn slowlane.toml:\n\n  [targets.{}]", self.name));
        print(format_args!("  binary = \"{directory}/target/release/{package}\""));
        Ok(())
    }

    /// Where the manifest has the worker's crate from.
    fn source(&self) -> anyhow::Result<String> {
        let Some(clone) = &self.slowlane else { return Ok(FROM_GIT.to_owned()) };
        let worker = clone.join("crates/worker");
        let found = worker.canonicalize();
        let found = found.map_err(|_| Ended::Usage(format!("there is no {}", worker.display())))?;
        Ok(format!("path = {:?}", found.display().to_string()))
    }
}

fn name(text: &str) -> Result<String, String> {
    let told = "write at most 20 lower-case letters, digits and hyphens, a letter first";
    if is_name(text) { Ok(text.to_owned()) } else { Err(told.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worker's test compiles the README's package outside of the workspace.
    #[test]
    fn it_is_the_package_of_the_readme() {
        let readme = include_str!("../../../../README.md");
        assert!(readme.contains(&MANIFEST.replace("NAME", "crm")), "{MANIFEST}");
        assert!(MANIFEST.contains(FROM_GIT));
    }
}
