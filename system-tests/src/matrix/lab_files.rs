//! Prepares the lab: certificates and programs in its directory.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::authority;
use crate::{GATEWAY_V4, SERVER_NAME};

/// Writes the files that clients and gateways read.
pub(super) fn write_files(directory: &Path) -> Result<()> {
    authority::create(directory)?;
    let hosts = format!("127.0.0.1 localhost\n{GATEWAY_V4} {SERVER_NAME}\n");
    for (name, text) in [
        ("hosts", &*hosts),
        ("get.go", include_str!("programs/get.go")),
        ("get.js", include_str!("programs/get.js")),
        ("Get.java", include_str!("programs/Get.java")),
        ("Serve.java", include_str!("programs/Serve.java")),
        ("serve.js", include_str!("programs/serve.js")),
        ("refuse.erl", include_str!("programs/refuse.erl")),
        ("refuse.go", include_str!("programs/refuse.go")),
        ("refuse.js", include_str!("programs/refuse.js")),
    ] {
        fs::write(directory.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}
