//! A terminal for one command: a tmux server of its own, which is killed at the end.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use system_tests::process::run_ok;
use system_tests::wait_until;
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);
/// What the shell in the terminal says once the command has ended, before the exit code.
const ENDED: &str = "the command ended with";

pub(super) struct Tmux {
    /// Has the server's socket.
    directory: TempDir,
}

impl Tmux {
    /// Runs `command` in a terminal of this many columns and lines.
    pub(super) fn start(command: &str, size: (u16, u16), environment: &[(&str, &str)]) -> Self {
        let tmux = Self { directory: tempfile::tempdir().unwrap() };
        // The terminal stays after the command, to be looked at.
        let shell = format!("{command}; echo {ENDED} $?; stty -a; exec sleep 600");
        let (columns, lines) = (size.0.to_string(), size.1.to_string());
        let mut words = vec!["-f", "/dev/null", "-u", "new-session", "-d", "-x", &columns, "-y", &lines];
        let variables = environment.iter().map(|(name, value)| format!("{name}={value}"));
        let variables: Vec<String> = variables.chain(["LC_ALL=C.UTF-8".to_owned()]).collect();
        words.extend(variables.iter().flat_map(|variable| ["-e", variable]));
        words.extend(["bash", "-c", &shell]);
        tmux.run(&words);
        tmux
    }

    /// A tmux that talks to this server.
    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.directory.path().join("socket"));
        command
    }

    fn run(&self, words: &[&str]) -> String {
        let mut command = self.tmux();
        command.args(words).env_remove("TMUX").env_remove("NO_COLOR");
        run_ok(&mut command, TIMEOUT).unwrap()
    }

    /// Presses keys, as tmux names them.
    pub(super) fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// What is on the screen, as text.
    pub(super) fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The same with escape sequences for colours.
    pub(super) fn escapes(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Polls the screen until it is as wanted.
    #[track_caller]
    pub(super) fn wait_for(&self, what: &str, condition: impl Fn(&String) -> bool) -> String {
        let mut screen = String::new();
        let found = wait_until(what, TIMEOUT, || {
            screen = self.screen();
            // Not in the middle of a drawing.
            Ok((condition(&screen) && self.screen() == screen).then_some(()))
        });
        found.unwrap_or_else(|error| panic!("{error:#}; the screen:\n{screen}"));
        screen
    }

    /// Whether the alternate screen is shown, as full-screen programs do.
    pub(super) fn is_alternate(&self) -> bool {
        self.run(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    pub(super) fn resize(&self, size: (u16, u16)) {
        self.run(&["resize-window", "-x", &size.0.to_string(), "-y", &size.1.to_string()]);
    }

    /// Sends a signal to the command: the child of the shell.
    pub(super) fn signal(&self, signal: Signal) {
        let shell = self.run(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let child = children.trim().parse().unwrap();
        kill(Pid::from_raw(child), signal).unwrap();
    }

    /// Waits for the command to end with this exit code, and checks that the terminal is as it was before.
    #[track_caller]
    pub(super) fn wait_for_end(&self, code: i32) {
        let ended = format!("{ENDED} {code}");
        let screen = self.wait_for("the end", |screen| screen.contains(&ended) && screen.contains("echoke"));
        assert!(!self.is_alternate(), "the alternate screen is left");
        for mode in ["icanon", "echo", "isig", "icrnl", "opost"] {
            let is_on = screen.split_whitespace().any(|word| word.trim_end_matches(';') == mode);
            assert!(is_on, "{mode} is off:\n{screen}");
        }
        let cursor = self.run(&["display-message", "-p", "#{cursor_flag}"]);
        assert_eq!(cursor.trim(), "1", "the cursor is shown");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}
