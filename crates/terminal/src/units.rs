//! Numbers and times with their units.

use std::time::Duration;

/// A noun in the number that goes with `count`: "handshake", "handshakes"; "entry", "entries".
pub fn plural(count: u64, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if count == 1 => noun.to_owned(),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

/// A number and its noun: "1 handshake", "2 handshakes".
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {}", plural(count, noun))
}

/// A number with a comma between each three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in at most six characters: "999999", "1.0M".
pub fn short_number(number: u64) -> String {
    const MILLION: u64 = 1_000_000;
    if number < MILLION {
        return number.to_string();
    }
    let (mut unit, mut letter) = (MILLION, 'M');
    for larger in ['G', 'T', 'P', 'E'] {
        if number / unit < 1000 {
            break;
        }
        (unit, letter) = (unit * 1000, larger);
    }
    format!("{}.{}{letter}", number / unit, number % unit / (unit / 10))
}

/// A number of events a second; `None` is one that is not known yet.
pub fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate < 99.95 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

/// A latency in a column, without a space: "45us", "1.5ms", "2.3s". Below 1,000 s it has at most seven characters.
pub fn latency(latency: Duration) -> String {
    let microseconds = latency.as_micros();
    match microseconds {
        0..1000 => format!("{microseconds}us"),
        1000..1_000_000 => format!("{}.{}ms", microseconds / 1000, microseconds % 1000 / 100),
        _ => format!("{}.{}s", microseconds / 1_000_000, microseconds % 1_000_000 / 100_000),
    }
}

/// A duration in its largest unit: "3 s", "5 min", "2 h", "4 d".
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns() {
        assert_eq!(
            [0, 1, 2].map(|count| counted(count, "handshake")).join(", "),
            "0 handshakes, 1 handshake, 2 handshakes"
        );
        assert_eq!([1, 2].map(|count| counted(count, "entry")), ["1 entry", "2 entries"]);
        assert_eq!(counted(2, "key"), "2 keys");
    }

    #[test]
    fn times() {
        let said = [0, 59, 60, 3599, 7200, 86400 * 3].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(said, ["0 s", "59 s", "1 min", "59 min", "2 h", "3 d"]);
        let said = [45, 1500, 999_999, 2_340_000].map(|micros| latency(Duration::from_micros(micros)));
        assert_eq!(said, ["45us", "1.5ms", "999.9ms", "2.3s"]);
    }

    #[test]
    fn numbers() {
        let said = [0, 999_999, 1_000_000, 999_999_999, 1_000_000_000, u64::MAX].map(short_number);
        assert_eq!(said, ["0", "999999", "1.0M", "999.9M", "1.0G", "18.4E"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn rates() {
        assert_eq!([None, Some(0.0), Some(1.25), Some(99.96)].map(rate), ["-", "0.0", "1.2", "100"]);
    }
}
