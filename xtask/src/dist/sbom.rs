//! The bill of materials: SPDX 2.3 as JSON. <https://spdx.github.io/spdx-spec/v2.3/>
//!
//! Structures of our own, of what is used: the crates that model SPDX are either unmaintained or made from its schema.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use cargo_metadata::PackageId;
use jiff::Timestamp;
use serde::Serialize;

use super::archive::sha256;
use super::binary::Built;
use super::crates::{Crate, Crates};
use super::replace;
use super::system::{self, Library};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const BINARY: &str = "sni-probe";
const UNKNOWN: &str = "NOASSERTION";

/// C code that a crate brings and compiles. Its version is the build metadata of the crate's: `2.0.16+zstd.1.5.7`.
const BUNDLED: [(&str, &str, &str); 1] = [("zstd-sys", "zstd", "BSD-3-Clause OR GPL-2.0-only")];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are SPDX's")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Debug, Serialize)]
struct CreationInfo {
    created: String,
    creators: [String; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    download_location: String,
    files_analyzed: bool,
    license_concluded: String,
    license_declared: String,
    copyright_text: &'static str,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalReference>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are SPDX's")]
struct ExternalReference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are SPDX's")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

pub(super) fn write(path: &Path, name: &str, built: &Built, crates: &Crates, epoch: u64) -> Result<()> {
    let binary = sha256(&std::fs::read(&built.binary)?);
    let mut packages = Vec::new();
    let mut relationships = Vec::new();
    let mut relate = |from: &str, kind, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        relationships.push(Relationship {
            spdx_element_id: from,
            relationship_type: kind,
            related_spdx_element: to,
        });
    };
    let all = crates.all();
    let identity = |id: &PackageId| {
        let found = all.iter().find(|(other, _)| *other == id);
        found.map(|(_, krate)| identifier(&krate.package.name, &krate.package.version.to_string()))
    };
    for (_, krate) in &all {
        let mut package = Package::of(krate);
        if package.name == BINARY {
            relate(DOCUMENT, "DESCRIBES", &package.id);
            package.checksums.push(Checksum { algorithm: "SHA256", checksum_value: binary.clone() });
            package.primary_package_purpose = "APPLICATION";
            // The programs are no dependency of the binary, but data in it.
            for (_, programs) in
                all.iter().filter(|(_, krate)| krate.package.name.as_str() == bpf_object::PACKAGE)
            {
                let programs = identifier(bpf_object::PACKAGE, &programs.package.version.to_string());
                relate(&package.id, "CONTAINS", &programs);
            }
            for library in system::libraries(&built.toolchain)? {
                let library = Package::from(library);
                relate(&package.id, "STATIC_LINK", &library.id);
                packages.push(library);
            }
        }
        if let Some(library) = bundled(krate) {
            relate(&package.id, "CONTAINS", &library.id);
            packages.push(library);
        }
        let dependencies: BTreeSet<String> = krate.dependencies.iter().filter_map(identity).collect();
        for dependency in dependencies {
            relate(&package.id, "DEPENDS_ON", &dependency);
        }
        packages.push(package);
    }
    packages.sort_by(|one, other| one.id.cmp(&other.id));

    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: name.to_owned(),
        // It must be unique to the document, and needs not lead anywhere.
        document_namespace: format!("https://spdx.org/spdxdocs/{name}-{}", &binary[..32]),
        creation_info: CreationInfo {
            created: Timestamp::from_second(i64::try_from(epoch)?)?.to_string(),
            creators: [format!("Tool: sni-probe-xtask-{}", env!("CARGO_PKG_VERSION"))],
        },
        packages,
        relationships,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    replace(path, text.as_bytes())
}

impl Package {
    fn new(name: &str, version: String, licence: Option<String>) -> Self {
        let licence = licence.unwrap_or_else(|| UNKNOWN.to_owned());
        Self {
            id: identifier(name, &version),
            name: name.to_owned(),
            version_info: version,
            download_location: UNKNOWN.to_owned(),
            files_analyzed: false,
            license_concluded: licence.clone(),
            license_declared: licence,
            copyright_text: UNKNOWN,
            primary_package_purpose: "LIBRARY",
            checksums: Vec::new(),
            external_refs: Vec::new(),
        }
    }

    fn of(krate: &Crate) -> Self {
        let package = &krate.package;
        let mut described = Self::new(&package.name, package.version.to_string(), krate.licence());
        if package.source.is_some() {
            let version = described.version_info.replace('+', "%2B");
            described.external_refs.push(purl(format!("pkg:cargo/{}@{version}", package.name)));
        }
        if let Some(checksum) = &krate.checksum {
            described.checksums.push(Checksum { algorithm: "SHA256", checksum_value: checksum.clone() });
        }
        described
    }
}

impl From<Library> for Package {
    fn from(library: Library) -> Self {
        let mut package = Self::new(library.name, library.version, Some(library.licence.to_owned()));
        package.external_refs.extend(library.purl.map(purl));
        package
    }
}

fn bundled(krate: &Crate) -> Option<Package> {
    let (_, name, licence) = BUNDLED.into_iter().find(|(of, ..)| *of == krate.package.name.as_str())?;
    let version = krate.package.version.build.as_str();
    let version = version.strip_prefix(name)?.trim_start_matches('.').to_owned();
    let mut package = Package::new(name, version, Some(licence.to_owned()));
    package.external_refs.push(purl(format!("pkg:generic/{name}@{}", package.version_info)));
    Some(package)
}

fn purl(locator: String) -> ExternalReference {
    ExternalReference {
        reference_category: "PACKAGE-MANAGER",
        reference_type: "purl",
        reference_locator: locator,
    }
}

/// SPDX allows letters, digits, dots and hyphens. Names in the registry of crates do not differ in `_` and `-` alone.
fn identifier(name: &str, version: &str) -> String {
    let plain =
        |character: char| if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' };
    let text: String = format!("{name}-{version}").chars().map(plain).collect();
    format!("SPDXRef-{text}")
}
