//! The closed sets of words in which the results are told: labels of metrics, fields of events.
//!
//! Each is an enum with a [`Label`]: metrics are created for all values at the start, so that a
//! count of zero is a zero and not an absence.

/// A value of a closed set, as metrics and events spell it.
pub trait Label: Copy + Eq + 'static {
    /// Every value, in the order in which tables show them.
    const ALL: &'static [Self];

    /// The spelling in metrics and events.
    fn as_str(self) -> &'static str;
}

/// Makes an enum a [`Label`], with the spelling of each value beside it. The enum has `Display` as well.
///
/// ```
/// use sni_probe_core::vocabulary::Label as _;
///
/// sni_probe_core::label! {
///     /// The side of a connection.
///     pub enum Side {
///         Client => "client",
///         Gateway => "gateway",
///     }
/// }
///
/// assert_eq!(Side::Client.as_str(), "client");
/// assert_eq!(Side::ALL, [Side::Client, Side::Gateway]);
/// ```
#[macro_export]
macro_rules! label {
    ($(#[$doc:meta])* $visibility:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $crate::vocabulary::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad($crate::vocabulary::Label::as_str(*self))
            }
        }
    };
}

pub use label;

label! {
    /// What a ClientHello says in its `server_name` extension (RFC 6066, section 3).
    pub enum SniClass {
        /// A host name.
        Present => "present",
        /// No extension, or a hello format that has no extensions (SSLv2).
        Absent => "absent",
        /// The extension is there without a name, or with one of no bytes.
        Empty => "empty",
        /// A name that is no host name: an IP literal, with a port, or other bytes.
        Invalid => "invalid",
        /// The hello never became whole, so nobody can say.
        Unknown => "unknown",
    }
}

impl SniClass {
    /// The classes of a ClientHello without SNI: nothing by which a gateway could choose a certificate.
    pub const WITHOUT_SNI: [Self; 3] = [Self::Absent, Self::Empty, Self::Invalid];

    /// Whether the ClientHello is without SNI. One with an unknown name is neither with nor without SNI.
    pub fn is_without_sni(self) -> bool {
        Self::WITHOUT_SNI.contains(&self)
    }
}

label! {
    /// The highest protocol version that a hello offers.
    pub enum TlsVersion {
        /// TLS 1.3 (RFC 8446).
        Tls13 => "1.3",
        /// TLS 1.2 (RFC 5246).
        Tls12 => "1.2",
        /// TLS 1.1 (RFC 4346).
        Tls11 => "1.1",
        /// TLS 1.0 (RFC 2246).
        Tls10 => "1.0",
        /// SSL 3.0 (RFC 6101).
        Ssl3 => "ssl3",
        /// SSL 2.0 and nothing newer.
        Ssl2 => "ssl2",
        /// None that is known, or the hello never became whole.
        Unknown => "unknown",
    }
}

label! {
    /// What became of a hello, without detail: the `outcome` label.
    pub enum OutcomeClass {
        /// The gateway answered with a ServerHello, and the end of the handshake was not seen or does not decide.
        ServerHello => "server_hello",
        /// The client sent its Finished, and the gateway went on after it.
        Established => "established",
        /// The client rejected the gateway's certificate or another part of its answer.
        RejectedByClient => "rejected_by_client",
        /// The gateway did not accept the client's certificate, or asked for one and got none.
        ClientCertificateRefused => "client_certificate_refused",
        /// The gateway refused the handshake after a ServerHello, without a certificate.
        RefusedAfterServerHello => "refused_after_server_hello",
        /// The gateway answered with a TLS alert.
        Alert => "alert",
        /// The gateway sent RST.
        ResetByGateway => "reset_by_gateway",
        /// The client sent RST.
        ResetByClient => "reset_by_client",
        /// The gateway sent FIN.
        ClosedByGateway => "closed_by_gateway",
        /// The client sent FIN.
        ClosedByClient => "closed_by_client",
        /// The gateway had closed or reset the connection before the client sent anything.
        GatewayClosedFirst => "gateway_closed_first",
        /// Nothing of the above within the handshake timeout.
        Timeout => "timeout",
        /// The tracker had to give the flow up: see `flow_evictions_total`.
        Evicted => "evicted",
        /// The capture ended, or the daemon stopped, before.
        Unfinished => "unfinished",
    }
}

impl TlsVersion {
    /// The version with this code on the wire. The drafts of TLS 1.3 count as such.
    pub fn from_code(code: u16) -> Self {
        match code {
            // RFC 8446 before its final number: 0x7f00 and the number of the draft, up to 28.
            0x0304 | 0x7f00..=0x7f1c => Self::Tls13,
            0x0303 => Self::Tls12,
            0x0302 => Self::Tls11,
            0x0301 => Self::Tls10,
            0x0300 => Self::Ssl3,
            0x0002 => Self::Ssl2,
            _ => Self::Unknown,
        }
    }

    /// The protocol's name for people: "TLS 1.3"; `None` if it is not known.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Tls13 => Some("TLS 1.3"),
            Self::Tls12 => Some("TLS 1.2"),
            Self::Tls11 => Some("TLS 1.1"),
            Self::Tls10 => Some("TLS 1.0"),
            Self::Ssl3 => Some("SSL 3"),
            Self::Ssl2 => Some("SSL 2"),
            Self::Unknown => None,
        }
    }
}

impl OutcomeClass {
    /// What the outcome means for the client. `sender` is the side that sent the alert, where the outcome is one and this is known.
    pub fn fate(self, sender: Option<AlertSender>) -> Fate {
        match self {
            Self::ServerHello | Self::Established | Self::RejectedByClient => Fate::Served,
            Self::ResetByGateway | Self::ClosedByGateway | Self::RefusedAfterServerHello => Fate::Refused,
            Self::Alert => match sender {
                Some(AlertSender::Gateway) => Fate::Refused,
                Some(AlertSender::Client) => Fate::Failed,
                None => Fate::Unknown,
            },
            // A refusal, but for another reason than the name.
            Self::ClientCertificateRefused
            | Self::ResetByClient
            | Self::ClosedByClient
            | Self::GatewayClosedFirst
            | Self::Timeout => Fate::Failed,
            Self::Evicted | Self::Unfinished => Fate::Unknown,
        }
    }

    /// Whether the handshake failed. An alert of either side is a failure, and so is a certificate that the client rejects:
    /// the gateway served that client, which got no connection all the same.
    pub fn is_failure(self) -> bool {
        self == Self::RejectedByClient
            || matches!(self.fate(Some(AlertSender::Gateway)), Fate::Refused | Fate::Failed)
    }

    /// Whether the gateway answered with a ServerHello. Up to version 0.1.0 the outcome `server_hello` stood for all of them.
    pub fn is_answered(self) -> bool {
        matches!(
            self,
            Self::ServerHello
                | Self::Established
                | Self::RejectedByClient
                | Self::ClientCertificateRefused
                | Self::RefusedAfterServerHello
        )
    }
}

label! {
    /// What an outcome means for the client.
    pub enum Fate {
        /// The gateway answered with a ServerHello, and did not refuse afterwards.
        Served => "served",
        /// The gateway ended the handshake after it had received the ClientHello: by a RST, a FIN or an alert of its own.
        Refused => "refused",
        /// The handshake ended otherwise: by the client, by a timeout, or by a gateway that had not seen the ClientHello.
        Failed => "failed",
        /// The end of the handshake was not seen.
        Unknown => "unknown",
    }
}

label! {
    /// Who sent a TLS alert.
    pub enum AlertSender {
        /// The side that accepted the connection.
        Gateway => "gateway",
        /// The side that opened the connection.
        Client => "client",
    }
}

label! {
    /// A property of a hello worth counting.
    pub enum Feature {
        /// A key share or group of a post-quantum key exchange is offered (X25519MLKEM768 and kin).
        PostQuantum => "post_quantum",
        /// Encrypted Client Hello (extension 0xfe0d): the visible name is the outer one.
        Ech => "ech",
        /// The hello came in more than one TCP segment.
        MultiSegment => "multi_segment",
        /// The hello spans more than one TLS record.
        MultiRecord => "multi_record",
        /// The hello has the format of SSLv2 (RFC 5246, appendix E.2).
        Sslv2 => "sslv2",
        /// A PROXY protocol v1 header came first.
        ProxyV1 => "proxy_v1",
        /// A PROXY protocol v2 header came first.
        ProxyV2 => "proxy_v2",
        /// TLS 1.3 early data is announced (RFC 8446, section 4.2.10).
        EarlyData => "early_data",
        /// The client wants to go on with an earlier session: a `pre_shared_key` extension (RFC 8446,
        /// section 4.2.11; an external key looks the same), a `session_ticket` that is not empty (RFC
        /// 5077), or, where nothing newer than TLS 1.2 is offered, a session ID.
        Resumption => "resumption",
        /// The gateway asked for another hello (RFC 8446, section 4.1.4). The two are one handshake, and
        /// the first is what is told. Known only after the hello was counted, so
        /// [`Observation::Handshake`](crate::Observation::Handshake) has it and
        /// [`Observation::ClientHello`](crate::Observation::ClientHello) has not.
        HelloRetry => "hello_retry",
    }
}

label! {
    /// What came before a hello that is not the first thing the client says.
    pub enum Prelude {
        /// A PROXY protocol v1 header.
        ProxyV1 => "proxy_v1",
        /// A PROXY protocol v2 header.
        ProxyV2 => "proxy_v2",
        /// A request to a proxy for a tunnel (RFC 9110, section 9.3.6).
        HttpConnect => "http_connect",
        /// SOCKS 4, 4a or 5 (RFC 1928).
        Socks => "socks",
        /// STARTTLS of SMTP or LMTP (RFC 3207).
        Smtp => "smtp",
        /// STARTTLS of IMAP (RFC 9051, section 6.2.1).
        Imap => "imap",
        /// STLS of POP3 (RFC 2595, section 4).
        Pop3 => "pop3",
        /// AUTH TLS or AUTH SSL of FTP (RFC 4217).
        Ftp => "ftp",
        /// The `StartTLS` operation of LDAP (RFC 4511, section 4.14).
        Ldap => "ldap",
        /// `MySQL`'s `SSLRequest` packet.
        Mysql => "mysql",
        /// `PostgreSQL`'s `SSLRequest` message.
        Postgresql => "postgresql",
        /// RDP's connection request (MS-RDPBCGR, section 2.2.1.1).
        Rdp => "rdp",
        /// Anything else.
        Other => "other",
    }
}

impl Prelude {
    /// Whether the gateway answers it before the hello comes, if the client waits for that.
    pub fn is_answered(self) -> bool {
        !matches!(self, Self::ProxyV1 | Self::ProxyV2)
    }
}

label! {
    /// What else spoke first on a gateway port.
    pub enum NonTls {
        /// An HTTP/1 request line or an HTTP/2 preface.
        Http => "http",
        /// An SSH banner.
        Ssh => "ssh",
        /// Anything else.
        Other => "other",
    }
}

label! {
    /// Why a hello never became whole.
    pub enum IncompleteReason {
        /// The connection was reset before the hello ended.
        Reset => "reset",
        /// The connection was closed before the hello ended.
        Closed => "closed",
        /// The rest did not come within the handshake timeout.
        Timeout => "timeout",
        /// The gateway answered, so it had the whole hello, but part of it was not seen here.
        NotSeen => "not_seen",
        /// The capture's snap length cut it.
        Truncated => "truncated",
        /// It is longer than is followed (see `assembler::MAX_STREAM_BYTES`).
        TooLarge => "too_large",
        /// More holes between segments than are kept (see `assembler::MAX_GAPS`).
        TooManyGaps => "too_many_gaps",
        /// The record layer, the handshake header or the hello contradicts itself.
        Malformed => "malformed",
        /// Two segments had different bytes for one place of it: no observer can know which the gateway read.
        Contradictory => "contradictory",
        /// The tracker had to give the flow up.
        Evicted => "evicted",
        /// The capture ended, or the daemon stopped, before the hello did.
        Unfinished => "unfinished",
    }
}

label! {
    /// Why the tracker gave up a flow before its outcome.
    pub enum EvictionReason {
        /// More flows at once than are kept: the oldest went.
        Capacity => "capacity",
        /// The same addresses and ports opened a new connection.
        PortReuse => "port_reuse",
    }
}

macro_rules! alerts {
    ($($code:literal $variant:ident => $text:literal,)+) => {
        label! {
            /// The description of a TLS alert (IANA's TLS Alerts registry).
            pub enum AlertDescription {
                $(#[doc = concat!("Code ", stringify!($code), ".")] $variant => $text,)+
                /// A code that the registry does not name.
                Unassigned => "unassigned",
            }
        }

        impl AlertDescription {
            /// The description with this code on the wire.
            pub fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    _ => Self::Unassigned,
                }
            }
        }
    };
}

alerts! {
    0 CloseNotify => "close_notify",
    10 UnexpectedMessage => "unexpected_message",
    20 BadRecordMac => "bad_record_mac",
    21 DecryptionFailed => "decryption_failed",
    22 RecordOverflow => "record_overflow",
    30 DecompressionFailure => "decompression_failure",
    40 HandshakeFailure => "handshake_failure",
    41 NoCertificate => "no_certificate",
    42 BadCertificate => "bad_certificate",
    43 UnsupportedCertificate => "unsupported_certificate",
    44 CertificateRevoked => "certificate_revoked",
    45 CertificateExpired => "certificate_expired",
    46 CertificateUnknown => "certificate_unknown",
    47 IllegalParameter => "illegal_parameter",
    48 UnknownCa => "unknown_ca",
    49 AccessDenied => "access_denied",
    50 DecodeError => "decode_error",
    51 DecryptError => "decrypt_error",
    52 TooManyCidsRequested => "too_many_cids_requested",
    60 ExportRestriction => "export_restriction",
    70 ProtocolVersion => "protocol_version",
    71 InsufficientSecurity => "insufficient_security",
    80 InternalError => "internal_error",
    86 InappropriateFallback => "inappropriate_fallback",
    90 UserCanceled => "user_canceled",
    100 NoRenegotiation => "no_renegotiation",
    109 MissingExtension => "missing_extension",
    110 UnsupportedExtension => "unsupported_extension",
    111 CertificateUnobtainable => "certificate_unobtainable",
    112 UnrecognizedName => "unrecognized_name",
    113 BadCertificateStatusResponse => "bad_certificate_status_response",
    114 BadCertificateHashValue => "bad_certificate_hash_value",
    115 UnknownPskIdentity => "unknown_psk_identity",
    116 CertificateRequired => "certificate_required",
    117 GeneralError => "general_error",
    120 NoApplicationProtocol => "no_application_protocol",
    121 EchRequired => "ech_required",
}

macro_rules! groups {
    ($($code:literal $variant:ident => $text:literal,)+) => {
        label! {
            /// The group of a TLS 1.3 key exchange (IANA's TLS Supported Groups registry).
            pub enum NamedGroup {
                $(#[doc = concat!("Code ", stringify!($code), ".")] $variant => $text,)+
                /// Any other code.
                Other => "other",
                /// No group: TLS 1.2 and older, or a ServerHello without a key share.
                None => "none",
            }
        }

        impl NamedGroup {
            /// The group with this code on the wire; `None` is a ServerHello without a key share.
            pub fn from_code(code: Option<u16>) -> Self {
                match code {
                    $(Some($code) => Self::$variant,)+
                    Some(_) => Self::Other,
                    None => Self::None,
                }
            }
        }
    };
}

groups! {
    0x001d X25519 => "x25519",
    0x0017 Secp256r1 => "secp256r1",
    0x0018 Secp384r1 => "secp384r1",
    0x0019 Secp521r1 => "secp521r1",
    0x001e X448 => "x448",
    0x11ec X25519Mlkem768 => "x25519mlkem768",
    0x11eb Secp256r1Mlkem768 => "secp256r1mlkem768",
    0x11ed Secp384r1Mlkem1024 => "secp384r1mlkem1024",
    0x6399 X25519Kyber768Draft00 => "x25519kyber768draft00",
    0x0100 Ffdhe2048 => "ffdhe2048",
    0x0101 Ffdhe3072 => "ffdhe3072",
    0x0102 Ffdhe4096 => "ffdhe4096",
    0x0103 Ffdhe6144 => "ffdhe6144",
    0x0104 Ffdhe8192 => "ffdhe8192",
}

label! {
    /// How far a handshake is followed.
    pub enum Follow {
        /// Up to the gateway's first answer to the ClientHello.
        Hello => "hello",
        /// Up to its end: an established connection, a rejected certificate, or a refused client certificate.
        Handshake => "handshake",
    }
}

/// The name of a cipher suite in IANA's TLS Cipher Suites registry, such as `TLS_AES_128_GCM_SHA256`.
pub fn cipher_suite_name(code: u16) -> Option<&'static str> {
    tls_parser::TlsCipherSuite::from_id(code).map(|suite| suite.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_cipher_suites_have_the_names_of_the_registry() {
        let group = |code| NamedGroup::from_code(code).as_str();
        assert_eq!(group(Some(0x11ec)), "x25519mlkem768");
        assert_eq!(group(Some(0x0017)), "secp256r1");
        assert_eq!(group(Some(0x2a2a)), "other");
        assert_eq!(group(None), "none");
        assert_eq!(cipher_suite_name(0x1301), Some("TLS_AES_128_GCM_SHA256"));
        assert_eq!(cipher_suite_name(0xc02f), Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
        assert_eq!(cipher_suite_name(0x2a2a), None);
    }
}
