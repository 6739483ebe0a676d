//! The modules of a crate, and the paths in their code, by the compiler's grammar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Ident, Item, ItemMod, ItemUse, Lit, Meta, Token, UseTree, Visibility};

use crate::tools::root;

/// A module by its names from the crate's root on; the root is empty.
pub(super) type ModulePath = Vec<String>;

/// A path in the code of a module.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// The file, from the workspace's root on.
    pub(super) file: PathBuf,
    pub(super) line: usize,
    /// Its names, as they are written.
    pub(super) names: Vec<String>,
}

/// A module, without what is compiled for tests only.
#[derive(Debug, Default)]
pub(super) struct Module {
    pub(super) references: Vec<Reference>,
    children: BTreeSet<String>,
    /// Names that `use` brings in, with the paths that they stand for.
    imported: BTreeMap<String, Vec<String>>,
    /// Modules of which `use` brings in all names.
    globs: Vec<Vec<String>>,
    /// Names of its own items.
    items: BTreeSet<String>,
}

/// The modules of a crate.
#[derive(Debug, Default)]
pub(super) struct Modules(BTreeMap<ModulePath, Module>);

/// Steps from name to name before a path is given up. Stops a `use` that leads to itself.
const MAX_STEPS: usize = 16;

impl Modules {
    /// Reads the crate with this root, `lib.rs` or `main.rs`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut modules = Self::default();
        let directory = root.parent().context("a file in no directory")?;
        modules.read_file(Vec::new(), root, directory)?;
        Ok(modules)
    }

    /// All modules.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ModulePath, &Module)> {
        self.0.iter()
    }

    /// Modules with children.
    pub(super) fn parents(&self) -> impl Iterator<Item = &ModulePath> {
        self.0.iter().filter(|(_, module)| !module.children.is_empty()).map(|(path, _)| path)
    }

    /// The children of a module.
    pub(super) fn children(&self, parent: &[String]) -> BTreeSet<&str> {
        let children = self.0.get(parent).map(|module| module.children.iter().map(String::as_str));
        children.into_iter().flatten().collect()
    }

    /// The module in which the item is that `names` mean in the module `from`; `None` for another crate's.
    pub(super) fn resolve(&self, from: &[String], names: &[String]) -> Option<ModulePath> {
        self.step(from, names, MAX_STEPS)
    }

    fn step(&self, from: &[String], names: &[String], steps: usize) -> Option<ModulePath> {
        let steps = steps.checked_sub(1)?;
        let mut module = from.to_vec();
        let mut names = names;
        match names.first()?.as_str() {
            "crate" => {
                module.clear();
                names = &names[1..];
            }
            "self" => names = &names[1..],
            "super" => {
                while let Some(("super", rest)) =
                    names.split_first().map(|(name, rest)| (name.as_str(), rest))
                {
                    module.pop()?;
                    names = rest;
                }
            }
            // A name of this module, or another crate.
            first => {
                let here = self.0.get(&module)?;
                if !here.children.contains(first) && !here.imported.contains_key(first) {
                    return None;
                }
            }
        }
        while let [name, rest @ ..] = names {
            let here = self.0.get(&module)?;
            if here.children.contains(name) {
                module.push(name.clone());
                names = rest;
            } else if let Some(meant) = here.imported.get(name).filter(|meant| *meant != names) {
                let all: Vec<String> = meant.iter().chain(rest).cloned().collect();
                return self.step(&module, &all, steps);
            } else if !here.items.contains(name)
                && let Some(found) =
                    here.globs.iter().find_map(|glob| self.in_glob(&module, glob, name, steps))
            {
                return Some(found);
            } else {
                break;
            }
        }
        Some(module)
    }

    /// The module in which a name is that comes by `use glob::*`.
    fn in_glob(&self, from: &[String], glob: &[String], name: &String, steps: usize) -> Option<ModulePath> {
        let module = self.step(from, glob, steps)?;
        let there = self.0.get(&module)?;
        if there.items.contains(name) {
            return Some(module);
        }
        let is_known = there.children.contains(name) || there.imported.contains_key(name);
        is_known.then(|| self.step(&module, &["self".to_owned(), name.clone()], steps)).flatten()
    }

    fn read_file(&mut self, path: ModulePath, file: &Path, directory: &Path) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("parsing {}", file.display()))?;
        let shown = file.strip_prefix(root()).unwrap_or(file);
        self.read_items(path, &parsed.items, shown, directory, file)
    }

    /// Reads the items of a module. The files of its children are in `directory`.
    fn read_items(
        &mut self,
        path: ModulePath,
        items: &[Item],
        shown: &Path,
        directory: &Path,
        file: &Path,
    ) -> Result<()> {
        let mut reader = Reader { file: shown, module: Module::default() };
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            reader.read(item);
            let Item::Mod(module) = item else { continue };
            let name = module.ident.unraw().to_string();
            let child = [&path[..], std::slice::from_ref(&name)].concat();
            let below = directory.join(&name);
            if let Some((_, items)) = &module.content {
                self.read_items(child, items, shown, &below, file)?;
            } else {
                let (file, below) = find_file(module, directory, file)?;
                self.read_file(child, &file, &below)?;
            }
        }
        self.0.insert(path, reader.module);
        Ok(())
    }
}

/// The file of `mod name;`, and the directory of its own children.
pub(super) fn find_file(module: &ItemMod, directory: &Path, parent: &Path) -> Result<(PathBuf, PathBuf)> {
    let name = module.ident.unraw().to_string();
    let below = directory.join(&name);
    if let Some(path) = module.attrs.iter().find_map(path_attribute) {
        let file = parent.parent().context("a file in no directory")?.join(path);
        let below = file.parent().context("a file in no directory")?.to_owned();
        return Ok((file, below));
    }
    let files = [below.with_extension("rs"), below.join("mod.rs")];
    match files.into_iter().find(|file| file.exists()) {
        Some(file) => Ok((file, below)),
        None => bail!("{}: no file of `mod {name}`", parent.display()),
    }
}

/// The value of `#[path = "…"]`.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else { return None };
    match &meta.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if meta.path.is_ident("path") => Some(text.value()),
        _ => None,
    }
}

/// Whether `#[cfg(test)]`, or a condition that needs it, stands here.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition))
    })
}

fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(needs_test)),
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name of an item, besides modules and `use`.
fn name_of(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::TraitAlias(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

/// Collects the names and paths of one module.
struct Reader<'a> {
    file: &'a Path,
    module: Module,
}

impl Reader<'_> {
    fn read(&mut self, item: &Item) {
        match item {
            Item::Mod(module) => {
                self.module.children.insert(module.ident.unraw().to_string());
            }
            Item::Use(item) => {
                for import in imports(&item.tree) {
                    match import.alias {
                        Some(alias) => {
                            self.module.imported.insert(alias, import.names);
                        }
                        None => self.module.globs.push(import.names),
                    }
                }
                self.visit_item_use(item);
            }
            other => {
                self.module.items.extend(name_of(other).map(|name| name.unraw().to_string()));
                self.visit_item(other);
            }
        }
    }

    fn add(&mut self, names: Vec<String>, span: Span) {
        self.module.references.push(Reference { file: self.file.to_owned(), line: span.start().line, names });
    }

    /// Paths in what only a macro can parse: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_colon =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut names = vec![first.unraw().to_string()];
                    while is_colon(at + 1)
                        && is_colon(at + 2)
                        && let Some(TokenTree::Ident(name)) = tokens.get(at + 3)
                    {
                        names.push(name.unraw().to_string());
                        at += 3;
                    }
                    if names.len() > 1 {
                        self.add(names, first.span());
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs[..],
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            syn::ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for import in imports(&item.tree) {
            self.add(import.names, import.span);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names = path.segments.iter().map(|segment| segment.ident.unraw().to_string());
            self.add(names.collect(), first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        visit::visit_macro(self, invocation);
        self.tokens(invocation.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    /// `pub(in …)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// One name that `use` brings in.
struct Import {
    names: Vec<String>,
    /// What it is called here; `None` for all names of a module.
    alias: Option<String>,
    span: Span,
}

/// The names that a `use` brings in, its groups unfolded.
fn imports(tree: &UseTree) -> Vec<Import> {
    fn unfold(tree: &UseTree, before: &[String], all: &mut Vec<Import>) {
        let with = |name: &Ident| {
            let mut names = before.to_vec();
            // `x::{self}` is x.
            if name != "self" || names.is_empty() {
                names.push(name.unraw().to_string());
            }
            names
        };
        match tree {
            UseTree::Path(path) => {
                let names = [before, &[path.ident.unraw().to_string()]].concat();
                unfold(&path.tree, &names, all);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| unfold(tree, before, all)),
            UseTree::Name(name) => {
                let names = with(&name.ident);
                let alias = names.last().cloned();
                all.push(Import { names, alias, span: name.ident.span() });
            }
            UseTree::Rename(rename) => {
                let alias = Some(rename.rename.unraw().to_string());
                all.push(Import { names: with(&rename.ident), alias, span: rename.ident.span() });
            }
            UseTree::Glob(glob) => {
                let span = glob.star_token.spans[0];
                all.push(Import { names: before.to_vec(), alias: None, span });
            }
        }
    }
    let mut all = Vec::new();
    unfold(tree, &[], &mut all);
    all
}
