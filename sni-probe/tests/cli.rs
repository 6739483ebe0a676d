//! The command line as a user meets it: output, exit codes, environment variables.

use std::process::{Command, Output, Stdio};

/// Runs `sni-probe` with these arguments and environment variables, and no others of its own.
fn sni_probe(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(arguments, environment).output().expect("sni-probe starts")
}

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sni-probe"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SNI_PROBE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// The one line on stderr of a run that ended with exit code 2.
fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).expect("stderr is UTF-8");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.starts_with("sni-probe: "), "{stderr}");
    assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    assert!(stderr.ends_with('\n'), "{stderr}");
    stderr
}

#[test]
fn version() {
    let output = sni_probe(&["--version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, format!("sni-probe {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
}

#[test]
fn help_has_examples_variables_and_exit_codes() {
    let output = sni_probe(&["run", "--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for part in ["Examples:", "Exit codes:", "SNI_PROBE_HANDSHAKE_TIMEOUT", "0.0.0.0:9917", "clsact"] {
        assert!(help.contains(part), "{part} is not in:\n{help}");
    }
}

#[test]
fn without_a_verb_it_shows_the_help_and_fails() {
    let output = sni_probe(&[], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage: sni-probe"));
}

#[test]
fn help_for_a_reader_that_leaves() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(&["run", "--help"], &[]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_bad_flag_is_told_in_one_line() {
    let refusal = refusal(&sni_probe(&["run", "--attach", "xdp"], &[]));
    assert!(refusal.contains("[possible values: auto, tcx, clsact]"), "{refusal}");
}

#[test]
fn environment_variables_are_read() {
    for (name, value) in [
        ("SNI_PROBE_PORT", "443,x"),
        ("SNI_PROBE_ATTACH", "x"),
        ("SNI_PROBE_ORIENTATION", "x"),
        ("SNI_PROBE_LISTEN", "x"),
        ("SNI_PROBE_EVENTS", "x"),
        ("SNI_PROBE_HANDSHAKE_TIMEOUT", "x"),
        ("SNI_PROBE_FOLLOW", "x"),
        ("SNI_PROBE_LOG_FORMAT", "x"),
        ("SNI_PROBE_LOG_LEVEL", "x"),
    ] {
        let refusal = refusal(&sni_probe(&["run"], &[(name, value)]));
        assert!(refusal.contains("invalid value 'x'"), "{name}: {refusal}");
    }
}

#[test]
fn an_empty_environment_variable_is_none() {
    let names = [
        "SNI_PROBE_PORT",
        "SNI_PROBE_ATTACH",
        "SNI_PROBE_INTERFACE",
        "SNI_PROBE_LISTEN",
        "SNI_PROBE_HANDSHAKE_TIMEOUT",
        "SNI_PROBE_LOG_FORMAT",
        "SNI_PROBE_LOG_LEVEL",
    ];
    let environment: Vec<_> = names.map(|name| (name, "")).into();
    let refusal = refusal(&sni_probe(&["run", "--events", "x"], &environment));
    assert!(refusal.contains("'--events <EVENTS>'"), "{refusal}");
}
