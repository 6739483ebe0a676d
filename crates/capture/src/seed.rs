//! The seed of the table of flows, new at each start: nobody can choose ports that fall on another's slot.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// A random number of the kernel's.
pub fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}
