use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use axum::routing::get;

use super::*;

/// The answers of a daemon, by path.
const ANSWERS: [(&str, &str); 4] = [
    ("/api/v1/summary", include_str!("../../model/samples/summary.json")),
    ("/api/v1/clients", include_str!("../../model/samples/clients.json")),
    ("/api/v1/handshakes", include_str!("../../model/samples/handshakes.json")),
    ("/api/v1/facts", include_str!("../../model/samples/facts.json")),
];

fn daemon(address: SocketAddr, config: &Config) -> Daemon {
    Daemon::new(&format!("http://{address}"), config).unwrap()
}

/// Credentials of the user `sre`.
fn sre(password_file: &str) -> Config {
    Config { user: Some("sre".to_owned()), password_file: Some(password_file.into()), ..Config::default() }
}

/// Serves `router` until the test process ends.
fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
    });
    address
}

/// Answers every connection with these bytes, and closes it; with none it is left open.
fn serve_bytes(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer);
            if answer.is_empty() {
                open.push(stream);
            }
        }
    });
    address
}

/// The API with the sample's answers, for this user and password if any.
fn api(authorization: Option<&'static str>) -> Router {
    ANSWERS.into_iter().fold(Router::new(), |router, (path, answer)| {
        let handler = move |headers: HeaderMap| async move {
            let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            if authorization.is_some() && given != authorization {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            answer.into_response()
        };
        router.route(path, get(handler))
    })
}

fn error(daemon: &Daemon) -> String {
    let error = format!("{:#}", daemon.fetch(false).unwrap_err());
    assert!(!error.contains('\n'), "{error}");
    error
}

fn assert_parts(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn asks_for_what_is_shown() {
    let address = serve(api(None));
    let snapshot = daemon(address, &Config::default()).fetch(true).unwrap();
    assert_eq!(snapshot.summary.node, "node-1");
    assert_eq!(snapshot.clients.clients.len(), 3);
    assert_eq!(snapshot.handshakes.unwrap().handshakes.len(), 1);
    assert!(daemon(address, &Config::default()).fetch(false).unwrap().handshakes.is_none());
}

#[test]
fn an_older_daemon_has_no_facts() {
    let address = serve(api(None));
    let facts = daemon(address, &Config::default()).facts().unwrap().unwrap();
    assert_eq!(facts.report.gateways[0].facts.len(), 3);
    let older = serve(Router::new().route("/api/v1/summary", get("{}")));
    assert!(daemon(older, &Config::default()).facts().unwrap().is_none());
    let guarded = serve(api(Some("Basic x")));
    assert_parts(&format!("{:#}", daemon(guarded, &Config::default()).facts().unwrap_err()), &["--user"]);
}

#[test]
fn user_and_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // base64 of "sre:secret"
    let address = serve(api(Some("Basic c3JlOnNlY3JldA==")));
    let right = file("right", "secret\n");
    daemon(address, &sre(&right)).fetch(false).unwrap();
    let wrong = file("wrong", "guess");
    let refused = error(&daemon(address, &sre(&wrong)));
    assert_parts(&refused, &["does not take this user and password", "--auth-file"]);
    assert!(!refused.contains("guess"), "{refused}");
    assert_parts(
        &error(&daemon(address, &Config::default())),
        &["asks for a user and a password", "--password-file"],
    );

    let nowhere = directory.path().join("nowhere");
    for (path, part) in [
        (nowhere.to_str().unwrap(), "cannot read the password"),
        (&file("empty", "\n"), "expected one line"),
        (&file("two", "a\nb"), "expected one line"),
        (&file("long", &"x".repeat(MAX_PASSWORD_BYTES + 1)), "expected one line"),
    ] {
        let options = sre(path);
        let error = Daemon::new("http://n", &options).err().unwrap();
        assert_parts(&format!("{error:#}"), &[part]);
    }
}

#[test]
fn nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = error(&daemon(address, &Config::default()));
    assert_parts(&error.to_lowercase(), &["connection refused", "is the daemon running?"]);
}

#[test]
fn answers_that_are_none() {
    let json = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"version\": \"0.1.0\"}";
    let html = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>";
    for answer in [&json[..], html] {
        let error = error(&daemon(serve_bytes(answer), &Config::default()));
        assert_parts(&error, &["/api/v1/summary: the answer is not understood", "same version?"]);
    }
    for (answer, part) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
            "is this an sni-probe, without --web off?",
        ),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "the answer is 500 Internal Server Error"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n", "sends elsewhere"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "is the URL right?"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "; is "),
    ] {
        assert_parts(&error(&daemon(serve_bytes(answer), &Config::default())), &[part]);
    }
}

#[test]
fn https_of_a_daemon_that_speaks_http() {
    let address = serve_bytes(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    let daemon = Daemon::new(&format!("https://{address}"), &Config::default()).unwrap();
    assert_parts(&error(&daemon), &["does the daemon speak http, not https?"]);
}

#[test]
fn an_endless_answer_is_cut() {
    let endless = || async {
        let chunk = axum::body::Bytes::from(vec![b' '; 1 << 16]);
        let chunks = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        axum::body::Body::from_stream(chunks)
    };
    let address = serve(Router::new().route("/api/v1/summary", get(endless)));
    assert_parts(&error(&daemon(address, &Config::default())), &["is this an sni-probe?"]);
}

#[test]
fn a_daemon_that_is_silent_is_not_waited_for_long() {
    let begin = Instant::now();
    let error = error(&daemon(serve_bytes(b""), &Config::default()));
    assert_parts(&error, &["timeout", "is the daemon busy"]);
    assert!(begin.elapsed() >= TIMEOUT, "{:?}", begin.elapsed());
}

#[test]
fn urls() {
    for (url, expected) in [
        ("http://node-1:9917", "http://node-1:9917"),
        ("https://[2001:db8::1]:9917/", "https://[2001:db8::1]:9917"),
        ("node-1:9917", "http://node-1:9917"),
        ("localhost", "http://localhost"),
        ("http://proxy/node-1/", "http://proxy/node-1"),
    ] {
        assert_eq!(base(url).unwrap(), expected);
    }
    for (url, part) in [
        ("ftp://node-1", "neither http nor https"),
        ("http://", "such as http://localhost:9917"),
        ("http://a b", "such as http://localhost:9917"),
        ("http://node-1:9917/?x", "no address of a daemon"),
        ("", "such as http://localhost:9917"),
    ] {
        assert_parts(&format!("{:#}", base(url).unwrap_err()), &[part]);
    }
    let error = format!("{:#}", base("http://sre:secret@node-1").unwrap_err());
    assert!(error.contains("--password-file") && !error.contains("secret"), "{error}");
}

#[test]
fn certificates_have_to_be_some() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    assert_parts(&format!("{:#}", certificates(&path).unwrap_err()), &["cannot read certificates", "--ca"]);
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        fs::write(&path, text).unwrap();
        assert_parts(&format!("{:#}", certificates(&path).unwrap_err()), &["--ca", "in PEM"]);
    }
}
