//! Images of programs of this machine, for the tests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use lab_interface::dist::Architecture;
use serde_json::json;

use super::image;
use super::tree::Tree;
use crate::tools::linked_library;

/// Writes an image of a program and the libraries that it is linked with, unless a newer one is there.
///
/// Its entry point is the program with these arguments.
pub(crate) fn program_image(path: &Path, name: &str, program: &Path, arguments: &[&str]) -> Result<()> {
    let changed = |path: &Path| path.metadata()?.modified();
    if changed(path).is_ok_and(|image| changed(program).is_ok_and(|program| program <= image)) {
        return Ok(());
    }
    let mut tree = Tree::default();
    // By its own name: busybox asks for that.
    let file_name = program.file_name().context("a program without a name")?.to_string_lossy();
    tree.program(&file_name, program)?;
    for library in libraries(program)? {
        tree.program(library.trim_start_matches('/'), Path::new(&library))?;
    }
    for place in ["dev", "proc", "sys"] {
        tree.directory(place, 0o755);
    }
    tree.directory("tmp", 0o1777);
    let file_name = format!("/{file_name}");
    let entry_point: Vec<&str> = std::iter::once(&*file_name).chain(arguments.iter().copied()).collect();
    image::write_as(path, &tree, name, &json!({ "Entrypoint": entry_point }), Architecture::host(), 0)
}

/// The paths of the libraries, the loader's too. A static program has none.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("starting ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("not a dynamic executable") {
            return Ok(Vec::new());
        }
        bail!("ldd {}: {}", program.display(), said.trim());
    }
    Ok(text.lines().filter_map(linked_library).map(str::to_owned).collect())
}
