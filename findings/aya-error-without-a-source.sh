#!/usr/bin/env bash
# The number of a system call's error (errno) is looked for along `source()` of an error of aya, to tell EMFILE from EPERM.
#
# aya 0.14.0: for `ProgramError::SyscallError` it is found. For `ProgramError::TcError(TcError::IoError(_))` and
# `ProgramError::IOError(_)` it is not, though an `io::Error` is inside: both variants are transparent, so that `source()`
# is that of the io::Error, which has none. The caller has to match these variants.
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
aya = "=0.14.0"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use std::error::Error;
use std::io;

use aya::programs::ProgramError;
use aya::programs::tc::TcError;
use aya::sys::SyscallError;

fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        current = error.source();
    }
    None
}

fn main() {
    let error = || io::Error::from_raw_os_error(24);
    let by_call = SyscallError { call: "bpf_link_create", io_error: error() };
    println!("SyscallError: {:?}", errno(&ProgramError::SyscallError(by_call)));
    println!("TcError: {:?}", errno(&ProgramError::TcError(TcError::IoError(error()))));
    println!("IOError: {:?}", errno(&ProgramError::IOError(error())));
}
RUST
seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml")
echo "$seen"
# Seen:
expected='SyscallError: Some(24)
TcError: None
IOError: None'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
