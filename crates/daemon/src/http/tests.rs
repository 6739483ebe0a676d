use std::io::{Read as _, Write as _};

use serde::de::DeserializeOwned;
use sni_probe_capture::links::{LinkKind, LinkState};
use sni_probe_model::api::{Clients, Facts, Handshakes, Summary};
use sni_probe_testkit::canned;

use super::*;
use crate::readiness::Status;

/// "correct horse", by `htpasswd -B -C 4`.
const USERS: &str = "scraper:$2y$04$wysqXixDlBz2.3JHZ6O/kOy8zo2exo3aLQ2VKb3LkOPofRB6gD6va";
/// `scraper:correct horse` in base64.
const RIGHT: &str = "Authorization: Basic c2NyYXBlcjpjb3JyZWN0IGhvcnNl\r\n";

/// A busy gateway.
#[derive(Debug)]
struct Canned;

fn parsed<T: DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).unwrap()
}

impl Api for Canned {
    fn summary(&self) -> Summary {
        parsed(canned::summary())
    }

    fn clients(&self) -> Clients {
        parsed(canned::clients())
    }

    fn handshakes(&self) -> Handshakes {
        parsed(canned::handshakes())
    }

    fn facts(&self) -> Facts {
        parsed(canned::facts())
    }
}

/// Runs `client` in a thread of its own against a server on the loopback interface.
fn with_server<T: Send + 'static>(
    state: ServerState,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> T {
    with_access(open_to_all(), state, client)
}

fn with_access<T: Send + 'static>(
    access: Access,
    state: ServerState,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> T {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (done, client_done) = tokio::sync::oneshot::channel();
    let client = std::thread::spawn(move || {
        let result = client(address);
        let _ = done.send(());
        result
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shutdown = async { drop(client_done.await) };
    runtime.block_on(serve(listener, access, state, shutdown)).unwrap();
    client.join().unwrap()
}

fn open_to_all() -> Access {
    Access { page: Some(Admission::new(PageVisitors::All, false, Vec::new())), auth: None, tls: None }
}

fn state() -> ServerState {
    ServerState {
        metrics: Arc::new(Metrics::for_captures().unwrap()),
        readiness: Arc::new(Readiness::default()),
        api: Arc::new(Canned),
    }
}

/// Status line and headers, and the body.
fn request(address: SocketAddr, head: &str) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may refuse before it has read all.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn fetch(address: SocketAddr, path: &str) -> (String, String) {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

#[test]
fn serves_metrics_in_the_text_format() {
    let (head, body) = with_server(state(), |address| fetch(address, "/metrics"));
    assert_eq!(status(&head), "200");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.contains("# TYPE sni_probe_handshakes_total counter\n"));
}

#[test]
fn health_index_and_unknown_paths() {
    let answers =
        with_server(state(), |address| ["/healthz", "/", "/nothing"].map(|path| fetch(address, path)));
    let [health, page, nothing] = answers;
    assert_eq!((status(&health.0), health.1.as_str()), ("200", "ok\n"));
    assert_eq!(status(&page.0), "200");
    assert!(page.1.starts_with("<!doctype html>") && page.1.ends_with("</html>\n"), "{}", page.1);
    assert_eq!(status(&nothing.0), "404");
}

#[test]
fn the_page_comes_with_a_policy_that_lets_nothing_in() {
    let (head, _) = with_server(state(), |address| fetch(address, "/"));
    let head = head.to_lowercase();
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(header), "{header} is not in: {head}");
    }
    assert!(!head.contains("unsafe-inline"), "{head}");
}

#[test]
fn the_api_gives_the_answers_of_its_source() {
    let paths = ["summary", "clients", "handshakes", "handshakes?limit=3", "handshakes?limit=x", "facts"];
    let answers =
        with_server(state(), move |address| paths.map(|path| fetch(address, &format!("/api/v1/{path}"))));
    assert_eq!(answers.each_ref().map(|(head, _)| status(head)), ["200", "200", "200", "200", "400", "200"]);
    let json = |index: usize| serde_json::from_str::<serde_json::Value>(&answers[index].1).unwrap();
    assert_eq!(json(0)["sentence"], canned::summary()["sentence"]);
    assert_eq!(json(1)["clients"].as_array().unwrap().len(), 3);
    assert_eq!(json(2)["handshakes"], canned::handshakes()["handshakes"]);
    assert_eq!(
        json(3)["handshakes"].as_array().unwrap()[..],
        canned::handshakes()["handshakes"].as_array().unwrap()[..3]
    );
    assert_eq!(json(5), canned::facts());
    assert!(answers[0].0.to_lowercase().contains("content-type: application/json"));
}

#[test]
fn without_the_page_there_are_metrics_and_probes() {
    let access = Access { page: None, ..open_to_all() };
    let paths = ["/", "/metrics", "/healthz", "/readyz", "/api/v1/summary", "/api/v1/clients"];
    let answers = with_access(access, state(), move |address| paths.map(|path| fetch(address, path)));
    assert_eq!(answers.each_ref().map(|(head, _)| status(head)), ["200", "200", "200", "503", "404", "404"]);
    assert_eq!(answers[0].1, routes::INDEX);
    assert!(answers[0].0.to_lowercase().contains("content-type: text/plain"), "{}", answers[0].0);
}

#[test]
fn a_name_that_points_here_opens_the_page_only_if_it_is_known() {
    let page = Admission::new(PageVisitors::Local, false, vec!["probe.example.com".parse().unwrap()]);
    let access = Access { page: Some(page), ..open_to_all() };
    with_access(access, state(), |address| {
        let ask = |path: &str, host: &str| {
            let (head, body) = request(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            (status(&head).to_owned(), body)
        };
        for path in ["/", "/api/v1/summary", "/api/v1/clients", "/api/v1/handshakes?limit=1", "/api/v1/facts"]
        {
            for host in ["localhost:9917", "probe.example.com", "192.0.2.1", "[2001:db8::1]:9917"] {
                assert_eq!(ask(path, host).0, "200", "{path} {host}");
            }
            let (code, body) = ask(path, "site.example:9917");
            assert_eq!(code, "421", "{path}");
            assert!(body.contains("\"site.example\"") && body.contains("--web-host"), "{body}");
        }
        for (path, expected) in [("/metrics", "200"), ("/healthz", "200"), ("/readyz", "503"), ("/no", "404")]
        {
            assert_eq!(ask(path, "site.example").0, expected, "{path}");
        }
        // HTTP/1.0 has no Host.
        for (path, expected) in [("/", "400"), ("/metrics", "200")] {
            let (head, _) = request(address, &format!("GET {path} HTTP/1.0\r\n\r\n"));
            assert_eq!(status(&head), expected, "{path}");
        }
    });
}

#[test]
fn without_a_password_only_healthz_answers() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    std::fs::write(&file, USERS).unwrap();
    let access = Access { auth: Some(Arc::new(Auth::load(&file).unwrap())), ..open_to_all() };
    let paths = [
        "/",
        "/metrics",
        "/readyz",
        "/api/v1/summary",
        "/api/v1/clients",
        "/api/v1/handshakes",
        "/api/v1/facts",
        "/nothing",
        "/healthz/",
    ];
    with_access(access, state(), move |address| {
        for method in ["GET", "HEAD", "POST"] {
            for path in paths {
                let (head, body) =
                    request(address, &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
                assert_eq!(status(&head), "401", "{method} {path}");
                assert!(
                    head.to_lowercase().contains("www-authenticate: basic realm=\"sni-probe\""),
                    "{head}"
                );
                assert!(body.len() < 100, "{body}");
            }
        }
        assert_eq!(fetch(address, "/healthz").1, "ok\n");
        let expected = ["200", "200", "503", "200", "200", "200", "200", "404", "404"];
        for (path, expected) in paths.into_iter().zip(expected) {
            let (head, _) =
                request(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{RIGHT}\r\n"));
            assert_eq!(status(&head), expected, "{path}");
        }
    });
}

#[test]
fn head_gives_the_head_alone() {
    with_server(state(), |address| {
        for path in ["/", "/metrics", "/healthz", "/api/v1/summary"] {
            let (head, body) = request(address, &format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            assert_eq!((status(&head), body.as_str()), ("200", ""), "{path}");
        }
    });
}

#[test]
fn other_methods_are_refused() {
    with_server(state(), |address| {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            for path in ["/", "/metrics", "/healthz", "/api/v1/summary"] {
                let head =
                    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
                let (head, _) = request(address, &head);
                assert_eq!(status(&head), "405", "{method} {path}");
                assert!(head.to_lowercase().contains("allow: get,head"), "{head}");
            }
        }
    });
}

#[test]
fn readiness_names_the_interfaces_that_are_not_attached() {
    let state = state();
    let readiness = Arc::clone(&state.readiness);
    with_server(state, move |address| {
        let (head, body) = fetch(address, "/readyz");
        assert_eq!((status(&head), body.as_str()), ("503", "not ready\nno interface yet\n"));

        readiness.set("eth0", attached(LinkState::Up, LinkKind::Other));
        readiness.set("eth1", Status::Detached("no such interface".to_owned()));
        let (head, body) = fetch(address, "/readyz");
        let expected = "not ready\neth0: attached\neth1: not attached: no such interface\n";
        assert_eq!((status(&head), body.as_str()), ("503", expected));

        readiness.set("eth1", attached(LinkState::Up, LinkKind::Other));
        let (head, body) = fetch(address, "/readyz");
        assert_eq!((status(&head), body.as_str()), ("200", "ready\neth0: attached\neth1: attached\n"));

        // All that match are still to be looked for.
        readiness.set_pending(true);
        assert_eq!(status(&fetch(address, "/readyz").0), "503");
        readiness.set_pending(false);
        assert_eq!(status(&fetch(address, "/readyz").0), "200");
    });
}

#[test]
fn an_interface_on_which_nothing_is_seen_is_not_ready() {
    let state = state();
    let readiness = Arc::clone(&state.readiness);
    with_server(state, move |address| {
        for (link, kind, code, text) in [
            (LinkState::Down, LinkKind::Other, "503", "the interface is down"),
            (LinkState::NoCarrier, LinkKind::Other, "503", "the interface is up without a carrier"),
            (LinkState::Up, LinkKind::IpvlanL3s, "503", "mode l3s"),
            (LinkState::Up, LinkKind::Bridge, "200", "it is a bridge"),
        ] {
            readiness.set("eth0", attached(link, kind));
            let (head, body) = fetch(address, "/readyz");
            assert_eq!(status(&head), code, "{body}");
            assert!(body.contains(text), "{body}");
        }
    });
}

fn attached(state: LinkState, kind: LinkKind) -> Status {
    Status::Attached { before: Vec::new(), state, kind }
}

#[test]
fn a_port_in_use_is_told_with_what_to_do() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = format!("{:#}", bind(address).unwrap_err());
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("in use"), "{error}");
    assert!(error.contains("--listen"), "{error}");
}

#[test]
fn a_huge_head_is_refused() {
    let (head, _) = with_server(state(), |address| {
        let filler = "x".repeat(2 * MAX_HEAD_BYTES);
        request(address, &format!("GET /metrics HTTP/1.1\r\nX-Filler: {filler}\r\n\r\n"))
    });
    assert!(head.is_empty() || status(&head) == "431", "{head}");
}

#[test]
fn silent_connections_do_not_keep_the_server_from_ending() {
    let streams = with_server(state(), |address| {
        let streams: Vec<_> = (0..8).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        assert_eq!(fetch(address, "/healthz").1, "ok\n");
        streams
    });
    assert_eq!(streams.len(), 8);
}

#[test]
fn idle_connections_give_way() {
    with_server(state(), |address| {
        let mut idle = Vec::new();
        for _ in 0..4 * MAX_CONNECTIONS {
            idle.push(std::net::TcpStream::connect(address).unwrap());
        }
        assert_eq!(fetch(address, "/healthz").1, "ok\n");
        // Those that came first were closed for the sake of the others.
        let mut first = &idle[0];
        first.set_read_timeout(Some(HEAD_TIMEOUT / 2)).unwrap();
        assert_eq!(first.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn trouble_with_accepting_is_logged_once() {
    let mut trouble = AcceptTrouble::default();
    let error = std::io::Error::from_raw_os_error(libc::EMFILE);
    let logged = (0..1000).filter(|_| trouble.is_there(&error)).count();
    assert_eq!(logged, 1);
    // Nor each time that one connection gets through.
    for _ in 0..1000 {
        trouble.is_over();
        assert!(!trouble.is_there(&error));
    }
}

/// The page decides by itself what an outcome means: it must mean the same as everywhere else.
#[test]
fn the_page_has_the_same_definitions() {
    use sni_probe_model::{AlertSender, Fate, Label as _, OutcomeClass, SniClass};
    let script = include_str!("page/dom.js");
    let list = |name: &str| -> Vec<String> {
        let (_, list) = script.split_once(&format!("const {name} = ")).unwrap();
        serde_json::from_str(list.split_once(';').unwrap().0).unwrap()
    };
    let outcomes = |fate| {
        let all = OutcomeClass::ALL.iter().filter(move |it| it.fate(Some(AlertSender::Gateway)) == fate);
        all.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list("SERVED"), outcomes(Fate::Served));
    assert_eq!(list("REFUSED"), outcomes(Fate::Refused));
    let without: Vec<_> = SniClass::WITHOUT_SNI.iter().map(ToString::to_string).collect();
    assert_eq!(list("WITHOUT_SNI"), without);
}
