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
    /// What a reader of the counts has to know, a sentence each: empty files, times that are not understood, entries without a reason.
    pub notes: Vec<String>,
    /// Lines in all.
    pub lines: u64,
    /// Entries of an access log. Most are a line; those that are written over several are one entry.
    pub entries: u64,
    /// Lines that belong to no entry.
    pub other_lines: u64,
    /// Entries with a status of a request: a client was served.
    pub served: u64,
    /// Entries without a filter chain: `filter_chain_not_found` or the flag `NR` without a request.
    pub no_filter_chain: u64,
    /// Those of them in which `sni_host` is null, or `-`. In some versions of Envoy this is no proof that there was no SNI.
    pub sni_null: u64,
    /// Those with a name.
    pub sni_present: u64,
    /// Those with a name that is no host name (`invalid:NAME` of Istio since 1.23.2): without SNI, as everywhere.
    pub sni_invalid: u64,
    /// Those in a format without such a field.
    pub sni_not_logged: u64,
    /// Of the null ones, those with a JA4 of a ClientHello without SNI extension (`i`).
    pub null_likely_without_sni: u64,
    /// Of the null ones, those with a JA4 of a ClientHello that had one (`d`).
    pub null_likely_with_sni: u64,
    /// Other failures, by transport failure reason, `status_details`, termination details, or the flags and their meaning.
    pub other_failures: Vec<Counted>,
    /// The same by kind: `plain_http_client`, `no_certificate`, `tls_mismatch`, `client_certificate_required`, `certificate_rejected`,
    /// `upstream_unreachable`, `incomplete_hellos`, `no_reason`, `other`.
    pub failure_kinds: Vec<Counted>,
    /// Of the served entries, those with a request that failed, by kind: `upstream_unreachable`, `rejected_by_http` (status 421).
    pub request_failures: Vec<Counted>,
    /// Entries of connections that the client ended before it sent a request.
    pub client_left: u64,
    /// Entries without a filter chain by client address, most first; at most a named number, the others under `other`.
    pub by_client: Vec<Counted>,
    /// The same by the hour (UTC, RFC 3339), in the order of time.
    pub by_hour: Vec<Counted>,
    /// The same by name, where there was one.
    pub by_name: Vec<Counted>,
    /// The same by a name that is no host name.
    pub by_invalid_name: Vec<Counted>,
    /// The same by fingerprint, where the log has JA4 or JA3, and the software that likely has it.
    pub by_fingerprint: Vec<Fingerprint>,
    /// Entries by program, other than those of Envoy's access logs.
    pub by_program: Vec<Counted>,
    /// Entries with a time in a form that is not understood. They are in no hour.
    pub time_not_understood: u64,
    /// Entries without a time.
    pub without_time: u64,
    /// First and last entry.
    pub first: Option<Timestamp>,
    /// As above.
    pub last: Option<Timestamp>,
    /// With `--events`: what sni-probe itself saw of the entries with a null `sni_host`, or in a format without it.
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

/// A fingerprint of refused clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fingerprint {
    /// JA4; null if the log has none.
    pub ja4: Option<String>,
    /// JA3; null if the log has none.
    pub ja3: Option<String>,
    /// Entries.
    pub count: u64,
    /// The software that likely has the fingerprint (docs/software.md); null if it is not known.
    pub likely: Option<String>,
}

/// Entries with a null `sni_host`, or without one, by what sni-probe saw on the wire.
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
    /// The log has no address and port of the client, so that no event can be found.
    pub without_port: u64,
    /// More entries than are kept for joining.
    pub no_room: u64,
    /// Events with the same address and port contradict each other, and the entry's time does not tell which it is.
    pub undecided: u64,
    /// Of all these, entries with an unknown time: they are joined by address and port alone.
    pub by_address_alone: u64,
    /// The clients of [`really_without_sni`](Self::really_without_sni), most first.
    pub clients_without_sni: Vec<Counted>,
    /// The names of [`had_a_name`](Self::had_a_name), most first.
    pub names: Vec<Counted>,
}
