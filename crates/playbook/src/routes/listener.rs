//! A listener of the Gateway API, of a Gateway or of a `ListenerSet`.

/// A listener's settings beside those of every kind.
#[derive(Debug)]
pub(super) struct Listener {
    /// Its name within the object.
    pub(super) name: String,
    /// Protocol TLS: its routes choose by SNI, or take everything. Otherwise HTTPS, with routes that choose later.
    pub(super) is_tls: bool,
    /// Kinds of routes that may attach; empty if all of the protocol may.
    pub(super) route_kinds: Vec<String>,
    /// Namespaces of these routes.
    pub(super) routes_from: From,
    /// Clients need a certificate.
    pub(super) asks_for_certificate: bool,
    pub(super) certificate: Certificate,
    /// Its conditions in `status`.
    pub(super) conditions: Vec<Condition>,
}

/// Whether a listener names its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    Named,
    /// It has an option of its implementation that is not known: this may name one.
    Option,
    /// `tls` names none.
    Missing,
    /// It has no `tls`.
    NoTls,
}

/// Namespaces that may attach something (`from`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    None,
    Same,
    All,
    /// By labels of the namespace, which are not read.
    Selector,
}

/// A condition in `status`.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// Such as `Programmed`.
    pub(super) name: String,
    /// `True`, `False`, `Unknown`.
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    /// It is about an older generation of the object.
    pub(super) is_outdated: bool,
}
