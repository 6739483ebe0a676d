//! From counts to facts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sni_probe_core::clients::ClientLabel;
use sni_probe_core::vocabulary::{IncompleteReason, Label as _};

use super::gateway::Gateway;
use super::predicate::{Predicate, Row};
use super::profile::{AlpnKey, NameKey};
use super::properties;
use super::report::{Certainty, Detail, Fact, GatewayFacts, KnownGateway, RefusedName, ShapeCount};
use super::separation::{MIN_HANDSHAKES, Separation, separate};
use super::shape::{Behaviour, HelloKind, Shape, known};
use super::text;
use super::view::View;
use crate::word::Word;

/// Names, clients, protocols and shapes that a fact lists; how many more there are is a number.
pub const MAX_LISTED: usize = 8;

/// One in so many handshakes may be of profiles that are not distinguished. With more of them, nothing is a fact.
const MAX_NOT_DISTINGUISHED: u64 = 20;

/// The facts of a gateway.
pub(super) fn gateway_facts(
    address: SocketAddr,
    gateway: &Gateway,
    plain_http_requests: u64,
    label: &ClientLabel,
) -> GatewayFacts {
    let view = View::new(gateway);
    let rest = gateway.profiles.rest();
    let (refused, served) = gateway.refused_and_served();
    let failed =
        view.rows.iter().map(|row| u64::from(row.counts.failed)).sum::<u64>() + u64::from(rest.failed);
    let not_distinguished = u64::from(rest.refused.handshakes) + u64::from(rest.served.handshakes);
    let mut facts: Vec<Fact> = Vec::new();
    facts.extend(refuses_everything(&view, served));
    let unknown_names = view.unknown_names();
    for mut separation in separate(&view.rows, unknown_names.len()) {
        separation.is_fact &= not_distinguished * MAX_NOT_DISTINGUISHED <= refused + served;
        facts.push(separating(&view, &separation, &unknown_names));
    }
    facts.extend(incomplete(gateway));
    facts.extend(plain_http(gateway.plain_http_answers.into(), plain_http_requests));
    facts.extend(health_check(gateway, label));
    facts.extend(refusal_shape(&view, &unknown_names));
    for fact in &mut facts {
        fact.sentence = text::sentence(fact);
    }
    GatewayFacts {
        gateway: address.to_string(),
        refused,
        served,
        failed,
        facts,
        properties: properties::counts(&view),
    }
}

/// A fact that stands by itself.
fn alone(detail: Detail, refused: u64) -> Fact {
    Fact {
        detail,
        certainty: Certainty::Fact,
        refused,
        served: 0,
        refused_otherwise: 0,
        served_too: 0,
        alternatives: Vec::new(),
        sentence: String::new(),
    }
}

fn refuses_everything(view: &View<'_>, served: u64) -> Option<Fact> {
    let refused_of = |is_named: bool| -> u64 {
        let rows = view.rows.iter().filter(|row| is_with_name(row.profile.name) == is_named);
        rows.map(Row::refused).sum()
    };
    let (with_name, without_sni) = (refused_of(true), refused_of(false));
    // A gateway that wants a certificate of the client serves those that have one.
    let some_get_on = served > 0 || view.gateway.client_certificates_refused > 0;
    if some_get_on || with_name == 0 || without_sni == 0 {
        return None;
    }
    let mut fact = alone(Detail::RefusesEverything { with_name, without_sni }, with_name + without_sni);
    if with_name.min(without_sni) < MIN_HANDSHAKES {
        fact.certainty = Certainty::Hint;
    }
    Some(fact)
}

fn is_with_name(name: NameKey) -> bool {
    matches!(name, NameKey::Known(_) | NameKey::Rest)
}

fn separating(view: &View<'_>, separation: &Separation, unknown_names: &[(&str, u64)]) -> Fact {
    let predicate = separation.predicate;
    let explained = || view.rows.iter().filter(|row| predicate.explains(row) > 0);
    let detail = match predicate {
        Predicate::Segments(segments_from) => Detail::SplitHello { segments_from },
        Predicate::Records(records_from) => Detail::TwoRecords { records_from },
        Predicate::Length(length) => {
            let served = view.rows.iter().filter(|row| row.served() > 0).map(|row| row.counts.served.longest);
            Detail::HelloSize {
                refused_from_bytes: length,
                served_up_to_bytes: served.filter(|&longest| longest < length).max().unwrap_or_default(),
            }
        }
        Predicate::ProxyHeader { is_there } => Detail::ProxyHeader { refused_with_header: is_there },
        Predicate::OtherAlpn | Predicate::NoAlpn => Detail::Alpn {
            refused_protocols: alpn_names(view, explained()),
            served_protocols: alpn_names(view, view.rows.iter().filter(|row| row.served() > 0)),
        },
        Predicate::UnknownName => {
            let answered =
                |name: &str| view.gateway.names.get(name).map_or(0, |record| u64::from(record.answered));
            let listed = unknown_names.iter().take(MAX_LISTED);
            let listed = listed.map(|&(name, refused)| RefusedName {
                name: name.to_owned(),
                refused,
                answered: answered(name).min(refused),
            });
            let more_names = unknown_names.len().saturating_sub(MAX_LISTED) as u64;
            Detail::OneName { names: listed.collect(), more_names }
        }
        Predicate::TrailingDot => {
            let names: BTreeSet<&str> = explained().filter_map(|row| view.name(row)).collect();
            Detail::TrailingDot {
                names: names.iter().take(MAX_LISTED).map(|name| format!("{name}.")).collect(),
            }
        }
        Predicate::UpperCase => Detail::UpperCase { names: view.gateway.names_as_sent.clone() },
        Predicate::Versions(rule, version) => {
            Detail::Versions { rule: Word::Known(rule), version: Word::Known(version) }
        }
    };
    Fact {
        detail,
        certainty: if separation.is_fact { Certainty::Fact } else { Certainty::Hint },
        refused: separation.refused,
        served: separation.served,
        refused_otherwise: separation.refused_otherwise,
        served_too: separation.served_too,
        alternatives: separation.alternatives.iter().map(|&fact| Word::Known(fact)).collect(),
        sentence: String::new(),
    }
}

fn alpn_names<'a>(view: &View<'_>, rows: impl Iterator<Item = &'a Row>) -> Vec<String> {
    let keys: BTreeSet<u8> = rows
        .filter_map(|row| match row.profile.alpn {
            AlpnKey::Known(number) => Some(number),
            AlpnKey::None | AlpnKey::Rest => None,
        })
        .collect();
    let names: BTreeSet<&[u8]> = keys.iter().flat_map(|&key| &view.alpn[usize::from(key)]).copied().collect();
    names.iter().take(MAX_LISTED).map(|name| name.escape_ascii().to_string()).collect()
}

fn incomplete(gateway: &Gateway) -> Option<Fact> {
    let counts = IncompleteReason::ALL.iter().zip(gateway.incomplete).filter(|(_, count)| *count > 0);
    let reasons: BTreeMap<String, u64> =
        counts.map(|(reason, count)| (reason.to_string(), u64::from(count))).collect();
    let fact = || alone(Detail::Incomplete { reasons: reasons.clone() }, gateway.incomplete_refused.into());
    (!reasons.is_empty()).then(fact)
}

fn plain_http(answers: u64, requests: u64) -> impl Iterator<Item = Fact> {
    let answer = (answers > 0).then(|| alone(Detail::PlainHttpAnswer { handshakes: answers }, 0));
    let request = (requests > 0).then(|| alone(Detail::PlainHttpRequest { connections: requests }, 0));
    answer.into_iter().chain(request)
}

fn health_check(gateway: &Gateway, label: &ClientLabel) -> Option<Fact> {
    let mut clients = BTreeSet::new();
    let mut intervals: Vec<Duration> = Vec::new();
    let (mut number, mut handshakes, mut refused, mut served, mut proxy_local) = (0, 0, 0, 0, 0);
    for (&address, sender) in gateway.senders.iter() {
        let interval = sender.interval();
        if interval.is_none() && sender.local == 0 {
            continue;
        }
        number += 1;
        clients.extend(label.key(address));
        intervals.extend(interval);
        handshakes += u64::from(sender.handshakes);
        refused += u64::from(sender.refused);
        served += u64::from(sender.served);
        proxy_local += u64::from(sender.local);
    }
    if number == 0 {
        return None;
    }
    intervals.sort_unstable();
    let interval = intervals.get(intervals.len() / 2);
    let all = if clients.is_empty() { number } else { clients.len() };
    let clients: Vec<String> =
        clients.into_iter().take(MAX_LISTED).map(|client| client.to_string()).collect();
    let detail = Detail::HealthCheck {
        more_clients: (all - clients.len()) as u64,
        clients,
        interval_seconds: interval.map(|interval| (interval.as_secs_f64() * 10.0).round() / 10.0),
        proxy_local,
        handshakes,
    };
    let mut fact = alone(detail, refused);
    fact.served = served;
    Some(fact)
}

fn refusal_shape(view: &View<'_>, unknown_names: &[(&str, u64)]) -> Option<Fact> {
    let gateway = view.gateway;
    let without: Vec<(Shape, u64)> =
        gateway.shapes_without_sni.iter().map(|(&shape, &count)| (shape, u64::from(count))).collect();
    let mut unknown: Vec<(Shape, u64)> = Vec::new();
    for (name, _) in unknown_names {
        let Some(shape) = gateway.names.get(*name).and_then(|name| name.shape) else { continue };
        match unknown.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, count)) => *count += 1,
            None => unknown.push((shape, 1)),
        }
    }
    if without.is_empty() && unknown.is_empty() {
        return None;
    }
    let is_absent_served = |row: &Row| row.profile.name == NameKey::Absent && row.served() > 0;
    let seen: Vec<(HelloKind, Behaviour)> = without
        .iter()
        .map(|&(shape, _)| (HelloKind::WithoutSni, Behaviour::Refused(shape)))
        .chain(unknown.iter().map(|&(shape, _)| (HelloKind::UnknownName, Behaviour::Refused(shape))))
        .chain(view.rows.iter().any(is_absent_served).then_some((HelloKind::WithoutSni, Behaviour::Served)))
        .collect();
    let gateways = known(&seen).into_iter().map(|known| KnownGateway {
        software: known.software.to_owned(),
        versions: known.versions.to_owned(),
        configuration: known.configuration.to_owned(),
    });
    let refused = without.iter().map(|(_, count)| count).sum::<u64>()
        + unknown_names.iter().map(|(_, refused)| refused).sum::<u64>();
    let detail = Detail::RefusalShape {
        without_sni: shape_counts(&without),
        unknown_names: shape_counts(&unknown),
        gateways: gateways.collect(),
    };
    Some(alone(detail, refused))
}

/// By what they look like, those seen most first.
fn shape_counts(shapes: &[(Shape, u64)]) -> Vec<ShapeCount> {
    let mut by_text: BTreeMap<String, u64> = BTreeMap::new();
    for (shape, count) in shapes {
        *by_text.entry(shape.to_string()).or_default() += count;
    }
    let mut counts: Vec<ShapeCount> =
        by_text.into_iter().map(|(shape, count)| ShapeCount { shape, count }).collect();
    counts.sort_by_key(|shape| Reverse(shape.count));
    counts.truncate(MAX_LISTED);
    counts
}
