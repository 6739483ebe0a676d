//! Embeds the object of the TC programs, which `cargo xtask build` makes and names in
//! `SNI_PROBE_EBPF_OBJECT`. Without it the binary builds as well, for tests that need no kernel:
//! `run` then says that it cannot.

use std::path::PathBuf;
use std::{env, fs};

const VARIABLE: &str = "SNI_PROBE_EBPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    // For `build_info`: the commit, where the builder knows it.
    println!("cargo::rerun-if-env-changed=SNI_PROBE_REVISION");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("sni-probe-ebpf");
    let object = match env::var_os(VARIABLE) {
        Some(path) => {
            let path = PathBuf::from(path);
            println!("cargo::rerun-if-changed={}", path.display());
            fs::read(&path).unwrap_or_else(|error| panic!("{VARIABLE}: {}: {error}", path.display()))
        }
        None => Vec::new(),
    };
    fs::write(&out, object).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}
