//! What a diagnosis is made of, and what it is: also its `--json`.

use serde::Serialize;

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

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// Clients send no SNI, and no wildcard route takes them.
    NoWildcardRoute,
    /// The wildcard route is there without `enableNonSniClient: true`.
    NonSniClientNotEnabled,
    /// The wildcard route is not in `additionalGateways`.
    NotInAdditionalGateways,
    /// Clients send a name that no route serves.
    UnknownName,
    /// The gateway does not reset: the network or the client ends the connections, or something in between.
    NotTheGateway,
    /// A load balancer speaks without SNI to the backend.
    LoadBalancer,
    /// Client and gateway have no TLS version or cipher suite in common.
    TlsMismatch,
    /// Clients reject the gateway's certificate.
    CertificateRejected,
    /// The gateway asks for a client certificate, and gets none or one that it does not accept.
    ClientCertificateRequired,
    /// All is well.
    NothingWrong,
    /// The inputs do not tell.
    NotEnoughEvidence,
}

impl Cause {
    /// A few words for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::NoWildcardRoute => "clients send no SNI and no wildcard route",
            Self::NonSniClientNotEnabled => "wildcard route without enableNonSniClient",
            Self::NotInAdditionalGateways => "wildcard route not in additionalGateways",
            Self::UnknownName => "clients send a name that no route serves",
            Self::NotTheGateway => "the gateway does not reset at all (network or client in between)",
            Self::LoadBalancer => "a load balancer speaks without SNI to the backend",
            Self::TlsMismatch => "TLS version or cipher mismatch",
            Self::CertificateRejected => "clients reject the gateway's certificate",
            Self::ClientCertificateRequired => "the gateway refuses client certificates",
            Self::NothingWrong => "nothing wrong",
            Self::NotEnoughEvidence => "not enough evidence",
        }
    }
}

/// How sure a diagnosis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Confidence {
    /// Seen on the wire, and in the configuration or by an active check.
    Certain,
    /// One of those is missing.
    Likely,
    /// It cannot be told.
    Unknown,
}

impl Confidence {
    /// The word for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Unknown => "unknown",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Fix {
    /// YAML to apply.
    pub documents: Vec<Document>,
    /// To type, in this order.
    pub commands: Vec<String>,
    /// What to tell the client's owner.
    pub client_owner: Vec<String>,
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
