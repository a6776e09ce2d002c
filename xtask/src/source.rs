//! The modules of a crate, read from its files, and what a path in one of them names.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use syn::{Item, UseTree};

/// A module's path below the crate's root.
pub(crate) type ModulePath = Vec<String>;

pub(crate) struct Source {
    modules: BTreeMap<ModulePath, Vec<Item>>,
    /// The file that each module is written in.
    files: BTreeMap<ModulePath, PathBuf>,
}

/// What a path names.
pub(crate) enum Named<'a> {
    Module(ModulePath),
    Item(ModulePath, &'a Item),
}

impl Source {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut source = Self { modules: BTreeMap::new(), files: BTreeMap::new() };
        let children = root.parent().unwrap_or(Path::new(".")).to_owned();
        let items = parse(root)?;
        source.add(Vec::new(), items, root, &children)?;
        Ok(source)
    }

    /// Adds a module, which is written in `file`, and those below it, whose files are in the directory
    /// `children`.
    fn add(
        &mut self,
        path: ModulePath,
        items: Vec<Item>,
        file: &Path,
        children: &Path,
    ) -> anyhow::Result<()> {
        for item in &items {
            let Item::Mod(module) = item else { continue };
            if is_for_tests(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let below = children.join(&name);
            let own_file = match &module.content {
                Some(_) => file.to_owned(),
                None => file_of(children, &name),
            };
            let inside = match &module.content {
                Some((_, items)) => items.clone(),
                None => parse(&own_file)?,
            };
            let mut child = path.clone();
            child.push(name);
            self.add(child, inside, &own_file, &below)?;
        }
        self.files.insert(path.clone(), file.to_owned());
        self.modules.insert(path, items);
        Ok(())
    }

    pub(crate) fn items(&self, module: &[String]) -> &[Item] {
        self.modules.get(module).map_or(&[], Vec::as_slice)
    }

    /// The file that a module is written in; none if there is no such module.
    pub(crate) fn file(&self, module: &[String]) -> Option<&Path> {
        self.files.get(module).map(PathBuf::as_path)
    }

    /// Every module and its items.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&ModulePath, &[Item])> {
        self.modules.iter().map(|(path, items)| (path, items.as_slice()))
    }

    /// What a path that is written in `module` names, if that is in this crate.
    pub(crate) fn resolve(&self, module: &[String], path: &[String]) -> Option<Named<'_>> {
        self.resolve_within(module, path, 8)
    }

    fn resolve_within(&self, module: &[String], path: &[String], depth: u8) -> Option<Named<'_>> {
        let depth = depth.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" if rest.is_empty() => return Some(Named::Module(Vec::new())),
            "crate" => return self.resolve_within(&[], rest, depth),
            "self" if rest.is_empty() => return Some(Named::Module(module.to_vec())),
            "self" => return self.resolve_within(module, rest, depth),
            "super" => {
                let (_, parent) = module.split_last()?;
                return if rest.is_empty() {
                    Some(Named::Module(parent.to_vec()))
                } else {
                    self.resolve_within(parent, rest, depth)
                };
            }
            _ => {}
        }
        match (self.named(module, first, depth)?, rest) {
            (named, []) => Some(named),
            (Named::Module(inner), rest) => self.resolve_within(&inner, rest, depth),
            (Named::Item(..), _) => None,
        }
    }

    /// What a name alone stands for in a module: what is defined or imported there.
    fn named(&self, module: &[String], name: &str, depth: u8) -> Option<Named<'_>> {
        let mut child = module.to_vec();
        child.push(name.to_owned());
        if self.modules.contains_key(&child) {
            return Some(Named::Module(child));
        }
        let items = self.items(module);
        let defined = items.iter().find(|item| name_of(item).as_deref() == Some(name));
        if let Some(item) = defined {
            return Some(Named::Item(module.to_vec(), item));
        }
        let imports = items.iter().filter_map(|item| match item {
            Item::Use(import) => Some(leaves(&import.tree)),
            _ => None,
        });
        imports
            .flatten()
            .filter(|leaf| leaf.alias.as_deref() == Some(name))
            .find_map(|leaf| self.resolve_within(module, &leaf.path, depth))
    }
}

/// One name that a `use` brings in.
pub(crate) struct Leaf {
    pub(crate) path: Vec<String>,
    /// The name that it has from there on; none for a glob.
    pub(crate) alias: Option<String>,
}

pub(crate) fn leaves(tree: &UseTree) -> Vec<Leaf> {
    fn collect(tree: &UseTree, mut before: Vec<String>, into: &mut Vec<Leaf>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                collect(&path.tree, before, into);
            }
            UseTree::Name(name) => {
                let alias = match name.ident.to_string() {
                    own if own == "self" => before.last().cloned(),
                    own => {
                        before.push(own.clone());
                        Some(own)
                    }
                };
                into.push(Leaf { path: before, alias });
            }
            UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                into.push(Leaf { path: before, alias: Some(rename.rename.to_string()) });
            }
            UseTree::Glob(_) => into.push(Leaf { path: before, alias: None }),
            UseTree::Group(group) => {
                for tree in &group.items {
                    collect(tree, before.clone(), into);
                }
            }
        }
    }
    let mut all = Vec::new();
    collect(tree, Vec::new(), &mut all);
    all
}

pub(crate) fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|one| {
        one.path().is_ident("cfg")
            && one.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

fn file_of(children: &Path, name: &str) -> PathBuf {
    let own = children.join(format!("{name}.rs"));
    if own.exists() { own } else { children.join(name).join("mod.rs") }
}

fn parse(path: &Path) -> anyhow::Result<Vec<Item>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let file = syn::parse_file(&text).with_context(|| format!("parsing {}", path.display()))?;
    Ok(file.items)
}
