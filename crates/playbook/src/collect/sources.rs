//! Where what is collected comes from.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use sni_probe_client::Daemon;
use ureq::http::StatusCode;

use super::bundle::{Bundle, Kind};
use super::cluster;
use super::config::Config;
use super::limits::{
    MAX_EVENTS_BYTES, MAX_EVIDENCE_BYTES, MAX_EVIDENCE_FILE_BYTES, MAX_EVIDENCE_FILES, MAX_TEXT_BYTES,
};

/// Pages of a daemon, the files for them, and what they are.
const PAGES: [(&str, &str, Kind); 6] = [
    ("/metrics", "daemon/metrics.txt", Kind::Text),
    ("/readyz", "daemon/readyz.txt", Kind::Text),
    ("/api/v1/summary", "daemon/summary.json", Kind::Json),
    ("/api/v1/clients", "daemon/clients.json", Kind::Json),
    ("/api/v1/handshakes", "daemon/handshakes.json", Kind::Json),
    ("/api/v1/facts", "daemon/facts.json", Kind::Json),
];

/// Where a system says what it is (os-release(5)).
const RELEASE: &str = "/etc/os-release";

/// The files to read that the config name. Evidence is a directory; a file of it is no bundle.
pub(super) fn inputs(config: &Config) -> Vec<&Path> {
    let files = [
        &config.overrides,
        &config.routes,
        &config.events_file,
        &config.kubeconfig,
        &config.daemon.password_file,
        &config.daemon.ca,
    ];
    files.into_iter().flatten().map(PathBuf::as_path).collect()
}

/// Whether the config name anything.
pub(super) fn is_asked(config: &Config) -> bool {
    let files = [&config.overrides, &config.routes, &config.events_file, &config.evidence];
    config.kube || config.daemon.url.is_some() || files.iter().any(|path| path.is_some())
}

/// Collects what the config name, and what this machine is. Says whether anything of what they name could be collected.
///
/// # Errors
/// If the bundle cannot be written. What cannot be read is listed in it.
pub(super) fn collect(config: &Config, bundle: &mut Bundle) -> anyhow::Result<bool> {
    if let Some(url) = &config.daemon.url {
        daemon(url, config, bundle)?;
    }
    let files = [(&config.overrides, "config/overrides.yaml"), (&config.routes, "config/routes.yaml")];
    for (path, name) in files {
        let Some(path) = path else { continue };
        match read_whole(path, MAX_TEXT_BYTES) {
            Ok(bytes) => bundle.text(name, &path.display().to_string(), Kind::Configuration, &bytes)?,
            Err(error) => bundle.miss(name, &format!("{error:#}")),
        }
    }
    if config.kube {
        routes_of_cluster(config, bundle)?;
    }
    if let Some(path) = &config.events_file {
        events(path, bundle)?;
    }
    if let Some(directory) = &config.evidence {
        evidence(directory, bundle)?;
    }
    let is_worth_it = bundle.collected() > 0;
    machine(bundle)?;
    Ok(is_worth_it)
}

fn daemon(url: &str, config: &Config, bundle: &mut Bundle) -> anyhow::Result<()> {
    let daemon = match Daemon::new(url, &config.daemon) {
        Ok(daemon) => daemon,
        Err(error) => {
            for (_, name, _) in PAGES {
                bundle.miss(name, &format!("{error:#}"));
            }
            return Ok(());
        }
    };
    let mut why_away: Option<String> = None;
    for (path, name, kind) in PAGES {
        let source = format!("{}{path}", daemon.name());
        // One that did not answer is not waited for five times.
        if let Some(reason) = &why_away {
            bundle.miss(name, reason);
            continue;
        }
        match daemon.answer(path) {
            // It says in words what is not ready.
            Ok((StatusCode::SERVICE_UNAVAILABLE, body)) if path == "/readyz" => {
                bundle.text(name, &source, kind, &body)?;
            }
            Ok((status, body)) => match daemon.check(status, path, &body) {
                Ok(()) => bundle.text(name, &source, kind, &body)?,
                Err(error) => bundle.miss(name, &format!("{source}: {error:#}")),
            },
            Err(error) => {
                let reason = format!("{}: {error:#}", daemon.name());
                bundle.miss(name, &reason);
                why_away = Some(reason);
            }
        }
    }
    Ok(())
}

fn routes_of_cluster(config: &Config, bundle: &mut Bundle) -> anyhow::Result<()> {
    const NAME: &str = "config/apigeeroutes.json";
    match cluster::apigee_routes(config.kubeconfig.as_deref(), &config.namespace) {
        Ok((source, text)) => {
            bundle.text(NAME, &source, Kind::Configuration, text.as_bytes())?;
            bundle.text(
                "config/environment-groups.txt",
                &source,
                Kind::Text,
                cluster::groups(&text).as_bytes(),
            )
        }
        Err(error) => {
            bundle.miss(NAME, &format!("{error:#}"));
            Ok(())
        }
    }
}

/// The end of the events.
fn events(path: &Path, bundle: &mut Bundle) -> anyhow::Result<()> {
    const NAME: &str = "events.jsonl";
    let source = path.display().to_string();
    match read_end(path, MAX_EVENTS_BYTES) {
        Ok((skipped, bytes)) => {
            if skipped > 0 {
                bundle.miss(NAME, &format!("{source}: the first {skipped} bytes: too many"));
            }
            bundle.text(NAME, &source, Kind::JsonLines, &bytes)
        }
        Err(error) => {
            bundle.miss(NAME, &format!("{error:#}"));
            Ok(())
        }
    }
}

/// The newest evidence, as far as there is room.
fn evidence(directory: &Path, bundle: &mut Bundle) -> anyhow::Result<()> {
    if bundle.is_for_addresses() {
        bundle.miss("evidence", "packets have addresses in them: left out for --redact-addresses");
        return Ok(());
    }
    let files = match list(directory) {
        Ok(files) => files,
        Err(error) => {
            bundle.miss("evidence", &format!("{error:#}"));
            return Ok(());
        }
    };
    if files.is_empty() {
        bundle.miss("evidence", &format!("{}: no .pcapng files in it", directory.display()));
    }
    let mut room = MAX_EVIDENCE_BYTES;
    for (name, path) in files {
        let name = format!("evidence/{name}");
        match read_whole(&path, MAX_EVIDENCE_FILE_BYTES.min(room)) {
            Ok(bytes) => {
                room -= bytes.len() as u64;
                bundle.bytes(&name, &path.display().to_string(), &bytes)?;
            }
            Err(error) => bundle.miss(&name, &format!("{error:#}")),
        }
    }
    Ok(())
}

/// The pcapng files of a directory, newest first: their names begin with their time.
fn list(directory: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let cannot = || format!("cannot read {}", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(cannot)?.take(MAX_EVIDENCE_FILES) {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link might lead to anything.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && name.ends_with(".pcapng") {
            files.push((name, entry.path()));
        }
    }
    files.sort_by(|(one, _), (other, _)| other.cmp(one));
    Ok(files)
}

/// What this machine and this program are.
fn machine(bundle: &mut Bundle) -> anyhow::Result<()> {
    let uname = rustix::system::uname();
    let words = [uname.sysname(), uname.nodename(), uname.release(), uname.version(), uname.machine()];
    let mut line: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    line.push("\n".into());
    bundle.text("system/uname.txt", "uname", Kind::Text, line.join(" ").as_bytes())?;
    let version = concat!("sni-probe ", env!("CARGO_PKG_VERSION"), "\n");
    bundle.text("system/version.txt", "sni-probe --version", Kind::Text, version.as_bytes())?;
    match read_whole(Path::new(RELEASE), MAX_TEXT_BYTES) {
        Ok(bytes) => bundle.text("system/os-release.txt", RELEASE, Kind::Text, &bytes),
        Err(error) => {
            bundle.miss("system/os-release.txt", &format!("{error:#}"));
            Ok(())
        }
    }
}

/// The file, if it is one and has at most `limit` bytes.
fn read_whole(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let mut bytes = Vec::new();
    open(path)?.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    ensure!(bytes.len() as u64 <= limit, "{name}: more than {limit} bytes");
    Ok(bytes)
}

/// The whole lines among the last `limit` bytes of the file, and how many bytes were passed over.
fn read_end(path: &Path, limit: u64) -> anyhow::Result<(u64, Vec<u8>)> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = open(path)?;
    let length = file.metadata().with_context(cannot)?.len();
    let mut skipped = length.saturating_sub(limit);
    file.seek(SeekFrom::Start(skipped)).with_context(cannot)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).with_context(cannot)?;
    if skipped > 0 {
        let begin = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes.drain(..begin);
        skipped += begin as u64;
    }
    Ok((skipped, bytes))
}

/// Opens a regular file. A pipe that nobody writes to would be waited for.
fn open(path: &Path) -> anyhow::Result<File> {
    let name = path.display();
    let metadata = fs::metadata(path).with_context(|| format!("cannot open {name}"))?;
    if !metadata.is_file() {
        bail!("{name}: not a file");
    }
    File::open(path).with_context(|| format!("cannot open {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_file_the_end_in_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        fs::write(&path, "first\nsecond\nthird\n").unwrap();
        assert_eq!(read_end(&path, 100).unwrap(), (0, b"first\nsecond\nthird\n".to_vec()));
        assert_eq!(read_end(&path, 10).unwrap(), (13, b"third\n".to_vec()));
        assert!(read_whole(&path, 10).unwrap_err().to_string().contains("more than 10 bytes"));
        assert!(open(directory.path()).unwrap_err().to_string().contains("not a file"));
    }
}
