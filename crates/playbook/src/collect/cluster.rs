//! What the cluster has: ApigeeRoutes, and with them the environment groups.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use sni_probe_kubernetes::{Credentials, Failure, runtime};
use sni_probe_terminal::printable_within;

use super::limits::CLUSTER_TIMEOUT;

/// Characters of a name in the list of routes.
const MAX_WORD: usize = 253;

/// Asks the API server for all ApigeeRoutes of a namespace: where they are from, and its answer in JSON.
///
/// # Errors
/// If it cannot be found, does not answer in time, or refuses.
pub(super) fn apigee_routes(kubeconfig: Option<&Path>, namespace: &str) -> anyhow::Result<(String, String)> {
    let path = format!("/apis/apigee.cloud.google.com/v1alpha1/namespaces/{namespace}/apigeeroutes");
    let request = http_get(&path)?;
    let ask = async {
        let (client, server) = Credentials::choose(kubeconfig).connect().await?;
        let source = format!("{}{path}", server.trim_end_matches('/'));
        let text = client.request_text(request).await;
        let text = text.map_err(|error| {
            anyhow!(
                "{source}: {}; try kubectl -n {namespace} get apigeeroutes -o yaml, and --routes",
                Failure::from(&error)
            )
        })?;
        Ok((source, text))
    };
    runtime()?.block_on(async { tokio::time::timeout(CLUSTER_TIMEOUT, ask).await }).unwrap_or_else(|_| {
        Err(anyhow!("--kube: the API server did not answer within {} s", CLUSTER_TIMEOUT.as_secs()))
    })
}

fn http_get(path: &str) -> anyhow::Result<hyper::Request<Vec<u8>>> {
    hyper::Request::get(path).body(Vec::new()).context("cannot ask the API server")
}

/// A line for each route: its name, its state, its hosts. The routes of environment groups have their names.
pub(super) fn groups(routes: &str) -> String {
    let mut text = String::new();
    let routes: serde_json::Value = serde_json::from_str(routes).unwrap_or_default();
    for route in routes["items"].as_array().into_iter().flatten() {
        let word = |value: &serde_json::Value| printable_within(MAX_WORD, value.as_str().unwrap_or("-"));
        let hosts = route["spec"]["hostnames"].as_array().into_iter().flatten().map(word);
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "{} {} {}",
            word(&route["metadata"]["name"]),
            word(&route["status"]["state"]),
            hosts.collect::<Vec<_>>().join(",")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn a_line_for_each_route() {
        let routes = r#"{"items": [{"metadata": {"name": "dev"}, "spec": {"hostnames": ["a", "b"]}, "status": {"state": "running"}}, {}]}"#;
        assert_eq!(groups(routes), "dev running a,b\n- - \n");
        assert_eq!(groups("no JSON"), "");
        let routes =
            r#"{"items": [{"metadata": {"name": "a\nb\u001b[31m"}, "status": {"state": "\u202e"}}]}"#;
        assert_eq!(groups(routes), "a\\x0ab\\x1b[31m \\xe2\\x80\\xae \n");
    }
}
