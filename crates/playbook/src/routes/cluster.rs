//! `--kube`: the objects of a cluster, from the API server.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};
use serde::Deserialize as _;
use sni_probe_kubernetes::{Credentials, Failure, runtime};

use super::config::Config;
use super::objects::{MAX_ROUTES, Object, Objects};
use super::report::{Note, NoteCode};

/// Objects of one answer; the next begins where it ends.
const PAGE: u32 = 500;
/// After which no answer is expected any more.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// In the namespace of `--namespace`.
    Namespace,
    /// In any namespace.
    AllNamespaces,
    /// In none.
    Cluster,
}

/// A kind that is listed.
struct Listed {
    group: &'static str,
    /// Newest first. Older API servers have older ones only.
    versions: &'static [&'static str],
    kind: &'static str,
    /// In messages.
    name: &'static str,
    scope: Scope,
}

const KINDS: [Listed; 9] = [
    Listed {
        group: "apigee.cloud.google.com",
        versions: &["v1alpha1", "v1alpha2"],
        kind: "ApigeeRoute",
        name: "ApigeeRoutes",
        scope: Scope::Namespace,
    },
    Listed {
        group: "apigee.cloud.google.com",
        versions: &["v1alpha1"],
        kind: "ApigeeRouteConfig",
        name: "ApigeeRouteConfigs",
        scope: Scope::Namespace,
    },
    Listed {
        group: "networking.istio.io",
        versions: &["v1", "v1beta1", "v1alpha3"],
        kind: "Gateway",
        name: "Gateways of Istio",
        scope: Scope::AllNamespaces,
    },
    Listed {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1beta1"],
        kind: "Gateway",
        name: "Gateways of the Gateway API",
        scope: Scope::AllNamespaces,
    },
    Listed {
        group: "gateway.networking.k8s.io",
        versions: &["v1"],
        kind: "ListenerSet",
        name: "ListenerSets",
        scope: Scope::AllNamespaces,
    },
    Listed {
        group: "gateway.networking.x-k8s.io",
        versions: &["v1alpha1"],
        kind: "XListenerSet",
        name: "XListenerSets",
        scope: Scope::AllNamespaces,
    },
    Listed {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1alpha3", "v1alpha2"],
        kind: "TLSRoute",
        name: "TLSRoutes",
        scope: Scope::AllNamespaces,
    },
    Listed {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1alpha2"],
        kind: "TCPRoute",
        name: "TCPRoutes",
        scope: Scope::AllNamespaces,
    },
    Listed {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1beta1"],
        kind: "GatewayClass",
        name: "GatewayClasses",
        scope: Scope::Cluster,
    },
];

/// Why kinds were not read, by the name of each.
#[derive(Debug, Default)]
struct Unread {
    missing: Vec<&'static str>,
    not_allowed: Vec<&'static str>,
    /// Of one namespace only.
    partly: Vec<&'static str>,
    failed: Vec<(&'static str, String)>,
}

/// What came of listing a kind.
enum Outcome {
    Read,
    Missing,
    NotAllowed,
    Failed(String),
}

/// Lists the objects of the cluster. Says of which server: its URL. Kinds that the cluster lacks, or that may not be
/// listed, become notes.
///
/// # Errors
/// If there is no configuration or no answer, or nothing could be read and there are no files: in one line, with what to
/// do.
pub(super) fn list(config: &Config, notes: &mut Vec<Note>) -> anyhow::Result<(String, Objects)> {
    let mut objects = Objects::default();
    let mut unread = Unread::default();
    let server = runtime()?.block_on(async {
        let list = list_kinds(config, &mut objects, &mut unread);
        tokio::time::timeout(TIMEOUT, list).await.unwrap_or_else(|_| {
            bail!(
                "--kube: no answer within {} s; see that `kubectl get apigeeroutes` works",
                TIMEOUT.as_secs()
            )
        })
    })?;
    if objects.items.is_empty() {
        let nothing = unread.nothing_read(&server, &config.namespace);
        if config.files.is_empty() {
            bail!("--kube: {nothing}");
        }
        notes.push(Note {
            code: NoteCode::NothingInCluster,
            object: server.clone(),
            sentence: nothing + ".",
        });
    } else {
        unread.note(&server, &config.namespace, notes);
    }
    Ok((server, objects))
}

async fn list_kinds(config: &Config, objects: &mut Objects, unread: &mut Unread) -> anyhow::Result<String> {
    let (client, server) = Credentials::choose(config.kubeconfig.as_deref()).connect().await?;
    for listed in &KINDS {
        let place = Place { client: &client, server: &server, listed };
        let mut outcome = place.list(namespace_of(listed, config), objects).await?;
        if matches!(outcome, Outcome::NotAllowed) && listed.scope == Scope::AllNamespaces {
            outcome = place.list(Some(&config.namespace), objects).await?;
            if matches!(outcome, Outcome::Read) {
                unread.partly.push(listed.name);
            }
        }
        match outcome {
            Outcome::Read => {}
            Outcome::Missing => unread.missing.push(listed.name),
            Outcome::NotAllowed => unread.not_allowed.push(listed.name),
            Outcome::Failed(reason) => unread.failed.push((listed.name, reason)),
        }
    }
    Ok(server)
}

fn namespace_of<'a>(listed: &Listed, config: &'a Config) -> Option<&'a str> {
    (listed.scope == Scope::Namespace).then_some(&config.namespace)
}

/// A kind at an API server.
struct Place<'a> {
    client: &'a Client,
    server: &'a str,
    listed: &'a Listed,
}

impl Place<'_> {
    /// Lists the kind in a namespace, or in all.
    ///
    /// # Errors
    /// If the server cannot be reached or does not take the credentials, or an object is not of the known form.
    async fn list(&self, namespace: Option<&str>, objects: &mut Objects) -> anyhow::Result<Outcome> {
        for version in self.listed.versions {
            let kind = GroupVersionKind::gvk(self.listed.group, version, self.listed.kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, &plural(self.listed.kind));
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            match self.pages(&api, objects).await? {
                Outcome::Missing => {}
                outcome => return Ok(outcome),
            }
        }
        Ok(Outcome::Missing)
    }

    async fn pages(&self, api: &Api<DynamicObject>, objects: &mut Objects) -> anyhow::Result<Outcome> {
        let Self { server, listed, .. } = self;
        let mut parameters = ListParams::default().limit(PAGE);
        // Not endless, whatever the server says of more pages.
        for _ in 0..=MAX_ROUTES / 500 {
            let page = match api.list(&parameters).await {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Outcome::Missing),
                Err(kube::Error::Api(status)) if status.code == 403 => return Ok(Outcome::NotAllowed),
                Err(error @ kube::Error::Api(_)) if !is_unauthorized(&error) => {
                    return Ok(Outcome::Failed(Failure::from(&error).to_string()));
                }
                Err(error) => {
                    bail!("--kube: cannot list {} of {server}: {}", listed.name, Failure::from(&error))
                }
            };
            for object in page.items {
                let object = serde_json::to_value(object).and_then(Object::deserialize);
                let object = object.with_context(|| {
                    format!("{server}: one of the {} is not of the known form", listed.name)
                })?;
                objects.add(object, 0).with_context(|| (*server).to_owned())?;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(Outcome::Read),
            }
        }
        bail!("--kube: {server} has more than {MAX_ROUTES} {}", listed.name)
    }
}

fn is_unauthorized(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 401)
}

fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    if kind.ends_with("class") { kind + "es" } else { kind + "s" }
}

impl Unread {
    /// A sentence without its full stop: why nothing was read, and what to do.
    fn nothing_read(&self, server: &str, namespace: &str) -> String {
        let mut reasons = Vec::new();
        if !self.not_allowed.is_empty() {
            reasons.push(format!("{server} does not allow to list {}", self.not_allowed.join(", ")));
        }
        if let Some((name, reason)) = self.failed.first() {
            reasons.push(format!("{server} cannot list {name}: {reason}"));
        }
        if !reasons.is_empty() {
            return format!(
                "{}; allow it by the Role and the ClusterRole of docs/routes.md (verbs [list])",
                reasons.join("; ")
            );
        }
        if self.missing.len() == KINDS.len() {
            return format!(
                "{server} knows no ApigeeRoutes (apigee.cloud.google.com/v1alpha1), and no Gateways of Istio or the Gateway \
                 API: is it the cluster of the gateway? Name its kubeconfig with --kubeconfig"
            );
        }
        format!(
            "no ApigeeRoute in namespace {namespace} of {server}, and no Gateway of Istio or the Gateway API; name the \
             namespace of Apigee with --namespace"
        )
    }

    fn note(&self, server: &str, namespace: &str, notes: &mut Vec<Note>) {
        let mut add = |code, sentence| notes.push(Note { code, object: server.to_owned(), sentence });
        if !self.missing.is_empty() {
            add(NoteCode::KindMissing, format!("The API server has no {}.", self.missing.join(", ")));
        }
        if !self.not_allowed.is_empty() {
            add(
                NoteCode::NotAllowed,
                format!("Not read, for want of the right to list them: {}.", self.not_allowed.join(", ")),
            );
        }
        if !self.partly.is_empty() {
            add(
                NoteCode::NotAllowed,
                format!(
                    "Read in namespace {namespace} only, for want of the right to list them in all namespaces: {}.",
                    self.partly.join(", ")
                ),
            );
        }
        for (name, reason) in &self.failed {
            add(NoteCode::NotListed, format!("Not read: {name}: {reason}."));
        }
    }
}
