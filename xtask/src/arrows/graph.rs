//! Imports between the children of one module, and the rules for them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::source::{Modules, Reference};
use super::table::Layers;

/// Imports between the children of one module. What is inside of a child counts as the child's.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    imports: BTreeMap<(&'a str, String), Vec<&'a Reference>>,
}

impl<'a> Graph<'a> {
    /// The imports between the children of `parent`.
    pub(super) fn new(modules: &'a Modules, parent: &[String]) -> Self {
        let mut imports: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let level = parent.len();
        let inside = modules.iter().filter(|(path, _)| path.len() > level && path.starts_with(parent));
        for (path, module) in inside {
            for reference in &module.references {
                let Some(target) = modules.resolve(path, &reference.names) else { continue };
                if target.len() > level && target.starts_with(parent) && target[level] != path[level] {
                    imports.entry((&*path[level], target[level].clone())).or_default().push(reference);
                }
            }
        }
        Self { imports }
    }

    /// Returns a line for each import of a module in a higher layer. Fails where the table and the modules differ.
    pub(super) fn against(&self, layers: &Layers, children: &BTreeSet<&str>) -> Result<Vec<String>> {
        let Layers { package, .. } = layers;
        for child in children {
            if layers.height(child).is_none() {
                bail!(
                    "xtask/src/arrows/table.rs: {package} has no layer for its module {child}; give it one"
                );
            }
        }
        if let Some(gone) = layers.modules().find(|module| !children.contains(module)) {
            bail!("xtask/src/arrows/table.rs: {package} has no module {gone}; remove it");
        }
        let upward = self.imports.iter().filter(|((from, to), _)| layers.height(to) > layers.height(from));
        let lines = upward.flat_map(|((from, to), references)| {
            references.iter().map(move |reference| {
                format!("{}: {from} lies below {to} in {package}, and must not import it", shown(reference))
            })
        });
        Ok(lines.collect())
    }

    /// Returns a line for each pair of modules of which the first imports the second, and imports lead back.
    pub(super) fn circles(&self) -> Vec<String> {
        let in_circle = self.imports.iter().filter(|((from, to), _)| self.reaches(to, from));
        let line = |((from, to), references): (&(&str, String), &Vec<&Reference>)| {
            format!("{}: {from} imports {to}, and {to} leads back to {from}", shown(references[0]))
        };
        in_circle.map(line).collect()
    }

    /// Whether imports lead from one module to another.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            if module == to {
                return true;
            }
            let imported = self.imports.keys().filter(|(from, _)| *from == module).map(|(_, to)| to.as_str());
            next.extend(imported.filter(|module| seen.insert(module)));
        }
        false
    }
}

/// `file:line: the path`
fn shown(reference: &Reference) -> String {
    format!("{}:{}: {}", reference.file.display(), reference.line, reference.names.join("::"))
}
