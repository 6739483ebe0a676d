//! `--kube`: the `ApigeeRoutes` of a namespace, from the API server.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde::Deserialize as _;
use sni_probe_kubernetes::{Credentials, Failure, runtime};

use super::config::Config;
use super::objects::{MAX_ROUTES, Object, Objects};

/// Routes of one answer; the next begins where it ends.
const PAGE: u32 = 500;
/// After which no answer is expected any more.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Takes the routes of the namespace, and says of which server: its URL.
///
/// # Errors
/// If there is no configuration or no answer, they may not be read, or there are none: in one line, with what to do.
pub(super) fn list(config: &Config, objects: &mut Objects) -> anyhow::Result<String> {
    let before = objects.entries.len();
    let server = runtime()?.block_on(async {
        let list = list_pages(config, objects);
        tokio::time::timeout(TIMEOUT, list).await.unwrap_or_else(|_| {
            bail!(
                "--kube: no answer within {} s; see that `kubectl get apigeeroutes` works",
                TIMEOUT.as_secs()
            )
        })
    })?;
    if objects.entries.len() == before {
        bail!(
            "--kube: no ApigeeRoute in namespace {} of {server}; name the namespace of Apigee with --namespace",
            config.namespace
        );
    }
    Ok(server)
}

async fn list_pages(config: &Config, objects: &mut Objects) -> anyhow::Result<String> {
    let (client, server) = Credentials::choose(config.kubeconfig.as_deref()).connect().await?;
    let kind = GroupVersionKind::gvk("apigee.cloud.google.com", "v1alpha1", "ApigeeRoute");
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client, &config.namespace, &resource);
    let mut parameters = ListParams::default().limit(PAGE);
    // Not endless, whatever the server says of more pages.
    for _ in 0..=MAX_ROUTES / 500 {
        let page = api.list(&parameters).await.map_err(|error| failure(&error, config, &server))?;
        for object in page.items {
            let object = serde_json::to_value(object).and_then(Object::deserialize);
            let object =
                object.with_context(|| format!("{server}: an ApigeeRoute is not of the known form"))?;
            objects.add(object, 0).with_context(|| server.clone())?;
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(server),
        }
    }
    bail!("--kube: {server} has more than {MAX_ROUTES} ApigeeRoutes in namespace {}", config.namespace)
}

fn failure(error: &kube::Error, config: &Config, server: &str) -> anyhow::Error {
    let namespace = &config.namespace;
    let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
    match code {
        403 => anyhow::anyhow!(
            "--kube: {server} does not allow to list ApigeeRoutes of namespace {namespace}; allow it by a Role with \
             apiGroups [apigee.cloud.google.com], resources [apigeeroutes], verbs [list] (docs/routes.md)"
        ),
        404 => anyhow::anyhow!(
            "--kube: {server} knows no ApigeeRoutes (apigee.cloud.google.com/v1alpha1): is it the cluster in which \
             Apigee hybrid is installed? Name its kubeconfig with --kubeconfig"
        ),
        _ => anyhow::anyhow!("--kube: cannot list ApigeeRoutes of {server}: {}", Failure::from(error)),
    }
}
