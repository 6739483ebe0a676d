//! The packets of the last handshakes that failed, as pcapng.
