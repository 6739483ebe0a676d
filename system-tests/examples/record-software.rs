//! Runs real clients against gateways of the lab, by IP address and by name, and prints the table of their fingerprints
//! (`crates/core/src/software.tsv`). `cargo xtask record-software` installs the clients and calls it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use system_tests::Lab;
use system_tests::probe::{Event, Probe};
use system_tests::resetting::ResettingGateway;
use system_tests::software::clients::{self, ClientProgram};
use system_tests::software::place::Place;
use system_tests::software::table::{How, Recording, merge, parse, render};
use system_tests::software::{NAMES, SERVING_PORT, hellos, start_serving, write_names};

/// The port of a gateway that resets.
const RESETTING_PORT: u16 = 443;
/// Labs at once: the clients mostly wait.
const WORKERS: usize = 4;
/// How often each client is run against each gateway by its address: what changes from run to run shall show.
const RUNS: usize = 3;

/// Record real clients
#[derive(Debug, Parser)]
struct Arguments {
    /// The directory with the clients that are not the machine's
    directory: PathBuf,
    /// Run these programs only, separated by `|`, and keep the other lines of --table
    #[arg(long, value_delimiter = '|', requires = "table")]
    only: Vec<String>,
    /// Run the clients of these places only (directories' names, or "machine"), and keep the other lines of --table
    #[arg(long = "in", value_delimiter = ',', requires = "table")]
    places: Vec<String>,
    /// The present table
    #[arg(long)]
    table: Option<PathBuf>,
}

impl Arguments {
    fn is_wanted(&self, client: &ClientProgram) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(client.program))
    }

    /// The recordings that stay.
    fn earlier(&self) -> Result<Vec<Recording>> {
        let known = |only: &&String| {
            clients::ALL.concat().iter().any(|client| only.eq_ignore_ascii_case(client.program))
        };
        if let Some(unknown) = self.only.iter().find(|only| !known(only)) {
            bail!("--only {unknown}: no client has this name (system-tests/src/software/clients)");
        }
        match &self.table {
            Some(table) if !self.only.is_empty() || !self.places.is_empty() => {
                parse(&fs::read_to_string(table).with_context(|| format!("reading {}", table.display()))?)
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let earlier = arguments.earlier()?;
    let places = places(&arguments)?;
    // The order of the table's entries is that of the places, whichever worker is done first.
    let results: Vec<Mutex<Vec<Recording>>> = places.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(((place, clients), result)) = places.get(index).zip(results.get(index)) else {
                return Ok(());
            };
            let clients = clients.iter().filter(|client| arguments.is_wanted(client));
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
    print!("{}", render(&merge(earlier, recordings)));
    Ok(())
}

/// Runs the clients of a place in a lab of their own.
fn record_all(
    place: &Place,
    clients: impl Iterator<Item = &'static ClientProgram>,
) -> Result<Vec<Recording>> {
    let mut clients = clients.peekable();
    if clients.peek().is_none() {
        return Ok(Vec::new());
    }
    let lab = Lab::new()?;
    write_names(&lab)?;
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
fn places(arguments: &Arguments) -> Result<Vec<(Place, &'static [ClientProgram])>> {
    // Programs are looked for by absolute paths: their root is another one.
    let directory = fs::canonicalize(&arguments.directory)
        .with_context(|| format!("looking for {}", arguments.directory.display()))?;
    let is_wanted =
        |name: &str| arguments.places.is_empty() || arguments.places.iter().any(|place| place == name);
    let entries = fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
    let names: BTreeSet<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_wanted(name))
        .collect();
    for place in arguments.places.iter().filter(|&place| place != "machine") {
        ensure!(names.contains(place), "--in {place}: not in {}", directory.display());
    }
    let mut places = Vec::new();
    let releases =
        || names.iter().filter(|name| name.starts_with("debian-")).map(|name| directory.join(name));
    for root in releases() {
        for clients in
            [clients::DEBIAN, clients::SERVICES, clients::PYTHON, clients::NODE_JS, clients::KUBERNETES]
        {
            places.push((Place::below(&root, None)?, clients));
        }
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
    if is_wanted("machine") {
        for clients in [clients::JAVA_JDK, clients::GO_TOOLCHAIN, clients::BORING_SSL] {
            places.push((Place::machine(None)?, clients));
        }
    }
    Ok(places)
}

/// Runs a client against both gateways, several times by address and once by each of two names. One that is not there, or
/// sends no hello, is reported on standard error, and leaves nothing.
fn record(
    lab: &Lab,
    probe: &Probe<'_>,
    place: &Place,
    client: &'static ClientProgram,
    recordings: &mut Vec<Recording>,
) -> Result<()> {
    let report = |what: &str| eprintln!("{}: {} ({}): {what}", place.name(), client.program, client.invoked);
    let version = if client.version.is_empty() { None } else { Some(place.version(lab, client.version)?) };
    let library_version = place.version(lab, client.library.version)?;
    let (None | Some(Some(_)), Some(library_version)) = (&version, library_version) else {
        report("not there");
        return Ok(());
    };
    let version = version.flatten().unwrap_or_default();
    let names: Vec<Option<&str>> =
        std::iter::repeat_n(None, RUNS).chain(NAMES.into_iter().map(Some)).collect();
    let mut first_offers = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut others = BTreeSet::new();
    for port in [RESETTING_PORT, SERVING_PORT] {
        for &name in &names {
            for event in hellos(lab, probe, place, client, (name, port))? {
                let Some((ja4, ja3)) = fingerprints(&event) else {
                    others.insert(format!("{} {}", event.sni, event.server_name.unwrap_or_default()));
                    continue;
                };
                // Sessions begin at the gateway that serves: what was not offered before resumes one.
                if port == RESETTING_PORT {
                    first_offers.insert(ja4.clone());
                }
                if seen.insert((ja4.clone(), ja3.clone())) {
                    let how = How {
                        by_name: name.is_some(),
                        address_as_name: event.sni == "invalid",
                        is_resumption: !first_offers.contains(&ja4),
                    };
                    recordings.push(Recording {
                        ja4,
                        ja3,
                        client,
                        version: version.clone(),
                        library_version: library_version.clone(),
                        system: place.name().to_owned(),
                        invoked: how.describe(client),
                    });
                }
            }
        }
    }
    let ja4: BTreeSet<&str> = seen.iter().map(|(ja4, _)| ja4.as_str()).collect();
    report(&format!(
        "{} {library_version}: {ja4:?}, {} JA3, left out: {others:?}",
        client.library.name,
        seen.len()
    ));
    Ok(())
}

/// JA4 and JA3 of a complete hello.
fn fingerprints(event: &Event) -> Option<(String, String)> {
    let ja3 = event.json["ja3"].as_str()?;
    Some((event.ja4.clone()?, ja3.to_owned()))
}
