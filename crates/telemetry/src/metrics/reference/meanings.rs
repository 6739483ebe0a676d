//! What the labels of metrics and their values mean, for `docs/metrics.md`.

/// Values of a label and their meanings.
type Meanings = &'static [(&'static str, &'static str)];

/// What the values of a label mean: family (empty: any; the first that matches counts), label, meanings.
const VALUES: &[(&str, &str, Meanings)] = &[
    (
        "",
        "sni",
        &[
            ("present", "a host name"),
            ("absent", "no `server_name` extension, or a hello format without extensions (SSLv2)"),
            ("empty", "the extension without a name"),
            ("invalid", "a name that is no host name: an IP address, one with a port, other bytes"),
            ("unknown", "the ClientHello never became complete, so this is unknown"),
        ],
    ),
    (
        "",
        "tls_version",
        &[
            ("1.3", "TLS 1.3"),
            ("1.2", "TLS 1.2"),
            ("1.1", "TLS 1.1"),
            ("1.0", "TLS 1.0"),
            ("ssl3", "SSL 3.0"),
            ("ssl2", "SSL 2.0 and nothing newer"),
            ("unknown", "none that is known, or the ClientHello never became complete"),
        ],
    ),
    (
        "",
        "group",
        &[
            ("x25519", "Curve25519 (RFC 7748)"),
            ("secp256r1", "NIST P-256"),
            ("secp384r1", "NIST P-384"),
            ("secp521r1", "NIST P-521"),
            ("x448", "Curve448 (RFC 7748)"),
            ("x25519mlkem768", "post-quantum: X25519 with ML-KEM-768"),
            ("secp256r1mlkem768", "post-quantum: P-256 with ML-KEM-768"),
            ("secp384r1mlkem1024", "post-quantum: P-384 with ML-KEM-1024"),
            ("x25519kyber768draft00", "post-quantum: the draft before X25519MLKEM768"),
            ("ffdhe2048", "finite field, 2048 bits (RFC 7919)"),
            ("ffdhe3072", "finite field, 3072 bits"),
            ("ffdhe4096", "finite field, 4096 bits"),
            ("ffdhe6144", "finite field, 6144 bits"),
            ("ffdhe8192", "finite field, 8192 bits"),
            ("other", "any other group"),
            (
                "none",
                "TLS 1.2 and older, where the ServerHello does not name it; or TLS 1.3 without a key exchange",
            ),
        ],
    ),
    (
        "",
        "outcome",
        &[
            (
                "server_hello",
                "the gateway answered with a ServerHello, and the end of the handshake cannot be seen",
            ),
            ("established", "the client sent its Finished, and the gateway did not answer it with an alert"),
            (
                "rejected_by_client",
                "the client sent an alert after the ServerHello: it rejects the gateway's certificate, or another part of \
                 the answer",
            ),
            (
                "client_certificate_refused",
                "the gateway did not accept the client's certificate, or asked for one and got none: a refusal for another \
                 reason than the name",
            ),
            (
                "refused_after_server_hello",
                "the gateway ended the handshake after a ServerHello, without a certificate",
            ),
            ("alert", "a TLS alert of either side; details in `sni_probe_alerts_total`"),
            ("reset_by_gateway", "RST of the gateway: Envoy's answer when no filter chain matches"),
            ("reset_by_client", "RST of the client"),
            ("closed_by_gateway", "FIN of the gateway before any answer"),
            (
                "closed_by_client",
                "FIN of the client, and neither an answer nor a RST of the gateway after it",
            ),
            (
                "gateway_closed_first",
                "FIN or RST of the gateway before the client had sent anything: not a refusal",
            ),
            ("timeout", "none of these within `--handshake-timeout`"),
            ("evicted", "given up before: see `sni_probe_flow_evictions_total`"),
            ("unfinished", "the capture ended, or the daemon stopped, before"),
        ],
    ),
    (
        "",
        "feature",
        &[
            ("post_quantum", "offers a post-quantum key exchange (X25519MLKEM768 and kin)"),
            (
                "ech",
                "Encrypted Client Hello: the visible name is the outer one. GREASE counts too, because it looks the same",
            ),
            ("multi_segment", "came in more than one TCP segment"),
            ("multi_record", "spans more than one TLS record"),
            ("sslv2", "has the format of SSLv2 (old Java)"),
            ("proxy_v1", "came after a PROXY protocol v1 header"),
            ("proxy_v2", "came after a PROXY protocol v2 header"),
            ("early_data", "announces TLS 1.3 early data"),
            ("resumption", "wants to go on with an earlier session: pre-shared key, ticket, or session ID"),
            ("hello_retry", "was answered with a HelloRetryRequest; counted when the outcome is known"),
        ],
    ),
    (
        "",
        "protocol",
        &[
            ("http", "an HTTP/1 request line or an HTTP/2 preface"),
            ("ssh", "an SSH banner"),
            ("other", "anything else"),
        ],
    ),
    (
        "",
        "sender",
        &[("gateway", "the side that accepted the connection"), ("client", "the side that opened it")],
    ),
    (
        "sni_probe_flow_evictions_total",
        "reason",
        &[
            ("capacity", "more flows at once than `sni_probe_flows_capacity`: the oldest went"),
            ("port_reuse", "the same addresses and ports opened a new connection"),
            ("slot_displaced", "a handshake under way lost its entry of the datapath's flow table"),
            (
                "open_slot_displaced",
                "a connection in which the client had not spoken lost its entry, or got none: a ClientHello is seen all the \
                 same, other first bytes are not",
            ),
            (
                "mid_stream",
                "a connection without its SYN (not seen) lost its entry, or got none: its outcome is missed",
            ),
            (
                "answered",
                "a handshake after its ServerHello lost its entry: its outcome is `server_hello`, whatever its end was",
            ),
        ],
    ),
    (
        "sni_probe_events_lost_total",
        "reason",
        &[
            ("ring_full", "the ring buffer between kernel and daemon had no room"),
            ("copy_failed", "the kernel could not copy the packet's bytes; in a capture: they were cut off"),
            ("packet_ring_full", "the ring of a packet socket had no room (`--capture af-packet`)"),
            ("invalid_record", "the daemon could not read a record of the ring buffer"),
        ],
    ),
    (
        "sni_probe_event_lines_dropped_total",
        "reason",
        &[
            ("slow_reader", "the reader of standard output, or the disk, was too slow"),
            ("rate_limit", "more than `--events-rate` in a second"),
            ("write_failed", "the file of `--events-file` could not be written to"),
            ("closed", "standard output is closed: its reader has ended, or a write failed"),
        ],
    ),
    ("", "source", &[("other", "any other client"), ("expected", "a client of `--expected-non-sni`")]),
    (
        "sni_probe_packets_skipped_total",
        "reason",
        &[
            ("fragment", "a fragment of an IP packet that carries TCP"),
            ("extension_headers", "more IPv6 extension headers than are followed"),
            ("vlan_tags", "more than two VLAN tags"),
            ("malformed", "header lengths that contradict each other or the packet's"),
            (
                "unreadable",
                "the kernel refused to read bytes that the headers promise; in a capture: they were cut off",
            ),
            (
                "ipv4_mapped",
                "an IPv6 packet with an IPv4-mapped address (`::ffff:a.b.c.d`), which does not belong on the wire",
            ),
            ("link_type", "only in captures: the interface has a link type that is not known"),
            ("too_deep", "only in captures: more headers inside of each other than are followed"),
            ("unsupported", "only in captures: after a header that is not followed"),
            (
                "other_host",
                "the frame would have opened a connection, but was sent to another MAC address: the interface is \
                 promiscuous (see `--mirror-port`)",
            ),
        ],
    ),
    (
        "sni_probe_evidence_lost_total",
        "reason",
        &[
            (
                "buffer_full",
                "more handshakes were under way than their packets have room for: the oldest went, whatever became of it",
            ),
            (
                "flow_truncated",
                "one had more packets than are held, or its first ones were not seen; what there was is kept, and the file says so",
            ),
            ("write_failed", "the file could not be written: the disk is full, say"),
            ("queue_full", "more failed at a time than are written (100 a second): the oldest went"),
        ],
    ),
    (
        "",
        "reason",
        &[
            ("reset", "the connection was reset before"),
            ("closed", "the connection was closed before"),
            ("timeout", "the rest did not come within `--handshake-timeout`"),
            ("not_seen", "the gateway answered, so it had all, but part of it was not seen here"),
            ("truncated", "the capture has only its beginning (a snap length): capture with `tcpdump -s 0`"),
            ("too_large", "longer than is followed"),
            ("too_many_gaps", "more holes between segments than are kept"),
            ("contradictory", "two segments had different bytes for one place of it"),
            ("malformed", "the bytes are malformed"),
            ("evicted", "the flow was given up: see `sni_probe_flow_evictions_total`"),
            ("unfinished", "the capture ended, or the daemon stopped, before"),
        ],
    ),
    ("", "hook", &[("ingress", "what the interface receives"), ("egress", "what the interface sends")]),
    (
        "",
        "mode",
        &[
            ("tcx", "a TCX link (Linux 6.6 and later)"),
            ("clsact", "a filter of a clsact qdisc"),
            ("af_packet", "a packet socket, which sees both directions"),
        ],
    ),
    (
        "",
        "verdict",
        &[
            (
                "ends_chain",
                "packets that it takes are not seen: Cilium's programs, filters that match all and end",
            ),
            ("unknown", "it may let packets go on, or not"),
        ],
    ),
    (
        "",
        "use",
        &[
            ("open", "the client has not spoken yet"),
            ("handshake", "the client has spoken, the gateway's answer is awaited"),
            (
                "answered",
                "the gateway has answered with a ServerHello, and the end of the handshake is awaited",
            ),
            ("done", "the handshake is over"),
        ],
    ),
    (
        "",
        "program",
        &[
            ("client_to_gateway", "sees what clients send"),
            ("gateway_to_client", "sees what the gateway sends"),
        ],
    ),
    (
        "",
        "direction",
        &[
            ("received", "what the interface receives: the clients' packets, of a NIC"),
            ("sent", "what it sends: the gateway's answers, of a NIC"),
        ],
    ),
    (
        "",
        "change",
        &[
            ("attached", "the programs were attached: at the start, or because it is back"),
            ("lost", "it went away, and the programs with it"),
            ("down", "it was set down: nothing is seen there"),
            ("up", "it was set up again"),
        ],
    ),
];

/// What a value means in one family, other than in [`VALUES`]: family, label, value, meaning.
const IN_ONE_FAMILY: &[(&str, &str, &str, &str)] = &[
    ("sni_probe_negotiated_total", "tls_version", "ssl2", "SSL 2.0"),
    ("sni_probe_negotiated_total", "tls_version", "unknown", "any other version"),
    (
        "sni_probe_handshake_outcome_seconds",
        "outcome",
        "server_hello",
        "the gateway answered with a ServerHello, whatever came after it",
    ),
];

/// Labels with values that are not a closed set, or that need no explanation.
pub(super) const OPEN_LABELS: &[(&str, &str)] = &[
    (
        "description",
        "of alerts, and only of these: the alert's name in IANA's TLS Alerts registry, such as `unrecognized_name`; `unassigned` for a code that has none. In the series of clients, fingerprints and names only of the gateway's: a client can say anything",
    ),
    (
        "client",
        "address, subnet or hash (`--client-label`) of one of the `--top-clients` clients with most handshakes without SNI; `expected`: those of `--expected-non-sni`; `other`: all others. There is a series only for what occurred, and none any more when the client has left the top",
    ),
    ("gateway_address", "address and port of the gateway that the client spoke to last"),
    ("likely", "the software that likely has the fingerprint ([software.md](software.md)), or nothing"),
    ("ja4", "the JA4 fingerprint of the hello; `other`: all that are not among the top"),
    ("server_name", "the name in the hello; `<other>`: all that are not among the top"),
    (
        "gateway",
        "only with `--kube`: the workload of the gateway's pod; empty if no pod of this node has the address; `other` for those over 256",
    ),
    ("gateway_namespace", "only with `--kube`: the namespace of that pod"),
    ("interface", "an interface that `--interface` names or that has a default route"),
    ("version", "of sni-probe"),
    ("revision", "the source revision that it was built from, or `unknown`"),
];

/// Families in which not all values of a label occur: they count only some handshakes, or have one value for several outcomes.
pub(super) const OF_A_PART: [&str; 4] = [
    "sni_probe_handshake_outcome_seconds",
    "sni_probe_client_handshakes_total",
    "sni_probe_fingerprint_handshakes_total",
    "sni_probe_server_name_handshakes_total",
];

/// Returns what the values of a label mean in a family.
pub(super) fn meanings(family: &str, label: &str) -> Vec<(&'static str, &'static str)> {
    let found = VALUES.iter().find(|(only, name, _)| *name == label && (only.is_empty() || *only == family));
    let (_, _, meanings) = found.unwrap_or_else(|| panic!("label {label} of {family} is not documented"));
    let meaning = |&(value, meaning): &(&'static str, &'static str)| {
        let own = IN_ONE_FAMILY.iter().find(|own| (own.0, own.1, own.2) == (family, label, value));
        (value, own.map_or(meaning, |own| own.3))
    };
    meanings.iter().map(meaning).collect()
}
