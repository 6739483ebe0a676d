//! Packages of Debian that are not to be installed: of other releases, of other processors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::{find, run};

/// The archive that this machine's apt uses, of Debian itself or of its security updates.
pub(crate) fn archive(is_security: bool) -> Result<Option<String>> {
    if find("apt-get").is_none() || find("dpkg-deb").is_none() {
        return Ok(None);
    }
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]);
    let output = command.output().context("asking apt for its archives")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let archives = text.lines().filter_map(|line| line.split_once(' '));
    let mut archives = archives.filter(|(_, release)| release.ends_with("-security") == is_security);
    Ok(archives.next().map(|(archive, _)| archive.to_owned()))
}

/// Where packages lie that apt has fetched to install them.
const ARCHIVES: &str = "cache/archives";

/// An apt that knows one archive, and has nothing to do with what is installed.
pub(crate) struct Apt {
    directory: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// Its files go to `directory`.
    pub(crate) fn new(directory: &Path, archive: &str, suite: &str, architecture: &str) -> Result<Self> {
        for path in ["lists/partial".to_owned(), format!("{ARCHIVES}/partial")] {
            fs::create_dir_all(directory.join(path))?;
        }
        let at = |name: &str| directory.join(name).display().to_string();
        fs::write(at("status"), "")?;
        fs::write(at("sources.list"), format!("deb {archive} {suite} main\n"))?;
        let options = [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
        Ok(Self { directory: directory.to_owned(), options })
    }

    /// The same with the archive's source packages.
    pub(crate) fn with_sources(
        directory: &Path,
        archive: &str,
        suite: &str,
        architecture: &str,
    ) -> Result<Self> {
        let apt = Self::new(directory, archive, suite, architecture)?;
        let lists = format!("deb {archive} {suite} main\ndeb-src {archive} {suite} main\n");
        fs::write(directory.join("sources.list"), lists)?;
        Ok(apt)
    }

    /// Fetches a source package and gives the archive of what its authors have published. Debian's changes are left out.
    pub(crate) fn source(&self, package: &str) -> Result<PathBuf> {
        self.run("apt-get", &["-q", "source", "--download-only", package])?;
        let prefix = format!("{package}_");
        let is_it = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&prefix) && name.contains(".orig.tar")
        };
        let mut paths = fs::read_dir(&self.directory)?.flatten().map(|entry| entry.path());
        paths.find(is_it).with_context(|| format!("the source package of {package} has no archive"))
    }

    /// Runs `apt-get` or `apt-cache`, and gives what it prints.
    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(&self.options).args(words).current_dir(&self.directory).env("LC_ALL", "C");
        let output = command.output().with_context(|| format!("starting {program}"))?;
        if !output.status.success() {
            bail!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Fetches packages and unpacks them to a directory that is not there yet. They are not installed.
    pub(crate) fn unpack(&self, packages: &[String], to: &Path) -> Result<()> {
        let words = ["-q", "download"].into_iter().chain(packages.iter().map(String::as_str));
        self.run("apt-get", &words.collect::<Vec<_>>())?;
        self.unpack_files(&self.directory, to)
    }

    /// The same with all that the packages depend on.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str], to: &Path) -> Result<()> {
        let words = ["-q", "install", "--yes", "--download-only", "--no-install-recommends"];
        self.run("apt-get", &[words.as_slice(), packages].concat())?;
        self.unpack_files(&self.directory.join(ARCHIVES), to)
    }

    /// Unpacks the packages that lie in `from`, and removes them there.
    fn unpack_files(&self, from: &Path, to: &Path) -> Result<()> {
        let entries = fs::read_dir(from)?.flatten().map(|entry| entry.path());
        let files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect();
        if files.is_empty() {
            bail!("apt-get has downloaded no package");
        }
        // In one step, so that half of it is never taken for all.
        let partial = self.directory.join("partial");
        for file in &files {
            run(Command::new("dpkg-deb").arg("-x").arg(file).arg(&partial))?;
        }
        fs::rename(partial, to)?;
        files.iter().try_for_each(fs::remove_file)?;
        Ok(())
    }
}
