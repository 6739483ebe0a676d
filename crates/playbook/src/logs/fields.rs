//! The names of fields that are known, and what they make of an entry.
//!
//! Names are compared without regard to case and to what is no letter or digit: `response_flags`, `responseFlags`, `RESPONSE-FLAGS`.
//! docs/log-formats.md says which project has which.

use std::borrow::Cow;

use super::entry::{LogEntry, Name, something};
use super::flags;

/// Longest name of a field that is looked at, in bytes.
const MAX_NAME_BYTES: usize = 48;

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// When the connection or the request began.
    Start,
    /// Some other time: counts where there is no start.
    Time,
    /// The client's address and port.
    Client,
    /// The address and port of the next hop; or the client's address without a port. Counts where there is no client.
    Peer,
    /// The client's port, if it has a field of its own.
    ClientPort,
    Name,
    Status,
    Details,
    Flags,
    /// Response flags if the value looks like them: the field's name says little.
    MaybeFlags,
    Method,
    Protocol,
    TransportFailure,
    Termination,
    UpstreamFailure,
    Ja4,
    Ja3,
    /// A count of bytes, a TLS version or a backend.
    Use,
    Other,
}

impl Key {
    /// The names of Apigee and of Istio's default are found by their length, without being changed: their logs are long.
    #[inline]
    pub(super) fn of(name: &str) -> Self {
        match name.len() {
            4 => match name {
                "host" | "path" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            6 => match name {
                "status" => Self::Status,
                "method" => Self::Method,
                _ => Self::of_any_spelling(name),
            },
            7 => match name {
                "request" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            8 => match name {
                "sni_host" => Self::Name,
                "protocol" => Self::Protocol,
                "duration" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            9 => match name {
                "authority" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            10 => match name {
                "start_time" => Self::Start,
                "bytes_sent" => Self::Use,
                "request_id" | "user_agent" | "route_name" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            12 => match name {
                "tls_protocol" => Self::Use,
                "request_time" | "request_path" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            13 => match name {
                "response_code" => Self::Status,
                "upstream_host" => Self::Use,
                _ => Self::of_any_spelling(name),
            },
            14 => match name {
                "remote_address" => Self::Client,
                "status_details" => Self::Details,
                "response_flags" => Self::Flags,
                "request_method" => Self::Method,
                "bytes_received" => Self::Use,
                _ => Self::of_any_spelling(name),
            },
            15 => match name {
                "x_forwarded_for" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            16 => match name {
                "upstream_address" => Self::Use,
                "request_protocol" => Self::Protocol,
                "upstream_cluster" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            19 => match name {
                "apigee_dynamic_data" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            21 => match name {
                "requested_server_name" => Self::Name,
                "response_code_details" => Self::Details,
                "upstream_service_time" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            22 => match name {
                "upstream_response_time" | "upstream_local_address" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            23 => match name {
                "upstream_response_flags" => Self::Flags,
                _ => Self::of_any_spelling(name),
            },
            24 => match name {
                "downstream_local_address" => Self::Other,
                _ => Self::of_any_spelling(name),
            },
            25 => match name {
                "downstream_remote_address" => Self::Client,
                _ => Self::of_any_spelling(name),
            },
            _ => Self::of_any_spelling(name),
        }
    }

    #[cold]
    fn of_any_spelling(name: &str) -> Self {
        let mut letters = [0; MAX_NAME_BYTES];
        let mut length = 0;
        for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
            let Some(letter) = letters.get_mut(length) else { return Self::Other };
            *letter = byte.to_ascii_lowercase();
            length += 1;
        }
        match &letters[..length] {
            b"starttime" | b"requeststarttime" | b"systemtime" | b"connectionstarttime" => Self::Start,
            b"timestamp" | b"ts" | b"time" | b"datetime" | b"eventtime" | b"timeunixnano" | b"startutc"
            | b"timegenerated" => Self::Time,
            b"downstreamremoteaddress"
            | b"remoteaddress"
            | b"downstreamaddress"
            | b"clientaddress"
            | b"downstreamremoteaddr"
            | b"sourceaddress"
            | b"downstream" => Self::Client,
            b"downstreamdirectremoteaddress"
            | b"downstreamremoteaddresswithoutport"
            | b"downstreamdirectremoteaddresswithoutport"
            | b"clientip"
            | b"remoteip"
            | b"downstreamip"
            | b"peer"
            | b"peeraddress" => Self::Peer,
            b"downstreamremoteport" | b"clientport" | b"remoteport" => Self::ClientPort,
            b"requestedservername"
            | b"snihost"
            | b"sni"
            | b"snihostname"
            | b"tlssni"
            | b"tlsservername"
            | b"downstreamsni"
            | b"downstreamrequestedservername" => Self::Name,
            b"responsecode"
            | b"status"
            | b"statuscode"
            | b"httpstatus"
            | b"responsestatus"
            | b"responsestatuscode" => Self::Status,
            b"responsecodedetails" | b"statusdetails" | b"responsecodedetail" | b"responsedetails" => {
                Self::Details
            }
            b"responseflags" | b"upstreamresponseflags" | b"responseflagslong" | b"envoyresponseflags" => {
                Self::Flags
            }
            b"flags" | b"flag" => Self::MaybeFlags,
            b"method" | b"requestmethod" | b"httpmethod" => Self::Method,
            b"protocol" | b"requestprotocol" | b"httpprotocol" => Self::Protocol,
            b"downstreamtransportfailurereason"
            | b"transportfailurereason"
            | b"downstreamtlsfailurereason"
            | b"tlsfailure"
            | b"tlsfail"
            | b"tlsfailurereason"
            | b"downstreamtransportfailure" => Self::TransportFailure,
            b"connectionterminationdetails" | b"terminationdetails" | b"terminationreason" => {
                Self::Termination
            }
            b"upstreamtransportfailurereason" | b"upstreamtransportfailure" => Self::UpstreamFailure,
            b"tlsja4fingerprint" | b"ja4" | b"ja4fingerprint" | b"tlsja4" => Self::Ja4,
            b"tlsja3fingerprint" | b"ja3" | b"ja3fingerprint" | b"tlsja3" => Self::Ja3,
            b"bytessent"
            | b"bytesreceived"
            | b"tlsprotocol"
            | b"downstreamtlsversion"
            | b"tlsversion"
            | b"downstreamtlscipher"
            | b"upstreamhost"
            | b"upstreamaddress" => Self::Use,
            _ => Self::Other,
        }
    }
}

/// A value, as text or a number. All others are nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Integer(u64),
    Float(f64),
    Nothing,
}

impl<'a> Scalar<'a> {
    /// The same, lent.
    pub(super) fn lend(&self) -> Scalar<'_> {
        match self {
            Self::Text(text) => Scalar::Text(Cow::Borrowed(text)),
            Self::Integer(number) => Scalar::Integer(*number),
            Self::Float(number) => Scalar::Float(*number),
            Self::Nothing => Scalar::Nothing,
        }
    }

    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => something(text),
            Self::Integer(_) | Self::Float(_) | Self::Nothing => None,
        }
    }

    /// A time may be a number.
    pub(super) fn time(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Integer(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => Some(Cow::Owned(number.to_string())),
            other => other.text(),
        }
    }

    /// A status between 0 and 999. Formats without typed values write `"200"`, and some stores make `200.0` of it.
    fn status(&self) -> u16 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        let of_float = |number: f64| if (0.0..1000.0).contains(&number) { number as u16 } else { 0 };
        match self {
            Self::Text(text) => text.parse().unwrap_or_else(|_| text.parse().map_or(0, of_float)),
            Self::Integer(number) => u16::try_from(*number).unwrap_or(0),
            Self::Float(number) => of_float(*number),
            Self::Nothing => 0,
        }
    }

    /// Whether a count is not 0, or a text says something.
    fn is_something(&self) -> bool {
        match self {
            Self::Text(text) => !matches!(&**text, "" | "-" | "0"),
            Self::Integer(number) => *number > 0,
            Self::Float(number) => *number > 0.0,
            Self::Nothing => false,
        }
    }
}

/// The fields of an object or of a line of `key=value`.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a group of fields that was there")]
pub(super) struct Fields<'a> {
    entry: LogEntry<'a>,
    peer: Option<Cow<'a, str>>,
    port: Option<u64>,
    other_time: Option<Cow<'a, str>>,
    /// A field that only access logs have.
    has_reason: bool,
    has_status: bool,
    /// Envoy's fields of the connection.
    has_connection: bool,
    has_time: bool,
    /// A field that is known is null.
    has_null: bool,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(super) fn set(&mut self, key: Key, value: Scalar<'a>) {
        let entry = &mut self.entry;
        self.has_null |= value == Scalar::Nothing;
        match key {
            Key::Start => {
                entry.time = value.time().or(entry.time.take());
                self.has_time = true;
            }
            Key::Time => {
                self.other_time = value.time().or(self.other_time.take());
                self.has_time = true;
            }
            Key::Client => {
                entry.client = value.text().or(entry.client.take());
                self.has_connection = true;
            }
            Key::Peer => {
                self.peer = value.text().or(self.peer.take());
                self.has_connection = true;
            }
            Key::ClientPort => {
                self.port = match value {
                    Scalar::Integer(number) => Some(number),
                    Scalar::Text(text) => text.parse().ok(),
                    Scalar::Float(_) | Scalar::Nothing => None,
                };
            }
            Key::Name => {
                match Name::of(value.text()) {
                    Name::Null if entry.name != Name::NotLogged => {}
                    name => entry.name = name,
                }
                self.has_connection = true;
            }
            Key::Status => {
                entry.status = value.status();
                self.has_status = true;
            }
            Key::Details => {
                entry.details = value.text();
                self.has_reason = true;
            }
            Key::Flags => {
                entry.flags = value.text();
                entry.has_flags = true;
                self.has_reason = true;
            }
            Key::MaybeFlags => {
                if let Scalar::Text(text) = &value
                    && flags::is_field(text)
                {
                    self.set(Key::Flags, value);
                }
            }
            Key::Method => entry.has_request |= value.text().is_some(),
            Key::Protocol => {
                entry.has_request |= value.text().is_some_and(|protocol| protocol.starts_with("HTTP"));
            }
            Key::TransportFailure => {
                entry.transport_failure = value.text();
                self.has_reason = true;
            }
            Key::Termination => entry.termination = value.text(),
            Key::UpstreamFailure => entry.upstream_failure = value.text(),
            Key::Ja4 => entry.ja4 = value.text(),
            Key::Ja3 => entry.ja3 = value.text(),
            Key::Use => {
                entry.is_used |= value.is_something();
                entry.has_use = true;
            }
            Key::Other => {}
        }
    }

    /// The entry, if the fields are those of an access log.
    pub(super) fn finish(mut self) -> Option<LogEntry<'a>> {
        self.settle()?;
        Some(self.entry)
    }

    /// The same in its place: an entry is large, and a log has many.
    pub(super) fn settle(&mut self) -> Option<&LogEntry<'a>> {
        let is_entry = if self.has_reason {
            self.has_status || self.has_connection || self.has_time
        } else {
            self.has_status && self.has_connection
        };
        if !is_entry {
            return None;
        }
        let entry = &mut self.entry;
        entry.is_without_nulls = !self.has_null;
        if entry.time.is_none() {
            entry.time = self.other_time.take();
        }
        if entry.client.is_none() {
            entry.client = self.peer.take();
        }
        if let (Some(client), Some(port)) = (&entry.client, self.port)
            && let Ok(address) = client.parse::<std::net::IpAddr>()
            && let Ok(port) = u16::try_from(port)
        {
            entry.client = Some(Cow::Owned(std::net::SocketAddr::new(address, port).to_string()));
        }
        Some(entry)
    }

    /// Whether there is a field that only access logs have.
    pub(super) fn has_reason(&self) -> bool {
        self.has_reason
    }

    /// Whether there is a field of the client or its name.
    pub(super) fn has_connection(&self) -> bool {
        self.has_connection
    }

    /// Whether a request is known: then neither the protocol nor the use of the connection says more.
    #[inline]
    pub(super) fn has_request(&self) -> bool {
        self.entry.has_request
    }

    /// The time of an object that is no entry itself: the entries in it may have none.
    pub(super) fn into_time(self) -> Option<Cow<'a, str>> {
        self.entry.time.or(self.other_time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    fn entry(fields: &[(&str, Scalar<'static>)]) -> Option<LogEntry<'static>> {
        let mut all = Fields::default();
        for (name, value) in fields {
            all.set(Key::of(name), value.clone());
        }
        all.finish()
    }

    fn text(text: &'static str) -> Scalar<'static> {
        Scalar::Text(text.into())
    }

    #[test]
    fn names_in_any_spelling() {
        for (names, key) in [
            (&["start_time", "startTime", "START_TIME", "Start-Time", "systemTime"][..], Key::Start),
            (&["@timestamp", "timestamp", "ts", "time", "Timestamp"], Key::Time),
            (
                &[
                    "downstream_remote_address",
                    "downstreamRemoteAddress",
                    "DOWNSTREAM_REMOTE_ADDRESS",
                    "downstream_address",
                ],
                Key::Client,
            ),
            (&["requested_server_name", "requestedServerName", "sni_host", "sniHost", "SNI"], Key::Name),
            (&["response_code", "responseCode", "Response-Code", "status"], Key::Status),
            (&["response_flags", "responseFlags", "RESPONSE_FLAGS", "upstreamResponseFlags"], Key::Flags),
            (&["response_code_details", "responseCodeDetails", "statusDetails"], Key::Details),
            (&["httpMethod", "request_method", "METHOD"], Key::Method),
            (&["tls_ja4_fingerprint", "ja4", "TLS_JA4_FINGERPRINT"], Key::Ja4),
            (
                &["downstream_transport_failure_reason", "downstreamTransportFailureReason"],
                Key::TransportFailure,
            ),
            (
                &[
                    "path",
                    "",
                    "user_agent",
                    "x-forwarded-for",
                    "a_name_that_is_so_long_that_it_is_the_name_of_nothing_at_all",
                ],
                Key::Other,
            ),
        ] {
            for name in names {
                assert_eq!(Key::of(name), key, "{name}");
            }
        }
    }

    #[test]
    fn numbers() {
        for (value, status) in [
            (Scalar::Integer(200), 200),
            (Scalar::Float(200.0), 200),
            (text("200"), 200),
            (text("200.0"), 200),
            (text("-"), 0),
            (Scalar::Float(-1.0), 0),
            (Scalar::Float(1e300), 0),
            (Scalar::Float(f64::NAN), 0),
            (Scalar::Integer(u64::MAX), 0),
        ] {
            assert_eq!(value.status(), status, "{value:?}");
        }
    }

    #[test]
    fn times_and_clients_by_rank_in_any_order() {
        let start = ("start_time", text("2025-05-19T04:46:20Z"));
        let other = ("time", Scalar::Integer(1));
        let client = ("downstream_remote_address", text("10.0.0.1:2"));
        let direct = ("downstream_direct_remote_address", text("10.9.9.9:9"));
        let flags = ("response_flags", text("NR"));
        let all = [start, other, client, direct, flags];
        for rotated in 0..all.len() {
            let mut all = all.clone();
            all.rotate_left(rotated);
            let entry = entry(&all).unwrap();
            assert_eq!(entry.time.as_deref(), Some("2025-05-19T04:46:20Z"));
            assert_eq!(entry.client.as_deref(), Some("10.0.0.1:2"));
        }
    }

    #[test]
    fn an_address_and_a_port_in_two_fields() {
        for (address, whole) in [("10.0.0.1", "10.0.0.1:2"), ("2001:db8::1", "[2001:db8::1]:2")] {
            let fields = [
                ("response_flags", text("NR")),
                ("downstream_remote_address_without_port", text(address)),
                ("downstream_remote_port", text("2")),
            ];
            assert_eq!(entry(&fields).unwrap().client.as_deref(), Some(whole));
        }
    }

    #[test]
    fn what_is_no_entry() {
        for fields in [
            &[("status", Scalar::Integer(200)), ("time", Scalar::Integer(1))][..],
            &[("response_flags", text("NR"))],
            &[("flags", text("SYN")), ("time", Scalar::Integer(1))],
            &[],
        ] {
            assert_eq!(entry(fields), None, "{fields:?}");
        }
        let maybe = [("flags", text("NR")), ("sni", text("-"))];
        assert_eq!(entry(&maybe).unwrap().kind(), Kind::NoFilterChain);
    }
}
