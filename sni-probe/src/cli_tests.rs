use sni_probe_core::tracker::DEFAULT_HANDSHAKE_TIMEOUT;
use sni_probe_core::vocabulary::Follow;
use sni_probe_daemon::InterfaceSelector;

use super::probe::{Attach, Orientation};
use super::*;

pub(super) fn parse_run(arguments: &[&str]) -> Result<RunOptions, String> {
    let arguments = ["sni-probe", "run"].iter().chain(arguments).map(OsString::from);
    let cli = try_parse(arguments).map_err(|error| one_line(&error))?;
    let Command::Run(options) = cli.command else { panic!("another verb") };
    Ok(options)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn defaults() {
    let options = parse_run(&[]).unwrap();
    assert_eq!(options.probe.interfaces, []);
    assert_eq!(options.probe.ports, [443, 8443]);
    assert_eq!(options.probe.attach, Attach::Auto);
    assert_eq!(options.probe.orientation, Orientation::Auto);
    assert!(!options.probe.mirror_port);
    assert_eq!(options.web.listen, "0.0.0.0:9917".parse().unwrap());
    assert_eq!(options.events.events, events::Events::Off);
    assert_eq!(options.probe.handshake_timeout, DEFAULT_HANDSHAKE_TIMEOUT);
    assert_eq!(options.probe.follow.follow, Follow::Handshake);
}

#[test]
fn every_flag() {
    let options = parse_run(&[
        "-i",
        "eth0",
        "--interface",
        "eth1,eth2",
        "-p",
        "443",
        "-p",
        "15443",
        "--attach",
        "clsact",
        "--orientation",
        "veth",
        "--mirror-port",
        "--listen",
        "[::1]:80",
        "--events",
        "json",
        "--handshake-timeout",
        "1m 30s",
        "--follow",
        "hello",
        "--log-format",
        "json",
        "--log-level",
        "warn,sni_probe=debug",
    ])
    .unwrap();
    assert_eq!(
        options.probe.interfaces,
        ["eth0", "eth1", "eth2"].map(|name| InterfaceSelector::Name(name.to_owned()))
    );
    assert_eq!(options.probe.ports, [443, 15443]);
    assert_eq!(options.probe.attach, Attach::Clsact);
    assert_eq!(options.probe.orientation, Orientation::Veth);
    assert!(options.probe.mirror_port);
    assert_eq!(options.web.listen, "[::1]:80".parse().unwrap());
    assert_eq!(options.events.events, events::Events::Json);
    assert_eq!(options.probe.handshake_timeout, Duration::from_secs(90));
    assert_eq!(options.probe.follow.follow, Follow::Hello);
}

#[test]
fn bad_values_are_told_in_one_line_with_what_is_right() {
    for (arguments, parts) in [
        (["--attach", "xdp"], ["'xdp'", "auto, tcx, clsact"]),
        (["--orientation", "up"], ["'up'", "auto, nic, veth"]),
        (["--events", "xml"], ["'xml'", "off, text, json"]),
        (["--port", "0"], ["'0'", "1..=65535"]),
        (["--port", "70000"], ["'70000'", "1..=65535"]),
        (["--listen", "9917"], ["'9917'", "0.0.0.0:9917"]),
        (["--follow", "all"], ["'all'", "hello, handshake"]),
        (["--handshake-timeout", "0s"], ["'0s'", "1s to 10m"]),
        (["--handshake-timeout", "11m"], ["'11m'", "1s to 10m"]),
        (["--handshake-timeout", "30"], ["'30'", "such as 30s"]),
        (["--interface", ""], ["--interface", "value"]),
        (["--log-level", "verbose"], ["'verbose'", "info"]),
        (["--frobnicate", "x"], ["unexpected argument '--frobnicate'", "--help"]),
    ] {
        let message = parse_run(&arguments).unwrap_err();
        assert!(!message.contains('\n'), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }
}

#[test]
fn a_usage_error_reads_well() {
    assert_eq!(
        parse_run(&["--attach", "xdp"]).unwrap_err(),
        "invalid value 'xdp' for '--attach <ATTACH>' [possible values: auto, tcx, clsact]; \
         for more information, try '--help'"
    );
    assert_eq!(
        parse_run(&["--prot", "443"]).unwrap_err(),
        "unexpected argument '--prot' found; tip: a similar argument exists: '--port'; \
         for more information, try '--help'"
    );
}

#[test]
fn every_flag_has_an_environment_variable() {
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let flags = command.get_arguments().chain(run.get_arguments());
    for flag in flags.filter(|flag| !["help", "version"].contains(&flag.get_id().as_str())) {
        let expected = format!("SNI_PROBE_{}", flag.get_long().unwrap().replace('-', "_").to_uppercase());
        assert_eq!(flag.get_env().unwrap().to_str().unwrap(), expected);
    }
}
