//! The ClientHellos that are sent, and what sends them.

use std::hash::{BuildHasher as _, RandomState};

use anyhow::Context as _;
use rustls::pki_types::{DnsName, ServerName};
use sni_probe_hello::ClientHelloBuilder;

use super::config::OfferedTls;
use super::report::AttemptKind;
use super::target::Target;

/// Bytes of the first segment of the post-quantum hello: what fits into a packet of 1,500 bytes with options.
const FIRST_SEGMENT: usize = 1400;

/// A hello to be sent.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) kind: AttemptKind,
    /// The name in it; without SNI there is none.
    pub(super) name: Option<String>,
    pub(super) sender: Sender,
}

/// What sends a hello.
#[derive(Clone, Debug)]
pub(super) enum Sender {
    /// rustls, with this name, completes the handshake.
    Rustls(Option<DnsName<'static>>),
    /// This program sends these segments, with pauses between them, and reads the first answer.
    Own(Vec<Vec<u8>>),
}

impl Hello {
    fn rustls(kind: AttemptKind, name: Option<DnsName<'static>>) -> Self {
        let text = name.as_ref().map(|name| name.as_ref().to_owned());
        Self { kind, name: text, sender: Sender::Rustls(name) }
    }
}

/// All of them, in this order.
///
/// # Errors
/// If no unknown name can be made up.
pub(super) fn all(target: &Target, tls: Option<OfferedTls>) -> anyhow::Result<Vec<Hello>> {
    let named = target.name.clone().map(|name| Hello::rustls(AttemptKind::Named, Some(name)));
    // RFC 6761, section 6.4: no host has a name below it. Another name each time, so that no gateway knows it from before.
    let unknown = format!("sni-probe-{:016x}.invalid", number());
    let unknown = DnsName::try_from(unknown).context("cannot make up a name")?;
    let mut hellos: Vec<Hello> = named.into_iter().collect();
    hellos.push(Hello::rustls(AttemptKind::WithoutSni, None));
    hellos.push(Hello::rustls(AttemptKind::UnknownName, Some(unknown)));
    hellos.extend(target.exact.as_deref().map(|name| exact(name, tls)));
    // It has key shares, which TLS 1.2 does not have.
    if tls != Some(OfferedTls::Tls12) {
        hellos.push(post_quantum(target, tls));
    }
    Ok(hellos)
}

/// The name with every letter and dot as it was given. rustls leaves out a dot at the end, and sends no address.
fn exact(name: &str, tls: Option<OfferedTls>) -> Hello {
    let sender = match ServerName::try_from(name) {
        Ok(ServerName::DnsName(dns_name)) if dns_name.as_ref() == name && !name.ends_with('.') => {
            Sender::Rustls(Some(dns_name.to_owned()))
        }
        _ => {
            let hello = ClientHelloBuilder::new().random(random()).versions(versions(tls)).server_name(name);
            Sender::Own(vec![hello.build()])
        }
    };
    Hello { kind: AttemptKind::ExactName, name: Some(name.to_owned()), sender }
}

/// The hello of a browser with X25519MLKEM768: two segments, and the name at the end of the second one. Browsers shuffle the
/// extensions, so that the name may be anywhere.
fn post_quantum(target: &Target, tls: Option<OfferedTls>) -> Hello {
    let name = target.name.as_ref().map(|name| name.as_ref().to_owned());
    let hello = ClientHelloBuilder::new().random(random()).versions(versions(tls));
    let mut hello = hello.server_name_last().post_quantum();
    if let Some(name) = &name {
        hello = hello.server_name(name);
    }
    let mut first = hello.build();
    let second = first.split_off(FIRST_SEGMENT.min(first.len()));
    Hello { kind: AttemptKind::PostQuantum, name, sender: Sender::Own(vec![first, second]) }
}

fn versions(tls: Option<OfferedTls>) -> &'static [u16] {
    match tls {
        None => &[sni_probe_hello::TLS_1_3, sni_probe_hello::TLS_1_2],
        Some(OfferedTls::Tls12) => &[sni_probe_hello::TLS_1_2],
        Some(OfferedTls::Tls13) => &[sni_probe_hello::TLS_1_3],
    }
}

fn number() -> u64 {
    RandomState::new().hash_one(0)
}

/// A random of its own for each hello, as clients have.
fn random() -> [u8; 32] {
    let mut random = [0; 32];
    for part in random.chunks_mut(8) {
        part.copy_from_slice(&number().to_be_bytes());
    }
    random
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    fn hellos(target: &str, sni: Option<&str>, tls: Option<OfferedTls>) -> Vec<Hello> {
        let config = Config { sni: sni.map(str::to_owned), ..Config::of(target) };
        all(&Target::of(&config).unwrap(), tls).unwrap()
    }

    fn kinds(hellos: &[Hello]) -> Vec<AttemptKind> {
        hellos.iter().map(|hello| hello.kind).collect()
    }

    #[test]
    fn names_that_nobody_serves_are_new_each_time() {
        let names = [0, 1].map(|_| hellos("10.1.2.3", None, None)[1].name.clone().unwrap());
        assert_ne!(names[0], names[1]);
        assert!(names[0].ends_with(".invalid"));
    }

    #[test]
    fn names_are_sent_as_they_are_given() {
        use AttemptKind::{ExactName, Named, PostQuantum, UnknownName, WithoutSni};
        let plain = hellos("a.example", Some("b.example"), None);
        assert_eq!(kinds(&plain), [Named, WithoutSni, UnknownName, PostQuantum]);
        for (sni, is_own, named) in [
            ("B.Example", false, Some("b.example")),
            ("b.example.", true, Some("b.example")),
            ("10.1.2.3", true, Some("a.example")),
            ("b.example:443", true, Some("a.example")),
        ] {
            let hellos = hellos("a.example", Some(sni), Some(OfferedTls::Tls12));
            assert_eq!(kinds(&hellos), [Named, WithoutSni, UnknownName, ExactName], "{sni}");
            assert_eq!(hellos[0].name.as_deref(), named, "{sni}");
            assert_eq!(hellos[3].name.as_deref(), Some(sni));
            let Sender::Own(segments) = &hellos[3].sender else {
                assert!(!is_own, "{sni}");
                continue;
            };
            assert!(
                is_own && segments.concat().windows(sni.len()).any(|part| part == sni.as_bytes()),
                "{sni}"
            );
        }
    }

    #[test]
    fn the_post_quantum_hello_has_two_segments_and_the_name_in_the_second() {
        let hello = hellos("a.example", None, None).pop().unwrap();
        let Sender::Own(segments) = hello.sender else { panic!("rustls has no such key share") };
        let lengths: Vec<usize> = segments.iter().map(Vec::len).collect();
        assert_eq!(lengths, [FIRST_SEGMENT, sni_probe_hello::POST_QUANTUM_BYTES - FIRST_SEGMENT]);
        assert!(segments[1].ends_with(b"a.example"));
    }
}
