//! What is known of the crates in a build: versions, licences, checksums, who depends on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_lock::Lockfile;
use cargo_metadata::{DependencyKind, MetadataCommand, Package, PackageId};

use super::binary::Built;
use crate::tools::root;

/// The crates of a binary and of the BPF object in it.
#[derive(Debug)]
pub(super) struct Crates {
    crates: BTreeMap<PackageId, Crate>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) package: Package,
    /// Of its archive in the registry, by SHA-256; none of the workspace's own.
    pub(super) checksum: Option<String>,
    /// Those of its normal dependencies that were compiled.
    pub(super) dependencies: BTreeSet<PackageId>,
}

impl Crates {
    pub(super) fn load(built: &Built) -> Result<Self> {
        let mut command = MetadataCommand::new();
        command.current_dir(root());
        let platforms = [built.toolchain.architecture.target(), bpf_object::TARGET];
        let platforms =
            platforms.into_iter().flat_map(|target| ["--filter-platform".to_owned(), target.to_owned()]);
        command.other_options(std::iter::once("--locked".to_owned()).chain(platforms).collect::<Vec<_>>());
        let metadata = command.exec().context("cargo metadata")?;
        let lock = Lockfile::load(root().join("Cargo.lock")).context("reading Cargo.lock")?;

        let is_compiled = |id: &PackageId| built.crates.contains(id) || built.object_crates.contains(id);
        let resolve = metadata.resolve.as_ref().context("cargo metadata has resolved nothing")?;
        let mut dependencies: BTreeMap<&PackageId, BTreeSet<PackageId>> = BTreeMap::new();
        for node in &resolve.nodes {
            let normal = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            });
            let compiled = normal.map(|dependency| dependency.pkg.clone()).filter(is_compiled);
            dependencies.insert(&node.id, compiled.collect());
        }
        let mut crates = BTreeMap::new();
        for id in built.crates.union(&built.object_crates) {
            let package = &metadata[id];
            let locked = lock.packages.iter().find(|locked| {
                locked.name.as_str() == package.name.as_str() && locked.version == package.version
            });
            let checksum = locked.and_then(|locked| Some(locked.checksum.as_ref()?.to_string()));
            let dependencies = dependencies.remove(id).unwrap_or_default();
            crates.insert(id.clone(), Crate { package: package.clone(), checksum, dependencies });
        }
        Ok(Self { crates })
    }

    /// All, by name and version.
    pub(super) fn all(&self) -> Vec<(&PackageId, &Crate)> {
        let mut all: Vec<_> = self.crates.iter().collect();
        all.sort_by_key(|(_, krate)| (krate.package.name.as_str(), &krate.package.version));
        all
    }
}

impl Crate {
    /// Its licence as an SPDX expression. Old manifests have a slash where SPDX says OR.
    pub(super) fn licence(&self) -> Option<String> {
        self.package.license.as_ref().map(|licence| {
            if licence.contains(" OR ") || licence.contains(" AND ") {
                licence.clone()
            } else {
                licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
            }
        })
    }

    /// Where its sources lie.
    pub(super) fn directory(&self) -> &Path {
        self.package.manifest_path.parent().expect("a manifest lies in a directory").as_std_path()
    }
}
