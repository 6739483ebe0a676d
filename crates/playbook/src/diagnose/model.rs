//! What a diagnosis is made of, and what it is: also its `--json`.

use serde::Serialize;
use sni_probe_core::vocabulary::Label as _;

use super::message::Meaning;
use super::wire::WireFacts;
use crate::check::report::CheckReport;
use crate::logs::report::LogsReport;
use crate::routes::report::RoutesReport;

/// All that is known. Each part may be missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Inputs {
    /// What sni-probe saw: live, or in a capture.
    pub wire: Option<WireFacts>,
    /// What the gateway's access log says.
    pub logs: Option<LogsReport>,
    /// What is configured.
    pub routes: Option<RoutesReport>,
    /// What the gateway answers now.
    pub check: Option<CheckReport>,
    /// What the client's error message says.
    pub message: Option<Meaning>,
    /// Flags of the active check beside its target, as words of a shell.
    pub check_flags: String,
    /// Inputs that were named and say nothing yet, a sentence each.
    pub notes: Vec<String>,
}

/// The decision tree with its answers, and what follows.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Diagnosis {
    /// What the client's error message says of the wire, if one was given.
    pub message: Option<Meaning>,
    /// The questions, in the order in which a person would ask them.
    pub steps: Vec<Step>,
    /// What is wrong.
    pub cause: Cause,
    /// The same in a sentence for people.
    pub sentence: String,
    /// How sure that is.
    pub confidence: Confidence,
    /// The page about the cause.
    pub page: String,
    /// Gateways that may be the one that refuses, the most certain first.
    pub gateways: Vec<Candidate>,
    /// Inputs that would tell more, as flags and what they would tell.
    pub missing: Vec<String>,
    /// What to do about it.
    pub fix: Option<Fix>,
}

/// A question of the decision tree.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    /// For people.
    pub question: &'static str,
    /// What the inputs say.
    pub answer: Answer,
    /// Counts, addresses, fields: a line each.
    pub evidence: Vec<String>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// No input tells.
    Unknown,
}

impl Answer {
    /// The word for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

sni_probe_core::label! {
    /// What is wrong. Each has a section of its name in docs/causes.md.
    pub(super) enum Cause {
        /// Clients send no SNI, and no wildcard route takes them.
        NoWildcardRoute => "no_wildcard_route",
        /// The wildcard route is there without `enableNonSniClient: true`.
        NonSniClientNotEnabled => "non_sni_client_not_enabled",
        /// The wildcard route is not in `additionalGateways`.
        NotInAdditionalGateways => "not_in_additional_gateways",
        /// Clients send a name that the gateway does not serve.
        UnknownName => "unknown_name",
        /// The gateway refuses with any name and without SNI.
        NotAboutNames => "not_about_names",
        /// The gateway refuses exactly the connections with, or without, a PROXY header.
        ProxyProtocolMismatch => "proxy_protocol_mismatch",
        /// The gateway refuses ClientHellos from a length on.
        HelloTooLarge => "hello_too_large",
        /// The gateway refuses ClientHellos in several segments or records.
        SplitHello => "split_hello",
        /// ClientHellos never became complete.
        IncompleteHellos => "incomplete_hellos",
        /// Clients offer no ALPN protocol of the gateway.
        AlpnMismatch => "alpn_mismatch",
        /// Client and gateway have no TLS version or cipher suite in common.
        TlsMismatch => "tls_mismatch",
        /// The gateway closes connections before the ClientHello.
        GatewayClosedFirst => "gateway_closed_first",
        /// The port of the gateway speaks plain HTTP.
        PlainHttpPort => "plain_http_port",
        /// Clients send plain HTTP to the TLS port.
        PlainHttpClient => "plain_http_client",
        /// Clients reject the gateway's certificate.
        CertificateRejected => "certificate_rejected",
        /// The gateway asks for a client certificate, and gets none or one that it does not accept.
        ClientCertificateRequired => "client_certificate_required",
        /// The gateway has no certificate for a listener.
        NoCertificate => "no_certificate",
        /// The listener or route is configured, and not in effect.
        NotProgrammed => "not_programmed",
        /// The gateway cannot reach its backend.
        UpstreamUnreachable => "upstream_unreachable",
        /// A load balancer or a health check connects without SNI.
        LoadBalancer => "load_balancer",
        /// The gateway completes the handshake, and rejects the request by HTTP.
        RejectedByHttp => "rejected_by_http",
        /// The network, the client or a program on the way ends the connections.
        NotTheGateway => "not_the_gateway",
        /// Nothing was refused, failed, unreadable or missed.
        NothingWrong => "nothing_wrong",
        /// The inputs separate no cause.
        NotEnoughEvidence => "not_enough_evidence",
    }
}

impl Cause {
    /// A few words for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::NoWildcardRoute => "clients send no SNI and no wildcard route",
            Self::NonSniClientNotEnabled => "wildcard route without enableNonSniClient",
            Self::NotInAdditionalGateways => "wildcard route not in additionalGateways",
            Self::UnknownName => "clients send a name that the gateway does not serve",
            Self::NotAboutNames => "the gateway refuses every connection, with any name",
            Self::ProxyProtocolMismatch => "client side and gateway disagree about the PROXY protocol",
            Self::HelloTooLarge => "the gateway refuses large ClientHellos",
            Self::SplitHello => "the gateway refuses ClientHellos in several segments or records",
            Self::IncompleteHellos => "ClientHellos never become complete",
            Self::AlpnMismatch => "no ALPN protocol in common",
            Self::TlsMismatch => "TLS version or cipher mismatch",
            Self::GatewayClosedFirst => "the gateway closes connections before the ClientHello",
            Self::PlainHttpPort => "the port speaks plain HTTP",
            Self::PlainHttpClient => "clients send plain HTTP to the TLS port",
            Self::CertificateRejected => "clients reject the gateway's certificate",
            Self::ClientCertificateRequired => "the gateway refuses client certificates",
            Self::NoCertificate => "the gateway has no certificate",
            Self::NotProgrammed => "the configuration is not in effect",
            Self::UpstreamUnreachable => "the gateway cannot reach its backend",
            Self::LoadBalancer => "a load balancer or health check connects without SNI",
            Self::RejectedByHttp => "the gateway rejects requests by HTTP after the handshake",
            Self::NotTheGateway => "the gateway does not end the connections (network or client in between)",
            Self::NothingWrong => "nothing wrong",
            Self::NotEnoughEvidence => "not enough evidence",
        }
    }

    /// The section that says what the cause means, how to see it, and how to mend it.
    pub(super) fn page(self) -> String {
        format!("https://github.com/sni-probe/sni-probe/blob/main/docs/causes.md#{self}")
    }
}

impl Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How sure a diagnosis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Confidence {
    /// Seen on the wire, and in the configuration or by an active check.
    Certain,
    /// One of those is missing, or not everything was seen.
    Likely,
    /// The evidence fits, and little else excludes other causes.
    Possible,
    /// It cannot be told.
    Unknown,
}

impl Confidence {
    /// One step less sure.
    pub(super) fn lowered(self) -> Self {
        match self {
            Self::Certain => Self::Likely,
            Self::Likely | Self::Possible => Self::Possible,
            Self::Unknown => Self::Unknown,
        }
    }

    /// The word for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
            Self::Unknown => "unknown",
        }
    }
}

/// A gateway that may be the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Candidate {
    /// The program or platform, named as `fix::gateways::fixes_of` takes it, or one of the constants of `gateway_kind`.
    pub software: String,
    /// How sure it is.
    pub certainty: Certainty,
    /// What says so, in one line.
    pub evidence: String,
}

/// How sure a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Certainty {
    /// It is one of several, or the inputs contradict each other.
    Possible,
    /// It is the only one of its kind of evidence.
    Likely,
    /// Routes or logs are of it.
    Certain,
}

impl Certainty {
    /// The word for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Fix {
    /// YAML to apply.
    pub documents: Vec<Document>,
    /// Lines for the gateway's own configuration, where it is not known which gateway it is.
    pub snippets: Vec<Snippet>,
    /// To type, in this order.
    pub commands: Vec<String>,
    /// What to consider before.
    pub warnings: Vec<String>,
    /// What to tell the client's owner.
    pub client_owner: Vec<String>,
}

/// Lines of a gateway's own configuration. Words in capitals are placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Snippet {
    /// The gateway.
    pub gateway: String,
    /// The file and the place in it.
    pub file: String,
    /// What to do with the lines, and when they apply.
    pub note: String,
    /// The lines.
    pub text: String,
    /// With which versions they were tried; `not tried` otherwise.
    pub trial: String,
}

/// A piece of YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Document {
    /// Under which name to save it, or which file has to be changed.
    pub file: String,
    /// What to do with it.
    pub note: String,
    /// The text.
    pub yaml: String,
}
