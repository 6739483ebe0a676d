//! Entries with fields in groups: `{"downstream":{"remote_address":…},"response":{"flags":…,"code_details":…}}`.

use std::borrow::Cow;

use super::entry::LogEntry;
use super::fields::{Fields, Key};
use super::json::Node;

/// Groups of an object that are looked at.
const MAX_GROUPS: usize = 64;

/// An entry, if the object's own fields and those of its groups are one together, and no group is one alone.
pub(super) fn entry<'n>(fields: &'n [(Cow<'_, str>, Node<'_>)]) -> Option<LogEntry<'n>> {
    let groups = fields.iter().filter_map(|(name, value)| match value {
        Node::Object(group) => Some((name, group)),
        Node::Scalar(_) | Node::List(_) => None,
    });
    let mut all = Fields::default();
    for (name, value) in fields {
        if let Some(value) = value.scalar() {
            all.set(Key::of(name), value);
        }
    }
    let mut has_group = false;
    for (name, group) in groups.take(MAX_GROUPS) {
        let mut alone = Fields::default();
        for (field, value) in group {
            let Some(value) = value.scalar() else { continue };
            let key = match Key::of(field) {
                // `flags` of `response`.
                Key::Other | Key::MaybeFlags => Key::of(&format!("{name}_{field}")),
                key => key,
            };
            // Times and counts of a group are its own.
            if !matches!(key, Key::Start | Key::Time | Key::Use | Key::Other) {
                has_group = true;
                alone.set(key, value.clone());
                all.set(key, value);
            }
        }
        if alone.has_reason() && alone.has_connection() {
            return None;
        }
    }
    let is_entry = has_group && all.has_reason() && all.has_connection();
    is_entry.then(|| all.finish()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Kind, Name};
    use super::super::json;
    use super::*;

    #[test]
    fn fields_in_groups() {
        for (text, is_entry) in [
            (
                r#"{"start_time":"2025-05-19T04:46:20.117Z","downstream_remote_address":"10.0.0.1:2","requested_server_name":null,"response":{"response_code":0,"response_flags":"NR"}}"#,
                true,
            ),
            (
                r#"{"downstream":{"remote_address":"10.0.0.1:2","sni":null},"response":{"code":0,"flags":"NR","code_details":"filter_chain_not_found"}}"#,
                true,
            ),
            // The group is an entry: the address around it is another's.
            (
                r#"{"client_ip":"10.0.0.9","log":{"response_flags":"NR","remote_address":"10.0.0.1:2"}}"#,
                false,
            ),
            (r#"{"client_ip":"10.0.0.9","response":{"x":"NR"}}"#, false),
            (r#"{"response":{"flags":"NR"}}"#, false),
        ] {
            let Some(Node::Object(fields)) = json::tree(text.as_bytes()) else { panic!("{text}") };
            let found = entry(&fields);
            assert_eq!(found.is_some(), is_entry, "{text}");
            if let Some(found) = found {
                assert_eq!((found.kind(), &found.name), (Kind::NoFilterChain, &Name::Null), "{text}");
                assert_eq!(found.client.as_deref(), Some("10.0.0.1:2"), "{text}");
            }
        }
    }
}
