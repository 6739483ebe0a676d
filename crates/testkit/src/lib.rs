//! Bytes for tests: ClientHellos, answers, PROXY headers, whole connections, generated captures.
//!
//! The crate makes bytes and nothing else. It needs no root, network, clock or process: the same call gives the same
//! bytes. Its hellos are those of [`sni_probe_hello`].
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
pub mod proxy;

pub use sni_probe_hello as hello;
pub use sni_probe_hello::wire;
