//! Runs real clients against gateways of the lab, without SNI, and prints the table of their fingerprints
//! (`crates/core/src/software.tsv`). `cargo xtask record-software` installs the clients and calls it.
//!
//! The argument is the directory with the clients that are not the machine's: see [`places`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use system_tests::Lab;
use system_tests::probe::{Event, Probe};
use system_tests::resetting::ResettingGateway;
use system_tests::software::clients::{self, ClientProgram};
use system_tests::software::place::Place;
use system_tests::software::table::{Recording, render};
use system_tests::software::{SERVING_PORT, hellos, start_serving};

/// The port of a gateway that resets.
const RESETTING_PORT: u16 = 443;
/// Labs at once: the clients mostly wait.
const WORKERS: usize = 4;
/// How often each client is run against each gateway: what changes from run to run shall show.
const RUNS: usize = 3;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory =
        directory.context("name the directory of the clients, or run: cargo xtask record-software")?;
    let places = places(&directory)?;
    // The order of the table's names is that of the places, whichever worker is done first.
    let results: Vec<Mutex<Vec<Recording>>> = places.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(((place, clients), result)) = places.get(index).zip(results.get(index)) else {
                return Ok(());
            };
            let recordings = record_all(place, clients)?;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = recordings;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let ends =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")));
        ends.collect::<Result<()>>()
    })?;
    let recordings: Vec<Recording> =
        results.into_iter().flat_map(|result| result.into_inner().unwrap_or_default()).collect();
    ensure!(!recordings.is_empty(), "no client sent a hello");
    print!("{}", render(&recordings));
    Ok(())
}

/// Runs the clients of a place in a lab of their own.
fn record_all(place: &Place, clients: &'static [ClientProgram]) -> Result<Vec<Recording>> {
    let lab = Lab::new()?;
    let _resetting = ResettingGateway::start(&lab.gateway, RESETTING_PORT)?;
    let _serving = start_serving(&lab)?;
    let probe = Probe::start(&lab, &[])?;
    let mut recordings = Vec::new();
    for client in clients {
        record(&lab, &probe, place, client, &mut recordings)?;
    }
    Ok(recordings)
}

/// The places, each with the clients that are looked for in it.
///
/// In the directory: `debian-*` are whole releases, `node-*`, `go-*`, `python-*` and `pypi-*` have programs of those
/// kinds. Java, Go and Envoy are looked for on the machine, too.
fn places(directory: &Path) -> Result<Vec<(Place, &'static [ClientProgram])>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let names: BTreeSet<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let mut places = Vec::new();
    let releases =
        || names.iter().filter(|name| name.starts_with("debian-")).map(|name| directory.join(name));
    for root in releases() {
        places.push((Place::below(&root, None)?, clients::DEBIAN));
        places.push((Place::below(&root, None)?, clients::PYTHON));
        places.push((Place::below(&root, None)?, clients::NODE_JS));
    }
    for root in releases() {
        let machines = fs::read_dir(root.join("usr/lib/jvm")).into_iter().flatten().flatten();
        for machine in machines.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let programs = Path::new("/usr/lib/jvm").join(machine.file_name()).join("bin");
            places.push((Place::below(&root, Some(&programs))?, clients::JAVA_JDK));
        }
    }
    for name in &names {
        let (programs, clients) = match name.split_once('-') {
            Some(("node", _)) => ("node_modules/.bin", clients::NODE_JS),
            Some(("go", _)) => ("go/bin", clients::GO_TOOLCHAIN),
            Some(("python", _)) => ("bin", clients::PYTHON),
            Some(("pypi", _)) => ("bin", clients::PYPI),
            _ => continue,
        };
        places.push((Place::machine(Some(&directory.join(name).join(programs)))?, clients));
    }
    for clients in [clients::JAVA_JDK, clients::GO_TOOLCHAIN, clients::BORING_SSL] {
        places.push((Place::machine(None)?, clients));
    }
    Ok(places)
}

/// Runs a client several times against both gateways. One that is not there, or does not come without SNI, is told
/// of on standard error, and leaves nothing.
fn record(
    lab: &Lab,
    probe: &Probe<'_>,
    place: &Place,
    client: &'static ClientProgram,
    recordings: &mut Vec<Recording>,
) -> Result<()> {
    let told = |what: &str| eprintln!("{}: {} ({}): {what}", place.name(), client.program, client.invoked);
    let version = if client.version.is_empty() { None } else { Some(place.version(lab, client.version)?) };
    let library_version = place.version(lab, client.library.version)?;
    let (None | Some(Some(_)), Some(library_version)) = (&version, library_version) else {
        told("not there");
        return Ok(());
    };
    let version = version.flatten().unwrap_or_default();
    let mut first_offers = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut others = BTreeSet::new();
    for port in [RESETTING_PORT, SERVING_PORT] {
        for _ in 0..RUNS {
            for event in hellos(lab, probe, place, client, port)? {
                let Some((ja4, ja3)) = fingerprints(&event) else {
                    others.insert(format!("{} {}", event.sni, event.server_name.unwrap_or_default()));
                    continue;
                };
                // Sessions begin at the gateway that serves: what was not offered before resumes one.
                if port == RESETTING_PORT {
                    first_offers.insert(ja4.clone());
                }
                if seen.insert((ja4.clone(), ja3.clone())) {
                    recordings.push(Recording {
                        is_resumption: !first_offers.contains(&ja4),
                        ja4,
                        ja3,
                        client,
                        version: version.clone(),
                        library_version: library_version.clone(),
                        system: place.name().to_owned(),
                    });
                }
            }
        }
    }
    let ja4: BTreeSet<&str> = seen.iter().map(|(ja4, _)| ja4.as_str()).collect();
    told(&format!(
        "{} {library_version}: {ja4:?}, {} JA3, left out: {others:?}",
        client.library.name,
        seen.len()
    ));
    Ok(())
}

/// JA4 and JA3 of a hello without SNI extension.
fn fingerprints(event: &Event) -> Option<(String, String)> {
    let ja3 = event.json["ja3"].as_str()?;
    (event.sni == "absent").then_some((event.ja4.clone()?, ja3.to_owned()))
}
