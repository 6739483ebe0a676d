//! Embeds the object of the TC programs: the one that `SNI_PROBE_EBPF_OBJECT` names, or else one that it builds.

use std::path::{Path, PathBuf};
use std::{env, fs};

use bpf_object::OBJECT_VARIABLE;

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT_VARIABLE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("sni-probe-ebpf");
    if let Err(message) = object().and_then(|object| copy(&object, &out)) {
        // One line, without the backtrace and the output of a build script that failed.
        println!("cargo::error={message}");
    }
}

/// The object's path. cargo runs this again when the object, or what it was built from, has changed.
fn object() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os(OBJECT_VARIABLE) {
        let path = PathBuf::from(path);
        println!("cargo::rerun-if-changed={}", path.display());
        return Ok(path);
    }
    let kernel_log = env::var_os("CARGO_FEATURE_KERNEL_LOG").is_some();
    let object = bpf_object::build(kernel_log).map_err(|error| error.to_string())?;
    let sources = bpf_object::sources(&object).map_err(|error| format!("{}: {error}", object.display()))?;
    for file in sources {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    Ok(object)
}

fn copy(object: &Path, to: &Path) -> Result<(), String> {
    let bytes = fs::read(object).map_err(|error| format!("{}: {error}", object.display()))?;
    fs::write(to, bytes).map_err(|error| format!("{}: {error}", to.display()))
}
