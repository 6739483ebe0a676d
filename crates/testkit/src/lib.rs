//! Bytes for tests: ClientHellos, answers, PROXY headers, whole connections, generated captures.
//!
//! The crate makes bytes and nothing else. It needs no root, network, clock or process, and depends on no other
//! crate of the project: the same call gives the same bytes.
//!
//! ```
//! use sni_probe_testkit::captures::{Connection, Format};
//! use sni_probe_testkit::hello::ClientHelloBuilder;
//!
//! let mut connection = Connection::v4();
//! connection.open().client(&ClientHelloBuilder::new().build()).gateway_reset();
//! let pcap = connection.capture().to_bytes(Format::PCAP).unwrap();
//! assert_eq!(pcap[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
//! ```
#![forbid(unsafe_code)]

pub mod answers;
pub mod canned;
pub mod captures;
pub mod hello;
pub mod proxy;
pub mod wire;
