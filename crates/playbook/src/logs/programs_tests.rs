use super::*;
use crate::logs::failure::FailureKind;

/// Lines as the programs write them: program, kind, client, name.
const LINES: [(&str, &str, Kind, &str, Name<'static>); 32] = [
    (
        "2019/12/29 18:55:32 http: TLS handshake error from 192.0.2.226:62037: no certificate available for ''",
        "Caddy",
        Kind::NoFilterChain,
        "192.0.2.226:62037",
        Name::Null,
    ),
    (
        "2025/10/01 10:04:56.331\tDEBUG\thttp.stdlib\thttp: TLS handshake error from [2001:db8::1]:42516: no certificate available for '172.20.0.6'",
        "Caddy",
        Kind::NoFilterChain,
        "[2001:db8::1]:42516",
        Name::Null,
    ),
    (
        "2025/10/01 10:04:56.331\tDEBUG\ttls.handshake\tno certificate matching TLS ClientHello\t{\"remote_ip\": \"127.0.0.1\", \"server_name\": \"b.example\", \"remote\": \"127.0.0.1:42516\"}",
        "Caddy",
        Kind::NoFilterChain,
        "127.0.0.1:42516",
        Name::Present(Cow::Borrowed("b.example")),
    ),
    (
        "2024-01-01T00:00:00Z DBG http: TLS handshake error from 10.0.0.111:45894: strict SNI enabled - No certificate found for domain: \"b.example\", closing connection",
        "Traefik",
        Kind::NoFilterChain,
        "10.0.0.111:45894",
        Name::Present(Cow::Borrowed("b.example")),
    ),
    (
        "time=\"2020-09-19T01:41:43Z\" level=debug msg=\"http: TLS handshake error from 192.0.2.1:36436: strict SNI enabled - No certificate found for domain: \\\"\\\", closing connection\"",
        "Traefik",
        Kind::NoFilterChain,
        "192.0.2.1:36436",
        Name::Null,
    ),
    (
        "2023/12/30 21:05:01 http: TLS handshake error from 127.0.0.1:54106: remote error: tls: bad certificate",
        "Go",
        Kind::OtherFailure,
        "127.0.0.1:54106",
        Name::NotLogged,
    ),
    (
        "2023/12/30 21:05:01 http: TLS handshake error from 127.0.0.1:54106: acme/autocert: missing server name",
        "Go",
        Kind::NoFilterChain,
        "127.0.0.1:54106",
        Name::Null,
    ),
    (
        "2023/12/30 21:05:01 http: TLS handshake error from 127.0.0.1:54106: EOF",
        "Go",
        Kind::Unremarkable,
        "127.0.0.1:54106",
        Name::NotLogged,
    ),
    (
        "2023/05/01 10:00:00 [info] 29#29: *1 SSL_do_handshake() failed (SSL: error:0A0000EA:SSL routines::callback failed) while SSL handshaking, client: 192.0.2.5, server: 0.0.0.0:443",
        "nginx",
        Kind::OtherFailure,
        "192.0.2.5",
        Name::NotLogged,
    ),
    (
        "2026/11/29 10:00:00 [info] 29#29: *1 handshake rejected while SSL handshaking, client: 192.0.2.5, server: 0.0.0.0:443",
        "nginx",
        Kind::NoFilterChain,
        "192.0.2.5",
        Name::NotLogged,
    ),
    (
        "2026/11/29 10:00:00 [error] 29#29: *1 no host in upstream \"\", client: 192.0.2.5, server: 0.0.0.0:443, bytes from/to client:0/0",
        "nginx",
        Kind::NoFilterChain,
        "192.0.2.5",
        Name::NotLogged,
    ),
    (
        "2026/11/29 10:00:00 [info] 29#29: *1 peer closed connection in SSL handshake while SSL handshaking, client: 192.0.2.5, server: 0.0.0.0:443",
        "nginx",
        Kind::Unremarkable,
        "192.0.2.5",
        Name::NotLogged,
    ),
    (
        "Jan  5 15:06:36 localhost haproxy[19555]: 192.0.2.200:50191 [05/Jan/2024:15:06:36.978] fe~/1: SSL handshake failure",
        "HAProxy",
        Kind::OtherFailure,
        "192.0.2.200:50191",
        Name::NotLogged,
    ),
    (
        "100.200.70.60:38736 [05/Aug/2025:08:37:12.994] mqtt/1: SSL handshake failure (error:0A000418:SSL routines::tlsv1 alert unknown ca)",
        "HAProxy",
        Kind::OtherFailure,
        "100.200.70.60:38736",
        Name::NotLogged,
    ),
    (
        "192.0.2.1:38736 [05/Aug/2025:08:37:12.994] fe/1: Received something which does not look like a PROXY protocol header",
        "HAProxy",
        Kind::OtherFailure,
        "192.0.2.1:38736",
        Name::NotLogged,
    ),
    (
        "[2026-11-30 13:00:46.714][29235][debug][conn_handler] [source/common/listener_manager/active_stream_listener_base.cc:34] closing connection from 127.0.0.1:52598: no matching filter chain found",
        "Envoy's debug log",
        Kind::NoFilterChain,
        "127.0.0.1:52598",
        Name::NotLogged,
    ),
    (
        "[2026-11-30 13:00:46.975][29235][debug][connection] [source/common/tls/ssl_socket.cc:322] [Tags: \"ConnectionId\":\"3\"] remote address:127.0.0.1:52658,TLS_error:|268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate:TLS_error_end",
        "Envoy's debug log",
        Kind::OtherFailure,
        "127.0.0.1:52658",
        Name::NotLogged,
    ),
    (
        "Jan  5 15:06:36 localhost haproxy[19555]: 192.0.2.200:50191 [05/Jan/2024:15:06:36.978] fe fe/<NOSRV> -1/-1/0 0 PR 1/1/0/0/0 0/0",
        "HAProxy",
        Kind::NoFilterChain,
        "192.0.2.200:50191",
        Name::NotLogged,
    ),
    (
        "192.0.2.200:50191 [05/Jan/2024:15:06:36.978] fe be/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0",
        "HAProxy",
        Kind::OtherFailure,
        "192.0.2.200:50191",
        Name::NotLogged,
    ),
    (
        "2026-11-30T13:00:46.975000Z\tdebug\tenvoy conn_handler external/envoy/source/common/listener_manager/active_stream_listener_base.cc:34\tclosing connection from 127.0.0.1:52598: no matching filter chain found\tthread=29",
        "Envoy's debug log",
        Kind::NoFilterChain,
        "127.0.0.1:52598",
        Name::NotLogged,
    ),
    (
        "2023/01/11 12:16:06 [error] 3259#3259: *3418 no host in upstream \":443\", client: 10.0.3.1, server: 0.0.0.0:443, bytes from/to client:0/0",
        "nginx",
        Kind::NoFilterChain,
        "10.0.3.1",
        Name::NotLogged,
    ),
    (
        "2026/11/30 13:58:31 [info] 29683#29683: *1 client sent plain HTTP request to HTTPS port while reading client request headers, client: 127.0.0.1, server: , request: \"GET / HTTP/1.1\", host: \"127.0.0.1:19444\"",
        "nginx",
        Kind::OtherFailure,
        "127.0.0.1",
        Name::NotLogged,
    ),
    (
        "::1:59526 [30/Nov/2026:13:58:31.183] strict6 strict6/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0",
        "HAProxy",
        Kind::NoFilterChain,
        "[::1]:59526",
        Name::NotLogged,
    ),
    (
        "Jan  5 15:06:36 localhost haproxy[19555]: Failed at haproxy 192.150.10.200:50191 [05/Jan/2024:15:06:36.978] http-in-svc~ 81/81 34/0000000000000000/0/0/0 -/TLSv1.3/(NONE) - TLSv1.3 (NONE) SSL handshake failure -",
        "HAProxy",
        Kind::OtherFailure,
        "192.150.10.200:50191",
        Name::NotLogged,
    ),
    (
        "[Mon May 19 04:46:20.117 2025] [ssl:error] [pid 12:tid 13] [client 192.0.2.3:4432] AH02033: No hostname was provided via SNI for a name based virtual host",
        "Apache",
        Kind::NoFilterChain,
        "192.0.2.3:4432",
        Name::Null,
    ),
    (
        "<190>May 19 04:46:20 h nginx: 2025/05/19 04:46:20 [info] 29#29: *1 handshake rejected while SSL handshaking, client: 192.0.2.1, server: 0.0.0.0:443",
        "nginx",
        Kind::NoFilterChain,
        "192.0.2.1",
        Name::NotLogged,
    ),
    (
        "envoy-1  | [2025-05-19 04:46:20.117][32][debug][conn_handler] [source/x.cc:321] closing connection from 198.51.100.28:19432: no matching filter chain found",
        "Envoy's debug log",
        Kind::NoFilterChain,
        "198.51.100.28:19432",
        Name::NotLogged,
    ),
    (
        "2025-05-19T04:46:20Z DBG log/log.go:245 > http: TLS handshake error from 192.168.91.1:42832: local error: tls: bad record MAC",
        "Go",
        Kind::OtherFailure,
        "192.168.91.1:42832",
        Name::NotLogged,
    ),
    // apache/apisix#10772 and #10234.
    (
        "2023/12/22 06:10:01 [error] 45#45: *2321 [lua] init.lua:204: http_ssl_phase(): failed to match any SSL certificate by SNI: localhost, context: ssl_certificate_by_lua*, client: 127.0.0.1, server: 0.0.0.0:9443",
        "APISIX",
        Kind::NoFilterChain,
        "127.0.0.1",
        Name::Present(Cow::Borrowed("localhost")),
    ),
    (
        "2023/09/21 06:10:01 [error] 45#45: *7 [lua] init.lua:188: failed to find SNI: please check if the client requests via IP, context: ssl_client_hello_by_lua*, client: 10.0.0.1, server: 0.0.0.0:9443",
        "APISIX",
        Kind::NoFilterChain,
        "10.0.0.1",
        Name::Null,
    ),
    // The backend fails, not the client.
    (
        "2021/02/01 10:00:00 [error] 29#29: *1 SSL_do_handshake() failed (SSL: error:1408F10B:SSL routines:ssl3_get_record:wrong version number) while SSL handshaking to upstream, client: 192.0.2.5, server: a.example",
        "nginx",
        Kind::OtherFailure,
        "192.0.2.5",
        Name::NotLogged,
    ),
    (
        "2021/02/01 10:00:00 [error] 29#29: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 192.0.2.5, server: a.example",
        "nginx",
        Kind::OtherFailure,
        "192.0.2.5",
        Name::NotLogged,
    ),
];

#[test]
fn lines_that_name_a_refused_client() {
    for (line, program, kind, client, name) in LINES {
        let entry = parse(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(entry.program.map(|program| program.name), Some(program), "{line}");
        assert_eq!(
            (entry.kind(), entry.client.as_deref(), &entry.name),
            (kind, Some(client), &name),
            "{line}"
        );
    }
}

#[test]
fn times_with_and_without_a_zone() {
    for (line, time, is_local) in [
        (0, Some("2019-12-29T18:55:32Z"), true),
        (2, Some("2025-10-01T10:04:56.331Z"), true),
        (3, Some("2024-01-01T00:00:00Z"), false),
        (8, Some("2023-05-01T10:00:00Z"), true),
        (12, Some("2024-01-05T15:06:36.978Z"), true),
        (15, Some("2026-11-30T13:00:46.714Z"), true),
        (19, Some("2026-11-30T13:00:46.975Z"), false),
        (24, Some("2025-05-19T04:46:20.117Z"), true),
        (25, Some("2025-05-19T04:46:20Z"), true),
        (26, Some("2025-05-19T04:46:20.117Z"), true),
        (27, Some("2025-05-19T04:46:20Z"), false),
    ] {
        let entry = parse(LINES[line].0.as_bytes()).unwrap();
        let time = time.map(|time| time.parse().unwrap());
        assert_eq!((entry.timestamp(), entry.program.unwrap().is_local_time), (time, is_local), "{line}");
    }
}

#[test]
fn reasons_have_a_kind() {
    for (line, kind) in [
        (5, FailureKind::CertificateRejected),
        (13, FailureKind::CertificateRejected),
        (16, FailureKind::ClientCertificate),
        (21, FailureKind::PlainHttp),
        (30, FailureKind::UpstreamUnreachable),
        (31, FailureKind::UpstreamUnreachable),
    ] {
        assert_eq!(parse(LINES[line].0.as_bytes()).unwrap().failure_kind(), kind, "{line}");
    }
}

#[test]
fn caddy_in_json() {
    let object = r#"{"level":"debug","ts":1738288766.1100287,"logger":"tls.handshake","msg":"no certificate matching TLS ClientHello","remote_ip":"192.0.2.202","server_name":"","remote":"192.0.2.202:59396"}"#;
    let node = json::tree(object.as_bytes()).unwrap();
    let entry = of_object(&node).unwrap();
    assert_eq!(
        (entry.kind(), entry.client.as_deref(), &entry.name),
        (Kind::NoFilterChain, Some("192.0.2.202:59396"), &Name::Null)
    );
    assert_eq!(entry.timestamp(), Some("2025-01-31T01:59:26.1100287Z".parse().unwrap()));
    for (ts, time) in [
        ("1738288766", "2025-01-31T01:59:26Z"),
        ("1738288766110028700", "2025-01-31T01:59:26.1100287Z"),
        ("\"2025-01-31T01:59:26Z\"", "2025-01-31T01:59:26Z"),
    ] {
        let object = object.replace("1738288766.1100287", ts);
        let node = json::tree(object.as_bytes()).unwrap();
        assert_eq!(of_object(&node).unwrap().timestamp(), Some(time.parse().unwrap()), "{ts}");
    }
    assert!(of_object(&json::tree(br#"{"msg":"x","remote":"192.0.2.202:59396"}"#).unwrap()).is_none());
}

#[test]
fn other_lines() {
    for line in [
        "",
        "SSL handshake failure",
        "x] SSL handshake failure",
        "[2020-08-07 23:50:10.468][32][debug][conn_handler] closing connection: no matching filter chain found",
        "http: TLS handshake error from",
        "2023/05/01 10:00:00 [error] 29#29: *1 open() failed (2: No such file), client: 192.0.2.5, server: x",
        "remote address:1.2.3.4:5,none",
        "no certificate matching TLS ClientHello {",
        // Mode http: the handshake was over.
        "192.0.2.1:5 [05/Jan/2024:15:06:36.978] fe fe/<NOSRV> -1/-1/-1/-1/0 400 187 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
    ] {
        assert_eq!(parse(line.as_bytes()), None, "{line}");
    }
}

proptest::proptest! {
    /// No cut and no change of a line makes it panic.
    #[test]
    fn changed_lines(line in 0..LINES.len(), at in 0_usize..200, with in "\\PC{0,3}") {
        let line = LINES[line].0;
        let at = line.floor_char_boundary(at.min(line.len()));
        let _ = (parse(&line.as_bytes()[..at]), parse(&line.as_bytes()[at..]));
        let _ = parse(format!("{}{with}{}", &line[..at], &line[at..]).as_bytes());
    }
}
