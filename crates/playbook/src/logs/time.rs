//! The forms in which gateways write a time.
//!
//! `%START_TIME%` of Envoy is RFC 3339; `%START_TIME(FORMAT)%` is whatever `strftime` makes of a format, in UTC. A form that leaves
//! something open (day before month, no year, an unknown zone) is not understood: the entry is counted as one without a time.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::{SignedDuration, Timestamp};

/// Dates without a zone, after the zone has been cut off. `%.f` is a fraction that may be missing.
const FORMATS: [&str; 18] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y/%m/%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y.%m.%d %H:%M:%S%.f",
    "%Y%m%dT%H%M%S%.f",
    "%Y-%m-%d %I:%M:%S%.f %p",
    "%d/%b/%Y:%H:%M:%S%.f",
    "%d/%b/%Y %H:%M:%S%.f",
    "%d-%b-%Y %H:%M:%S%.f",
    "%d %b %Y %H:%M:%S%.f",
    "%a, %d %b %Y %H:%M:%S%.f",
    "%a %b %d %H:%M:%S%.f %Y",
    "%b %d %H:%M:%S%.f %Y",
    "%b %d %Y %H:%M:%S%.f",
    "%b %d, %Y %H:%M:%S%.f",
    "%b %d, %Y @ %H:%M:%S%.f",
    "%Y%m%d%H%M%S",
];

/// The same with two digits of the year (RFC 850).
const SHORT_YEARS: [&str; 2] = ["%d-%b-%y %H:%M:%S%.f", "%A, %d-%b-%y %H:%M:%S%.f"];

/// Longest text that is looked at, in bytes. Each form is shorter.
const MAX_BYTES: usize = 64;

/// Parses a time; `None` if its form is not known, or it is before 1970.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| parse_other(text)).filter(|time: &Timestamp| time.as_second() >= 0)
}

/// Whether the text of a time ends with a zone.
pub(super) fn has_zone(text: &str) -> bool {
    let is_epoch = || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let after_date = &text[text.floor_char_boundary(10)..];
    text.ends_with(['Z', 'z', 'C', 'T']) || after_date.contains(['+', '-']) || is_epoch()
}

#[cold]
fn parse_other(text: &str) -> Option<Timestamp> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']').trim_matches('"');
    if text.len() > MAX_BYTES {
        return None;
    }
    parse_epoch(text).or_else(|| parse_date(text)).or_else(|| {
        // Envoy's own example of a format has both: `%Y/%m/%dT%H:%M:%S%z %s`.
        let (date, epoch) = text.rsplit_once(' ')?;
        parse_date(date).and(parse_epoch(epoch))
    })
}

/// Seconds since 1970 with or without a fraction, or milli-, micro- or nanoseconds: their number of digits tells (since 2001). Twelve digits
/// are a date without its century or its seconds.
fn parse_epoch(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match whole.len() {
        10 => {
            let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
            let nanoseconds = SignedDuration::from_nanos(digits.parse().ok()?);
            Timestamp::from_second(number).ok()?.checked_add(nanoseconds).ok()
        }
        13 => Timestamp::from_millisecond(number).ok(),
        16 => Timestamp::from_microsecond(number).ok(),
        19 => Timestamp::from_nanosecond(i128::from(number)).ok(),
        _ => None,
    }
}

fn parse_date(text: &str) -> Option<Timestamp> {
    // `date` and ctime(3) with a zone have it before the year.
    let text = ["UTC ", "GMT "].iter().fold(text.to_owned(), |text, zone| match text.split_once(zone) {
        Some((head, year)) if year.len() == 4 => format!("{head}{year}"),
        _ => text,
    });
    let (local, offset) = split_zone(&text)?;
    // Python and Java write the fraction after a comma, and dates of one digit are padded with a space.
    let local = fraction_with_point(local).replace("  ", " ");
    // A year has four digits, unless its form says two.
    let local = FORMATS.iter().chain(&SHORT_YEARS).find_map(|format| {
        let (time, rest) = strtime::BrokenDownTime::parse_prefix(format, &local)
            .ok()
            .map(|(time, length)| (time, &local[length..]))?;
        let time = rest.is_empty().then(|| time.to_datetime().ok()).flatten();
        time.filter(|time| time.year() >= 1970)
    })?;
    at_utc(local)?.checked_sub(SignedDuration::from_secs(offset)).ok()
}

fn at_utc(local: DateTime) -> Option<Timestamp> {
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn fraction_with_point(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    text.char_indices()
        .map(|(at, one)| if one == ',' && at > 0 && is_digit(at - 1) && is_digit(at + 1) { '.' } else { one })
        .collect()
}

/// What stands before the zone, and the zone's seconds east of Greenwich. Without a zone: UTC, as Envoy's `%START_TIME%` is. `None` for a
/// zone's name that is not known.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    for name in ["UTC", "GMT", "Z", "z"] {
        if let Some(local) = text.strip_suffix(name) {
            // Go writes both: `+0000 UTC`.
            if local.trim_end().rsplit_once(' ').is_some_and(|(_, last)| is_offset(last)) {
                return split_zone(local.trim_end());
            }
            return Some((local.trim_end(), 0));
        }
    }
    if let Some(at) = text.rfind(['+', '-'])
        && text[..at].contains(':') | text[..at].contains('T')
    {
        let digits = text[at + 1..].replace(':', "");
        if matches!(digits.len(), 2 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let number: i64 = digits.parse().ok()?;
            let (hours, minutes) = if digits.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
            let seconds = (hours * 60 + minutes) * 60;
            let offset = if text[at..].starts_with('-') { -seconds } else { seconds };
            return (hours < 24 && minutes < 60).then_some((text[..at].trim_end(), offset));
        }
    }
    let is_clock =
        text.ends_with(|last: char| last.is_ascii_digit()) || text.ends_with("AM") || text.ends_with("PM");
    is_clock.then_some((text, 0))
}

/// `+0000`.
fn is_offset(text: &str) -> bool {
    text.strip_prefix(['+', '-'])
        .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_one_time() {
        for text in [
            "2025-05-19T04:46:20Z",
            "2025-05-19T04:46:20+00:00",
            "2025-05-19T06:46:20+02:00",
            "2025-05-19T06:46:20+0200",
            "2025-05-18T21:46:20-07",
            "2025-05-19 04:46:20",
            "2025-05-19T04:46:20",
            "2025-05-19 04:46:20 UTC",
            "2025-05-19 06:46:20 +0200",
            "2025-05-19 04:46:20 AM",
            "2025/05/19 04:46:20",
            "2025/05/19T04:46:20+0000",
            // Envoy's example, of its documentation of %START_TIME%.
            "2025/05/19T04:46:20+0000 1747629980",
            "2025/05/19T04:46:20Z 1747629980",
            "19/May/2025:04:46:20 +0000",
            "19/May/2025:06:46:20 +0200",
            "19/May/2025 04:46:20",
            "19 May 2025 04:46:20 GMT",
            "Mon, 19 May 2025 04:46:20 GMT",
            "Mon, 19 May 2025 06:46:20 +0200",
            "Mon May 19 04:46:20 2025",
            "Mon May 19 04:46:20 UTC 2025",
            "May 19 04:46:20 2025",
            "May 19 2025 04:46:20",
            "May 19, 2025 04:46:20",
            "20250519T044620Z",
            "20250519T044620",
            "1747629980",
            "1747629980000",
            "1747629980000000",
            "1747629980000000000",
            "[2025-05-19 04:46:20]",
            "20250519044620",
            "2025-05-19 04:46:20 +0000 UTC",
            "2025-05-19 06:46:20 +0200 UTC",
            "19-May-25 04:46:20",
            "Monday, 19-May-25 04:46:20 GMT",
            "May 19, 2025 @ 04:46:20",
        ] {
            assert_eq!(parse(text), Some("2025-05-19T04:46:20Z".parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn fractions() {
        for (text, same) in [
            ("2021-04-20 18:03:11.123456", "2021-04-20T18:03:11.123456Z"),
            ("2021-04-20 18:03:11,123", "2021-04-20T18:03:11.123Z"),
            ("1527590590.528", "2018-05-29T10:43:10.528Z"),
            ("1527590590.528123456", "2018-05-29T10:43:10.528123456Z"),
            ("1527590590528", "2018-05-29T10:43:10.528Z"),
            ("19/May/2025:04:46:20.117 +0000", "2025-05-19T04:46:20.117Z"),
        ] {
            assert_eq!(parse(text), Some(same.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_leaves_something_open_is_not_understood() {
        for text in [
            "",
            "-",
            "yesterday",
            "04:46:20.117",
            "May 19 04:46:20",
            "05/06/2025 04:46:20",
            "2025-05-19",
            "2025-05-19 04:46:20 CEST",
            "2025-13-19 04:46:20",
            "2025-05-19 04:46:20 +9999",
            "12345",
            // Without a century or seconds, in digits that are no epoch.
            "250519044620",
            "202505190446",
            "1747629",
            "0025-05-19T04:46:20Z",
            "1969-05-19T04:46:20Z",
            "99999999999999999999999",
            "2025-05-19 04:46:20 of a day that was long and had more than sixty-four bytes",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "\\PC{0,70}") {
            let _ = parse(&text);
        }

        /// What `strftime` writes is read again.
        #[test]
        fn what_is_written_is_read(second in 946_684_800_i64..4_000_000_000, format in 0..FORMATS.len()) {
            let time = Timestamp::from_second(second).unwrap();
            let text = time.strftime(FORMATS[format]).to_string();
            proptest::prop_assert_eq!(parse(&text), Some(time), "{}", text);
        }
    }
}
