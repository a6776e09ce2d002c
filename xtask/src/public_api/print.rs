//! The public items of a crate as text: without bodies, docs and what is private.

use crate::source::{ModulePath, Named, Source, is_for_tests, leaves, name_of};
use std::collections::HashMap;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Field, Fields, ImplItem, Item, ItemImpl, ItemUse, Token, TraitItem, Type,
    Visibility, parse_quote,
};

pub(super) fn all(source: &Source) -> String {
    let mut printer = Printer { source, shown: HashMap::new(), text: String::new() };
    printer.module(&[], "");
    printer.text
}

struct Printer<'a> {
    source: &'a Source,
    /// Where an item was shown first, by its module and name.
    shown: HashMap<(ModulePath, String), String>,
    text: String,
}

impl Printer<'_> {
    /// Prints a module's public items, which are reached under `public`, a path with `::` behind.
    fn module(&mut self, module: &[String], public: &str) {
        for item in self.source.items(module) {
            match item {
                Item::Mod(inner) if is_public(&inner.vis) && !is_for_tests(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    let path = [module, std::slice::from_ref(&name)].concat();
                    self.module(&path, &format!("{public}{name}::"));
                }
                Item::Use(import) if is_public(&import.vis) => self.import(module, public, import),
                Item::Macro(made) => {
                    self.push(&format!("{public}a macro's items"), &[Item::Macro(made.clone())]);
                }
                item => {
                    if let (Some(name), true) = (name_of(item), is_public_item(item)) {
                        self.item(module, item, public, &name);
                    }
                }
            }
        }
    }

    fn import(&mut self, module: &[String], public: &str, import: &ItemUse) {
        for leaf in leaves(&import.tree) {
            match (self.source.resolve(module, &leaf.path), leaf.alias) {
                (Some(Named::Module(inner)), None) => self.module(&inner, public),
                (Some(Named::Module(inner)), Some(name)) => {
                    self.module(&inner, &format!("{public}{name}::"));
                }
                (Some(Named::Item(home, item)), Some(name)) => {
                    self.item(&home, item, public, &name);
                }
                (_, alias) => {
                    let path = leaf.path.join("::");
                    let last = leaf.path.last();
                    let renamed = alias.as_ref().filter(|alias| Some(*alias) != last);
                    let renamed = renamed.map(|alias| format!(" as {alias}")).unwrap_or_default();
                    let glob = if alias.is_none() { "::*" } else { "" };
                    self.text.push_str(&format!("pub use {path}{glob}{renamed};\n\n"));
                }
            }
        }
    }

    /// Prints an item and what is implemented for it.
    fn item(&mut self, home: &[String], item: &Item, public: &str, name: &str) {
        let path = format!("{public}{name}");
        let defined = (home.to_vec(), name_of(item).unwrap_or_default());
        if let Some(first) = self.shown.get(&defined) {
            self.text.push_str(&format!("// {path}: the same as {first}\n\n"));
            return;
        }
        self.shown.insert(defined, path.clone());
        let mut items = vec![bare(item)];
        if matches!(item, Item::Struct(_) | Item::Enum(_) | Item::Union(_)) {
            items.extend(self.implementations(home, item));
        }
        self.push(&path, &items);
    }

    fn implementations(&self, home: &[String], item: &Item) -> Vec<Item> {
        let name = name_of(item);
        let mut all = Vec::new();
        for (module, items) in self.source.modules() {
            for candidate in items {
                let Item::Impl(implementation) = candidate else { continue };
                if is_for_tests(&implementation.attrs) {
                    continue;
                }
                let Some(path) = self_type(implementation) else { continue };
                match self.source.resolve(module, &path) {
                    Some(Named::Item(at, found)) if at == home && name_of(found) == name => {
                        all.extend(public_part(implementation));
                    }
                    _ => {}
                }
            }
        }
        all
    }

    fn push(&mut self, path: &str, items: &[Item]) {
        let file = syn::File { shebang: None, attrs: Vec::new(), items: items.to_vec() };
        self.text.push_str(&format!("// {path}\n{}\n", prettyplease::unparse(&file)));
    }
}

/// The path of the type that is implemented for.
fn self_type(implementation: &ItemImpl) -> Option<ModulePath> {
    match &*implementation.self_ty {
        Type::Path(path) => {
            Some(path.path.segments.iter().map(|segment| segment.ident.to_string()).collect())
        }
        _ => None,
    }
}

/// A trait's implementation without its items; an inherent one with its public items, if it has
/// any.
fn public_part(implementation: &ItemImpl) -> Option<Item> {
    let mut shown = implementation.clone();
    shown.attrs = kept(&shown.attrs);
    if shown.trait_.is_some() {
        shown.items.retain(|item| matches!(item, ImplItem::Type(_)));
        return Some(Item::Impl(shown));
    }
    shown.items.retain(|item| match item {
        ImplItem::Const(one) => is_public(&one.vis),
        ImplItem::Fn(one) => is_public(&one.vis) && !is_for_tests(&one.attrs),
        ImplItem::Type(one) => is_public(&one.vis),
        _ => false,
    });
    for item in &mut shown.items {
        match item {
            ImplItem::Fn(one) => {
                one.attrs = kept(&one.attrs);
                one.block = parse_quote!({});
            }
            ImplItem::Const(one) => one.attrs = kept(&one.attrs),
            ImplItem::Type(one) => one.attrs = kept(&one.attrs),
            _ => {}
        }
    }
    (!shown.items.is_empty()).then_some(Item::Impl(shown))
}

/// An item without its body, docs and private fields.
fn bare(item: &Item) -> Item {
    let mut item = item.clone();
    match &mut item {
        Item::Const(one) => one.attrs = kept(&one.attrs),
        Item::Static(one) => one.attrs = kept(&one.attrs),
        Item::Type(one) => one.attrs = kept(&one.attrs),
        Item::Fn(one) => {
            one.attrs = kept(&one.attrs);
            one.block = parse_quote!({});
        }
        Item::Struct(one) => {
            one.attrs = kept(&one.attrs);
            strip(&mut one.fields, true);
        }
        Item::Enum(one) => {
            one.attrs = kept(&one.attrs);
            for variant in &mut one.variants {
                variant.attrs = kept(&variant.attrs);
                strip(&mut variant.fields, false);
            }
        }
        Item::Trait(one) => {
            one.attrs = kept(&one.attrs);
            for item in &mut one.items {
                match item {
                    TraitItem::Fn(function) => {
                        function.attrs = kept(&function.attrs);
                        // That there is a default body is a part of the API, what it does is not.
                        function.default = function.default.as_ref().map(|_| parse_quote!({}));
                    }
                    TraitItem::Const(constant) => constant.attrs = kept(&constant.attrs),
                    TraitItem::Type(associated) => associated.attrs = kept(&associated.attrs),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    item
}

/// Leaves out docs, and, if `by_visibility`, fields that are not public. `_private` says that there
/// are some.
fn strip(fields: &mut Fields, by_visibility: bool) {
    let hides = |field: &Field| by_visibility && !is_public(&field.vis);
    match fields {
        Fields::Named(named) => {
            let hidden = named.named.iter().any(hides);
            let open = named.named.iter().filter(|field| !hides(field)).cloned();
            let mut open: Punctuated<Field, Token![,]> = open.collect();
            for field in &mut open {
                field.attrs = kept(&field.attrs);
            }
            if hidden {
                let private: syn::FieldsNamed = parse_quote!({ _private: () });
                open.extend(private.named);
            }
            named.named = open;
        }
        Fields::Unnamed(unnamed) => {
            for field in &mut unnamed.unnamed {
                field.attrs = kept(&field.attrs);
                if hides(field) {
                    field.ty = parse_quote!(_private);
                }
            }
        }
        Fields::Unit => {}
    }
}

/// The attributes that a user of the item notices.
fn kept(attributes: &[Attribute]) -> Vec<Attribute> {
    const NOTICED: [&str; 6] =
        ["cfg", "deprecated", "derive", "must_use", "non_exhaustive", "repr"];
    let noticed = |one: &&Attribute| NOTICED.iter().any(|name| one.path().is_ident(name));
    attributes.iter().filter(noticed).cloned().collect()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_public_item(item: &Item) -> bool {
    let visibility = match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        _ => return false,
    };
    is_public(visibility)
}
