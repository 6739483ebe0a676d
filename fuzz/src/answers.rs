//! The three answers of a parser: none of them may change its mind.

use std::fmt::Debug;

use sni_probe_core::parsed::Parsed;

use crate::input::cuts;

/// Reads prefixes of `bytes` and then all of them, and gives the last answer.
///
/// # Panics
///
/// More bytes changed a decision; an answer waits for bytes that are there; or one was complete with
/// fewer bytes than an earlier answer asked for.
pub(crate) fn settle<'a, T>(bytes: &'a [u8], read: impl Fn(&'a [u8]) -> Parsed<T>) -> Parsed<T>
where
    T: Debug + PartialEq,
{
    let mut last = read(&[]);
    for len in cuts(bytes).into_iter().chain([bytes.len()]) {
        let answer = read(&bytes[..len]);
        if let Parsed::NeedMore { at_least } = answer {
            assert!(at_least > len, "waits for {at_least} bytes of {len}");
        }
        match (&last, &answer) {
            (Parsed::NeedMore { at_least: before }, Parsed::NeedMore { at_least }) => {
                assert!(before <= at_least, "{before} bytes were to be too few, now {at_least} are enough");
            }
            (Parsed::NeedMore { at_least }, Parsed::Complete(_)) => {
                assert!(*at_least <= len, "complete with {len} bytes, where {at_least} were asked for");
            }
            // What contradicts itself is rejected as soon as that shows.
            (Parsed::NeedMore { .. }, Parsed::Rejected(_)) => {}
            (decided, _) => assert_eq!(*decided, answer, "{len} bytes changed a decision"),
        }
        last = answer;
    }
    last
}
