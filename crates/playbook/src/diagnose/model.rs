//! What a diagnosis is made of, and what it is: also its `--json`.

use serde::Serialize;

use super::wire::WireFacts;
use crate::check::report::CheckReport;
use crate::logs::report::LogsReport;
use crate::routes::report::RoutesReport;

/// All that is known. Each part may be missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// What sni-probe saw: live, or in a capture.
    pub(crate) wire: Option<WireFacts>,
    /// What the gateway's access log says.
    pub(crate) logs: Option<LogsReport>,
    /// What is configured.
    pub(crate) routes: Option<RoutesReport>,
    /// What the gateway answers now.
    pub(crate) check: Option<CheckReport>,
}

/// The decision tree with its answers, and what follows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Diagnosis {
    /// The questions, in the order in which a person would ask them.
    pub(crate) steps: Vec<Step>,
    /// What is wrong.
    pub(crate) cause: Cause,
    /// The same in a sentence for people.
    pub(crate) sentence: String,
    /// How sure that is.
    pub(crate) confidence: Confidence,
    /// Inputs that would tell more, as flags and what they would tell.
    pub(crate) missing: Vec<String>,
    /// What to do about it.
    pub(crate) fix: Option<Fix>,
}

/// A question of the decision tree.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// For people.
    pub(crate) question: &'static str,
    /// What the inputs say.
    pub(crate) answer: Answer,
    /// Counts, addresses, fields: a line each.
    pub(crate) evidence: Vec<String>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// No input tells.
    Unknown,
}

impl Answer {
    /// The word for people.
    pub(crate) fn as_str(self) -> &'static str {
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
pub(crate) enum Cause {
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
    /// All is well.
    NothingWrong,
    /// The inputs do not tell.
    NotEnoughEvidence,
}

impl Cause {
    /// A few words for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NoWildcardRoute => "clients send no SNI and no wildcard route",
            Self::NonSniClientNotEnabled => "wildcard route without enableNonSniClient",
            Self::NotInAdditionalGateways => "wildcard route not in additionalGateways",
            Self::UnknownName => "clients send a name that no route serves",
            Self::NotTheGateway => "the gateway does not reset at all (network or client in between)",
            Self::LoadBalancer => "a load balancer speaks without SNI to the backend",
            Self::TlsMismatch => "TLS version or cipher mismatch",
            Self::NothingWrong => "nothing wrong",
            Self::NotEnoughEvidence => "not enough evidence",
        }
    }
}

/// How sure a diagnosis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confidence {
    /// Seen on the wire, and in the configuration or by an active check.
    Certain,
    /// One of those is missing.
    Likely,
    /// It cannot be told.
    Unknown,
}

impl Confidence {
    /// The word for people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Unknown => "unknown",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Fix {
    /// YAML to apply.
    pub(crate) documents: Vec<Document>,
    /// To type, in this order.
    pub(crate) commands: Vec<String>,
    /// What to tell the client's owner.
    pub(crate) client_owner: Vec<String>,
}

/// A piece of YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Document {
    /// Under which name to save it, or which file has to be changed.
    pub(crate) file: String,
    /// What to do with it.
    pub(crate) note: String,
    /// The text.
    pub(crate) yaml: String,
}
