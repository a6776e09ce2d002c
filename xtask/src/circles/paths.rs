//! The paths by which a module's code names things.

use crate::source::{Leaf, is_for_tests, leaves};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use std::collections::BTreeSet;
use syn::{Attribute, ImplItem, Item, Visibility};

type Path = Vec<String>;

/// What these items name by imports and by paths. What they re-export is named as `self::NAME` if they
/// use it themselves.
pub(super) fn named(items: &[Item]) -> BTreeSet<Path> {
    let mut paths = BTreeSet::new();
    let mut words = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for item in items {
        match item {
            Item::Mod(_) => {}
            Item::Use(import) if is_for_tests(&import.attrs) => {}
            Item::Use(import) => {
                let leaves = leaves(&import.tree).into_iter();
                match import.vis {
                    Visibility::Inherited => paths.extend(leaves.map(whole)),
                    _ => shown.extend(leaves.filter_map(|leaf| leaf.alias)),
                }
            }
            item if is_for_tests(attributes(item)) => {}
            item => read(without_tests(item).to_token_stream(), &[], &mut paths, &mut words),
        }
    }
    paths.extend(shown.intersection(&words).map(|name| vec!["self".to_owned(), name.clone()]));
    paths
}

/// The path of an import, with a star for all that is in a module.
fn whole(leaf: Leaf) -> Path {
    let mut path = leaf.path;
    path.extend(leaf.alias.is_none().then(|| "*".to_owned()));
    path
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        _ => &[],
    }
}

fn without_tests(item: &Item) -> Item {
    let mut item = item.clone();
    if let Item::Impl(implementation) = &mut item {
        implementation.items.retain(|item| match item {
            ImplItem::Fn(function) => !is_for_tests(&function.attrs),
            _ => true,
        });
    }
    item
}

/// Adds the paths of several segments to `paths`, and what stands alone and may name an item to
/// `words`. In the braces of a `use` each path continues the one `before` them.
fn read(
    tokens: TokenStream,
    before: &[String],
    paths: &mut BTreeSet<Path>,
    words: &mut BTreeSet<String>,
) {
    let mut reading = Reading { before, path: Vec::new(), colons: 0, skips: false };
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => reading.ident(ident.to_string(), paths, words),
            TokenTree::Punct(sign) if sign.as_char() == ':' => reading.colons += 1,
            // `pub(super)` says who may use it.
            TokenTree::Group(_) if reading.path == ["pub"] => reading.path.clear(),
            TokenTree::Group(group) => {
                let goes_on = reading.colons == 2 && group.delimiter() == Delimiter::Brace;
                let before = if goes_on { std::mem::take(&mut reading.path) } else { Vec::new() };
                let is_called = group.delimiter() == Delimiter::Parenthesis;
                reading.end(is_called, paths, words);
                read(group.stream(), &before, paths, words);
            }
            TokenTree::Punct(sign) => {
                reading.end(sign.as_char() == '!', paths, words);
                // What follows a dot is a field or a method.
                reading.skips = sign.as_char() == '.';
            }
            TokenTree::Literal(_) => reading.end(false, paths, words),
        }
    }
    reading.end(false, paths, words);
}

/// One list of tokens, read up to somewhere in a path.
struct Reading<'a> {
    before: &'a [String],
    path: Path,
    /// How many colons stand behind it.
    colons: usize,
    /// Whether the next name is of no account.
    skips: bool,
}

impl Reading<'_> {
    fn ident(&mut self, name: String, paths: &mut BTreeSet<Path>, words: &mut BTreeSet<String>) {
        if self.colons == 2 && !self.path.is_empty() {
            self.path.push(name);
        } else {
            // After `::` alone it is another crate's.
            let skips = self.skips || self.colons == 2;
            self.end(false, paths, words);
            // `as` gives another name, and `fn` a new one.
            self.skips = name == "as" || name == "fn";
            if !skips && !self.skips {
                self.path = self.before.to_vec();
                self.path.push(name);
            }
        }
        self.colons = 0;
    }

    /// The path is at its end. Whether it `is_called` tells a function from a variable.
    fn end(&mut self, is_called: bool, paths: &mut BTreeSet<Path>, words: &mut BTreeSet<String>) {
        match std::mem::take(&mut self.path) {
            path if path.len() > 1 => {
                paths.insert(path);
            }
            path => words.extend(path.into_iter().filter(|word| {
                is_called || word.starts_with(|first: char| first.is_ascii_uppercase())
            })),
        }
        self.colons = 0;
        self.skips = false;
    }
}
