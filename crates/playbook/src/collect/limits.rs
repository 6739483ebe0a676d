//! How much is collected.

use std::time::Duration;

/// Bytes of a configuration file or of an answer. Stops a file that is something else; a longer one is left out,
/// for half a YAML is none.
pub(super) const MAX_TEXT_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of the events: the last ones. 100,000 events of 650 bytes.
pub(super) const MAX_EVENTS_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a file of evidence; the daemon writes at most 1 MiB by default.
pub(super) const MAX_EVIDENCE_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of all evidence: the newest. Stops a bundle that no mail takes.
pub(super) const MAX_EVIDENCE_BYTES: u64 = 256 * 1024 * 1024;
/// Files of evidence that are looked at. Stops a directory that is something else.
pub(super) const MAX_EVIDENCE_FILES: usize = 100_000;
/// From the request to the API server to the end of its answer.
pub(super) const CLUSTER_TIMEOUT: Duration = Duration::from_secs(15);
/// Things that are listed as missing.
pub(super) const MAX_MISSING: usize = 1_000;
/// Addresses that are told apart by pseudonyms. Stops a scan with forged addresses from filling the memory.
pub(super) const MAX_ADDRESSES: usize = 1_000_000;
