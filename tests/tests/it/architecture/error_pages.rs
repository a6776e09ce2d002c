//! Each error that a workflow can catch has a page under `docs/errors`, and each page its error.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use slowlane_policy::settle::FailureName;

const PREFIX: &str = "Slowlane.";

/// What every page must say.
const SECTIONS: [&str; 3] = ["## What it means", "## What to do", "## Where it shows"];

#[test]
fn each_error_has_a_page_and_each_page_its_error() -> anyhow::Result<()> {
    let named = names_in_the_code()?;
    let known = FailureName::ALL.map(|name| short(name.as_str()));
    let missed: Vec<_> = known.iter().filter(|name| !named.contains(*name)).collect();
    assert!(missed.is_empty(), "the search through the code does not find {missed:?}");
    let pages = pages()?.into_keys().collect::<BTreeSet<_>>();
    assert_eq!(named, pages, "the names in the code (left) and the pages (right)");
    Ok(())
}

#[test]
fn each_page_says_first_whether_the_call_was_executed() -> anyhow::Result<()> {
    let pages = pages()?;
    for (name, page) in &pages {
        let title = format!("# {PREFIX}{name}\n\n**Executed: ");
        let executed = page.strip_prefix(&title).with_context(|| format!("{name}: {title}"))?;
        let answer = executed.split_once(".**").map(|(answer, _)| answer);
        ensure!(matches!(answer, Some("yes" | "no" | "nobody knows")), "{name}: {answer:?}");
        let at = SECTIONS.map(|section| page.find(section));
        ensure!(at.iter().all(Option::is_some) && at.is_sorted(), "{name}: {SECTIONS:?} {at:?}");
    }
    for name in FailureName::ALL {
        let page = &pages[&short(name.as_str())];
        assert_eq!(page.contains("**Executed: no.**"), name.says_not_executed(), "{name}");
    }
    Ok(())
}

#[test]
fn the_lists_of_errors_link_to_every_page() -> anyhow::Result<()> {
    let lists = [("README.md", "docs/errors/"), ("docs/errors/README.md", "")];
    for (list, folder) in lists {
        let text = std::fs::read_to_string(root()?.join(list))?;
        for name in pages()?.keys() {
            let link = format!("[`{PREFIX}{name}`]({folder}{name}.md)");
            assert!(text.contains(&link), "{list} has no {link}");
        }
    }
    Ok(())
}

fn root() -> anyhow::Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(tests.parent().context("the tests lie in the workspace")?.to_owned())
}

fn short(name: &str) -> String {
    name.trim_start_matches(PREFIX).to_owned()
}

/// The pages by the short name of their error.
fn pages() -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    let mut pages = std::collections::BTreeMap::new();
    for file in files(&root()?.join("docs/errors"), &["md"])? {
        let name = file.file_stem().and_then(|stem| stem.to_str()).context("a name")?.to_owned();
        if name != "README" {
            pages.insert(name, std::fs::read_to_string(&file)?);
        }
    }
    Ok(pages)
}

/// The whole texts `"Slowlane.…"` in the sources of the crates and in the state machines.
fn names_in_the_code() -> anyhow::Result<BTreeSet<String>> {
    let root = root()?;
    let mut sources = files(&root.join("state-machines"), &["json"])?;
    for member in std::fs::read_dir(root.join("crates"))? {
        let src = member?.path().join("src");
        if src.is_dir() {
            sources.extend(files(&src, &["rs"])?);
        }
    }
    let mut names = BTreeSet::new();
    for source in sources {
        let text = std::fs::read_to_string(&source)?;
        let after_prefix = text.split("\"Slowlane.").skip(1);
        names.extend(after_prefix.filter_map(|rest| {
            let (name, _) = rest.split_once('"')?;
            name.chars().all(char::is_alphabetic).then(|| name.to_owned())
        }));
    }
    Ok(names)
}

/// The files below a folder that end in one of these.
fn files(folder: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extensions)?);
        } else if path
            .extension()
            .and_then(|name| name.to_str())
            .is_some_and(|name| extensions.contains(&name))
        {
            found.push(path);
        }
    }
    Ok(found)
}
