use proptest::prelude::*;

use super::*;

/// Messages of real programs, as measured, with siblings; the wire and the alert that they are right for.
const MESSAGES: &[(&str, Wire, &str)] = &[
    ("curl: (35) Recv failure: Connection reset by peer", Wire::Rst, ""),
    ("fatal: unable to access 'https://192.0.2.1/r/': Recv failure: Connection reset by peer", Wire::Rst, ""),
    ("curl: (35) Recv failure: Connection was reset", Wire::Rst, ""),
    ("curl: (35) OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to 192.0.2.1:443 ", Wire::Fin, ""),
    (
        "curl: (35) OpenSSL SSL_connect: Connection reset by peer in connection to 192.0.2.1:443",
        Wire::Rst,
        "",
    ),
    (
        "curl: (35) TLS connect error: error:0A000126:SSL routines::unexpected eof while reading",
        Wire::Fin,
        "",
    ),
    ("error:0A000458:SSL routines::tlsv1 unrecognized name", Wire::Alert, "unrecognized_name"),
    ("error:0A000438:SSL routines::tlsv1 alert internal error", Wire::Alert, "internal_error"),
    ("sslv3 alert handshake failure", Wire::Alert, "handshake_failure"),
    ("ssl/tls alert handshake failure", Wire::Alert, "handshake_failure"),
    ("GnuTLS: Error in the pull function.\nUnable to establish SSL connection.", Wire::Rst, ""),
    ("GnuTLS: The TLS connection was non-properly terminated.", Wire::Fin, ""),
    ("GnuTLS: A TLS fatal alert has been received.", Wire::Alert, ""),
    (
        "GnuTLS: A TLS fatal alert has been received.\nGnuTLS: received alert [112]: The server name sent was not recognized",
        Wire::Alert,
        "unrecognized_name",
    ),
    (
        "Get \"https://192.0.2.1/\": read tcp 192.0.2.9:4->192.0.2.1:443: read: connection reset by peer",
        Wire::Rst,
        "",
    ),
    ("Get \"https://192.0.2.1/\": EOF", Wire::Fin, ""),
    ("EOF", Wire::Fin, ""),
    ("remote error: tls: unrecognized name", Wire::Alert, "unrecognized_name"),
    ("java.net.SocketException: Connection reset\n\tat java.base/sun.nio.ch.NioSocketImpl", Wire::Rst, ""),
    (
        "javax.net.ssl.SSLHandshakeException: Remote host terminated the handshake\n\tat X\nCaused by: \
         java.net.SocketException: Connection reset",
        Wire::Rst,
        "",
    ),
    ("javax.net.ssl.SSLHandshakeException: Remote host terminated the handshake", Wire::Fin, ""),
    (
        "javax.net.ssl.SSLHandshakeException: Remote host terminated the handshake\nCaused by: java.io.EOFException: SSL peer \
         shut down incorrectly",
        Wire::Fin,
        "",
    ),
    (
        "javax.net.ssl.SSLHandshakeException: (unrecognized_name) Received fatal alert: unrecognized_name",
        Wire::Alert,
        "unrecognized_name",
    ),
    ("SSLHandshakeException: (unrecognized_name) ...", Wire::Alert, "unrecognized_name"),
    ("SSLException: (internal_error) ...", Wire::Alert, "internal_error"),
    ("Error: read ECONNRESET\n  errno: -104,\n  code: 'ECONNRESET',\n  syscall: 'read'", Wire::Rst, ""),
    ("ECONNRESET read ECONNRESET", Wire::Rst, ""),
    (
        "Error: Client network socket disconnected before secure TLS connection was established {\n  code: 'ECONNRESET',\n  \
         path: null }",
        Wire::Fin,
        "",
    ),
    ("Client network socket disconnected before secure TLS connection was established", Wire::Fin, ""),
    ("ECONNRESET", Wire::Rst, ""),
    ("Error: socket hang up {\n  code: 'ECONNRESET' }", Wire::Fin, ""),
    (
        "Error: write EPROTO 40E7:error:0A000458:SSL routines:ssl3_read_bytes:tlsv1 unrecognized name:rec_layer_s3.c:1590:SSL \
         alert number 112",
        Wire::Alert,
        "unrecognized_name",
    ),
    ("TypeError: fetch failed, cause: ERR_SSL_TLSV1_UNRECOGNIZED_NAME", Wire::Alert, "unrecognized_name"),
    ("code: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'", Wire::Alert, "handshake_failure"),
    (
        "requests.exceptions.ConnectionError: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))",
        Wire::Rst,
        "",
    ),
    ("('Connection aborted.', ConnectionResetError(104...))", Wire::Rst, ""),
    ("ssl.SSLZeroReturnError: TLS/SSL connection has been closed (EOF) (_ssl.c:992)", Wire::Fin, ""),
    (
        "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1032)",
        Wire::Fin,
        "",
    ),
    ("write:errno=104", Wire::Rst, ""),
    ("write:errno=0", Wire::Fin, ""),
    ("error:0A000126:SSL routines:ssl3_read_n:unexpected eof while reading", Wire::Fin, ""),
    ("Errno::ECONNRESET: Connection reset by peer - SSL_connect", Wire::Rst, ""),
    (
        "SSL_connect returned=1 errno=0 peeraddr=(null) state=error: unexpected eof while reading (OpenSSL::SSL::SSLError)",
        Wire::Fin,
        "",
    ),
    (
        "PHP Warning:  file_get_contents(): SSL: Connection reset by peer\nfile_get_contents(): Failed to enable crypto",
        Wire::Rst,
        "",
    ),
    ("PHP Warning:  file_get_contents(): Failed to enable crypto in t.php", Wire::Fin, ""),
    (
        "SSL operation failed with code 1. OpenSSL Error messages:\nerror:0A000458:SSL routines::tlsv1 unrecognized \
         name\nFailed to enable crypto",
        Wire::Alert,
        "unrecognized_name",
    ),
    ("{error,closed}", Wire::RstOrFin, ""),
    ("{ok, _} = ssl:connect(...): no match of right hand side value {error,closed}", Wire::RstOrFin, ""),
    (
        "{error,{tls_alert,{handshake_failure,\"TLS client: In state hello received SERVER ALERT: Fatal - Handshake Failure\"}}}",
        Wire::Alert,
        "handshake_failure",
    ),
    ("handshake failed: unexpected eof while reading", Wire::RstOrFin, ""),
    ("wolfSSL_connect: err = -308, error state on socket", Wire::RstOrFin, ""),
    ("wolfSSL error -313: received alert fatal error", Wire::Alert, ""),
    ("mbedtls_ssl_handshake returned -0x50", Wire::Rst, ""),
    ("mbedtls_ssl_handshake returned -0x7280", Wire::Fin, ""),
    ("mbedtls_ssl_handshake returned -0x7780", Wire::Alert, ""),
    ("mbedtls_ssl_handshake returned -0x5080", Wire::Unknown, ""),
    ("ldap_sasl_bind(SIMPLE): Can't contact LDAP server (-1)", Wire::CannotTell, ""),
    ("Ncat: Input/output error.", Wire::CannotTell, ""),
    ("Error in open.connection: SSL connect error [192.0.2.1]", Wire::CannotTell, ""),
    ("Alert!: Unable to make secure connection to remote host.", Wire::CannotTell, ""),
    ("1 errored", Wire::CannotTell, ""),
    ("Error: A TLS error occurred.", Wire::CannotTell, ""),
    ("Error: The connection was lost.", Wire::Rst, ""),
    ("Error: Protocol error", Wire::CannotTell, ""),
    (
        "connection to server at \"192.0.2.1\", port 5432 failed: SSL SYSCALL error: Connection reset by peer",
        Wire::Rst,
        "",
    ),
    ("SSL error: unexpected eof while reading", Wire::Fin, ""),
    ("SSL error: tlsv1 unrecognized name", Wire::Alert, "unrecognized_name"),
    (
        "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\nSSL SYSCALL error: \
         Connection reset by peer",
        Wire::Rst,
        "",
    ),
    ("CRITICAL - Cannot make SSL connection.", Wire::Rst, ""),
    (
        "CRITICAL - Cannot make SSL connection.\nerror:0A000126:SSL routines::unexpected eof while reading",
        Wire::Fin,
        "",
    ),
    (
        "CRITICAL - Cannot make SSL connection.\nerror:0A000458:SSL routines::tlsv1 unrecognized name:SSL alert number 112",
        Wire::Alert,
        "unrecognized_name",
    ),
    // Siblings.
    ("An existing connection was forcibly closed by the remote host. (os error 10054)", Wire::Rst, ""),
    ("net::ERR_CONNECTION_RESET", Wire::Rst, ""),
    ("PR_CONNECT_RESET_ERROR", Wire::Rst, ""),
    ("PR_END_OF_FILE_ERROR", Wire::Fin, ""),
    (
        "peer closed connection in SSL handshake (104: Connection reset by peer) while SSL handshaking to upstream",
        Wire::Rst,
        "",
    ),
    ("peer closed connection in SSL handshake while SSL handshaking to upstream", Wire::Fin, ""),
    (
        "Authentication failed because the remote party sent a TLS alert: 'HandshakeFailure'.",
        Wire::Alert,
        "handshake_failure",
    ),
    ("Received an unexpected EOF or 0 bytes from the transport stream.", Wire::Fin, ""),
    ("received fatal alert: HandshakeFailure", Wire::Alert, "handshake_failure"),
    ("LibreSSL SSL_connect: SSL_ERROR_SYSCALL in connection to a.example:443", Wire::Fin, ""),
    (
        "SSL_connect SYSCALL returned=5 errno=0 peeraddr=192.0.2.1:443 state=SSLv3/TLS write client hello",
        Wire::Fin,
        "",
    ),
    (
        "finished in 1s, 0.00 req/s\nrequests: 1 total, 1 started, 1 done, 0 succeeded, 1 failed, 1 errored, 0 timeout",
        Wire::CannotTell,
        "",
    ),
    ("connect(timeout=5): [Errno 104] Connection reset by peer", Wire::Rst, ""),
    ("io.netty.channel.StacklessClosedChannelException", Wire::Unknown, ""),
    ("java.nio.channels.ClosedChannelException", Wire::RstOrFin, ""),
    ("not an SSL/TLS record: 485454502f312e31", Wire::PlainHttpAnswer, ""),
    (
        "{error,{tls_alert,{unknown_ca,\"TLS client: In state wait_cert_cr at ssl_handshake.erl:2101 generated CLIENT ALERT: Fatal \
         - Unknown CA\"}}}",
        Wire::CertificateRejected,
        "",
    ),
    (
        "Readiness probe failed: Get \"https://10.0.0.1:8443/\": remote error: tls: internal error",
        Wire::Alert,
        "internal_error",
    ),
    (
        "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
        Wire::RstOrFin,
        "",
    ),
    (
        "The SSL connection could not be established, see inner exception. ---> System.IO.IOException: Unable to read data from \
         the transport connection: Connection reset by peer.",
        Wire::Rst,
        "",
    ),
    ("SSL alert number 40", Wire::Alert, "handshake_failure"),
    ("SSL alert number 40, SSL alert number 80", Wire::CannotTell, ""),
    (
        "curl: (7) Failed to connect to 192.0.2.1 port 443 after 0 ms: Couldn't connect to server",
        Wire::NotConnected,
        "",
    ),
    ("dial tcp 192.0.2.1:443: connect: connection refused", Wire::NotConnected, ""),
    ("curl: (28) Failed to connect to 192.0.2.1 port 443: Connection timed out", Wire::Timeout, ""),
    ("connect: No route to host", Wire::NotConnected, ""),
    ("net/http: TLS handshake timeout", Wire::Timeout, ""),
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)",
        Wire::CertificateRejected,
        "",
    ),
    (
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        Wire::CertificateRejected,
        "",
    ),
    (
        "SSLHandshakeException: (certificate_unknown) PKIX path building failed: unable to find valid certification path to \
         requested target",
        Wire::CertificateRejected,
        "",
    ),
    ("error:0A00010B:SSL routines::wrong version number", Wire::PlainHttpAnswer, ""),
    ("tls: first record does not look like a TLS handshake", Wire::PlainHttpAnswer, ""),
    ("http: server gave HTTP response to HTTPS client", Wire::PlainHttpAnswer, ""),
    ("400 The plain HTTP request was sent to HTTPS port", Wire::PlainHttpRequest, ""),
    ("it does not work", Wire::Unknown, ""),
    ("", Wire::Unknown, ""),
];

#[test]
fn messages_of_real_programs() {
    for (text, wire, alert) in MESSAGES {
        for text in [
            (*text).to_owned(),
            text.to_uppercase(),
            format!("2026-11-29 12:00:01 ERROR [main] client failed: {text} (attempt 3 of 3)"),
            text.replace(' ', "\r\n\t"),
            format!("\u{1b}[31m{text}\u{1b}[0m"),
        ] {
            let meaning = meaning(&text);
            let name = meaning.alert.clone().unwrap_or_default();
            assert_eq!((meaning.wire, &*name), (*wire, *alert), "{text}: {}", meaning.sentence);
        }
    }
}

#[test]
fn contradictions_are_said() {
    let both = meaning("read: connection reset by peer\nunexpected eof while reading");
    assert_eq!(both.wire, Wire::CannotTell);
    assert!(both.sentence.contains("contradict"), "{}", both.sentence);
    let one = meaning("Can't contact LDAP server (-1)");
    assert_eq!((one.wire, one.program), (Wire::CannotTell, Some("ldapsearch")));
    assert!(!one.sentence.contains("contradict"), "{}", one.sentence);
}

#[test]
fn a_fin_and_a_rst_do_not_exclude_each_other_behind_a_proxy() {
    for text in ["connection reset by peer", "unexpected eof", "{error,closed}"] {
        let sentence = meaning(text).sentence;
        assert!(sentence.contains("proxy") && sentence.contains("RST into a FIN"), "{sentence}");
    }
    assert!(meaning("unexpected eof").sentence.contains("does not exclude a gateway that resets"));
}

#[test]
fn words_are_whole() {
    for text in ["geofence", "-0x500", "xeconnresetx", "timeouts12"] {
        assert_eq!(meaning(text).wire, Wire::Unknown, "{text}");
    }
}

#[test]
fn a_long_text_is_read_to_its_bound() {
    let late = "ü".repeat(MAX_TEXT) + " econnreset";
    assert_eq!(meaning(&late).wire, Wire::Unknown);
    let early = format!("econnreset {}", "eof".repeat(1_000_000));
    assert_eq!(meaning(&early).wire, Wire::Rst);
}

proptest! {
    #[test]
    fn any_text_has_a_short_printable_meaning(
        text in any::<String>(),
        picks in proptest::collection::vec((0..MESSAGES.len(), any::<String>()), 0..4),
    ) {
        let mixed = picks.iter().fold(text, |text, (pick, between)| text + MESSAGES[*pick].0 + between);
        let meaning = meaning(&mixed);
        prop_assert!(meaning.sentence.len() < 1_000);
        prop_assert!(meaning.sentence.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        prop_assert!(!meaning.sentence.is_empty());
        prop_assert_eq!(meaning.wire != Wire::Alert && meaning.alert.is_some(), false);
    }
}
