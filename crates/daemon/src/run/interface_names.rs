//! What interfaces are called in metrics and events, by the kernel's numbers.

use std::collections::{HashMap, VecDeque};

/// Interfaces that have gone and are still known by name: the outcomes of their last hellos may be open.
const MAX_DEPARTED: usize = 64;

/// The names of the interfaces that are watched, and of the last ones that were.
#[derive(Debug, Default)]
pub(super) struct InterfaceNames {
    watched: HashMap<u32, String>,
    /// The last one last.
    departed: VecDeque<(u32, String)>,
}

impl InterfaceNames {
    /// Gives an interface a name. Whether it had another one.
    pub(super) fn set(&mut self, index: u32, name: &str) -> bool {
        match self.watched.get_mut(&index) {
            Some(known) if known == name => false,
            Some(known) => {
                name.clone_into(known);
                true
            }
            None => {
                self.watched.insert(index, name.to_owned());
                true
            }
        }
    }

    /// The interface is not watched any more.
    pub(super) fn depart(&mut self, index: u32) {
        let Some(name) = self.watched.remove(&index) else { return };
        if self.departed.len() == MAX_DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back((index, name));
    }

    /// The name of the interface with this number; empty if it is not known.
    pub(super) fn get(&self, index: u32) -> &str {
        let departed = || self.departed.iter().rev().find(|(departed, _)| *departed == index);
        match self.watched.get(&index) {
            Some(name) => name,
            None => departed().map_or("", |(_, name)| name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outlive_their_interfaces_for_a_while() {
        let mut names = InterfaceNames::default();
        assert_eq!(names.get(7), "");
        assert!(names.set(7, "eth0"));
        assert!(!names.set(7, "eth0"));
        assert!(names.set(7, "eth1"));
        assert_eq!(names.get(7), "eth1");
        names.depart(7);
        assert_eq!(names.get(7), "eth1");
        // The number is given away again.
        names.set(7, "eth2");
        assert_eq!(names.get(7), "eth2");
        for index in 100..100 + u32::try_from(MAX_DEPARTED).unwrap() {
            names.set(index, "veth");
            names.depart(index);
        }
        names.depart(7);
        assert_eq!((names.get(7), names.get(100), names.get(101)), ("eth2", "", "veth"));
        assert_eq!(names.departed.len(), MAX_DEPARTED);
    }
}
