//! Envoy's response flags (`%RESPONSE_FLAGS%` and `%RESPONSE_FLAGS_LONG%`) and what they mean for a connection without a request.
//!
//! Source: Envoy's documentation of access logs, 1.40.

use super::failure::FailureKind;

/// A flag by its two names.
pub(super) struct Flag {
    pub(super) short: &'static str,
    pub(super) long: &'static str,
    pub(super) meaning: &'static str,
    /// Why a connection without a request failed; `None` if the flag alone is no failure of the gateway.
    pub(super) failure: Option<FailureKind>,
}

const fn flag(
    short: &'static str,
    long: &'static str,
    meaning: &'static str,
    failure: Option<FailureKind>,
) -> Flag {
    Flag { short, long, meaning, failure }
}

const UPSTREAM: Option<FailureKind> = Some(FailureKind::UpstreamUnreachable);
const OTHER: Option<FailureKind> = Some(FailureKind::Other);

/// The flag of a connection without a filter chain, and of a request without a route.
pub(super) const NO_ROUTE: &str = "NR";

static FLAGS: [Flag; 30] = [
    flag(NO_ROUTE, "NoRouteFound", "no filter chain, or no route", OTHER),
    flag("UF", "UpstreamConnectionFailure", "the connection to the backend failed", UPSTREAM),
    flag("UH", "NoHealthyUpstream", "no backend is healthy", UPSTREAM),
    flag("URX", "UpstreamRetryLimitExceeded", "all attempts to connect failed", UPSTREAM),
    flag("UC", "UpstreamConnectionTermination", "the backend closed the connection", UPSTREAM),
    flag("UR", "UpstreamRemoteReset", "the backend reset the connection", UPSTREAM),
    flag("UO", "UpstreamOverflow", "too many connections to the backend", UPSTREAM),
    flag("UT", "UpstreamRequestTimeout", "the backend did not answer in time", UPSTREAM),
    flag("UPE", "UpstreamProtocolError", "the backend broke the protocol", UPSTREAM),
    flag("UMSDR", "UpstreamMaxStreamDurationReached", "the backend took too long", UPSTREAM),
    flag("NC", "NoClusterFound", "the backend's cluster is not configured", UPSTREAM),
    flag("DF", "DnsResolutionFailed", "the backend's name was not resolved", UPSTREAM),
    flag("LH", "FailedLocalHealthCheck", "the gateway's own health check failed", OTHER),
    flag("LR", "LocalReset", "the gateway reset the connection", OTHER),
    flag("DT", "DurationTimeout", "the connection lasted too long", OTHER),
    flag("SI", "StreamIdleTimeout", "the connection was idle too long", OTHER),
    flag("RL", "RateLimited", "rate limited", OTHER),
    flag("RLSE", "RateLimitServiceError", "the rate limit service failed", OTHER),
    flag("UAEX", "UnauthorizedExternalService", "denied by an authorization service", OTHER),
    flag("FI", "FaultInjected", "a fault was injected", OTHER),
    flag("IH", "InvalidEnvoyRequestHeaders", "an invalid header", OTHER),
    flag("DPE", "DownstreamProtocolError", "the client broke the protocol", OTHER),
    flag("OM", "OverloadManagerTerminated", "the gateway is overloaded", OTHER),
    flag("DO", "DropOverLoad", "dropped, the backends are overloaded", OTHER),
    flag("UDO", "UnconditionalDropOverload", "dropped without condition", OTHER),
    flag("NFCF", "NoFilterConfigFound", "a filter's configuration did not arrive", OTHER),
    flag("RFCF", "ResponseFromCacheFilter", "answered from a cache", None),
    flag("DC", "DownstreamConnectionTermination", "the client closed the connection", None),
    flag("DR", "DownstreamRemoteReset", "the client reset the connection", None),
    flag("DI", "DelayInjected", "a delay was injected", None),
];

impl Flag {
    /// Whether it says that the client ended the connection.
    pub(super) fn is_client_left(&self) -> bool {
        matches!(self.short, "DC" | "DR")
    }
}

/// The flag of that name, short or long.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.short == name || flag.long.eq_ignore_ascii_case(name))
}

/// The flags of a field, separated by commas.
pub(super) fn split(flags: &str) -> impl Iterator<Item = &str> {
    flags.split(',').map(str::trim).filter(|flag| !flag.is_empty() && *flag != "-")
}

/// Whether a text can be a field of response flags: `-`, or known flags.
pub(super) fn is_field(text: &str) -> bool {
    text == "-" || (!text.is_empty() && text.split(',').all(|name| find(name.trim()).is_some()))
}

/// What the flags mean, in words: of those that are known.
pub(super) fn meaning(flags: &str) -> Option<String> {
    let known: Vec<&str> = split(flags).filter_map(find).map(|flag| flag.meaning).collect();
    (!known.is_empty()).then(|| known.join("; "))
}

/// The worst that the flags say of a connection without a request. An unknown flag is a failure.
pub(super) fn failure(flags: &str) -> Option<FailureKind> {
    split(flags)
        .filter_map(|name| find(name).map_or(OTHER, |flag| flag.failure))
        .max_by_key(|&kind| kind == FailureKind::UpstreamUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FLAGS.iter().flat_map(|flag| [flag.short, flag.long]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 2 * FLAGS.len());
    }

    #[test]
    fn what_flags_say() {
        for (flags, kind) in [
            ("-", None),
            ("", None),
            ("DC", None),
            ("UF,URX", UPSTREAM),
            ("DC,UH", UPSTREAM),
            ("UpstreamConnectionFailure", UPSTREAM),
            ("SI", OTHER),
            ("XYZ", OTHER),
        ] {
            assert_eq!(failure(flags), kind, "{flags}");
        }
        assert_eq!(meaning("UH,XYZ").as_deref(), Some("no backend is healthy"));
        assert!(is_field("UF,URX") && is_field("-") && !is_field("SYN") && !is_field(""));
    }
}
