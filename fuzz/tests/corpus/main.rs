//! Every entry function over its seed corpus, every prefix of a seed, and every seed with single bits
//! flipped: what a fuzzer would try first, in a second and on every machine.
//!
//! The seeds are made by `seeds`. `SNI_PROBE_BLESS=1 cargo test seeds` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod seeds;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use sni_probe_fuzz::{TARGETS, Target};

/// Prefixes and changes that are tried of one seed, each. They are spread over a longer one.
const TRIES: usize = 1_500;

#[test]
fn client_hello() {
    assert_survives("client_hello");
}

#[test]
fn frame() {
    assert_survives("frame");
}

#[test]
fn proxy_header() {
    assert_survives("proxy_header");
}

#[test]
fn record_layer() {
    assert_survives("record_layer");
}

#[test]
fn tracker() {
    assert_survives("tracker");
}

/// The committed files are those that the builders make: nothing came from elsewhere, or is stale.
#[test]
fn seeds_are_as_built() {
    let bless = env::var_os("SNI_PROBE_BLESS").is_some();
    for (target, _) in TARGETS {
        let built: BTreeMap<String, Vec<u8>> = seeds::of(target).into_iter().collect();
        let directory = directory(target);
        if bless {
            fs::remove_dir_all(&directory).ok();
            fs::create_dir_all(&directory).unwrap();
            for (name, bytes) in &built {
                fs::write(directory.join(name), bytes).unwrap();
            }
        }
        assert!(built.len() > 3, "{target} has few seeds");
        let hint = "SNI_PROBE_BLESS=1 cargo test --manifest-path fuzz/Cargo.toml seeds";
        assert!(read(target) == built, "fuzz/corpus/{target} is out of date; write it anew with: {hint}");
    }
}

/// No finding of a fuzzer's is forgotten once its input is a seed; no input is a seed of nothing.
#[test]
fn every_directory_has_a_target() {
    let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(corpus()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(targets.contains(&name.to_str().unwrap()), "{}", name.display());
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn directory(target: &str) -> PathBuf {
    corpus().join(target)
}

fn read(target: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory(target)).unwrap();
    let files = files.map(|file| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
    });
    files.collect()
}

#[track_caller]
fn assert_survives(target: &str) {
    let (_, entry) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let seeds = read(target);
    assert!(!seeds.is_empty());
    for (name, seed) in seeds {
        Attempt::of(&name, "as it is", &seed).run(entry);
        for len in (0..seed.len()).step_by(step(seed.len())) {
            Attempt::of(&name, &format!("its first {len} bytes"), &seed[..len]).run(entry);
        }
        let bits = 8 * seed.len();
        // An odd step meets each of the eight bits.
        for bit in (0..bits).step_by(step(bits) | 1) {
            let mut changed = seed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            Attempt::of(&name, &format!("bit {bit} flipped"), &changed).run(entry);
        }
    }
}

fn step(count: usize) -> usize {
    count.div_ceil(TRIES).max(1)
}

/// Says which input it was, where an entry function panics.
struct Attempt<'a> {
    seed: &'a str,
    change: &'a str,
    bytes: &'a [u8],
}

impl<'a> Attempt<'a> {
    fn of(seed: &'a str, change: &'a str, bytes: &'a [u8]) -> Self {
        Self { seed, change, bytes }
    }

    fn run(&self, entry: Target) {
        entry(self.bytes);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("seed {}, {}: {:02x?}", self.seed, self.change, self.bytes);
        }
    }
}
