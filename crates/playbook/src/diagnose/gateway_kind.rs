//! Which kind of gateway refuses, from shapes of refusals, routes, logs and the check.
//!
//! Routes and logs name a gateway. A shape names the gateways that were measured and refuse like that; others may as well, so that a
//! shape never makes one certain.

use sni_probe_model::facts::Detail;

use super::model::{Candidate, Certainty, Inputs};
use crate::check::report::{AttemptKind, AttemptOutcome, CheckReport};
use crate::logs::report::LogsReport;
use crate::routes::report::RoutesReport;

/// Gateways that are returned at most. Shapes have up to a dozen.
const MAX_CANDIDATES: usize = 16;

pub(super) const APIGEE: &str = "Apigee";
pub(super) const ISTIO: &str = "Istio";
pub(super) const GATEWAY_API: &str = "Gateway API";
pub(super) const ENVOY: &str = "Envoy";
const CONTOUR: &str = "Contour";

/// Kinds of objects that `routes` skips, and the gateways that read them.
const BY_KIND: [(&str, &str); 8] = [
    ("HTTPProxy", CONTOUR),
    ("TLSCertificateDelegation", CONTOUR),
    ("IngressRoute", "Traefik"),
    ("IngressRouteTCP", "Traefik"),
    ("TLSOption", "Traefik"),
    ("TLSStore", "Traefik"),
    ("ApisixRoute", "APISIX"),
    ("ApisixTls", "APISIX"),
];

/// How gateways refuse: the table of the model's `refusal_shape`. Its first lines say what the columns mean.
const SHAPES: &str = include_str!("../../../model/src/facts/refusal_shapes.tsv");

/// Returns the gateways that may refuse, the most certain first. Of equally certain ones, routes come before logs, then the
/// check, then shapes in the order of their table.
pub(super) fn candidates(inputs: &Inputs) -> Vec<Candidate> {
    let mut named = inputs.routes.as_ref().map(of_routes).unwrap_or_default();
    named.extend(inputs.logs.as_ref().map(of_logs).unwrap_or_default());
    let mut candidates = reconciled(named);
    for candidate in inputs.check.as_ref().map(of_check).unwrap_or_default() {
        add(&mut candidates, candidate);
    }
    add_shapes(inputs, &mut candidates);
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.certainty));
    candidates.truncate(MAX_CANDIDATES);
    candidates
}

/// Adds a gateway, unless it, or the platform that runs it, is there.
fn add(candidates: &mut Vec<Candidate>, new: Candidate) {
    let is_same =
        |known: &Candidate| known.software == new.software || is_run_by(&new.software, &known.software);
    if !candidates.iter().any(is_same) {
        candidates.push(new);
    }
}

/// Whether the platform runs this program: Apigee and Istio run Envoy; implementations of the Gateway API run several.
fn is_run_by(program: &str, platform: &str) -> bool {
    match platform {
        APIGEE => program == ENVOY || program == ISTIO,
        ISTIO | CONTOUR => program == ENVOY,
        _ => false,
    }
}

/// Lowers gateways that are named beside others: which of them refuses is not known then.
fn reconciled(all: Vec<Candidate>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for candidate in all {
        add(&mut candidates, candidate);
    }
    let names: Vec<String> = candidates
        .iter()
        .filter(|candidate| candidate.certainty > Certainty::Possible)
        .map(|candidate| candidate.software.clone())
        .collect();
    let contradictory = |one: &str, other: &str| {
        // The log of a gateway of the Gateway API may be of any program.
        one != other && one != GATEWAY_API && other != GATEWAY_API
    };
    for candidate in &mut candidates {
        let others = names.iter().filter(|name| contradictory(name, &candidate.software));
        let others: Vec<&str> = others.map(String::as_str).collect();
        if !others.is_empty() && candidate.certainty > Certainty::Likely {
            candidate.certainty = Certainty::Likely;
            candidate.evidence = format!("{}; other inputs name {}", candidate.evidence, others.join(", "));
        }
    }
    candidates
}

/// The platform for which the fix is made from the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    Apigee,
    Istio,
    GatewayApi,
    /// The routes are not of these.
    Unknown,
}

/// Returns the platform of the routes, the first where they are of several.
pub(super) fn platform(routes: Option<&RoutesReport>) -> Platform {
    let candidates = routes.map(of_routes).unwrap_or_default();
    let of = |candidate: &Candidate| match candidate.software.as_str() {
        APIGEE => Some(Platform::Apigee),
        ISTIO => Some(Platform::Istio),
        GATEWAY_API => Some(Platform::GatewayApi),
        _ => None,
    };
    candidates.iter().find_map(of).unwrap_or(Platform::Unknown)
}

fn of_routes(routes: &RoutesReport) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let mut add_kind = |software: &str, evidence: &str| {
        let (software, evidence) = (software.to_owned(), evidence.to_owned());
        candidates.push(Candidate { software, certainty: Certainty::Certain, evidence });
    };
    let has = |kind: &str| routes.routes.iter().any(|route| route.kind.starts_with(kind));
    if has("ApigeeRoute") {
        add_kind(APIGEE, "the routes have an ApigeeRoute: Apigee's ingress is Istio with Envoy");
    } else if !routes.virtual_hosts.is_empty() {
        add_kind(APIGEE, "overrides.yaml has virtualhosts: Apigee's ingress is Istio with Envoy");
    }
    if has("Gateway (Istio)") {
        add_kind(ISTIO, "the routes have a Gateway of Istio, which runs Envoy");
    }
    if has("Gateway (Gateway API)") || has("ListenerSet (Gateway API)") {
        add_kind(GATEWAY_API, "the routes have a Gateway of the Gateway API");
    }
    for (kind, gateway) in BY_KIND {
        if let Some(count) = routes.skipped.get(kind) {
            let objects = if *count == 1 { "object" } else { "objects" };
            candidates.push(Candidate {
                software: gateway.to_owned(),
                // Others of the cluster may be at another port.
                certainty: Certainty::Likely,
                evidence: format!(
                    "the routes have {count} {objects} of the kind {kind}, which {gateway} reads"
                ),
            });
        }
    }
    candidates
}

fn of_logs(logs: &LogsReport) -> Vec<Candidate> {
    let mut by_program: Vec<(String, u64)> = logs
        .by_program
        .iter()
        .map(|program| (program.name.trim_end_matches("'s debug log").to_owned(), program.count))
        .collect();
    let of_others: u64 = by_program.iter().map(|(_, count)| count).sum();
    let of_envoy = logs.entries.saturating_sub(of_others);
    // Only Envoy has these words. Other entries may be of any access log.
    let is_envoy = by_program.is_empty() && logs.no_filter_chain > 0;
    let is_envoy = is_envoy || by_program.iter().any(|(name, _)| name == ENVOY);
    if let Some((_, count)) = by_program.iter_mut().find(|(name, _)| name == ENVOY) {
        *count += of_envoy;
    } else if of_envoy > 0 {
        by_program.push((ENVOY.to_owned(), of_envoy));
    }
    by_program.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let evidence = |name: &str, count: u64| {
        let noun = if count == 1 { "entry" } else { "entries" };
        let of = if name == ENVOY { "Envoy's" } else { name };
        format!("{count} log {noun} in {of} form")
    };
    let candidate = |(name, count): (String, u64)| Candidate {
        // The form of Go's log is that of every server in Go.
        certainty: match name.as_str() {
            "Go" => Certainty::Likely,
            ENVOY if !is_envoy => Certainty::Likely,
            _ => Certainty::Certain,
        },
        evidence: evidence(&name, count),
        software: name,
    };
    by_program.into_iter().filter(|(_, count)| *count > 0).map(candidate).collect()
}

/// Statuses by which gateways reject clients without SNI after the handshake, and their gateways.
const BY_STATUS: [(u16, &[&str]); 3] =
    [(421, &["Apache httpd"]), (403, &["Apache httpd"]), (400, &["Tomcat", "Jetty"])];

fn of_check(check: &CheckReport) -> Vec<Candidate> {
    let rejected = check.attempts.iter().find(|attempt| {
        attempt.kind == AttemptKind::WithoutSni && attempt.outcome == AttemptOutcome::RejectedByHttp
    });
    let Some(status) = rejected.and_then(|attempt| attempt.http_status) else { return Vec::new() };
    let known = BY_STATUS.iter().find(|(known, _)| *known == status);
    let Some((_, gateways)) = known else { return Vec::new() };
    // Every gateway may answer with these: 403 most of all.
    let is_only = gateways.len() == 1 && status != 403;
    let certainty = if is_only { Certainty::Likely } else { Certainty::Possible };
    let evidence = format!("the check without SNI was served, and then answered with HTTP {status}");
    let candidate =
        |name: &&str| Candidate { software: (*name).to_owned(), certainty, evidence: evidence.clone() };
    gateways.iter().map(candidate).collect()
}

/// A gateway that refuses like what was seen, and what was seen.
struct Alike<'a> {
    software: &'a str,
    evidence: String,
}

/// Returns the gateways that refuse like handshakes on the wire.
fn alike_on_the_wire(inputs: &Inputs) -> Vec<Alike<'_>> {
    let gateways = inputs.wire.iter().flat_map(|wire| &wire.refusals.gateways);
    let facts = gateways.flat_map(|gateway| &gateway.facts).map(|fact| &fact.detail);
    let mut alike = Vec::new();
    for detail in facts {
        let Detail::RefusalShape { without_sni, unknown_names, gateways } = detail else { continue };
        let shapes = without_sni.iter().chain(unknown_names).map(|shape| shape.shape.as_str());
        let mut shapes: Vec<&str> = shapes.collect();
        shapes.sort_unstable();
        shapes.dedup();
        let shapes = shapes.join(", ");
        alike.extend(gateways.iter().map(|gateway| Alike {
            software: &gateway.software,
            evidence: format!(
                "refusals on the wire: {shapes}; {} ({}) refuses so",
                gateway.software, gateway.configuration
            ),
        }));
    }
    alike
}

/// Returns the gateways that refuse as the check was refused. Its hellos offer TLS 1.3.
fn alike_in_the_check(check: &CheckReport) -> Vec<Alike<'static>> {
    let word = |kind: AttemptKind| {
        let attempt = check.attempts.iter().find(|attempt| attempt.kind == kind)?;
        match attempt.outcome {
            AttemptOutcome::Reset => Some("rst"),
            AttemptOutcome::Closed => Some("fin"),
            AttemptOutcome::Alert => attempt.alert.as_deref(),
            AttemptOutcome::Handshake | AttemptOutcome::ServerHello | AttemptOutcome::RejectedByHttp => {
                Some("served")
            }
            _ => None,
        }
    };
    // A gateway that refuses the name as well says nothing about names.
    let is_named_refused = word(AttemptKind::Named).is_some_and(|word| word != "served");
    let (Some(without_sni), Some(unknown_name)) =
        (word(AttemptKind::WithoutSni), word(AttemptKind::UnknownName))
    else {
        return Vec::new();
    };
    if is_named_refused || (without_sni == "served" && unknown_name == "served") {
        return Vec::new();
    }
    let does = |cell: &str, seen: &str| {
        let cell = cell.split('/').next().unwrap_or(cell);
        // The alert comes under encryption, and is read all the same.
        cell == seen || (cell == "after_server_hello" && seen == "handshake_failure")
    };
    let lines = SHAPES.lines().filter(|line| !line.starts_with('#'));
    let cells = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    cells
        .filter_map(|cells| {
            let [software, _, configuration, hello, without, unknown, _] = cells[..] else { return None };
            let is_like = hello != "1.2" && does(without, without_sni) && does(unknown, unknown_name);
            is_like.then(|| Alike {
                software,
                evidence: format!(
                    "the check got {without_sni} without SNI and {unknown_name} with an unknown name; {software} \
                     ({configuration}) refuses so"
                ),
            })
        })
        .collect()
}

/// Adds gateways that refuse like those that were seen, and lowers gateways that are measured and never refuse so.
fn add_shapes(inputs: &Inputs, candidates: &mut Vec<Candidate>) {
    let mut alike = alike_on_the_wire(inputs);
    alike.extend(inputs.check.as_ref().map(alike_in_the_check).unwrap_or_default());
    let mut seen: Vec<Alike<'_>> = Vec::new();
    for gateway in alike {
        if !seen.iter().any(|known| known.software == gateway.software) {
            seen.push(gateway);
        }
    }
    if seen.is_empty() {
        return;
    }
    let has_named = !candidates.is_empty();
    for candidate in candidates.iter_mut() {
        match seen.iter().find(|gateway| refuses_as(&candidate.software, gateway.software)) {
            Some(alike) if alike.software.contains(" behind ") => {
                candidate.evidence = format!("{}; refusals look like {}", candidate.evidence, alike.software);
            }
            None if is_measured(&candidate.software) => {
                candidate.certainty = lowered(candidate.certainty);
                candidate.evidence = format!("{}; but it is not known to refuse as seen", candidate.evidence);
            }
            _ => {}
        }
    }
    let is_only = seen.len() == 1 && !has_named;
    for Alike { software, evidence } in seen {
        let is_named = candidates.iter().any(|candidate| refuses_as(&candidate.software, software));
        if !is_named {
            let certainty = if is_only { Certainty::Likely } else { Certainty::Possible };
            candidates.push(Candidate { software: software.to_owned(), certainty, evidence });
        }
    }
}

const fn lowered(certainty: Certainty) -> Certainty {
    match certainty {
        Certainty::Certain => Certainty::Likely,
        Certainty::Likely | Certainty::Possible => Certainty::Possible,
    }
}

/// Whether a named gateway refuses as the gateway of a shape does.
fn refuses_as(named: &str, of_shape: &str) -> bool {
    let program = of_shape.split(" behind ").next().unwrap_or(of_shape);
    match named {
        APIGEE | ISTIO | CONTOUR | ENVOY => program == ENVOY,
        // Its implementations are Envoy, nginx, HAProxy, Traefik and others.
        GATEWAY_API => true,
        "nginx" => matches!(program, "nginx" | "nginx stream"),
        "Go" | "Caddy" | "Traefik" => matches!(program, "Go crypto/tls" | "Caddy"),
        "Tomcat" | "Jetty" => program == named || program.starts_with("Java "),
        _ => program == named,
    }
}

/// Whether the table of shapes has this gateway, so that its absence says something.
fn is_measured(software: &str) -> bool {
    matches!(software, APIGEE | ISTIO | CONTOUR | ENVOY | "nginx" | "HAProxy" | "Caddy")
}

#[cfg(test)]
#[path = "gateway_kind_tests.rs"]
mod tests;
