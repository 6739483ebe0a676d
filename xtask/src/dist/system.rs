//! What a static binary holds besides crates: the standard library, the C library, and C code that crates bring.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cross::Toolchain;

/// One of them.
#[derive(Debug)]
pub(super) struct Library {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) licence: &'static str,
    /// A package URL, where one is known.
    pub(super) purl: Option<String>,
    /// A file with its licence.
    pub(super) text: Option<PathBuf>,
}

/// Archives of C that the linker takes for a static binary: the C library, and the unwinder of the compiler.
const C_LIBRARIES: [(&str, &str, &str, &str); 2] = [
    ("glibc", "libc.a", "LGPL-2.1-or-later", "LGPL-2.1"),
    ("libgcc", "libgcc_eh.a", "GPL-3.0-or-later WITH GCC-exception-3.1", "GPL-3"),
];

pub(super) fn libraries(toolchain: &Toolchain) -> Result<Vec<Library>> {
    let version = toolchain.rust_version()?;
    let mut libraries = vec![Library {
        name: "rust-std",
        purl: Some(format!("pkg:generic/rust-std@{version}")),
        version,
        licence: "MIT OR Apache-2.0",
        text: None,
    }];
    for (name, archive, licence, text) in C_LIBRARIES {
        let package = debian_package(toolchain.c_compiler(), archive);
        let text = Path::new("/usr/share/common-licenses").join(text);
        libraries.push(Library {
            name,
            version: package.as_ref().map_or_else(|| "unknown".to_owned(), |(_, version)| version.clone()),
            licence,
            purl: package
                .map(|(name, version)| format!("pkg:deb/debian/{name}@{}", version.replace('+', "%2B"))),
            text: text.exists().then_some(text),
        });
    }
    Ok(libraries)
}

/// Name and version of Debian's package with the archive that this compiler links. `None` elsewhere.
fn debian_package(compiler: &str, archive: &str) -> Option<(String, String)> {
    let output = |program: &str, words: &[&str]| -> Option<String> {
        let output = Command::new(program).args(words).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let path = output(compiler, &[&format!("-print-file-name={archive}")])?;
    let path = Path::new(&path).canonicalize().ok()?;
    let owner = output("dpkg-query", &["--search", path.to_str()?])?;
    let (package, _) = owner.split_once(": ")?;
    let version = output("dpkg-query", &["--show", "--showformat", "${Version}", package])?;
    Some((package.split(':').next()?.to_owned(), version))
}
