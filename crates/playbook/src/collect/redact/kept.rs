//! Fields that `routes` and `diagnose` read: their values stay, so that a bundle gets the same answer as its inputs.
//!
//! The fields are known by their whole path in an object of a kind that is read. A field of the same name elsewhere is
//! treated as any other. Tokens, private keys and user information in URLs are taken out even here.

use serde_json::{Map, Value};

/// A field, and the fields in it that stay. Elements of a list have the path of the list.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    /// Empty for a field with a value that stays.
    fields: &'static [Self],
}

/// Characters of a name (RFC 1123).
const MAX_NAME: usize = 253;
/// Stands for any name: labels and options.
const ANY: &str = "*";

const fn value(name: &'static str) -> Field {
    Field { name, fields: &[] }
}

const fn map(name: &'static str, fields: &'static [Field]) -> Field {
    Field { name, fields }
}

/// `overrides.yaml` of Apigee hybrid.
pub(super) static OVERRIDES: Field = map("", &[map("virtualhosts", VIRTUAL_HOST)]);
/// An object of a kind that is read.
static OBJECT: Field = map("", OBJECT_FIELDS);
/// A list of one kind: its items need not say their kind.
static LIST: Field = map("", &[map("items", OBJECT_FIELDS)]);

const VIRTUAL_HOST: &[Field] = &[
    value("name"),
    value("additionalGateways"),
    value("sslSecret"),
    value("sslCertPath"),
    map("selector", &[value(ANY)]),
];
const OBJECT_FIELDS: &[Field] = &[
    map(
        "metadata",
        &[
            value("name"),
            value("namespace"),
            // The certificates of a Gateway of GKE.
            map("annotations", &[value("networking.gke.io/certmap")]),
        ],
    ),
    map("spec", SPEC),
    map(
        "status",
        &[
            value("state"),
            CONDITIONS,
            map("listeners", &[value("name"), CONDITIONS]),
            map("parents", &[map("parentRef", REFERENCE), value("controllerName"), CONDITIONS]),
        ],
    ),
];
const SPEC: &[Field] = &[
    value("additionalGateways"),
    value("hostnames"),
    value("gatewayClassName"),
    value("controllerName"),
    map("selector", &[value(ANY)]),
    map("ports", &[value("name"), value("protocol"), TLS]),
    TLS,
    map("servers", &[value("name"), value("hosts"), map("port", &[value("name"), value("protocol")]), TLS]),
    map("listeners", &[value("name"), value("hostname"), value("protocol"), TLS, ALLOWED_ROUTES]),
    map("allowedListeners", &[NAMESPACES]),
    map("parentRef", REFERENCE),
    map("parentRefs", REFERENCE),
];
const TLS: Field = map(
    "tls",
    &[
        value("mode"),
        value("credentialName"),
        value("credentialNames"),
        value("serverCertificate"),
        map("tlsCertificates", &[value("serverCertificate")]),
        value("minProtocolVersion"),
        map("certificateRefs", REFERENCE),
        map("options", &[value(ANY)]),
    ],
);
const ALLOWED_ROUTES: Field =
    map("allowedRoutes", &[map("kinds", &[value("group"), value("kind")]), NAMESPACES]);
const NAMESPACES: Field = map("namespaces", &[value("from")]);
const REFERENCE: &[Field] =
    &[value("group"), value("kind"), value("namespace"), value("name"), value("sectionName")];
const CONDITIONS: Field =
    map("conditions", &[value("type"), value("status"), value("reason"), value("message")]);

/// Kinds that are read, with the groups of their API.
const KINDS: [(&str, &[&str]); 4] = [
    ("apigee.cloud.google.com", &["ApigeeRoute", "ApigeeRouteConfig"]),
    ("networking.istio.io", &["Gateway"]),
    ("gateway.networking.k8s.io", &["Gateway", "ListenerSet", "TLSRoute", "TCPRoute", "GatewayClass"]),
    ("gateway.networking.x-k8s.io", &["ListenerSet", "XListenerSet"]),
];

impl Field {
    /// Returns the fields of an object of a kind that is read, or of a list of such objects.
    pub(super) fn of_object(object: &Map<String, Value>) -> Option<&'static Self> {
        let word = |name: &str| object.get(name).and_then(Value::as_str);
        let (group, kind) = (word("apiVersion")?.split('/').next().unwrap_or_default(), word("kind")?);
        let is_read = |kind: &str| KINDS.iter().any(|(of, kinds)| *of == group && kinds.contains(&kind));
        if is_read(kind) {
            return Some(&OBJECT);
        }
        kind.strip_suffix("List").filter(|kind| is_read(kind)).map(|_| &LIST)
    }

    /// Returns the field of this name in this one.
    pub(super) fn field(&'static self, name: &str) -> Option<&'static Self> {
        self.fields.iter().find(|field| field.name == name || field.name == ANY)
    }

    /// Returns whether a value here stays.
    pub(super) fn is_value(&self) -> bool {
        self.fields.is_empty()
    }
}

/// Returns whether the text has the form of a name in Kubernetes, or of a host: such a value is no secret where a name is due.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'*')
        })
}
