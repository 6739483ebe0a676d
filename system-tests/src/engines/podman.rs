//! podman, which runs a pod of Kubernetes by its settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Sandbox;
use crate::process::{Finished, run, run_ok};

/// How long one podman command may take, but for one that runs a container.
const TIMEOUT: Duration = Duration::from_mins(1);

/// podman with storage of its own.
#[derive(Debug)]
pub struct Podman<'lab> {
    sandbox: &'lab Sandbox<'lab>,
}

impl<'lab> Podman<'lab> {
    /// Its files go to the lab's directory.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn new(sandbox: &'lab Sandbox<'lab>) -> Result<Self> {
        let podman = Self { sandbox };
        let directory = |name: &str| sandbox.lab().path(&format!("podman-{name}")).display().to_string();
        let (storage, run) = (directory("storage"), directory("run"));
        let text =
            format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{storage}\"\nrunroot = \"{run}\"\n");
        let path = podman.storage_configuration();
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(podman)
    }

    fn storage_configuration(&self) -> PathBuf {
        self.sandbox.lab().path("storage.conf")
    }

    /// A podman command.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.sandbox.command("podman");
        // The machine's own settings are for the machine's own containers.
        command
            .env("CONTAINERS_CONF", "/dev/null")
            .env("CONTAINERS_STORAGE_CONF", self.storage_configuration());
        command.arg("--tmpdir").arg(self.sandbox.lab().path("podman-tmp"));
        // There may be no systemd to ask.
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]).args(words);
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it cannot be started or hangs.
    pub fn run(&self, words: &[&str]) -> Result<Finished> {
        run(&mut self.command(words), TIMEOUT)
    }

    /// Runs a command and gives what it prints.
    ///
    /// # Errors
    /// As [`Podman::run`], and when it fails.
    pub fn run_ok(&self, words: &[&str]) -> Result<String> {
        run_ok(&mut self.command(words), TIMEOUT)
    }

    /// The command that runs the container of a pod with exactly the pod's settings. `options` of `podman run` come
    /// besides.
    ///
    /// # Errors
    /// Names a setting of the pod that has no translation.
    pub fn run_pod(&self, pod: &Value, seccomp_profile: &Path, options: &[&str]) -> Result<Command> {
        let container = Container::of(pod, seccomp_profile)?;
        let group = format!("/{}", self.sandbox.control_group());
        let mut command = self.command(&["run", "--rm", "--pull", "never", "--cgroup-parent", &group]);
        // By default podman asks for limits that take CAP_SYS_RESOURCE.
        command.args(["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]);
        command.args(options).args(container.options).arg(container.image).args(container.arguments);
        Ok(command)
    }
}

/// A pod's container in the words of `podman run`.
#[derive(Debug, Default)]
struct Container {
    options: Vec<String>,
    image: String,
    arguments: Vec<String>,
}

impl Container {
    fn of(pod: &Value, seccomp_profile: &Path) -> Result<Self> {
        let mut container = Self::default();
        for (name, value) in object(pod)? {
            match (name.as_str(), value) {
                ("hostNetwork", Value::Bool(true)) => container.add(&["--network", "host"]),
                ("terminationGracePeriodSeconds", seconds) => {
                    container.add(&["--stop-timeout", &seconds.to_string()]);
                }
                ("securityContext", context) => {
                    let is_default =
                        *context == serde_json::json!({ "seccompProfile": { "type": "RuntimeDefault" } });
                    ensure!(is_default, "no translation of securityContext: {context}");
                    let profile = format!("seccomp={}", seccomp_profile.display());
                    container.add(&["--security-opt", &profile]);
                }
                ("containers", Value::Array(containers)) => {
                    let [only] = &containers[..] else { bail!("{} containers", containers.len()) };
                    container.add_container(only)?;
                }
                // Of the scheduler, the API server and the cluster's DNS.
                (
                    "automountServiceAccountToken"
                    | "dnsPolicy"
                    | "enableServiceLinks"
                    | "nodeSelector"
                    | "serviceAccountName"
                    | "tolerations",
                    _,
                ) => {}
                _ => bail!("no translation of the pod's {name}: {value}"),
            }
        }
        Ok(container)
    }

    fn add_container(&mut self, container: &Value) -> Result<()> {
        for (name, value) in object(container)? {
            match (name.as_str(), value) {
                ("image", Value::String(image)) => self.image.clone_from(image),
                ("args", Value::Array(words)) => self.arguments = texts(words)?,
                ("env", Value::Array(variables)) => {
                    for variable in variables {
                        let (name, value) = (text(&variable["name"])?, text(&variable["value"])?);
                        self.add(&["--env", &format!("{name}={value}")]);
                    }
                }
                ("resources", resources) => {
                    let limits = object(&resources["limits"])?;
                    let memory = text(limits.get("memory").context("no limit of memory")?)?;
                    ensure!(limits.len() == 1, "no translation of limits: {limits:?}");
                    let mebibytes = memory.strip_suffix("Mi").with_context(|| format!("memory: {memory}"))?;
                    self.add(&["--memory", &format!("{mebibytes}m")]);
                }
                ("securityContext", context) => self.add_security_context(context)?,
                // Of the kubelet.
                ("imagePullPolicy" | "livenessProbe" | "name" | "ports" | "readinessProbe", _) => {}
                _ => bail!("no translation of the container's {name}: {value}"),
            }
        }
        Ok(())
    }

    fn add_security_context(&mut self, context: &Value) -> Result<()> {
        for (name, value) in object(context)? {
            match (name.as_str(), value) {
                ("runAsUser", user) => self.add(&["--user", &format!("{user}:{}", context["runAsGroup"])]),
                ("allowPrivilegeEscalation", Value::Bool(false)) => {
                    self.add(&["--security-opt", "no-new-privileges"]);
                }
                // podman would mount a tmpfs in some places, which Kubernetes does not.
                ("readOnlyRootFilesystem", Value::Bool(true)) => {
                    self.add(&["--read-only", "--read-only-tmpfs=false"]);
                }
                ("capabilities", capabilities) => {
                    for (change, capabilities) in object(capabilities)? {
                        let capabilities = capabilities.as_array().context("no list of capabilities")?;
                        for capability in texts(capabilities)? {
                            self.add(&[&format!("--cap-{change}"), &capability]);
                        }
                    }
                }
                ("runAsGroup", _) | ("runAsNonRoot" | "privileged", Value::Bool(false)) => {}
                _ => bail!("no translation of securityContext.{name}: {value}"),
            }
        }
        Ok(())
    }

    fn add(&mut self, words: &[&str]) {
        self.options.extend(words.iter().map(|word| (*word).to_owned()));
    }
}

fn object(value: &Value) -> Result<&serde_json::Map<String, Value>> {
    value.as_object().with_context(|| format!("no object: {value}"))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}

fn texts(values: &[Value]) -> Result<Vec<String>> {
    values.iter().map(|value| text(value).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_without_a_translation_is_an_error() {
        let words = |pod: Value| Container::of(&pod, Path::new("/p.json")).map(|container| container.options);
        let pod = json!({ "hostNetwork": true, "containers": [{ "image": "i", "resources": { "limits": { "memory": "9Mi" } } }] });
        assert_eq!(words(pod).unwrap().join(" "), "--memory 9m --network host");
        for pod in [
            json!({ "hostPID": true }),
            json!({ "hostNetwork": false }),
            json!({ "containers": [{ "image": "i", "volumeMounts": [] }] }),
            json!({ "containers": [{ "image": "i", "securityContext": { "privileged": true } }] }),
            json!({ "containers": [{ "env": [{ "name": "A", "valueFrom": {} }] }] }),
        ] {
            assert!(words(pod.clone()).is_err(), "{pod}");
        }
    }
}
