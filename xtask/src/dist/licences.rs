//! The licences of what is in the binary, as one text: who has which, then each text once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::binary::Built;
use super::crates::Crates;
use super::system::{self, Library};

/// Files of a crate that hold its terms.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];
/// No licence is longer; what is, is none.
const MAX_TEXT_BYTES: u64 = 256 * 1024;
const RULE: &str = "--------------------------------------------------------------------------------";

pub(super) fn text(built: &Built, crates: &Crates) -> Result<String> {
    let libraries = system::libraries(&built.toolchain)?;
    let mut text = String::from(
        "sni-probe is under the Apache License 2.0 (LICENSE). Its binary also holds the following, each under its own\n\
         licence. The texts that came with them are below.\n\n",
    );
    let mut texts: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for Library { name, version, licence, text: path, .. } in &libraries {
        writeln!(text, "{name} {version}: {licence}")?;
        if let Some(path) = path {
            collect(&mut texts, path, format!("{name} {version}"))?;
        }
    }
    let foreign =
        crates.all().into_iter().map(|(_, krate)| krate).filter(|krate| krate.package.source.is_some());
    for krate in foreign {
        let name = format!("{} {}", krate.package.name, krate.package.version);
        writeln!(text, "{name}: {}", krate.licence().as_deref().unwrap_or("see its text"))?;
        for path in files(krate.directory())? {
            collect(&mut texts, &path, name.clone())?;
        }
    }
    let mut texts: Vec<(String, Vec<String>)> = texts.into_values().collect();
    texts.sort_by(|(_, one), (_, other)| one.cmp(other));
    for (licence, of) in texts {
        write!(text, "\n{RULE}\nOf {}:\n\n{}\n", of.join(", "), licence.trim_end())?;
    }
    Ok(text)
}

/// Texts that differ in white space only are one.
fn collect(texts: &mut BTreeMap<String, (String, Vec<String>)>, path: &Path, name: String) -> Result<()> {
    if fs::metadata(path)?.len() > MAX_TEXT_BYTES {
        return Ok(());
    }
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let key = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, of) = texts.entry(key).or_insert((text, Vec::new()));
    if of.last() != Some(&name) {
        of.push(name);
    }
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if entry.file_type()?.is_file() && NAMES.iter().any(|prefix| name.starts_with(prefix)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
