//! What `cargo xtask vm-test` and the program in its virtual machines agree upon.

/// The text before the guest's answer, which is one line of JSON on the console.
pub const ANSWER: &str = "SNI-PROBE-VM-TEST ";
/// The variable on the kernel's command line that names the [`Guest`].
pub const GUEST_VARIABLE: &str = "sni_probe.guest";
/// Links of a [`Guest::Visibility`] machine. Each is a hub with two network cards.
pub const LINKS: u8 = 7;

/// The test that a virtual machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// The daemon loads, attaches, counts and detaches with the smallest set of capabilities.
    Daemon,
    /// The daemon watches interfaces of many kinds: which of them see the hello and the reset.
    Visibility,
}

impl Guest {
    /// Its name on the kernel's command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Visibility => "visibility",
        }
    }

    /// The guest with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Daemon, Self::Visibility].into_iter().find(|guest| guest.name() == name)
    }
}

/// The side of a link on which a network card is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The node with the gateway.
    Node,
    /// The clients.
    Client,
}

/// Returns the MAC address of a link's network card.
pub fn mac_address(link: u8, side: Side) -> String {
    let side = match side {
        Side::Node => 1,
        Side::Client => 2,
    };
    // Locally administered, in the range that QEMU uses.
    format!("52:54:00:77:{link:02x}:{side:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_have_names() {
        for guest in [Guest::Daemon, Guest::Visibility] {
            assert_eq!(Guest::from_name(guest.name()), Some(guest));
        }
        assert_eq!(Guest::from_name("other"), None);
    }

    #[test]
    fn network_cards_have_addresses_of_their_own() {
        assert_eq!(mac_address(6, Side::Client), "52:54:00:77:06:02");
        assert_ne!(mac_address(6, Side::Node), mac_address(6, Side::Client));
    }
}
