//! Times as files have them.

use recommend::data::Millis;

const MS_PER_DAY: i64 = 86_400_000;

/// Reads a time: a date (`2024-02-29`, its first moment), a date and time with `T` or a space
/// between and with or without fractions of a second, an offset or `Z` (without either it is
/// UTC), or a whole number: seconds since 1970 below 100,000,000,000, milliseconds from there. A
/// number of eight digits is refused, since it may as well be a date.
pub fn parse_time(text: &str) -> Option<Millis> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() != 8 {
        let number: i64 = text.parse().ok()?;
        return if number < 100_000_000_000 { number.checked_mul(1_000) } else { Some(number) };
    }
    let bytes = text.as_bytes();
    if bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let (year, month, day) = (number(bytes, 0..4)?, number(bytes, 5..7)?, number(bytes, 8..10)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let date = days_since_1970(year, month, day) * MS_PER_DAY;
    if bytes.len() == 10 {
        return Some(date);
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') || bytes.get(13) != Some(&b':') {
        return None;
    }
    let (hour, minute) = (number(bytes, 11..13)?, number(bytes, 14..16)?);
    // Seconds may be left out; only they have a fraction.
    let (second, fraction, rest) = match bytes.get(16) {
        Some(b':') => {
            let (ms, rest) = fraction(bytes.get(19..)?)?;
            (number(bytes, 17..19)?, ms, rest)
        }
        _ => (0, 0, bytes.get(16..)?),
    };
    // A leap second counts as the one after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let time = date + ((hour * 60 + minute) * 60 + second) * 1_000 + fraction;
    Some(time - offset(rest)?)
}

/// The milliseconds of a fraction of a second, cut off, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 {
        return None;
    }
    let ms = (0..3).fold(0, |ms, at| {
        let digit = digits[..end].get(at).map_or(0, |byte| i64::from(byte - b'0'));
        ms * 10 + digit
    });
    Some((ms, &digits[end..]))
}

/// The milliseconds an offset such as `Z`, `+02:00` or `-0530` is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let sign = match text {
        b"" | b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (number(text, 1..3)?, 0),
        5 => (number(text, 1..3)?, number(text, 3..5)?),
        6 if text[3] == b':' => (number(text, 1..3)?, number(text, 4..6)?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

fn number(bytes: &[u8], range: std::ops::Range<usize>) -> Option<i64> {
    let digits = bytes.get(range)?;
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leap_days_before = |year: i64| {
        let last = year - 1;
        last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
    };
    let years = (year - 1970) * 365 + leap_days_before(year) - leap_days_before(1970);
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use recommend::clock::rfc3339;

    #[test]
    fn times_as_files_have_them() {
        for (text, expected) in [
            ("1970-01-01", "1970-01-01T00:00:00.000Z"),
            ("2024-02-29", "2024-02-29T00:00:00.000Z"),
            ("2024-02-29T13:05:09Z", "2024-02-29T13:05:09.000Z"),
            ("2024-02-29 13:05:09.25", "2024-02-29T13:05:09.250Z"),
            ("2024-02-29T13:05:09.123456+02:00", "2024-02-29T11:05:09.123Z"),
            ("2024-02-29T13:05-0530", "2024-02-29T18:35:00.000Z"),
            ("2024-02-29T13:05Z", "2024-02-29T13:05:00.000Z"),
            ("2000-12-31T23:59:60Z", "2001-01-01T00:00:00.000Z"),
            ("1900-03-01", "1900-03-01T00:00:00.000Z"),
            ("964982703", "2000-07-30T18:45:03.000Z"),
            ("964982703250", "2000-07-30T18:45:03.250Z"),
        ] {
            assert_eq!(parse_time(text).map(rfc3339).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-1-1",
            "29/02/2024",
            "20240229",
            "2024-02-29T",
            "2024-02-29T25:00",
            "2024-02-29T13",
            "2024-02-29T13:05:09x",
            "2024-02-29T13:05:09.",
            "2024-02-29T13:05:09+2",
            "-5",
            "1.5",
            "２０２４-02-29",
            "99999999999999999999",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reads_back_what_the_clock_writes(time in 0i64..4_102_444_800_000) {
            proptest::prop_assert_eq!(parse_time(&rfc3339(time)), Some(time));
        }

        #[test]
        fn never_panics(text in "\\PC{0,30}") {
            let _ = parse_time(&text);
        }
    }
}
