//! Circles between the files of a crate. Whoever reads a file should need none that needs it in turn.
//!
//! A file uses another one if it names what is defined there, by an import or by a path, also in a
//! macro's body. A re-export leads to where the item is defined, and neither it nor a `mod` counts by
//! itself. Tests do not count. What is called as a method is not followed, so several files may
//! implement one type if they do not name each other.

mod paths;

use crate::source::{Named, Source, leaves};
use anyhow::ensure;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Files, each with those that it uses, and a name by which it does.
type Uses = BTreeMap<PathBuf, BTreeMap<PathBuf, String>>;

/// Fails if files of a crate use each other, directly or round about.
pub(crate) fn check(repository: &Path) -> anyhow::Result<()> {
    let mut told = String::new();
    for root in roots(repository)? {
        let uses = uses(&Source::read(&root)?);
        for circle in circles(&uses) {
            told += &in_words(&uses, &circle);
        }
    }
    ensure!(
        told.is_empty(),
        "these files use each other; move what both need into a file of its own:\n{told}"
    );
    Ok(())
}

/// The files that programs and libraries begin with.
fn roots(repository: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut sources = vec![repository.join("xtask/src")];
    for package in fs::read_dir(repository.join("crates"))? {
        sources.push(package?.path().join("src"));
    }
    let mut roots = Vec::new();
    for source in sources {
        roots.extend(["lib.rs", "main.rs"].map(|name| source.join(name)));
        if let Ok(programs) = fs::read_dir(source.join("bin")) {
            roots.extend(programs.filter_map(Result::ok).map(|program| program.path()));
        }
    }
    roots.retain(|root| root.is_file());
    roots.sort();
    Ok(roots)
}

/// A line for each use in a circle.
fn in_words(uses: &Uses, circle: &BTreeSet<PathBuf>) -> String {
    let mut told = "a circle:\n".to_owned();
    for from in circle {
        for (to, name) in uses[from].iter().filter(|(to, _)| circle.contains(*to)) {
            // Writing to a String cannot fail.
            let _ = writeln!(told, "  {} uses {name} of {}", from.display(), to.display());
        }
    }
    told
}

fn uses(source: &Source) -> Uses {
    let mut uses = Uses::new();
    for (module, items) in source.modules() {
        let Some(from) = source.file(module) else { continue };
        let used = uses.entry(from.to_owned()).or_default();
        for path in paths::named(items) {
            if let Some(to) = home(source, module, &path).filter(|to| *to != from) {
                used.entry(to.to_owned()).or_insert_with(|| path.join("::"));
            }
        }
    }
    uses
}

/// The file that has what a path names, if this crate has it.
fn home<'a>(source: &'a Source, module: &[String], path: &[String]) -> Option<&'a Path> {
    let resolved = |end: usize| Some((end, source.resolve(module, &path[..end])?));
    match (1..=path.len()).rev().find_map(resolved)? {
        // What is behind an item's name is a part of it.
        (_, Named::Item(at, _)) => source.file(&at),
        // All of the module, or something in it that a macro makes. Another crate's item is re-exported.
        (end, Named::Module(at)) => {
            let name = path.get(end)?;
            let shows_it = |item: &syn::Item| match item {
                syn::Item::Use(import) => {
                    leaves(&import.tree).iter().any(|leaf| leaf.alias.as_ref() == Some(name))
                }
                _ => false,
            };
            let is_foreign = source.items(&at).iter().any(shows_it);
            source.file(&at).filter(|_| !is_foreign)
        }
    }
}

/// The sets of files, each of which can be reached from each other one of its set.
fn circles(uses: &Uses) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<_, _> =
        uses.keys().map(|file| (file, reached_from(uses, file))).collect();
    let mut circles: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, reached_from_file) in &reached {
        let is_back =
            |other: &&PathBuf| reached.get(other).is_some_and(|back| back.contains(*file));
        let circle: BTreeSet<_> = reached_from_file.iter().filter(is_back).cloned().collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reached_from(uses: &Uses, file: &Path) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![file.to_owned()];
    while let Some(file) = ahead.pop() {
        for used in uses.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(used.clone()) {
                ahead.push(used.clone());
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate with these files, without the folder that it lies in.
    fn told(files: &[(&str, &str)]) -> String {
        let package = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = package.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let uses = uses(&Source::read(&package.path().join("lib.rs")).unwrap());
        let told: String = circles(&uses).iter().map(|circle| in_words(&uses, circle)).collect();
        told.replace(&format!("{}/", package.path().display()), "")
    }

    #[test]
    fn no_files_of_a_crate_use_each_other() {
        check(crate::workspace::repository()).unwrap();
    }

    #[test]
    fn a_module_and_its_parent_that_use_each_other_are_found() {
        let files = [
            ("lib.rs", "mod a; pub use a::Shown;"),
            ("a.rs", "mod b; pub use b::Part; pub struct Whole(Part); pub struct Shown;"),
            ("a/b.rs", "use super::Whole; pub struct Part(Option<Box<Whole>>);"),
        ];
        insta::assert_snapshot!(told(&files), @"
        a circle:
          a/b.rs uses super::Whole of a.rs
          a.rs uses self::Part of a/b.rs
        ");
    }

    #[test]
    fn a_circle_round_about_is_found_wherever_the_names_stand() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::One;"),
            ("a.rs", "pub struct One; fn f() { vec![1, crate::b::two()]; }"),
            ("b.rs", "pub fn two() -> u8 { use crate::{c::{three as other}, d::four}; other() }"),
            // The re-export leads to where the item is.
            ("c.rs", "pub fn three() -> u8 { match 1 { _ => crate::One::default() } }"),
            ("d.rs", "pub fn four() {}"),
        ];
        insta::assert_snapshot!(told(&files), @"
        a circle:
          a.rs uses crate::b::two of b.rs
          b.rs uses crate::c::three of c.rs
          c.rs uses crate::One::default of a.rs
        ");
    }

    #[test]
    fn what_only_shows_or_tests_or_is_called_alike_is_no_circle() {
        let files = [
            ("lib.rs", "pub mod a; pub mod b; pub use a::One;"),
            ("a.rs", "pub mod part; pub use part::Part; pub struct One { pub two: u8 }"),
            // A method of the parent's type, a foreign item, and a field that is called like one.
            (
                "a/part.rs",
                "use super::One; use std::fmt; pub struct Part;
                 impl One { fn f(&self, b: u8) -> u8 { self.two + b } }",
            ),
            (
                "b.rs",
                "use crate::a::Part; fn two(part: &Part, fmt: u8) -> u8 { fmt }
                 #[cfg(test)] mod tests { use crate::a::One; }",
            ),
        ];
        assert_eq!(told(&files), "");
        // The same once the parent uses what it shows.
        let a = "pub mod part; pub use part::Part; pub struct One { pub two: Part }";
        let files = files.map(|(name, text)| (name, if name == "a.rs" { a } else { text }));
        assert!(told(&files).contains("a.rs uses self::Part of a/part.rs"), "{}", told(&files));
    }
}
