//! The book: the pages that stand all over this repository, as one site to read and to search. And the
//! check of every page's links, whether the page is in the book or not.
//!
//! mdBook makes the site of a directory that is made here. It has the pages that `docs/SUMMARY.md` lists,
//! and their pictures, where they stand in the repository. A link to what is not in the book leads to the
//! repository itself.

mod page;

use anyhow::{Context as _, ensure};
use page::{Link, Page, Place, Target};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// What mdBook is told. The table of contents stands beside it.
const SETTINGS: &str = "docs/book.toml";
const SUMMARY: &str = "docs/SUMMARY.md";

/// The pages of a repository.
struct Pages<'a> {
    repository: &'a Path,
    by_path: BTreeMap<PathBuf, Page>,
}

/// Makes the book in a directory of its own, and answers its first page.
pub(crate) fn build(
    sh: &Shell,
    repository: &Path,
    mdbook: &Path,
    directory: &Path,
) -> anyhow::Result<PathBuf> {
    let pages = Pages::read(sh, repository)?;
    pages.check()?;
    sh.remove_path(directory)?;
    pages.stage(&directory.join("src"))?;
    fs::copy(repository.join(SETTINGS), directory.join("book.toml"))?;
    cmd!(sh, "{mdbook} build {directory}").quiet().run()?;
    Ok(directory.join("book/index.html"))
}

impl<'a> Pages<'a> {
    fn read(sh: &Shell, repository: &'a Path) -> anyhow::Result<Self> {
        // Without quotes around names, whatever they are.
        let listed = cmd!(sh, "git -C {repository} ls-files -z -- *.md").quiet().read()?;
        Self::of(repository, listed.split_terminator('\0'))
    }

    fn of<'b>(
        repository: &'a Path,
        paths: impl IntoIterator<Item = &'b str>,
    ) -> anyhow::Result<Self> {
        let mut by_path = BTreeMap::new();
        for path in paths {
            let text = fs::read_to_string(repository.join(path))
                .with_context(|| format!("cannot read {path}"))?;
            by_path.insert(path.into(), Page::new(Path::new(path), text)?);
        }
        Ok(Self { repository, by_path })
    }

    /// Whether each link leads somewhere, as far as it stays in the repository, and whether the book has
    /// all pages of `docs`.
    fn check(&self) -> anyhow::Result<()> {
        let wrong: Vec<_> = self.by_path.values().flat_map(|page| self.wrong_in(page)).collect();
        ensure!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
        let in_book = self.in_book()?;
        let is_forgotten = |page: &&Page| {
            let path = page.path();
            let is_of_docs = path.starts_with("docs") && path != Path::new(SUMMARY);
            is_of_docs && !in_book.iter().any(|page| page.path() == path)
        };
        let forgotten = self.by_path.values().filter(is_forgotten);
        let forgotten: Vec<_> = forgotten.map(|page| page.path().display().to_string()).collect();
        ensure!(forgotten.is_empty(), "{SUMMARY} leaves out {}", forgotten.join(", "));
        Ok(())
    }

    fn wrong_in(&self, page: &Page) -> Vec<String> {
        let told = page.links().iter().filter_map(|link| {
            let why = self.wrong_with(link.target.as_ref()?)?;
            Some(format!("{}:{}: {}: {why}", page.path().display(), link.line, link.written))
        });
        told.collect()
    }

    fn wrong_with(&self, target: &Target) -> Option<String> {
        let Target::Inside(place) = target else {
            return Some("it leads out of the repository".to_owned());
        };
        let path = place.path.display();
        if !self.repository.join(&place.path).exists() {
            return Some(format!("there is no {path}"));
        }
        let heading = place.heading.as_ref()?;
        let is_known = self.page_at(place)?.has_heading(heading);
        (!is_known).then(|| format!("{path} has no heading that is known as #{heading}"))
    }

    /// The page that stands there; of a directory, what it shows of itself.
    fn page_at(&self, place: &Place) -> Option<&Page> {
        let page = self.by_path.get(&place.path);
        page.or_else(|| self.by_path.get(&place.path.join("README.md")))
    }

    fn summary(&self) -> anyhow::Result<&Page> {
        self.by_path.get(Path::new(SUMMARY)).with_context(|| format!("there is no {SUMMARY}"))
    }

    /// The pages of the book, in its order.
    fn in_book(&self) -> anyhow::Result<Vec<&Page>> {
        let links = self.summary()?.links().iter();
        Ok(links.filter_map(|link| self.page_at(link.place()?)).collect())
    }

    /// Writes the pages of the book, and what they show, as mdBook is to read them.
    fn stage(&self, directory: &Path) -> anyhow::Result<()> {
        let in_book = self.in_book()?;
        for page in &in_book {
            let text = page.with_links(|link| self.in_the_book(link, page, &in_book));
            write(&directory.join(page.path()), &text)?;
            for picture in page.links().iter().filter_map(Link::picture) {
                let to = directory.join(picture);
                fs::create_dir_all(to.parent().unwrap_or(directory))?;
                fs::copy(self.repository.join(picture), to)?;
            }
        }
        // It stands at the top there.
        let summary = self.summary()?.with_links(|link| {
            let page = self.page_at(link.place()?)?;
            Some(page.path().display().to_string())
        });
        write(&directory.join("SUMMARY.md"), &summary)
    }

    /// How a link within the repository is written in the book.
    fn in_the_book(&self, link: &Link, page: &Page, in_book: &[&Page]) -> Option<String> {
        let place = link.place()?;
        if link.picture().is_some() {
            return Some(page.beside(&place.path, None));
        }
        let to = self.page_at(place);
        let to = to.filter(|to| in_book.iter().any(|page| page.path() == to.path()));
        let address = || place.address();
        Some(to.map_or_else(address, |to| page.beside(to.path(), place.heading.as_deref())))
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().context("a file is in a directory")?;
    fs::create_dir_all(directory)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use tempfile::TempDir;

    #[test]
    fn every_link_of_every_page_leads_somewhere() {
        let sh = Shell::new().unwrap();
        let pages = Pages::read(&sh, crate::workspace::repository()).unwrap();
        if let Err(error) = pages.check() {
            panic!("{error:#}");
        }
    }

    const README: &str = "\
# Slow lane

[the limits](docs/limits.md#how-it-counts), [a crate](crates/a), [its code](crates/a/src/lib.rs),
![a picture](docs/picture.svg), [elsewhere](https://example.com/docs/limits.md).
";
    const LIMITS: &str = "\
## How `it` counts?

[Back](../README.md), [here](#how-it-counts), [shown] and [a script](../run.sh).

[shown]: https://github.com/slowlane/slowlane/blob/main/crates/a/README.md#a
";

    fn repository(readme: &str, summary: &str) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("README.md", readme),
            ("docs/SUMMARY.md", summary),
            ("docs/limits.md", LIMITS),
            ("docs/picture.svg", "<svg/>"),
            ("crates/a/README.md", "# A\n"),
            ("crates/a/src/lib.rs", ""),
            ("run.sh", ""),
        ] {
            write(&directory.path().join(path), text).unwrap();
        }
        directory
    }

    const PAGES: [&str; 4] =
        ["README.md", "docs/SUMMARY.md", "docs/limits.md", "crates/a/README.md"];
    const SUMMARY_OF_ALL: &str =
        "[Slow lane](../README.md)\n- [Limits](limits.md)\n  - [A](../crates/a)\n";

    #[test]
    fn links_lead_to_pages_of_the_book_or_to_the_repository() {
        let repository = repository(README, SUMMARY_OF_ALL);
        let pages = Pages::of(repository.path(), PAGES).unwrap();
        pages.check().unwrap();
        let staged = repository.path().join("staged");
        pages.stage(&staged).unwrap();
        let mut shown = String::new();
        for path in ["SUMMARY.md", "README.md", "docs/limits.md"] {
            let text = fs::read_to_string(staged.join(path)).unwrap();
            writeln!(shown, "--- {path}\n{text}").unwrap();
        }
        assert!(staged.join("docs/picture.svg").exists());
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn what_leads_nowhere_is_said_with_its_line() {
        let readme = "[a](docs/limit.md)\n\n[b](docs/limits.md#how-it-count) [c](../above.md)\n";
        let repository = repository(readme, "[Slow lane](../README.md)\n");
        let pages = Pages::of(repository.path(), PAGES).unwrap();
        insta::assert_snapshot!(pages.check().unwrap_err());
        let mended = super::tests::repository(README, "[Slow lane](../README.md)\n");
        let pages = Pages::of(mended.path(), PAGES).unwrap();
        insta::assert_snapshot!(pages.check().unwrap_err());
    }
}
