//! Child processes owned by pid, and waiting that polls.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::interrupt;

/// Time between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);
/// How long a process may take to heed SIGTERM before it gets SIGKILL.
const TERM_DEADLINE: Duration = Duration::from_secs(5);
/// Lines of each log that a failing test shows.
const LOG_TAIL: usize = 40;

/// Polls `condition` until it gives a value.
///
/// # Errors
/// What `condition` fails with, or that `what` has not come within `deadline`, or that the user
/// pressed Ctrl-C meanwhile.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().with_context(|| format!("waiting for {what}"))? {
            return Ok(value);
        }
        if interrupt::requested() {
            bail!("interrupted");
        }
        if start.elapsed() > deadline {
            bail!("waited {} s for {what}, in vain", deadline.as_secs_f32());
        }
        thread::sleep(POLL);
    }
}

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit code; 128 + signal number when a signal ended it, as a shell says it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

/// Runs `command` to its end with an empty standard input.
///
/// # Errors
/// When it cannot be started, or has not ended within `timeout` (it is killed then).
pub fn run(command: &mut Command, timeout: Duration) -> Result<Finished> {
    let shown = show(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("starting {shown}"))?;
    let stdout = read_to_end_in_thread(child.stdout.take());
    let stderr = read_to_end_in_thread(child.stderr.take());
    let status = wait_until(&shown, timeout, || Ok(child.try_wait()?));
    if status.is_err() {
        child.kill().ok();
        child.wait().ok();
    }
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    let status = status.with_context(|| format!("stdout: {stdout}\nstderr: {stderr}"))?;
    Ok(Finished { code: exit_code(status), stdout, stderr })
}

/// Runs `command` and gives its standard output.
///
/// # Errors
/// As [`run`], and when the exit code is not 0.
pub fn run_ok(command: &mut Command, timeout: Duration) -> Result<String> {
    let shown = show(command);
    let finished = run(command, timeout)?;
    if !finished.success() {
        bail!("{shown}: exit code {}\n{}{}", finished.code, finished.stdout, finished.stderr);
    }
    Ok(finished.stdout)
}

fn read_to_end_in_thread(pipe: Option<impl std::io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).ok();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// An exit status as a shell says it.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A process that runs until it is dropped, its output in files.
#[derive(Debug)]
pub struct Service {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Service {
    /// Starts `command`; its output goes to `<name>.out` and `<name>.err` in `directory`.
    ///
    /// It gets a process group of its own: a Ctrl-C at the terminal is for the demo, which then
    /// stops its services in order.
    ///
    /// # Errors
    /// When the files or the process cannot be made.
    pub fn start(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        let shown = show(command);
        let stdout = directory.join(format!("{name}.out"));
        let stderr = directory.join(format!("{name}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).context("making the output file")?)
            .stderr(File::create(&stderr).context("making the error file")?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {shown}"))?;
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that has its standard output.
    pub fn stdout_path(&self) -> &Path {
        &self.stdout
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// Its exit code, if it has ended.
    ///
    /// # Errors
    /// When the kernel does not know the process.
    pub fn exit_code(&mut self) -> Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(exit_code))
    }

    /// Polls `condition` and fails at once when the process ends before it holds.
    ///
    /// # Errors
    /// As [`wait_until`]; the message has what the process wrote to standard error.
    pub fn wait_for(
        &mut self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<()> {
        let result = wait_until(what, deadline, || {
            if condition() {
                return Ok(Some(()));
            }
            match self.exit_code()? {
                Some(code) => bail!("{} ended with exit code {code}", self.name),
                None => Ok(None),
            }
        });
        result.with_context(|| format!("{} says:\n{}", self.name, self.stderr()))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.kernel_pid(), signal).with_context(|| format!("{signal} for {}", self.name))
    }

    /// Waits for the end of the process and gives its exit code. Ctrl-C does not end this wait:
    /// cleaning up is what it is for.
    ///
    /// # Errors
    /// When it has not ended within `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Result<i32> {
        let start = Instant::now();
        while start.elapsed() < deadline {
            if let Some(code) = self.exit_code()? {
                return Ok(code);
            }
            thread::sleep(POLL);
        }
        bail!("{} has not ended within {} s", self.name, deadline.as_secs_f32())
    }

    /// Sends SIGTERM and waits.
    ///
    /// # Errors
    /// When the process does not heed SIGTERM within 5 s; it is killed when it is dropped.
    pub fn stop(&mut self) -> Result<i32> {
        if let Some(code) = self.exit_code()? {
            return Ok(code);
        }
        self.signal(Signal::SIGTERM)?;
        self.wait(TERM_DEADLINE)
    }

    fn kernel_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("pids are positive and fit an i32"))
    }

    fn show_logs(&self) {
        for (stream, text) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            let lines: Vec<&str> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
            eprintln!("--- {} {stream} ({} lines)\n{}", self.name, lines.len(), tail.join("\n"));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show_logs();
        }
        if self.stop().is_err() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
