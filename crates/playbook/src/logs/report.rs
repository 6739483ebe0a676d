//! What access logs say: also the `--json` of `logs`.

use jiff::Timestamp;
use serde::Serialize;

/// Counts over all lines that were read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogsReport {
    /// The files, as they were named.
    pub files: Vec<String>,
    /// Files of which nothing, or not all, could be read: a line each that says why.
    pub unread: Vec<String>,
    /// Lines in all.
    pub lines: u64,
    /// Entries of an access log. Most are a line; those that are written over several are one entry.
    pub entries: u64,
    /// Lines that belong to no entry.
    pub other_lines: u64,
    /// Entries with a status of a request: somebody was served.
    pub served: u64,
    /// Entries without a filter chain: `filter_chain_not_found` or the flag `NR` without a request.
    pub no_filter_chain: u64,
    /// Those of them in which `sni_host` is null, or `-`. In some versions of Envoy this is no proof that there was no SNI.
    pub sni_null: u64,
    /// Those with a name.
    pub sni_present: u64,
    /// Those whose format has no such field.
    pub sni_not_logged: u64,
    /// Other TLS failures, by their `status_details` or transport failure reason.
    pub other_failures: Vec<Counted>,
    /// Entries without a filter chain by client address, most first; at most a named number, the others under `other`.
    pub by_client: Vec<Counted>,
    /// The same by the hour (UTC, RFC 3339), in the order of time.
    pub by_hour: Vec<Counted>,
    /// The same by name, where there was one.
    pub by_name: Vec<Counted>,
    /// First and last entry.
    pub first: Option<Timestamp>,
    /// As above.
    pub last: Option<Timestamp>,
    /// With `--events`: what sni-probe itself saw of the entries whose `sni_host` is null.
    pub joined: Option<Joined>,
    /// An entry without a filter chain, as it was read: evidence.
    pub sample: Option<String>,
}

/// A word and how often it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The word.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// Entries with a null `sni_host` by what sni-probe saw on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// Events that were read.
    pub events: u64,
    /// The hello really had no SNI (absent, empty, invalid).
    pub really_without_sni: u64,
    /// The hello had a name: the log's null is no proof here.
    pub had_a_name: u64,
    /// Nothing of it was seen.
    pub not_seen: u64,
    /// The clients of [`really_without_sni`](Self::really_without_sni), most first.
    pub clients_without_sni: Vec<Counted>,
    /// The names of [`had_a_name`](Self::had_a_name), most first.
    pub names: Vec<Counted>,
}
