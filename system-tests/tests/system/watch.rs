//! `sni-probe watch` in a real terminal, which is tmux, and in pipes.
//!
//! Most of it looks at a daemon that is made up ([`fake::Daemon`]), whose clients are known.

mod fake;
mod tmux;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use system_tests::certificate::{Algorithm, Certificate};
use system_tests::probe::{HTTP_PORT, binary};
use system_tests::process::{Finished, Service, run};
use system_tests::wait_until;

use self::fake::Daemon;
use self::tmux::Tmux;
use crate::site::{Site, TIMEOUT};

const SIZE: (u16, u16) = (100, 30);

/// The command of a view of `url`, for a shell.
fn watch(url: &str) -> String {
    format!("{} watch --interval 250ms --url {url}", binary().unwrap().display())
}

/// The line of the selected client.
fn is_selected(screen: &str, client: &str) -> bool {
    screen.lines().any(|line| line.starts_with(&format!("> {client}")))
}

/// The clients from top to bottom.
fn clients(screen: &str) -> Vec<String> {
    let below = screen.lines().skip_while(|line| !line.trim_start().starts_with("CLIENT ")).skip(1);
    let lines = below.take_while(|line| line.starts_with("> ") || line.starts_with("  "));
    lines
        .filter_map(|line| line.trim_start_matches("> ").split_whitespace().next().map(str::to_owned))
        .collect()
}

const JAVA: &str = "192.0.2.7";
const UNKNOWN: &str = "2001:db8::17";
const GO: &str = "198.51.100.44";

#[test]
fn keys_do_what_the_help_says() {
    let daemon = Daemon::start();
    let tmux = Tmux::start(&watch(&daemon.url()), SIZE, &[]);
    let first = tmux.wait_for("rates", |screen| screen.contains("absent   reset_by_gateway         3.0"));
    assert!(
        first.contains("node-1  ready  eth0") && first.contains("the gateway accepts 1 other"),
        "{first}"
    );
    assert_eq!(clients(&first), [JAVA, UNKNOWN, GO]);
    assert!(is_selected(&first, JAVA), "{first}");

    tmux.keys(&["Down"]);
    tmux.wait_for("the second to be selected", |screen| is_selected(screen, UNKNOWN));
    tmux.keys(&["s"]);
    let sorted = tmux.wait_for("another order", |screen| screen.contains("by handshakes"));
    assert!(is_selected(&sorted, UNKNOWN), "the selection follows its client: {sorted}");
    tmux.keys(&["s", "s", "s", "r"]);
    let sorted = tmux.wait_for("another order", |screen| screen.contains("by client, reversed"));
    assert_eq!(clients(&sorted), [UNKNOWN, GO, JAVA]);

    tmux.keys(&["/", "j", "a", "v", "a"]);
    tmux.wait_for("the filter", |screen| screen.contains("filter: java_") && clients(screen) == [JAVA]);
    tmux.keys(&["Enter", "Enter"]);
    tmux.wait_for("details", |screen| {
        ["TLS 1.2, TLS 1.1, TLS 1.0", "t12i1006h2_d5a907986811_7b8c93733176", "198.51.100.9:443"]
            .iter()
            .all(|part| screen.contains(part))
    });
    tmux.keys(&["Escape"]);
    tmux.wait_for("the table, still filtered", |screen| clients(screen) == [JAVA]);
    tmux.keys(&["Escape"]);
    tmux.wait_for("all clients", |screen| clients(screen).len() == 3);

    tmux.keys(&["?"]);
    tmux.wait_for("the help", |screen| screen.contains("reverse the order"));
    tmux.keys(&["Escape"]);
    // Escape and a letter at once are another key.
    tmux.wait_for("the table", |screen| clients(screen).len() == 3);
    tmux.keys(&["p"]);
    let paused = tmux.wait_for("the pause", |screen| screen.contains("PAUSED") && clients(screen).len() == 3);
    let asked = daemon.asked();
    daemon.wait_until_asked(asked + 3);
    assert_eq!(tmux.screen(), paused, "it stands still");
    tmux.keys(&["Space"]);
    tmux.wait_for("the end of the pause", |screen| !screen.contains("PAUSED") && *screen != paused);

    tmux.keys(&["q"]);
    tmux.wait_for_end(0);
}

#[test]
fn any_size_of_the_terminal() {
    let daemon = Daemon::start();
    let tmux = Tmux::start(&watch(&daemon.url()), SIZE, &[]);
    tmux.wait_for("the table", |screen| clients(screen).len() == 3);
    for (size, part) in
        [((20, 5), "> 192.0.2.7"), ((1, 1), "2"), ((160, 50), "shop/checkout-5c9f"), (SIZE, "q quit")]
    {
        tmux.resize(size);
        tmux.wait_for(part, |screen| screen.contains(part));
    }
    tmux.keys(&["C-c"]);
    tmux.wait_for_end(0);
}

#[test]
fn a_signal_puts_the_terminal_in_order() {
    let daemon = Daemon::start();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let tmux = Tmux::start(&watch(&daemon.url()), SIZE, &[]);
        tmux.wait_for("the table", |screen| clients(screen).len() == 3);
        assert!(tmux.is_alternate());
        tmux.signal(signal);
        tmux.wait_for_end(0);
    }
}

#[test]
fn a_terminal_that_goes_away() {
    let daemon = Daemon::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("code");
    // The shell stays, to tell the exit code: that of an error, not of a panic.
    let command = format!("trap '' HUP; {}; echo $? > {}", watch(&daemon.url()), file.display());
    let tmux = Tmux::start(&command, SIZE, &[]);
    tmux.wait_for("the table", |screen| clients(screen).len() == 3);
    drop(tmux);
    let code = || Ok(fs::read_to_string(&file).ok().filter(|code| code.ends_with('\n')));
    assert_eq!(wait_until("the exit code", TIMEOUT, code).unwrap(), "2\n");
}

#[test]
fn colours_unless_they_are_unwelcome() {
    let daemon = Daemon::start();
    for (environment, is_expected) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let tmux = Tmux::start(&watch(&daemon.url()), SIZE, environment);
        tmux.wait_for("the table", |screen| clients(screen).len() == 3);
        // Refusals are red.
        let escapes = tmux.escapes();
        let is_red = ["\u{1b}[31m", "\u{1b}[38;5;1m"].iter().any(|red| escapes.contains(red));
        assert_eq!(is_red, is_expected, "{escapes:?}");
        tmux.keys(&["q"]);
        tmux.wait_for_end(0);
    }
}

#[test]
fn a_daemon_that_goes_away_and_one_that_never_was() {
    let daemon = Daemon::start();
    let url = daemon.url();
    let tmux = Tmux::start(&watch(&url), SIZE, &[]);
    tmux.wait_for("the table", |screen| clients(screen).len() == 3);
    drop(daemon);
    let told = |screen: &String| {
        let screen = screen.to_lowercase();
        ["no answer for", "connection refused", "is the daemon running?"]
            .iter()
            .all(|part| screen.replace('\n', "").contains(part))
    };
    let screen = tmux.wait_for("that there is no answer", told);
    assert_eq!(clients(&screen).len(), 3, "what was seen stays: {screen}");
    tmux.keys(&["q"]);
    tmux.wait_for_end(0);

    let tmux = Tmux::start(&watch(&url), (160, 30), &[]);
    tmux.wait_for("that there is no answer", told);
    tmux.keys(&["q"]);
    tmux.wait_for_end(0);
}

#[test]
fn keys_are_heeded_while_the_daemon_is_slow() {
    let daemon = Daemon::start();
    let tmux = Tmux::start(&watch(&daemon.url()), SIZE, &[]);
    tmux.wait_for("the table", |screen| clients(screen).len() == 3);
    daemon.hang();
    tmux.wait_for("that there is no answer", |screen| screen.contains("no answer for"));
    tmux.keys(&["?"]);
    tmux.wait_for("the help", |screen| screen.contains("reverse the order"));
    tmux.keys(&["q"]);
    tmux.wait_for_end(0);
}

fn plain(url: &str, options: &[&str]) -> Finished {
    run(Command::new(binary().unwrap()).args(["watch", "--url", url]).args(options), TIMEOUT).unwrap()
}

#[test]
fn plain_text_and_json_in_a_pipe() {
    let daemon = Daemon::start();
    let once = plain(&daemon.url(), &["--once"]);
    assert!(once.success() && once.stderr.is_empty(), "{once:?}");
    assert!(once.stdout.contains("node-1  ready  2 clients without SNI were refused"), "{}", once.stdout);
    assert!(once.stdout.contains("192.0.2.7 (shop/checkout-5c9f): "), "{}", once.stdout);

    let twice = plain(&daemon.url(), &["--count", "2", "--interval", "250ms"]);
    let blocks: Vec<&str> = twice.stdout.split("\n\n").collect();
    assert_eq!(blocks.len(), 2, "{}", twice.stdout);
    assert!(blocks[1].contains("absent   reset_by_gateway         3.0/s"), "{}", blocks[1]);
    assert!(twice.stdout.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));

    let json = plain(&daemon.url(), &["--count", "2", "--interval", "250ms", "--format", "json"]);
    let lines: Vec<serde_json::Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["clients"]["clients"][0]["client"], JAVA);
    assert_eq!(lines[1]["summary"]["node"], "node-1");
    assert_eq!(lines[1]["handshakes"]["handshakes"][0]["outcome"], "reset_by_gateway");
}

#[test]
fn a_reader_that_leaves_and_a_daemon_that_is_not_there() {
    let daemon = Daemon::start();
    let url = daemon.url();
    let shell = format!("set -o pipefail; {} | head -n 1", watch(&url));
    let finished = run(Command::new("bash").args(["-c", &shell]), TIMEOUT).unwrap();
    assert!(finished.success() && finished.stderr.is_empty(), "{finished:?}");
    drop(daemon);
    let refused = plain(&url, &["--once"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.starts_with("sni-probe: ") && refused.stderr.lines().count() == 1, "{refused:?}");
    assert!(refused.stderr.contains("is the daemon running?"), "{refused:?}");
}

#[test]
fn a_signal_ends_plain_text() {
    let daemon = Daemon::start();
    let shell = format!("timeout --preserve-status --signal TERM 1 {} > /dev/null", watch(&daemon.url()));
    let finished = run(Command::new("bash").args(["-c", &shell]), Duration::from_secs(20)).unwrap();
    assert!(finished.success(), "{finished:?}");
}

/// An HTTPS server with the answers, of openssl.
fn https(directory: &Path, certificate: &Certificate, port: u16) -> Service {
    let api = directory.join("api/v1");
    fs::create_dir_all(&api).unwrap();
    for (name, answer) in fake::ANSWERS {
        fs::write(api.join(name), answer).unwrap();
    }
    let mut openssl = Command::new("openssl");
    openssl.current_dir(directory).args(["s_server", "-WWW", "-accept", &format!("127.0.0.1:{port}")]);
    openssl.arg("-cert").arg(&certificate.certificate).arg("-key").arg(&certificate.key);
    let mut service = Service::start("s_server", &mut openssl, directory).unwrap();
    let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    service.wait_for("the server to listen", TIMEOUT, listens).unwrap();
    service
}

#[test]
fn https_with_a_certificate_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let own = Certificate::create(directory.path(), "localhost", Algorithm::Ecdsa).unwrap();
    let other = Certificate::create(directory.path(), "other", Algorithm::Ecdsa).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = https(directory.path(), &own, port);
    let url = |host: &str| format!("https://{host}:{port}");
    let own = own.certificate.to_str().unwrap();
    let seen = plain(&url("localhost"), &["--once", "--ca", own]);
    assert!(seen.success() && seen.stdout.contains("node-1  ready"), "{seen:?}");
    for (url, options, hint) in [
        (url("localhost"), &[][..], "give the daemon's certificate, or that of its CA, with --ca"),
        (url("localhost"), &["--ca", other.certificate.to_str().unwrap()], "of its CA, with --ca"),
        (url("127.0.0.1"), &["--ca", own], "use a name in --url that is in the daemon's certificate"),
    ] {
        let refused = plain(&url, &[&["--once"], options].concat());
        assert!(refused.code == 2 && refused.stderr.contains(hint), "{refused:?}");
    }
}

#[test]
fn a_real_daemon() {
    let site = Site::new();
    let _probe = site.probe(&[]);
    site.hello();
    let shell = watch(&format!("http://127.0.0.1:{HTTP_PORT}"));
    let tmux = Tmux::start(&format!("ip netns exec {} {shell}", site.lab.gateway.name()), SIZE, &[]);
    tmux.wait_for("the client", |screen| {
        is_selected(screen, "10.77.0.2") && screen.contains("reset_by_gateway")
    });
    tmux.keys(&["q"]);
    tmux.wait_for_end(0);
}
