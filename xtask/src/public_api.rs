//! `cargo xtask public-api`: the public items of the libraries, one a line, in a file of each crate.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use public_api::Builder;

use crate::tools::{cargo, progress, root, run, target_directory};

/// The directories of the crates below `crates`.
const CRATES: [&str; 4] = ["core", "datapath", "model", "pcap"];
/// The file in the directory of each crate.
const FILE: &str = "public-api.txt";

/// Compare the public items of core, datapath, model and pcap with the files that list them
///
/// Each crate has a file public-api.txt. A change of the interface shows there, and so in a review. Documentation with
/// warnings is an error as well.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask public-api
  cargo xtask public-api --write     # then commit what has changed")]
pub(crate) struct Arguments {
    /// Write the files
    #[arg(long)]
    write: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    for name in CRATES {
        let api = api_of(name)?;
        if arguments.write {
            fs::write(file_of(name), api)?;
        } else {
            compare(name, &api)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares the public items with the files.
///
/// # Errors
/// If a file is not what it should be, with the first difference; or if documentation has warnings.
pub(crate) fn check() -> Result<()> {
    CRATES.into_iter().try_for_each(|name| compare(name, &api_of(name)?))
}

fn file_of(name: &str) -> PathBuf {
    root().join("crates").join(name).join(FILE)
}

fn compare(name: &str, api: &str) -> Result<()> {
    let file = file_of(name);
    let written = fs::read_to_string(&file).unwrap_or_default();
    let difference = first_difference(&written, api);
    ensure!(
        difference.is_none(),
        "crates/{name}/{FILE} does not list the public items as they are, first: {}; write it by: cargo xtask \
         public-api --write",
        difference.unwrap_or_default()
    );
    Ok(())
}

/// The first line that only one of the texts has.
fn first_difference(written: &str, api: &str) -> Option<String> {
    let only_in = |one: &str, other: &str| {
        let other: Vec<&str> = other.lines().collect();
        one.lines().find(|line| !other.contains(line)).map(str::to_owned)
    };
    let new = only_in(api, written).map(|line| format!("not listed: {line}"));
    new.or_else(|| only_in(written, api).map(|line| format!("not there: {line}")))
}

/// The public items of a crate, one a line, without what is derived.
fn api_of(name: &str) -> Result<String> {
    progress(&format!("public items of {name}"));
    let package = format!("sni-probe-{name}");
    let mut command = cargo();
    // The JSON of rustdoc is not stable: a stable compiler needs this variable to write it.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", "-D warnings");
    // With that variable cargo builds dependencies anew, and without it again.
    let target = target_directory().join("public-api");
    command.args(["rustdoc", "--quiet", "--lib", "--package", &package]).arg("--target-dir").arg(&target);
    command.args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    run(&mut command)?;
    let json = target.join("doc").join(format!("{}.json", package.replace('-', "_")));
    let builder = Builder::from_rustdoc_json(&json).omit_blanket_impls(true);
    let api = builder.omit_auto_trait_impls(true).omit_auto_derived_impls(true).build();
    let api = api.with_context(|| {
        format!(
            "cannot read {}: does the version of public-api in Cargo.toml fit this rustdoc?",
            json.display()
        )
    })?;
    Ok(api.items().fold(String::new(), |mut text, item| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{item}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn a_difference_names_the_item() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\n", "a\nb\n").as_deref(), Some("not listed: b"));
        assert_eq!(first_difference("a\nb\n", "a\n").as_deref(), Some("not there: b"));
    }
}
