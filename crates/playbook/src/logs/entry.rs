//! An entry of an access log, whatever its format, and what it says.

use std::borrow::Cow;

use jiff::Timestamp;

/// The `status_details` of a connection for which Envoy has no filter chain.
const NO_FILTER_CHAIN: &str = "filter_chain_not_found";

/// The fields that matter, as they are in the log. What is null, empty or `-` there is `None` here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogEntry<'a> {
    /// When it began, as it is written.
    pub(super) time: Option<Cow<'a, str>>,
    /// Address and port of the client.
    pub(super) client: Option<Cow<'a, str>>,
    pub(super) name: Name<'a>,
    /// The status of the response; 0 if there was none.
    pub(super) status: u16,
    /// Whether there is a method: the handshake was over.
    pub(super) has_request: bool,
    pub(super) details: Option<Cow<'a, str>>,
    /// Envoy's response flags, separated by commas.
    pub(super) flags: Option<Cow<'a, str>>,
    /// Why the client's TLS handshake failed.
    pub(super) transport_failure: Option<Cow<'a, str>>,
}

/// What the log says of the server's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The format has no such field.
    #[default]
    NotLogged,
    /// Null, or `-`.
    Null,
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
    /// Nothing is said against it: a listener's own entry of a connection that was served, or a client that left.
    Unremarkable,
}

impl LogEntry<'_> {
    pub(super) fn kind(&self) -> Kind {
        if self.details.as_deref() == Some(NO_FILTER_CHAIN) {
            Kind::NoFilterChain
        } else if self.status > 0 {
            Kind::Served
        } else if self.has_request {
            // Aborted, but not before the handshake was over.
            Kind::Unremarkable
        } else if self.has_flag("NR") || self.has_flag("NoRouteFound") {
            Kind::NoFilterChain
        } else if self.failure().is_some() {
            Kind::OtherFailure
        } else {
            Kind::Unremarkable
        }
    }

    /// Why it failed, in Envoy's words.
    pub(super) fn failure(&self) -> Option<&str> {
        self.transport_failure.as_deref().or(self.details.as_deref())
    }

    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        self.time.as_deref()?.parse().ok()
    }

    fn has_flag(&self, wanted: &str) -> bool {
        self.flags.as_deref().is_some_and(|flags| flags.split(',').any(|flag| flag == wanted))
    }
}

/// `None` for the ways in which Envoy writes that there is nothing.
pub(super) fn something(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!text.is_empty() && text != "-").then_some(text)
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
        LogEntry { status, has_request, details: some(details), flags: some(flags), ..LogEntry::default() }
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
            (entry(0, false, "-", "UF"), Kind::Unremarkable),
        ] {
            assert_eq!(given.kind(), kind, "{given:?}");
        }
        let reason = "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end";
        let failed = LogEntry { transport_failure: Some(reason.into()), ..LogEntry::default() };
        assert_eq!((failed.kind(), failed.failure()), (Kind::OtherFailure, Some(reason)));
    }
}
