//! How clients are told apart: by address, by subnet, by a hash, or not at all.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use hmac::{Hmac, Mac};
use ipnet::IpNet;
use sha2::Sha256;

/// What stands for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientLabel {
    /// Its address.
    Ip,
    /// The subnet of its address.
    Subnet(SubnetSizes),
    /// A keyed hash of its address.
    Hash(HashKey),
    /// Nothing: all clients are one.
    None,
}

/// Lengths of subnets' prefixes, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetSizes {
    /// Of IPv4 addresses; at most 32 is taken.
    pub v4: u8,
    /// Of IPv6 addresses; at most 128 is taken.
    pub v6: u8,
}

impl Default for SubnetSizes {
    /// What one site usually has: a /24, and a /64.
    fn default() -> Self {
        Self { v4: 24, v6: 64 }
    }
}

/// The secret without which a hash cannot be traced back to an address.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey(Box<[u8]>);

impl HashKey {
    /// A key of any length.
    pub fn new(key: impl Into<Box<[u8]>>) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// A client, or several that have one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientKey {
    /// By its address.
    Ip(IpAddr),
    /// By its subnet.
    Subnet(IpNet),
    /// By the first 64 bits of HMAC-SHA-256 (RFC 2104) over its address as text.
    Hash(u64),
}

impl ClientLabel {
    /// What stands for `address`; `None` if nothing does.
    pub fn key(&self, address: IpAddr) -> Option<ClientKey> {
        match self {
            Self::Ip => Some(ClientKey::Ip(address)),
            Self::Subnet(sizes) => {
                let size = if address.is_ipv4() { sizes.v4.min(32) } else { sizes.v6.min(128) };
                IpNet::new(address, size).ok().map(|subnet| ClientKey::Subnet(subnet.trunc()))
            }
            Self::Hash(key) => hash(key, address).map(ClientKey::Hash),
            Self::None => None,
        }
    }

    /// The spelling of the kind: `ip`, `subnet`, `hash` or `none`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Subnet(_) => "subnet",
            Self::Hash(_) => "hash",
            Self::None => "none",
        }
    }
}

fn hash(key: &HashKey, address: IpAddr) -> Option<u64> {
    // Every length of key will do.
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
    let mut text = Text(&mut mac);
    write!(text, "{address}").ok()?;
    mac.finalize().into_bytes().first_chunk().map(|first| u64::from_be_bytes(*first))
}

/// Takes text into a hash.
struct Text<'a>(&'a mut Hmac<Sha256>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Subnet(subnet) => subnet.fmt(f),
            Self::Hash(hash) => write!(f, "{hash:016x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientLabel, HashKey, SubnetSizes};

    fn label(label: &ClientLabel, address: &str) -> Option<String> {
        label.key(address.parse().unwrap()).map(|key| key.to_string())
    }

    #[test]
    fn addresses_and_subnets() {
        assert_eq!(label(&ClientLabel::Ip, "192.0.2.7").as_deref(), Some("192.0.2.7"));
        let subnets = ClientLabel::Subnet(SubnetSizes::default());
        assert_eq!(label(&subnets, "192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(label(&subnets, "2001:db8:1:2:3::7").as_deref(), Some("2001:db8:1:2::/64"));
        let all = ClientLabel::Subnet(SubnetSizes { v4: 0, v6: 255 });
        assert_eq!(label(&all, "192.0.2.7").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(label(&all, "2001:db8::7").as_deref(), Some("2001:db8::7/128"));
        assert_eq!(label(&ClientLabel::None, "192.0.2.7"), None);
    }

    /// `printf %s 192.0.2.7 | openssl dgst -sha256 -hmac secret -r | cut -c -16`, with openssl 3.0.
    #[test]
    fn whoever_has_the_key_finds_the_hash_of_an_address_with_openssl() {
        let secret = ClientLabel::Hash(HashKey::new(*b"secret"));
        assert_eq!(label(&secret, "192.0.2.7").as_deref(), Some("f5545939bbd24a61"));
        let other = ClientLabel::Hash(HashKey::new(*b"Secret"));
        assert_ne!(label(&secret, "192.0.2.7"), label(&other, "192.0.2.7"));
        assert!(!format!("{secret:?}").contains("115"), "a key is not shown");
    }
}
