//! An entry of an access log, whatever its format, and what it says.

use std::borrow::Cow;

use jiff::Timestamp;

use super::failure::FailureKind;
use super::{flags, time};

/// Misdirected Request (RFC 9110, section 15.5.20): the gateway does not answer for the name.
const MISDIRECTED: u16 = 421;
/// The name of requests that were answered so.
const REJECTED_BY_HTTP: &str = "rejected_by_http";

/// The `status_details` of a connection for which Envoy has no filter chain.
const NO_FILTER_CHAIN: &str = "filter_chain_not_found";

/// What Istio (since 1.23.2) writes before a name that is no host name.
const INVALID: &str = "invalid:";

/// The name of the failure of entries that have no reason.
pub(super) const NO_REASON: &str = "no reason logged: Envoy writes this for a ClientHello over its limit, a missing PROXY header, or a client that left";

/// The fields that matter, as they are in the log. What is null, empty or `-` there is `None` here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is what a format has or an entry says")]
pub(super) struct LogEntry<'a> {
    /// When it began, as it is written.
    pub(super) time: Option<Cow<'a, str>>,
    /// Address and port of the client.
    pub(super) client: Option<Cow<'a, str>>,
    pub(super) name: Name<'a>,
    /// The status of the response; 0 if there was none.
    pub(super) status: u16,
    /// Whether there is a method or a protocol: the handshake was over.
    pub(super) has_request: bool,
    pub(super) details: Option<Cow<'a, str>>,
    /// Envoy's response flags, separated by commas.
    pub(super) flags: Option<Cow<'a, str>>,
    /// The format has response flags, be there any or not.
    pub(super) has_flags: bool,
    /// Why the client's TLS handshake failed.
    pub(super) transport_failure: Option<Cow<'a, str>>,
    /// Why Envoy ended the connection.
    pub(super) termination: Option<Cow<'a, str>>,
    /// Why the connection to the backend failed.
    pub(super) upstream_failure: Option<Cow<'a, str>>,
    pub(super) ja4: Option<Cow<'a, str>>,
    pub(super) ja3: Option<Cow<'a, str>>,
    /// There are bytes, a TLS version or a backend: the connection got further than its ClientHello.
    pub(super) is_used: bool,
    /// The format has bytes, a TLS version or a backend.
    pub(super) has_use: bool,
    /// An object without a null among the fields that are known.
    pub(super) is_without_nulls: bool,
    /// Set for the lines of other programs than Envoy.
    pub(super) program: Option<ProgramEntry>,
}

/// What is known of an entry that is not Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProgramEntry {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The time is that of the program's machine, without a zone.
    pub(super) is_local_time: bool,
}

/// What the log says of the server's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The format has no such field.
    #[default]
    NotLogged,
    /// Null, or `-`.
    Null,
    /// A name that is no host name, as it was sent.
    Invalid(Cow<'a, str>),
    Present(Cow<'a, str>),
}

/// What became of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request has a status.
    Served,
    /// No filter chain: reset before there was a certificate.
    NoFilterChain,
    /// Ended before a request, for another reason that the log has.
    OtherFailure,
    /// All fields are null and the flags are `-`.
    NoReason,
    /// Nothing is said against it: a listener's own entry of a connection that was served, or a client that left.
    Unremarkable,
}

impl<'a> Name<'a> {
    /// The name in a field that is there.
    pub(super) fn of(field: Option<Cow<'a, str>>) -> Self {
        match field {
            None => Self::Null,
            Some(name) if name.starts_with(INVALID) => Self::Invalid(match name {
                Cow::Borrowed(name) => Cow::Borrowed(&name[INVALID.len()..]),
                Cow::Owned(name) => Cow::Owned(name[INVALID.len()..].to_owned()),
            }),
            Some(name) => Self::Present(name),
        }
    }
}

impl LogEntry<'_> {
    pub(super) fn kind(&self) -> Kind {
        if let Some(program) = self.program {
            return program.kind;
        }
        let is_named = matches!(self.name, Name::Present(_) | Name::Invalid(_));
        // What the inspector could not read has no name in the log. Whether the hello had one is unknown.
        let is_unreadable = self.transport_failure.is_some() && !is_named;
        if self.details.as_deref() == Some(NO_FILTER_CHAIN) {
            if is_unreadable { Kind::OtherFailure } else { Kind::NoFilterChain }
        } else if self.status > 0 {
            Kind::Served
        } else if self.has_request {
            // Aborted, but not before the handshake was over.
            Kind::Unremarkable
        } else if self.has_no_route() {
            if is_unreadable { Kind::OtherFailure } else { Kind::NoFilterChain }
        } else if self.has_client_left() {
            Kind::Unremarkable
        } else if self.has_reason() || self.flags.as_deref().and_then(flags::failure).is_some() {
            Kind::OtherFailure
        } else if self.is_all_null() {
            Kind::NoReason
        } else {
            Kind::Unremarkable
        }
    }

    /// Why it failed, in the log's words, or in those of Envoy's documentation where it has flags alone.
    pub(super) fn failure(&self) -> Cow<'_, str> {
        if let Some(reason) = self.reason() {
            return Cow::Borrowed(reason);
        }
        let Some(flags) = self.flags.as_deref() else { return Cow::Borrowed(NO_REASON) };
        let meaning =
            flags::meaning(flags).map_or_else(|| flags.to_owned(), |meaning| format!("{flags}: {meaning}"));
        Cow::Owned(match &self.upstream_failure {
            Some(reason) => format!("{meaning} ({reason})"),
            None => meaning,
        })
    }

    /// The kind of [`failure`](Self::failure).
    pub(super) fn failure_kind(&self) -> FailureKind {
        let by_reason = self.reason().map_or(FailureKind::Other, FailureKind::of_reason);
        let by_flags = || self.flags.as_deref().and_then(flags::failure).unwrap_or(FailureKind::Other);
        if by_reason == FailureKind::Other { by_flags() } else { by_reason }
    }

    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        time::parse(self.time.as_deref()?)
    }

    /// No field says anything. A format without a name must at least have the use of the connection.
    fn is_all_null(&self) -> bool {
        let is_nameless = self.name == Name::Null || (self.name == Name::NotLogged && self.has_use);
        is_nameless
            && self.has_flags
            && self.flags.is_none()
            && self.upstream_failure.is_none()
            && !self.is_used
    }

    fn reason(&self) -> Option<&str> {
        let details = self.details.as_deref().filter(|_| self.transport_failure.is_none());
        self.transport_failure.as_deref().or(details).or(self.termination.as_deref())
    }

    fn has_reason(&self) -> bool {
        self.reason().is_some()
    }

    /// The flags say that the client ended the connection, and nothing else.
    fn has_client_left(&self) -> bool {
        self.transport_failure.is_none()
            && self.flags.as_deref().is_some_and(|flags| flags::failure(flags).is_none())
    }

    /// Whether the client ended the connection, and nothing else is known against it.
    pub(super) fn is_client_left(&self) -> bool {
        let has_left = |name| flags::find(name).is_some_and(flags::Flag::is_client_left);
        let by_flags = self.flags.as_deref().is_some_and(|flags| flags::split(flags).any(has_left));
        self.kind() == Kind::Unremarkable
            && (self.program.is_some() && self.transport_failure.is_some() || by_flags)
    }

    /// Why the request failed, though the connection was served: the backend, or a name that the gateway does not take.
    pub(super) fn request_failure(&self) -> Option<&'static str> {
        let is_upstream =
            self.flags.as_deref().and_then(flags::failure) == Some(FailureKind::UpstreamUnreachable);
        match self.status {
            MISDIRECTED => Some(REJECTED_BY_HTTP),
            500.. if is_upstream => Some(FailureKind::UpstreamUnreachable.name()),
            _ => None,
        }
    }

    fn has_no_route(&self) -> bool {
        let is_no_route = |name| flags::find(name).is_some_and(|flag| flag.short == flags::NO_ROUTE);
        self.flags.as_deref().is_some_and(|flags| flags::split(flags).any(is_no_route))
    }
}

/// `None` for the ways in which Envoy writes that there is nothing.
pub(super) fn something(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!matches!(&*text, "" | "-" | "null" | "<nil>")).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(
        status: u16,
        has_request: bool,
        details: &'static str,
        flags: &'static str,
    ) -> LogEntry<'static> {
        let some = |text| something(Cow::Borrowed(text));
        let (details, flags) = (some(details), some(flags));
        LogEntry { status, has_request, details, flags, has_flags: true, ..LogEntry::default() }
    }

    #[test]
    fn what_an_entry_says() {
        for (given, kind) in [
            (entry(0, false, "filter_chain_not_found", "NR"), Kind::NoFilterChain),
            (entry(0, false, "filter_chain_not_found", "-"), Kind::NoFilterChain),
            // Formats without details.
            (entry(0, false, "-", "NR"), Kind::NoFilterChain),
            (entry(0, false, "-", "DC,NR"), Kind::NoFilterChain),
            (entry(0, false, "-", "NoRouteFound"), Kind::NoFilterChain),
            // A request without a route has the flag too.
            (entry(404, true, "route_not_found", "NR"), Kind::Served),
            (entry(0, true, "downstream_remote_disconnect", "DC"), Kind::Unremarkable),
            (entry(200, true, "via_upstream", "-"), Kind::Served),
            (entry(0, false, "listener_filter_timeout", "-"), Kind::OtherFailure),
            (entry(0, false, "-", "-"), Kind::Unremarkable),
            (entry(0, false, "-", "DC"), Kind::Unremarkable),
            (entry(0, false, "downstream_remote_disconnect", "DC"), Kind::Unremarkable),
            (entry(0, false, "-", "UF"), Kind::OtherFailure),
            (entry(0, false, "-", "UH"), Kind::OtherFailure),
            (entry(0, false, "-", "UF,URX"), Kind::OtherFailure),
            (entry(0, false, "-", "NoClusterFound"), Kind::OtherFailure),
        ] {
            assert_eq!(given.kind(), kind, "{given:?}");
        }
        let reason = "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end";
        let failed = LogEntry { transport_failure: Some(reason.into()), ..LogEntry::default() };
        assert_eq!((failed.kind(), &*failed.failure()), (Kind::OtherFailure, reason));
    }

    #[test]
    fn flags_alone_are_a_failure_with_a_name() {
        let flags = LogEntry {
            upstream_failure: Some("delayed_connect_error:_Connection_refused".into()),
            ..entry(0, false, "-", "UF,URX")
        };
        let name = "UF,URX: the connection to the backend failed; all attempts to connect failed (delayed_connect_error:_Connection_refused)";
        assert_eq!(flags.failure(), name);
        assert_eq!(flags.failure_kind(), FailureKind::UpstreamUnreachable);
        assert_eq!(entry(0, false, "-", "XYZ").failure(), "XYZ");
    }

    /// Plain HTTP, or a hello that cannot be read: the null says nothing of a name.
    #[test]
    fn what_the_inspector_could_not_read_is_not_a_null_name() {
        let reason = "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end";
        let mut plain = entry(0, false, "filter_chain_not_found", "NR");
        plain.transport_failure = Some(reason.into());
        plain.name = Name::Null;
        assert_eq!((plain.kind(), plain.failure_kind()), (Kind::OtherFailure, FailureKind::PlainHttp));
        plain.name = Name::Present("a.example".into());
        assert_eq!(plain.kind(), Kind::NoFilterChain);
    }

    #[test]
    fn nothing_but_flags_without_a_flag() {
        let null = LogEntry { name: Name::Null, ..entry(0, false, "-", "-") };
        assert_eq!((null.kind(), &*null.failure()), (Kind::NoReason, NO_REASON));
        // Envoy's default format has no name, but bytes.
        let nameless = LogEntry { name: Name::NotLogged, has_use: true, ..null.clone() };
        assert_eq!(nameless.kind(), Kind::NoReason);
        for other in [
            LogEntry { is_used: true, ..null.clone() },
            LogEntry { upstream_failure: Some("x".into()), ..null.clone() },
            LogEntry { name: Name::Present("a".into()), ..null.clone() },
            LogEntry { has_flags: false, ..null.clone() },
            LogEntry { name: Name::NotLogged, ..null },
        ] {
            assert_eq!(other.kind(), Kind::Unremarkable, "{other:?}");
        }
    }

    #[test]
    fn names() {
        for (field, name) in [
            (None, Name::Null),
            (Some("a.example"), Name::Present("a.example".into())),
            (Some("invalid:10.0.0.1:8443"), Name::Invalid("10.0.0.1:8443".into())),
        ] {
            assert_eq!(Name::of(field.map(Cow::Borrowed)), name);
            assert_eq!(Name::of(field.map(|field| Cow::Owned(field.to_owned()))), name);
        }
    }
}
