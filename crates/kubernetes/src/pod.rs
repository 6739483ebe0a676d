//! What of a pod is needed to name it. All else, environment variables and annotations among it, is dropped while
//! the API server's answer is parsed.

use std::borrow::Cow;
use std::net::IpAddr;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

/// Addresses of a pod, or of its node, that are read. Kubernetes gives at most one of each family.
const MAX_ADDRESSES: usize = 4;
/// Ports of a pod that are read.
const MAX_PORTS: usize = 256;

/// A pod of the API `v1`.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Pod")]
pub(super) struct Pod {
    /// Name, namespace, UID and resource version only.
    metadata: ObjectMeta,
    /// What it belongs to: the Deployment, `StatefulSet`, DaemonSet, Job; its own name if to nothing.
    pub(super) workload: String,
    /// Whether all of its containers have ended for good. Its addresses may be another's by now.
    pub(super) has_ended: bool,
    /// Whether its addresses are those of the node, and so not its own.
    pub(super) on_host_network: bool,
    /// `status.podIPs`.
    pub(super) addresses: Vec<IpAddr>,
    /// `status.hostIPs`.
    pub(super) node_addresses: Vec<IpAddr>,
    /// The TCP ports that its containers declare.
    pub(super) ports: Vec<Port>,
}

/// A TCP port that a container declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// At the pod's addresses.
    pub(super) container: u16,
    /// At the node's addresses.
    pub(super) host: Option<u16>,
    /// The only one of the node's addresses at which it is.
    pub(super) host_address: Option<IpAddr>,
}

impl Pod {
    /// The name, empty if the API server gave none (which it never does).
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The namespace.
    pub(super) fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// What tells it from an earlier pod of the same name.
    pub(super) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl From<wire::Pod> for Pod {
    fn from(pod: wire::Pod) -> Self {
        let wire::Pod { metadata, spec, status } = pod;
        let containers = spec.containers.into_iter().chain(spec.init_containers).flatten();
        Self {
            workload: workload(&metadata),
            has_ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            on_host_network: spec.host_network,
            addresses: addresses(status.pod_ips, status.pod_ip),
            node_addresses: addresses(status.host_ips, status.host_ip),
            ports: containers
                .flat_map(|container| container.ports.unwrap_or_default())
                .filter_map(port)
                .take(MAX_PORTS)
                .collect(),
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                ..Default::default()
            },
        }
    }
}

/// The name of the controller that owns the pod; of a Deployment's `ReplicaSet`, the Deployment.
fn workload(metadata: &wire::Metadata) -> String {
    let owners = metadata.owner_references.iter().flatten();
    let name = match owners.into_iter().find(|owner| owner.controller) {
        Some(owner) if owner.kind == "ReplicaSet" => {
            let hash = metadata.labels.as_ref().and_then(|labels| labels.pod_template_hash.as_deref());
            hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'))
                .filter(|deployment| !deployment.is_empty())
                .or(Some(&*owner.name))
        }
        // A static pod belongs to its node, which is no workload.
        Some(owner) if owner.kind == "Node" => None,
        Some(owner) => Some(&*owner.name),
        None => None,
    };
    name.or(metadata.name.as_deref()).unwrap_or_default().to_owned()
}

/// The list if there is one; API servers before 1.16 (of nodes: 1.28) have only the first address.
fn addresses(list: Option<Vec<wire::Address>>, first: Option<String>) -> Vec<IpAddr> {
    let listed = list.into_iter().flatten().filter_map(|address| address.ip);
    let mut addresses: Vec<IpAddr> =
        listed.chain(first).take(MAX_ADDRESSES).filter_map(|text| text.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn port(port: wire::Port) -> Option<Port> {
    if port.protocol.is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    let host_address: Option<IpAddr> = port.host_ip.and_then(|text| text.parse().ok());
    Some(Port {
        container: port.container.try_into().ok()?,
        host: port.host.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
        host_address: host_address.filter(|address| !address.is_unspecified()),
    })
}

/// The fields as the API server sends them. Go leaves out what is empty, or writes `null`.
mod wire {
    use serde::Deserialize;

    #[derive(Deserialize)]
    pub(super) struct Pod {
        pub(super) metadata: Metadata,
        #[serde(default)]
        pub(super) spec: Spec,
        #[serde(default)]
        pub(super) status: Status,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Metadata {
        pub(super) name: Option<String>,
        pub(super) namespace: Option<String>,
        pub(super) uid: Option<String>,
        pub(super) resource_version: Option<String>,
        pub(super) labels: Option<Labels>,
        pub(super) owner_references: Option<Vec<Owner>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Labels {
        #[serde(rename = "pod-template-hash")]
        pub(super) pod_template_hash: Option<String>,
    }

    #[derive(Deserialize)]
    pub(super) struct Owner {
        pub(super) kind: String,
        pub(super) name: String,
        #[serde(default)]
        pub(super) controller: bool,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Spec {
        pub(super) host_network: bool,
        pub(super) containers: Option<Vec<Container>>,
        /// Sidecars are among them.
        pub(super) init_containers: Option<Vec<Container>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Container {
        pub(super) ports: Option<Vec<Port>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Port {
        #[serde(rename = "containerPort")]
        pub(super) container: i32,
        #[serde(rename = "hostPort")]
        pub(super) host: Option<i32>,
        #[serde(rename = "hostIP")]
        pub(super) host_ip: Option<String>,
        pub(super) protocol: Option<String>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    pub(super) struct Status {
        pub(super) phase: Option<String>,
        #[serde(rename = "podIP")]
        pub(super) pod_ip: Option<String>,
        #[serde(rename = "podIPs")]
        pub(super) pod_ips: Option<Vec<Address>>,
        #[serde(rename = "hostIP")]
        pub(super) host_ip: Option<String>,
        #[serde(rename = "hostIPs")]
        pub(super) host_ips: Option<Vec<Address>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Address {
        pub(super) ip: Option<String>,
    }
}
