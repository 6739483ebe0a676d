use std::io::{Read as _, Write as _};

use super::*;

/// Runs `client` in a thread of its own against a server on the loopback interface.
fn with_server<T: Send + 'static>(
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
    runtime.block_on(serve(listener, state, shutdown)).unwrap();
    client.join().unwrap()
}

fn state() -> ServerState {
    ServerState { metrics: Arc::new(Metrics::new().unwrap()), readiness: Arc::new(Readiness::default()) }
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
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
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
    let [health, index, nothing] = answers;
    assert_eq!((status(&health.0), health.1.as_str()), ("200", "ok\n"));
    assert_eq!((status(&index.0), index.1.as_str()), ("200", INDEX));
    assert_eq!(status(&nothing.0), "404");
}

#[test]
fn other_methods_are_refused() {
    let (head, _) = with_server(state(), |address| {
        request(address, "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody")
    });
    assert_eq!(status(&head), "405");
}

#[test]
fn readiness_names_the_interfaces_that_are_not_attached() {
    let state = state();
    let readiness = Arc::clone(&state.readiness);
    with_server(state, move |address| {
        let (head, body) = fetch(address, "/readyz");
        assert_eq!((status(&head), body.as_str()), ("503", "not ready\nno interface yet\n"));

        readiness.set("eth0", Status::Attached { before: Vec::new() });
        readiness.set("eth1", Status::Detached("no such interface".to_owned()));
        let (head, body) = fetch(address, "/readyz");
        let expected = "not ready\neth0: attached\neth1: not attached: no such interface\n";
        assert_eq!((status(&head), body.as_str()), ("503", expected));

        readiness.set("eth1", Status::Attached { before: Vec::new() });
        let (head, body) = fetch(address, "/readyz");
        assert_eq!((status(&head), body.as_str()), ("200", "ready\neth0: attached\neth1: attached\n"));
    });
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
