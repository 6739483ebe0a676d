//! `overrides.yaml` of Apigee hybrid: the virtual hosts.

use std::collections::BTreeMap;
use std::iter;

use anyhow::bail;
use serde::Deserialize;

use super::input::InputText;
use super::report::VirtualHost;
use super::template;

/// What is read of it; all else is left alone.
#[derive(Debug, Deserialize)]
struct Overrides {
    virtualhosts: Option<Vec<OverridesHost>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OverridesHost {
    name: String,
    selector: Option<BTreeMap<String, String>>,
    additional_gateways: Option<Vec<String>>,
    ssl_secret: Option<String>,
    ssl_cert_path: Option<String>,
}

/// The virtual hosts, in their order.
///
/// # Errors
/// If it is no YAML, a field is not of its type, a value is a template that is not rendered, or there are no virtual
/// hosts.
pub(super) fn parse(source: &InputText) -> anyhow::Result<Vec<VirtualHost>> {
    let documents: Vec<Overrides> = source.documents()?;
    let has_field = documents.iter().any(|overrides| overrides.virtualhosts.is_some());
    let entries: Vec<OverridesHost> =
        documents.into_iter().filter_map(|overrides| overrides.virtualhosts).flatten().collect();
    if entries.is_empty() {
        if has_field {
            bail!("{}: `virtualhosts` is empty; expected an entry for each environment group", source.name);
        }
        bail!("{}: no `virtualhosts`; expected overrides.yaml of Apigee hybrid", source.name);
    }
    for (index, host) in entries.iter().enumerate() {
        if let Some(template) = host.strings().find_map(|text| template::in_value(text)) {
            bail!("{}: virtualhosts[{index}]: {}", source.name, template::unrendered(template));
        }
    }
    Ok(entries.into_iter().map(OverridesHost::into_virtual_host).collect())
}

impl OverridesHost {
    /// All its values.
    fn strings(&self) -> impl Iterator<Item = &String> {
        let labels = self.selector.iter().flatten().flat_map(|(key, value)| [key, value]);
        let of_certificate = self.ssl_secret.iter().chain(&self.ssl_cert_path);
        iter::once(&self.name)
            .chain(labels)
            .chain(self.additional_gateways.iter().flatten())
            .chain(of_certificate)
    }

    fn into_virtual_host(self) -> VirtualHost {
        let selector = self.selector.unwrap_or_default();
        VirtualHost {
            name: self.name,
            additional_gateways: self.additional_gateways.unwrap_or_default(),
            selector: selector.into_iter().map(|(key, value)| format!("{key}={value}")).collect(),
            certificate: self.ssl_secret.or(self.ssl_cert_path),
        }
    }
}
