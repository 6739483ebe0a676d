//! What of the captures was not read, in words.

use sni_probe_core::vocabulary::Label as _;
use sni_probe_pcap::frame::{LinkType, SkipReason, Unread, UnreadCounts, Unwrapped};

/// Kinds that the error about a capture without a readable frame names.
const NAMED: usize = 5;

/// Counts the frames of one file, and those of them that cannot be read.
#[derive(Debug, Default)]
pub(super) struct FileFrames {
    frames: u64,
    skipped: [u64; SkipReason::ALL.len()],
    unread: UnreadCounts,
    /// Those without an IP packet, of a link type of which that is unusual.
    not_ip: u64,
    first_link_type: Option<LinkType>,
}

impl FileFrames {
    /// Counts a frame.
    pub(super) fn add(&mut self, link_type: LinkType, unwrapped: &Unwrapped<'_>) {
        self.frames += 1;
        self.first_link_type.get_or_insert(link_type);
        match *unwrapped {
            Unwrapped::Skipped(reason) => self.skipped[reason as usize] += 1,
            // The earlier fragments of the packet counted as read.
            Unwrapped::Unread { what, .. } => self.unread.add(what, 1),
            Unwrapped::NotIp if !is_usual(link_type) => self.not_ip += 1,
            Unwrapped::Ip(_)
            | Unwrapped::Reassembled { .. }
            | Unwrapped::Fragment
            | Unwrapped::Other
            | Unwrapped::NotIp => {}
        }
    }

    /// Why not one frame of the file can be read, and what to do; `None` if one can, or there is none.
    pub(super) fn why_unreadable(&self) -> Option<String> {
        let unread = self.unread.iter().map(|(_, frames)| frames).sum::<u64>() + self.unread.other();
        let skipped: u64 = self.skipped.iter().sum();
        if self.frames == 0 || unread + skipped + self.not_ip < self.frames {
            return None;
        }
        let mut kinds: Vec<(u64, String, &str)> = Vec::new();
        let link_type = self.first_link_type.map_or_else(String::new, |it| format!(" (link type {it})"));
        kinds.push((self.not_ip, format!("frames without an IP packet{link_type}"), LINK_TYPE));
        kinds.extend(self.unread.iter().map(|(what, frames)| (frames, what.to_string(), advice(what))));
        for (&reason, &frames) in SkipReason::ALL.iter().zip(&self.skipped) {
            let (what, advice) = match reason {
                SkipReason::Truncated => ("frames cut by the snap length", SNAP_LENGTH),
                SkipReason::TooDeep => ("frames with too many headers inside of each other", LINK_TYPE),
                _ => ("frames with contradicting headers", LINK_TYPE),
            };
            kinds.push((frames, format!("{what}{link_type}"), advice));
        }
        kinds.retain(|&(frames, ..)| frames > 0);
        kinds.sort_by_key(|&(frames, ..)| std::cmp::Reverse(frames));
        let advice = kinds.first().map_or(LINK_TYPE, |&(_, _, advice)| advice);
        let more = match kinds.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        kinds.truncate(NAMED);
        let kinds: Vec<String> = kinds.iter().map(|(frames, what, _)| format!("{what}: {frames}")).collect();
        let subject = match self.frames {
            1 => "its 1 frame cannot be read".to_owned(),
            frames => format!("none of its {frames} frames can be read"),
        };
        let kinds = kinds.join(", ");
        let link_type = if kinds.contains("link type") { "" } else { &link_type };
        Some(format!("{subject}{link_type} ({kinds}{more}); {advice}"))
    }
}

/// Whether captures of this link type are common enough that one without IP (only ARP, say) may be just that: Ethernet,
/// raw IP, Linux cooked.
fn is_usual(link_type: LinkType) -> bool {
    matches!(link_type.0, 1 | 12 | 14 | 101 | 113 | 228 | 229 | 276)
}

const SNAP_LENGTH: &str = "capture again with `tcpdump -s 0`";
const LINK_TYPE: &str =
    "does the capture name the right link type? `editcap -T ether IN OUT` changes it to Ethernet";

/// What to do about frames that are not read.
fn advice(unread: Unread) -> &'static str {
    match unread {
        // USER0 to USER15, for private use.
        Unread::LinkType(LinkType(147..=162)) => {
            "if its frames are Ethernet, `editcap -T ether IN OUT` changes the link type"
        }
        Unread::LinkType(_) => "capture on a network interface, for example with `tcpdump -i any`",
        Unread::EtherType(_) | Unread::Encapsulation(_) => {
            "capture where the packets do not have this header"
        }
    }
}

/// Frames that were not read, in words with their number.
pub(super) fn describe(unread: &UnreadCounts) -> Vec<(String, u64)> {
    let mut words: Vec<_> =
        unread.iter().map(|(what, frames)| (format!("frames not read, {what}"), frames)).collect();
    words.push(("frames not read, of further kinds".to_owned(), unread.other()));
    words
}

/// Frames that were skipped for this reason, in words. `None`: [`describe`] names their kinds.
pub(super) fn describe_skip(reason: SkipReason) -> Option<&'static str> {
    Some(match reason {
        SkipReason::UnknownLinkType | SkipReason::Unsupported => return None,
        SkipReason::Truncated => {
            "frames cut by the snap length before their TCP header (capture with: tcpdump -s 0)"
        }
        SkipReason::Malformed => "frames with contradicting headers",
        SkipReason::TooDeep => "frames with too many headers inside of each other",
        SkipReason::FragmentsMissing => "IP fragments without the rest of their packet",
        SkipReason::FragmentsOverlap => "IP fragments that contradict each other",
        SkipReason::FragmentsOverflow => "IP fragments that were given up because too many were held",
    })
}

#[cfg(test)]
mod tests {
    use sni_probe_pcap::frame::Encapsulation;

    use super::*;

    fn why(frames: &[Unwrapped<'_>]) -> Option<String> {
        let mut file = FileFrames::default();
        for frame in frames {
            file.add(LinkType(189), frame);
        }
        file.why_unreadable()
    }

    fn unread(what: Unread) -> Unwrapped<'static> {
        Unwrapped::Unread { what, frames: 1 }
    }

    #[test]
    fn a_file_is_unreadable_if_no_frame_can_be_read() {
        let usb = unread(Unread::LinkType(LinkType(189)));
        let esp = unread(Unread::Encapsulation(Encapsulation::Esp));
        assert_eq!(why(&[]), None);
        assert_eq!(why(&[usb, Unwrapped::Other]), None);
        assert_eq!(why(&[usb, Unwrapped::Fragment]), None);
        assert_eq!(
            why(&[usb, usb]).unwrap(),
            "none of its 2 frames can be read (link type 189 (USB_LINUX): 2); capture on a network interface, for \
             example with `tcpdump -i any`"
        );
        assert_eq!(
            why(&[esp, usb, esp]).unwrap(),
            "none of its 3 frames can be read (IPsec ESP (IP protocol 50): 2, link type 189 (USB_LINUX): 1); capture \
             where the packets do not have this header"
        );
        assert_eq!(
            why(&[Unwrapped::Skipped(SkipReason::Truncated)]).unwrap(),
            "its 1 frame cannot be read (frames cut by the snap length (link type 189 (USB_LINUX)): 1); capture \
             again with `tcpdump -s 0`"
        );
    }

    #[test]
    fn frames_without_ip_are_unusual_where_the_link_type_is() {
        let mut file = FileFrames::default();
        file.add(LinkType(10), &Unwrapped::NotIp);
        assert!(
            file.why_unreadable().unwrap().contains("frames without an IP packet (link type 10 (FDDI)): 1")
        );
        file.add(LinkType::ETHERNET, &Unwrapped::NotIp);
        assert_eq!(file.why_unreadable(), None);
    }

    #[test]
    fn no_more_than_a_few_kinds_are_named() {
        let kinds: Vec<_> = (0..9).map(|number| unread(Unread::EtherType(0xff00 + number))).collect();
        assert!(why(&kinds).unwrap().contains("EtherType 0xff04: 1, and 4 more);"));
    }
}
