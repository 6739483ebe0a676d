//! Refused and served handshakes of a gateway by property.

use std::collections::BTreeMap;

use sni_probe_core::vocabulary::Label;

use super::predicate::Row;
use super::profile::{AlpnKey, MANY, NameKey};
use super::report::{Property, PropertyCounts, ValueCounts};
use super::view::View;
use crate::rest::REST;
use crate::word::Word;

/// The counts by each property; what is not distinguished is missing.
pub(super) fn counts(view: &View<'_>) -> Vec<PropertyCounts> {
    let of_property = |&property: &Property| {
        let mut values: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for row in &view.rows {
            let (refused, served) = values.entry(value(view, property, row)).or_default();
            *refused += row.refused();
            *served += row.served();
        }
        let values = values.into_iter().filter(|(_, (refused, served))| refused + served > 0);
        let values = values.map(|(value, (refused, served))| ValueCounts { value, refused, served });
        PropertyCounts { property: Word::Known(property), values: values.collect() }
    };
    Property::ALL.iter().map(of_property).filter(|counts| !counts.values.is_empty()).collect()
}

fn value(view: &View<'_>, property: Property, row: &Row) -> String {
    let profile = &row.profile;
    let yes_or_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let number = |count: u8| if count == MANY { format!("{MANY}+") } else { count.to_string() };
    match property {
        Property::Segments => number(profile.segments),
        Property::Records => number(profile.records),
        Property::SizeClass => profile.size.to_string(),
        Property::PostQuantum => yes_or_no(profile.is_post_quantum),
        Property::Alpn => match profile.alpn {
            AlpnKey::None => "none".to_owned(),
            AlpnKey::Rest => REST.to_owned(),
            AlpnKey::Known(number) => {
                let names = view.alpn[usize::from(number)].iter();
                names.map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
            }
        },
        Property::OfferedVersions => {
            let versions: Vec<&str> = profile.versions.iter().map(Label::as_str).collect();
            if versions.is_empty() { "unknown".to_owned() } else { versions.join(" ") }
        }
        Property::ProxyHeader => yes_or_no(profile.has_proxy_header),
        Property::NameAsSent => match (profile.has_upper_case, profile.has_trailing_dot) {
            (false, false) => "plain",
            (true, false) => "upper_case",
            (false, true) => "trailing_dot",
            (true, true) => "upper_case trailing_dot",
        }
        .to_owned(),
        Property::KnownName => match profile.name {
            NameKey::Known(_) => {
                if row.is_name_served {
                    "served"
                } else {
                    "not_served"
                }
            }
            NameKey::Rest => REST,
            NameKey::Absent => "absent",
            NameKey::Empty => "empty",
            NameKey::Invalid => "invalid",
        }
        .to_owned(),
    }
}
