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

mod graph;
mod source;
mod table;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{MetadataCommand, Target, TargetKind};

use self::graph::Graph;
use self::source::Modules;
use self::table::{CRATES, Layers, Root};
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
    }
    if violations.is_empty() {
        return Ok(());
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    bail!("{} imports run against the arrows", violations.len());
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
