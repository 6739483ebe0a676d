#!/usr/bin/env bash
# A process at its limit of open files asks for the number of an interface by name. The cause of the failure is EMFILE.
#
# nix 0.31.3 (if_nametoindex of glibc) says ENOENT, as for a name that does not exist: glibc opens a socket for the
# question, and gives ENOENT if it gets none. rustix 1.1.6 takes the caller's socket, so that the caller sees EMFILE.
# A program that reports the first one says "No such file or directory" of an interface that is there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
nix = { version = "=0.31.3", features = ["net", "resource"] }
rustix = { version = "=1.1.6", features = ["net"] }
TOML
cat > "$folder/src/main.rs" <<'RUST'
use nix::net::if_::if_nametoindex;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};

fn main() {
    let ask = || socket(AddressFamily::UNIX, SocketType::DGRAM, None).and_then(|socket| name_to_index(socket, "lo"));
    println!("with room: nix {:?}, rustix {:?}", if_nametoindex("lo"), ask());
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 0, most).unwrap();
    println!("without: nix {:?}, rustix {:?}", if_nametoindex("lo"), ask());
    println!("a name that is not there: nix {:?}", if_nametoindex("none0"));
}
RUST
seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml")
echo "$seen"
# Seen:
expected='with room: nix Ok(1), rustix Ok(1)
without: nix Err(ENOENT), rustix Err(Os { code: 24, kind: Uncategorized, message: "Too many open files" })
a name that is not there: nix Err(ENOENT)'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
