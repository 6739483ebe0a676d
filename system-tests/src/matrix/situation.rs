//! What a combination varies besides client and gateway: the TLS version, and what is right or wrong.

use super::authority::Leaf;

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// Both versions.
    pub(super) const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// `1.2` or `1.3`.
    pub const fn dotted(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// What is right or wrong with a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// Nothing is wrong.
    Served,
    /// The client resumes the session of its previous handshake.
    Resumption,
    /// The client sends data with the hello of a resumption (0-RTT).
    EarlyData,
    /// The gateway requires a client certificate, and trusts it.
    CertificateRight,
    /// The gateway requires a client certificate, and the client has none.
    CertificateMissing,
    /// The gateway requires a client certificate, and does not trust it.
    CertificateWrong,
    /// The client does not trust the gateway's certificate.
    Distrusted,
    /// The gateway's certificate is for another name.
    WrongName,
    /// The gateway's certificate has expired.
    Expired,
}

impl Situation {
    /// All situations.
    pub const ALL: [Self; 9] = [
        Self::Served,
        Self::Resumption,
        Self::EarlyData,
        Self::CertificateRight,
        Self::CertificateMissing,
        Self::CertificateWrong,
        Self::Distrusted,
        Self::WrongName,
        Self::Expired,
    ];

    /// Returns its name in tables and filters.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Resumption => "resumption",
            Self::EarlyData => "early-data",
            Self::CertificateRight => "certificate-right",
            Self::CertificateMissing => "certificate-missing",
            Self::CertificateWrong => "certificate-wrong",
            Self::Distrusted => "distrusted",
            Self::WrongName => "wrong-name",
            Self::Expired => "expired",
        }
    }

    /// Returns the gateway's certificate.
    pub(super) const fn leaf(self) -> Leaf {
        match self {
            Self::Distrusted => Leaf::Distrusted,
            Self::WrongName => Leaf::WrongName,
            Self::Expired => Leaf::Expired,
            _ => Leaf::Gateway,
        }
    }

    /// Whether the gateway requires a client certificate.
    pub(super) const fn asks(self) -> bool {
        matches!(self, Self::CertificateRight | Self::CertificateMissing | Self::CertificateWrong)
    }

    /// Returns the client's certificate.
    pub(super) const fn client_leaf(self) -> Option<Leaf> {
        match self {
            Self::CertificateRight => Some(Leaf::Client),
            Self::CertificateWrong => Some(Leaf::Stranger),
            _ => None,
        }
    }

    /// Returns how many connections the client opens: a resumption needs an earlier one.
    pub const fn connections(self) -> u32 {
        if matches!(self, Self::Resumption | Self::EarlyData) { 2 } else { 1 }
    }
}
