//! The image as an archive of an OCI image layout, which podman, containerd, skopeo and crane load. The archive also has
//! the `manifest.json` of `docker save`, which `docker load` needs for Docker's classic image store. One layer: the root
//! filesystem.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use lab_interface::dist::{Architecture, IMAGE};
use serde_json::{Value, json};

use super::archive::{gzip, sha256, tar};
use super::tree::Tree;
use super::{binary, replace};

/// Writes it. What `config` says must agree with deploy/Dockerfile; a test compares the two.
pub(super) fn write(path: &Path, root: &Tree, architecture: Architecture, epoch: u64) -> Result<()> {
    write_as(path, root, IMAGE, &settings(), architecture, epoch)
}

/// Writes an image with this name and tag, and these settings of its containers.
pub(super) fn write_as(
    path: &Path,
    root: &Tree,
    name: &str,
    settings: &Value,
    architecture: Architecture,
    epoch: u64,
) -> Result<()> {
    let mut layout = Tree::default();
    let mut blob = |media_type: &str, bytes: Vec<u8>| {
        let (digest, size) = (sha256(&bytes), bytes.len());
        let path = format!("blobs/sha256/{digest}");
        layout.file(&path, bytes);
        (json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size }), path)
    };

    let uncompressed = tar(root, epoch)?;
    let (layer, layer_path) = blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&uncompressed)?);
    let config = config(settings, architecture, &sha256(&uncompressed), epoch)?;
    let (config, config_path) =
        blob("application/vnd.oci.image.config.v1+json", serde_json::to_vec(&config)?);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    });
    let (mut manifest, _) =
        blob("application/vnd.oci.image.manifest.v1+json", serde_json::to_vec(&manifest)?);
    manifest["platform"] = json!({ "os": "linux", "architecture": architecture.name() });
    // The tag is for most tools, the whole name for containerd's import and `docker load`.
    let tag = name.rsplit(':').next();
    manifest["annotations"] = json!({
        "org.opencontainers.image.ref.name": tag,
        "io.containerd.image.name": format!("docker.io/library/{name}"),
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    layout.file("index.json", serde_json::to_vec(&index)?);
    let docker = json!([{ "Config": config_path, "RepoTags": [name], "Layers": [layer_path] }]);
    layout.file("manifest.json", serde_json::to_vec(&docker)?);
    layout.file("oci-layout", serde_json::to_vec(&json!({ "imageLayoutVersion": "1.0.0" }))?);
    replace(path, &tar(&layout, epoch)?)
}

/// The settings of sni-probe's containers.
fn settings() -> Value {
    json!({
        "User": "0:0",
        "ExposedPorts": { "9917/tcp": {} },
        "Entrypoint": ["/sni-probe"],
        "Cmd": ["run"],
        "Labels": {
            "org.opencontainers.image.title": "sni-probe",
            "org.opencontainers.image.description":
                "Sees TLS clients without SNI at a gateway, and what becomes of them",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.revision": binary::revision(),
        },
    })
}

fn config(settings: &Value, architecture: Architecture, layer: &str, epoch: u64) -> Result<Value> {
    let created = Timestamp::from_second(i64::try_from(epoch)?)?.to_string();
    Ok(json!({
        "created": created,
        "architecture": architecture.name(),
        "os": "linux",
        "config": settings,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": created, "created_by": "cargo xtask dist" }],
    }))
}
