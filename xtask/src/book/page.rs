//! One page: its links, and what its headings are known as.

use anyhow::Context as _;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// Where a file of this repository is shown to readers who have only an address.
const SHOWN_AT: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// A Markdown file.
pub(super) struct Page {
    path: PathBuf,
    text: String,
    links: Vec<Link>,
    headings: BTreeSet<String>,
}

/// A link or a picture that a page shows.
pub(super) struct Link {
    /// Where it leads, as it is written.
    pub(super) written: String,
    /// Where that is written in the page's text.
    at: Range<usize>,
    pub(super) line: usize,
    /// Where it leads in the repository, if it leads there.
    pub(super) target: Option<Target>,
    is_picture: bool,
}

/// What a link within the repository leads to.
pub(super) enum Target {
    Inside(Place),
    /// Out of the repository, by too many `..`.
    Above,
}

/// A file or a directory of the repository, and a heading in it.
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) heading: Option<String>,
}

impl Link {
    /// The file that is shown in the page, if one is.
    pub(super) fn picture(&self) -> Option<&Path> {
        self.place().filter(|_| self.is_picture).map(|place| place.path.as_path())
    }

    pub(super) fn place(&self) -> Option<&Place> {
        match self.target.as_ref()? {
            Target::Inside(place) => Some(place),
            Target::Above => None,
        }
    }
}

impl Page {
    pub(super) fn new(path: &Path, text: String) -> anyhow::Result<Self> {
        let parser = Parser::new_ext(&text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES);
        let mut found: Vec<(Range<usize>, String, bool)> = Vec::new();
        for (_, definition) in parser.reference_definitions().iter() {
            found.push((definition.span.clone(), definition.dest.to_string(), false));
        }
        let mut headings = BTreeSet::new();
        let mut heading: Option<String> = None;
        for (event, range) in parser.into_offset_iter() {
            match event {
                Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, .. }) => {
                    found.push((range, dest_url.to_string(), false));
                }
                Event::Start(Tag::Image { link_type: LinkType::Inline, dest_url, .. }) => {
                    found.push((range, dest_url.to_string(), true));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let name = known_as(&heading.take().unwrap_or_default());
                    let again = (1..).map(|n| format!("{name}-{n}"));
                    let mut names = std::iter::once(name.clone()).chain(again);
                    headings.extend(names.find(|name| !headings.contains(name)));
                }
                Event::Text(said) | Event::Code(said) => {
                    heading.as_mut().into_iter().for_each(|heading| heading.push_str(&said));
                }
                _ => {}
            }
        }
        let links = found.into_iter().map(|(whole, written, is_picture)| {
            let within = text[whole.clone()].rfind(&written);
            let within = within.with_context(|| {
                format!("{}: {written}: write it as it is read", path.display())
            })?;
            let start = whole.start + within;
            Ok(Link {
                at: start..start + written.len(),
                line: text[..start].matches('\n').count() + 1,
                target: target(path, &written),
                written,
                is_picture,
            })
        });
        let links = links.collect::<anyhow::Result<_>>()?;
        Ok(Self { path: path.to_owned(), links, headings, text })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(super) fn has_heading(&self, name: &str) -> bool {
        self.headings.contains(name)
    }

    /// The text with other links, where there is to be another one.
    pub(super) fn with_links(&self, other: impl Fn(&Link) -> Option<String>) -> String {
        let mut links: Vec<&Link> = self.links.iter().collect();
        links.sort_by_key(|link| link.at.start);
        let mut text = self.text.clone();
        for link in links.into_iter().rev() {
            if let Some(written) = other(link) {
                text.replace_range(link.at.clone(), &written);
            }
        }
        text
    }

    /// How this page links to a file that stands beside it in the book.
    pub(super) fn beside(&self, path: &Path, heading: Option<&str>) -> String {
        let above = self.path.parent().map_or(0, |directory| directory.components().count());
        with_heading(format!("{}{}", "../".repeat(above), path.display()), heading)
    }
}

impl Place {
    /// Where readers see it who have only an address.
    pub(super) fn address(&self) -> String {
        let address = format!("{SHOWN_AT}{}", self.path.display());
        with_heading(address, self.heading.as_deref())
    }
}

fn with_heading(link: String, heading: Option<&str>) -> String {
    match heading {
        Some(heading) => format!("{link}#{heading}"),
        None => link,
    }
}

/// Where a page's link leads in the repository, if it leads there.
fn target(page: &Path, written: &str) -> Option<Target> {
    let (from, link) = match written.strip_prefix(SHOWN_AT) {
        Some(path) => (Path::new(""), path),
        None if written.contains(':') => return None,
        None => (page.parent().unwrap_or(Path::new("")), written),
    };
    let (path, heading) =
        link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    let heading = heading.map(str::to_owned);
    if path.is_empty() {
        return Some(Target::Inside(Place { path: page.to_owned(), heading }));
    }
    let mut place = PathBuf::new();
    for component in from.join(path).components() {
        match component {
            Component::ParentDir if !place.pop() => return Some(Target::Above),
            Component::ParentDir | Component::CurDir => {}
            other => place.push(other),
        }
    }
    Some(Target::Inside(Place { path: place, heading }))
}

/// What a heading is known as in links, on GitHub and in the book.
fn known_as(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}
