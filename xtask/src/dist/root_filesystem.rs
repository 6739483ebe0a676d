//! The root filesystem of the image: the binary, and the few files that its C library and people look for.

use std::path::Path;

use anyhow::Result;

use super::tree::Tree;

// Names for `id` outside and for tools that list processes. It runs as root, for capabilities that are added to a
// container take effect for uid 0 only; nonroot is for verbs that need none (`docker run --user nonroot … check`).
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
// /etc/hosts first, then DNS: both are in the static C library, no other service is.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// No shell, no loader, no libraries, and no certificates: whom it trusts it is told (--ca, the service account's or
/// the kubeconfig's CA), or is built in (`watch --url https://…`).
pub(super) fn tree(binary: &Path, licences: &str) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.program("sni-probe", binary)?;
    tree.file("etc/passwd", PASSWD);
    tree.file("etc/group", GROUP);
    tree.file("etc/nsswitch.conf", NSSWITCH);
    tree.file("licenses/LICENSE", include_str!("../../../LICENSE"));
    tree.file("licenses/THIRD-PARTY.txt", licences);
    tree.directory("tmp", 0o1777);
    // What a container's runtime mounts needs a place, in a root that is mounted read-only as well.
    for place in ["dev", "proc", "sys"] {
        tree.directory(place, 0o755);
    }
    Ok(tree)
}
