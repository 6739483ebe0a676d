//! The arrows between the modules of one crate: which module may import which.
//!
//! ```text
//! cargo metadata ─▶ packages ─▶ source (modules, and the paths in them) ─▶ graph (imports between siblings) ─▶ rules
//!                                                                         table (layers of each crate) ────────▲
//! ```
//!
//! Two rules hold between the children of one module:
//!
//! - Imports make no circle. This holds everywhere, without a table.
//! - A module imports only from its own layer and the layers below it. This holds where [`table`] has layers.
//!
//! A module and its own children are one concept: they may use each other.
//!
//! Two more rules hold for packages: every source file belongs to a module, and no package has a dependency that
//! [`table`] forbids.

mod files;
mod graph;
mod source;
mod table;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, Target, TargetKind};

use self::graph::Graph;
use self::source::Modules;
use self::table::{CRATES, FORBIDDEN, Layers, Root};
use crate::tools::root;

/// Checks the libraries and programs of the workspace.
pub(crate) fn check() -> Result<()> {
    let mut command = MetadataCommand::new();
    let metadata = command.current_dir(root()).no_deps().exec().context("asking cargo for the packages")?;
    for layers in CRATES {
        let is_there = metadata.packages.iter().any(|package| package.name == layers.package);
        if !is_there {
            bail!("xtask/src/arrows/table.rs: the workspace has no package {}", layers.package);
        }
    }
    let mut violations = Vec::new();
    for package in metadata.workspace_packages() {
        for target in &package.targets {
            let Some(kind) = root_of(target) else { continue };
            let of_target = |layers: &&Layers| layers.package == package.name.as_str() && layers.root == kind;
            let layers: Vec<&Layers> = CRATES.iter().filter(of_target).collect();
            let modules = Modules::read(target.src_path.as_std_path())?;
            violations.extend(violations_of(&modules, &layers)?);
        }
        violations.extend(stray_files(package)?);
        violations.extend(forbidden_dependencies(package, &metadata));
    }
    if violations.is_empty() {
        return Ok(());
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    bail!("{} violations of the rules for modules and packages", violations.len());
}

/// A line for each source file that belongs to no crate of the package.
fn stray_files(package: &Package) -> Result<Vec<String>> {
    let mut known = BTreeSet::new();
    for target in &package.targets {
        known.extend(files::of_crate(target.src_path.as_std_path())?);
    }
    let directory = package.manifest_path.parent().context("a manifest in no directory")?;
    Ok(stray(&known, &files::below(directory.as_std_path())?))
}

fn stray(known: &BTreeSet<PathBuf>, there: &BTreeSet<PathBuf>) -> Vec<String> {
    let shown = |file: &PathBuf| file.strip_prefix(root()).unwrap_or(file).display().to_string();
    there.difference(known).map(|file| format!("{}: no module has this file", shown(file))).collect()
}

/// Returns the packages that `package` needs, directly or by way of others of the workspace, and the kind of each need.
fn needed_by<'a>(package: &'a Package, metadata: &'a Metadata) -> HashSet<(&'a str, DependencyKind)> {
    let mut needed = HashSet::new();
    let mut packages = vec![(package, DependencyKind::Normal)];
    while let Some((next, reached_as)) = packages.pop() {
        // What tests of a dependency need is not needed here.
        let is_direct = next.id == package.id;
        for dependency in next.dependencies.iter().filter(|it| is_direct || it.kind == DependencyKind::Normal)
        {
            let kind = if reached_as == DependencyKind::Normal { dependency.kind } else { reached_as };
            if needed.insert((dependency.name.as_str(), kind)) {
                let of_workspace = metadata.packages.iter().filter(|package| package.name == dependency.name);
                packages.extend(of_workspace.map(|package| (package, kind)));
            }
        }
    }
    needed
}

/// Returns a line for each dependency that [`FORBIDDEN`] refuses to a package.
fn forbidden_dependencies(package: &Package, metadata: &Metadata) -> Vec<String> {
    let needed = needed_by(package, metadata);
    let rules = FORBIDDEN.iter().filter(|rule| rule.concerns(&package.name));
    let refused = rules.flat_map(|rule| {
        rule.dependencies.iter().filter(|name| {
            needed
                .iter()
                .any(|(needed, kind)| needed == *name && (rule.in_tests || *kind == DependencyKind::Normal))
        })
    });
    refused.map(|name| format!("{}: must not depend on {name}", package.name)).collect()
}

fn root_of(target: &Target) -> Option<Root> {
    match target.kind.first()? {
        TargetKind::Lib => Some(Root::Lib),
        TargetKind::Bin => Some(Root::Bin),
        _ => None,
    }
}

/// A line for each import that is against the rules.
fn violations_of(modules: &Modules, layers: &[&Layers]) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for parent in modules.parents() {
        let graph = Graph::new(modules, parent);
        let name = parent.join("::");
        if let Some(layers) = layers.iter().find(|layers| layers.module == name) {
            let children = modules.children(parent);
            violations.extend(graph.against(layers, &children)?);
        }
        violations.extend(graph.circles());
    }
    Ok(violations)
}

#[cfg(test)]
mod tests;
