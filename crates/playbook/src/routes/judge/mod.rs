//! What is wrong with what was read, and whether clients without SNI are served.

mod apigee;
mod attachment;
mod certificates;
mod class;
mod conditions;
mod gateway_api;
mod istio;
mod selectors;

use self::apigee::Apigee;
#[cfg(test)]
pub(super) use self::apigee::USUAL_NAME;
use super::entry::{Clients, Kind, RouteEntry};
use super::objects::Objects;
use super::report::{Finding, Note, NoteCode, Route, RoutesReport, VirtualHost};

/// Whether clients without SNI are served. The greater of two is the answer for both: one gateway that does not serve
/// them is enough for "no", one that is unknown is enough to leave "yes" open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Served {
    /// There is nothing that could.
    #[default]
    Nothing,
    Yes,
    Unknown,
    No,
}

impl Served {
    fn answer(self) -> Option<bool> {
        match self {
            Self::Yes => Some(true),
            Self::No => Some(false),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    findings: Vec<Finding>,
    notes: Vec<Note>,
}

impl Found {
    fn note(&mut self, code: NoteCode, object: &str, sentence: String) {
        self.notes.push(Note { code, object: object.to_owned(), sentence });
    }
}

/// Judges all of it. `overrides` is the name of the file with the virtual hosts; `notes` are those of the inputs.
pub(super) fn judge(
    objects: Objects,
    virtual_hosts: Vec<VirtualHost>,
    overrides: &str,
    ingress: &[String],
    notes: Vec<Note>,
) -> RoutesReport {
    let entries = || objects.items.iter().flat_map(|item| &item.entries);
    let of_kind = |kind: Kind| move |entry: &&RouteEntry| entry.kind == kind;
    let mut found = Found { findings: Vec::new(), notes };
    let apigee = Apigee {
        routes: entries()
            .filter(of_kind(Kind::ApigeeRoute))
            .filter(|entry| entry.tls_path.is_some())
            .collect(),
        configs: entries().filter(of_kind(Kind::ApigeeRouteConfig)).collect(),
        gateways: entries()
            .filter(|entry| entry.kind != Kind::ApigeeRouteConfig)
            .map(|entry| entry.gateway.as_str())
            .collect(),
        virtual_hosts: &virtual_hosts,
        overrides,
        ingress,
    };
    let of_apigee = apigee.judge(&mut found);
    let servers: Vec<&RouteEntry> = entries().filter(of_kind(Kind::Istio)).collect();
    let of_istio = istio::judge(&servers, &mut found);
    let of_gateway_api = gateway_api::judge(&objects.items, &mut found);
    let Found { mut findings, mut notes } = found;
    // Stable sorts: those of a kind stay in the order of the objects.
    findings.sort_by_key(|finding| finding.code);
    notes.sort_by_key(|note| note.code);
    RoutesReport {
        sources: Vec::new(),
        routes: objects.items.into_iter().flat_map(|item| item.entries).map(|entry| entry.route).collect(),
        virtual_hosts,
        skipped: objects.skipped,
        findings,
        notes,
        serves_non_sni: of_apigee.max(of_istio).max(of_gateway_api).answer(),
    }
}

/// Whether a server or a listener that speaks TLS is not for clients in general: with a note.
fn is_left_out(entry: &RouteEntry, found: &mut Found) -> bool {
    let what = if entry.listener.is_some() { "Listener" } else { "Server" };
    let name = &entry.route.name;
    let (code, sentence) = match entry.clients {
        Clients::Any => return false,
        Clients::OtherClusters => (
            NoteCode::BetweenClusters,
            format!(
                "{what} {name} is for other clusters of the mesh, which always send a name (AUTO_PASSTHROUGH): left out."
            ),
        ),
        Clients::MeshWorkloads => (
            NoteCode::MeshOnly,
            format!(
                "{what} {name} is for workloads of the mesh, which have certificates of the mesh (ISTIO_MUTUAL): left out."
            ),
        ),
    };
    found.note(code, &entry.object(), sentence);
    true
}

/// Notes that clients of a listener need a certificate, if they do.
fn note_client_certificate(object: &str, route: &Route, asks: bool, found: &mut Found) {
    let is_mutual = matches!(route.tls_mode.as_deref(), Some("MUTUAL"));
    if asks || is_mutual {
        let sentence = format!(
            "Clients of {} need a certificate. A client without one is refused after the ServerHello, with SNI and \
             without.",
            route.name
        );
        found.note(NoteCode::ClientCertificate, object, sentence);
    }
}

/// Whether the gateway itself speaks TLS with the client. Of routes without a mode it is assumed.
fn terminates(route: &Route) -> bool {
    !matches!(route.tls_mode.as_deref(), Some("PASSTHROUGH" | "AUTO_PASSTHROUGH" | "Passthrough"))
}
