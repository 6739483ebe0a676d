//! Who may see the daemon's pages, and what those do to it who may not: wrong passwords, slow and huge requests,
//! a thousand idle connections. It keeps counting, and a probe gets its answer.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use system_tests::certificate::{Algorithm, Certificate};
use system_tests::netns::Namespace;
use system_tests::probe::{HTTP_PORT, Probe, binary};
use system_tests::process::{Finished, run};
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, wait_until};

use crate::site::{Site, TIMEOUT, assert_counted, wait_for_log};

/// "correct horse", by htpasswd with bcrypt's lowest cost, and with what others take by default.
const QUICK_USER: &str = "scraper:$2y$04$wysqXixDlBz2.3JHZ6O/kOy8zo2exo3aLQ2VKb3LkOPofRB6gD6va\n";
const SLOW_USER: &str = "scraper:$2y$10$.Xx54yVKb2PLL2j6JkKQ9eNjo5oNVsE1hNauY7148.GoD9gL2sdCq\n";
const RIGHT: &str = "scraper:correct horse";
const WRONG: &str = "scraper:battery staple";

/// Every page but `/healthz`.
const GUARDED: [&str; 7] =
    ["/", "/metrics", "/readyz", "/api/v1/summary", "/api/v1/clients", "/api/v1/handshakes", "/nothing"];
/// Far less than what a connection may take, ten seconds, which a probe would wait for without a free place.
const SOON: Duration = Duration::from_secs(3);

/// Starts the daemon with a file of users, and waits until it watches.
fn guarded<'site>(site: &'site Site, users: &str, options: &[&str]) -> Probe<'site> {
    let file = site.lab.path("users");
    fs::write(&file, users).unwrap();
    let mut all =
        vec!["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--auth-file", file.to_str().unwrap()];
    all.extend_from_slice(options);
    let mut probe = Probe::start_with(&site.lab, &all).unwrap();
    wait_for_log(&mut probe, "watching");
    probe
}

/// curl in the gateway's namespace: what it wrote is the status, then the head.
fn curl(site: &Site, options: &[&str], url: &str) -> Finished {
    let mut command = site.lab.gateway.command("curl");
    command.args(["--silent", "--show-error", "--max-time", "10", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_code} %{header_json}"]).args(options).arg(url);
    run(&mut command, 2 * TIMEOUT).unwrap()
}

fn status(site: &Site, options: &[&str], path: &str) -> u16 {
    let finished = curl(site, options, &format!("http://127.0.0.1:{HTTP_PORT}{path}"));
    finished.stdout.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{finished:?}"))
}

/// A connection to the daemon's HTTP port, on which nothing has been said.
fn connect(site: &Site) -> TcpStream {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT));
    let connect = || TcpStream::connect_timeout(&address, TIMEOUT);
    site.lab.gateway.run_in_thread(connect).unwrap().unwrap()
}

/// `/healthz` answers now, not some time.
#[track_caller]
fn assert_healthy(probe: &Probe<'_>) {
    let start = Instant::now();
    assert_eq!(probe.get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    println!("/healthz after {:?}", start.elapsed());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_password_guards_all_but_healthz() {
    let site = Site::new();
    let probe = guarded(&site, QUICK_USER, &[]);
    for path in GUARDED {
        let allowed = if path == "/nothing" { 404 } else { 200 };
        assert_eq!(status(&site, &["--user", RIGHT], path), allowed, "{path}");
        assert_eq!(status(&site, &[], path), 401, "{path}");
    }
    for user in [WRONG, "nobody:correct horse", "scraper:", ":"] {
        assert_eq!(status(&site, &["--user", user], "/metrics"), 401, "{user}");
    }
    let refused = curl(&site, &[], &format!("http://127.0.0.1:{HTTP_PORT}/"));
    assert!(refused.stdout.contains(r#"Basic realm=\"sni-probe\""#), "{}", refused.stdout);
    assert_healthy(&probe);
    assert_eq!(status(&site, &["--head"], "/healthz"), 200);
}

#[test]
fn without_the_page_only_metrics_and_probes_are_served() {
    let site = Site::new();
    let probe = site.probe(&["--web", "off"]);
    let (code, index) = probe.get("/").unwrap();
    assert!(code == 200 && index.contains("/metrics") && !index.contains('<'), "{code} {index}");
    let paths = ["/api/v1/summary", "/api/v1/clients", "/metrics", "/healthz", "/readyz"];
    assert_eq!(paths.map(|path| probe.get(path).unwrap().0), [404, 404, 200, 200, 200]);
}

/// The client's namespace is another host, the gateway's is the daemon's own.
#[test]
fn the_page_is_for_this_host_unless_it_is_opened() {
    const PAGES: [&str; 3] = ["/", "/api/v1/clients", "/api/v1/handshakes"];
    const OTHERS: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
    for (options, from_elsewhere, from_here) in
        [(vec![], 403, 200), (vec!["--web", "on"], 200, 200), (vec!["--web", "off"], 404, 404)]
    {
        let site = Site::new();
        let _probe = site.probe(&options);
        for path in &PAGES[1..] {
            let (code, body) = answer(&site.lab.client, &[], GATEWAY_V4, path);
            assert_eq!(code, from_elsewhere, "{options:?} {path}: {body}");
            assert!(code != 403 || body.contains("this host only") && body.contains("--auth-file"), "{body}");
            for address in [Ipv4Addr::LOCALHOST.into(), GATEWAY_V4] {
                let (code, body) = answer(&site.lab.gateway, &[], address, path);
                assert_eq!(code, from_here, "{options:?} {address} {path}: {body}");
            }
        }
        for path in OTHERS {
            assert_eq!(answer(&site.lab.client, &[], GATEWAY_V4, path).0, 200, "{options:?} {path}");
        }
    }
    // Whoever has a password comes from anywhere.
    let site = Site::new();
    let _probe = guarded(&site, QUICK_USER, &[]);
    for path in PAGES {
        assert_eq!(answer(&site.lab.client, &["--user", RIGHT], GATEWAY_V4, path).0, 200, "{path}");
        assert_eq!(answer(&site.lab.client, &[], GATEWAY_V4, path).0, 401, "{path}");
    }
}

/// The status and the body of a page.
fn answer(from: &Namespace, options: &[&str], address: IpAddr, path: &str) -> (u16, String) {
    let mut command = from.command("curl");
    command.args(["--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}"]);
    command.args(options).arg(format!("http://{address}:{HTTP_PORT}{path}"));
    let finished = run(&mut command, 2 * TIMEOUT).unwrap();
    let (body, code) = finished.stdout.rsplit_once('\n').unwrap_or_else(|| panic!("{finished:?}"));
    (code.parse().unwrap_or_else(|_| panic!("{finished:?}")), body.to_owned())
}

#[test]
fn wrong_passwords_hold_nothing_up() {
    const GUESSES: usize = 40;
    let site = Site::new();
    let probe = guarded(&site, SLOW_USER, &["--events", "json"]);
    // Prometheus is known before.
    assert_eq!(status(&site, &["--user", RIGHT], "/metrics"), 200);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let guesses: Vec<_> =
            (0..GUESSES).map(|_| scope.spawn(|| status(&site, &["--user", WRONG], "/metrics"))).collect();
        for _ in 0..5 {
            assert_healthy(&probe);
            let start = Instant::now();
            assert_eq!(status(&site, &["--user", RIGHT], "/metrics"), 200);
            assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        }
        site.hello();
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
    });
    // A few are checked, the rest is told to wait.
    let of = |code: u16| statuses.iter().filter(|status| **status == code).count();
    assert_eq!(of(401) + of(429), GUESSES, "{statuses:?}");
    assert!(of(401) > 0 && of(429) > GUESSES / 2, "{statuses:?}");
    assert_eq!(probe.wait_for_events(1, TIMEOUT).unwrap().len(), 1);
}

#[test]
fn files_that_are_no_good_are_told_in_one_line() {
    let site = Site::new();
    let lab = &site.lab;
    let file = |name: &str, text: &str| {
        fs::write(lab.path(name), text).unwrap();
        lab.path(name).display().to_string()
    };
    let certificate = lab.certificate("a.example").unwrap();
    let other = lab.certificate("b.example").unwrap();
    let [certificate, key, other] =
        [&certificate.certificate, &certificate.key, &other.key].map(|path| path.display().to_string());
    let missing = lab.path("missing").display().to_string();
    let md5 = file("md5", "# users\n\nscraper:$apr1$abcdefgh$0123456789012345678901\n");
    let (empty, half) = (file("empty", ""), file("half", "scraper\n"));
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--auth-file", &missing], &[&missing, "No such file"]),
        (&["--auth-file", &empty], &[&empty, "no user", "htpasswd"]),
        (&["--auth-file", &md5], &[&md5, "line 3", "bcrypt", "htpasswd -B"]),
        (&["--auth-file", &half], &["line 1", "colon"]),
        (&["--tls-cert", &missing, "--tls-key", &key], &["--tls-cert", &missing, "No such file"]),
        (&["--tls-cert", &certificate, "--tls-key", &missing], &["--tls-key", &missing, "No such file"]),
        (&["--tls-cert", &certificate, "--tls-key", &other], &[&other, "is not the key"]),
        (&["--tls-cert", &key, "--tls-key", &key], &["--tls-cert", &key, "no certificate"]),
        (&["--tls-cert", &certificate], &["--tls-key"]),
    ];
    for (options, parts) in cases {
        let mut command = lab.gateway.command(binary().unwrap());
        command.args(["run", "-i", GATEWAY_INTERFACE]).args(options);
        let finished = run(&mut command, TIMEOUT).unwrap();
        assert_eq!(
            (finished.code, finished.stderr.matches('\n').count()),
            (2, 1),
            "{options:?}: {finished:?}"
        );
        for part in parts {
            assert!(finished.stderr.contains(part), "{part:?} is not in: {}", finished.stderr);
        }
    }
}

#[test]
fn https_with_a_certificate_that_is_renewed() {
    let site = Site::new();
    let [old, new] = ["old", "new"].map(|directory| {
        let directory = site.lab.path(directory);
        fs::create_dir(&directory).unwrap();
        Certificate::create(&directory, "probe.example", Algorithm::Ecdsa).unwrap()
    });
    // As a kubelet lays out a secret: the names stay, a link is replaced.
    let link = site.lab.path("secret");
    std::os::unix::fs::symlink("old", &link).unwrap();
    let path = |name: &str| link.join(name).display().to_string();
    let (certificate, key) = (path("probe.example.crt"), path("probe.example.key"));
    let mut probe = guarded(&site, QUICK_USER, &["--tls-cert", &certificate, "--tls-key", &key]);

    let url = format!("https://probe.example:{HTTP_PORT}/metrics");
    let resolve = format!("probe.example:{HTTP_PORT}:127.0.0.1");
    let fetch = |trusted: &Certificate| {
        let trusted = trusted.certificate.display().to_string();
        curl(&site, &["--resolve", &resolve, "--user", RIGHT, "--cacert", &trusted], &url)
    };
    let answer = fetch(&old);
    assert!(answer.stdout.starts_with("200 "), "{answer:?}");
    assert_ne!(fetch(&new).code, 0);
    // Who forgets the s is told.
    assert_eq!(status(&site, &[], "/metrics"), 400);
    // Who says nothing, or nothing sensible, harms nobody.
    let _silent = connect(&site);
    connect(&site).write_all(&[0x16, 3, 1, 0xff, 0xff, 0, 0]).unwrap();

    // One that is no good changes nothing.
    let swap = |target: &str| {
        let next = site.lab.path("next");
        std::os::unix::fs::symlink(target, &next).unwrap();
        fs::rename(&next, &link).unwrap();
    };
    swap("nowhere");
    wait_until("a look at the files", 3 * TIMEOUT, || {
        assert!(fetch(&old).stdout.starts_with("200 "));
        Ok(probe.service().stderr().contains("what was before stays").then_some(()))
    })
    .unwrap();
    swap("new");
    wait_until("the new certificate", 3 * TIMEOUT, || {
        Ok(fetch(&new).stdout.starts_with("200 ").then_some(()))
    })
    .unwrap();
    wait_for_log(&mut probe, "certificate renewed");
    site.hello();
    let counted = || {
        let url = format!("https://probe.example:{HTTP_PORT}/metrics");
        let trusted = new.certificate.display().to_string();
        let mut command = site.lab.gateway.command("curl");
        command.args(["--silent", "--resolve", &resolve, "--user", RIGHT, "--cacert", &trusted, &url]);
        let text = run(&mut command, TIMEOUT)?.stdout;
        let labels = [("sni", "absent"), ("outcome", "reset_by_gateway")];
        let metrics = system_tests::metrics::Metrics::parse(&text)?;
        Ok((metrics.count("sni_probe_handshakes_total", &labels) == 1).then_some(()))
    };
    wait_until("the handshake in the metrics", TIMEOUT, counted).unwrap();
}

#[test]
fn a_thousand_idle_connections_keep_nobody_waiting() {
    const IDLE: usize = 1000;
    let site = Site::new();
    let probe = site.probe(&[]);
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..IDLE {
        idle.push(connect(&site));
        if idle.len().is_multiple_of(100) {
            assert_healthy(&probe);
        }
    }
    for _ in 0..10 {
        assert_healthy(&probe);
        let start = Instant::now();
        probe.metrics().unwrap();
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
    site.hello();
    assert_counted(&probe, 1);
    // They have not been kept: most were closed for the sake of later ones, the others in their time.
    wait_until("the end of all", 2 * TIMEOUT, || Ok(idle.iter().all(is_closed).then_some(()))).unwrap();
}

/// Whether the other side has closed it; nothing has been sent to it.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.peek(&mut [0]) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn slow_and_huge_requests_harm_nobody() {
    const SLOW: usize = 100;
    let site = Site::new();
    let probe = site.probe(&[]);
    let slow: Vec<TcpStream> = (0..SLOW).map(|_| connect(&site)).collect();
    // A byte of a head every now and then; and readers that take no byte of the answer.
    let readers: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = connect(&site);
            // The server may have closed it for another's sake.
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: probe\r\n\r\n").ok();
            stream
        })
        .collect();
    let head = b"GET /metrics HTTP/1.1\r\nX-Slow: ";
    for byte in head {
        for mut stream in &slow {
            stream.write_all(&[*byte]).ok();
        }
        assert_healthy(&probe);
    }
    drop(readers);

    // Heads without an end: 431 or the end, and not all of it is taken.
    let mut huge = connect(&site);
    huge.set_write_timeout(Some(TIMEOUT)).unwrap();
    huge.write_all(b"GET /metrics HTTP/1.1\r\nX-Huge: ").unwrap();
    let filler = vec![b'x'; 64 * 1024];
    let refused = (0..1000).any(|_| huge.write_all(&filler).is_err());
    assert!(refused, "64 MB of a head were taken");
    // A body that was announced is not waited for.
    let mut body = connect(&site);
    body.write_all(b"POST /metrics HTTP/1.1\r\nHost: probe\r\nContent-Length: 1000000000000\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    body.read_to_string(&mut answer).ok();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert_healthy(&probe);
    site.hello();
    assert_counted(&probe, 1);
}
