//! The little of the calendar the recommender needs: the year of a moment, and times as text.
//!
//! The present time comes in as an argument everywhere else, so that the same data and the same
//! moment give the same answer.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::Offset;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::data::Millis;

/// What [`parse_time`] reads, in words.
pub const TIME_FORMS: &str = "2024-02-29, 2024-02-29T13:05:09Z, or seconds or milliseconds since 1970";

/// The present time by the system's clock.
pub fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

/// The calendar year, in UTC, of a moment.
pub fn year_of(time: Millis) -> i32 {
    i32::from(Offset::UTC.to_datetime(timestamp(time)).year())
}

/// The moment as RFC 3339 text in UTC, such as `2024-02-29T13:05:09.250Z`.
pub fn rfc3339(time: Millis) -> String {
    DateTimePrinter::new().precision(Some(3)).timestamp_to_string(&timestamp(time))
}

/// Reads a time: a date (`2024-02-29`, its first moment), a date and time with `T` or a space
/// between and with or without seconds and their fraction, an offset or `Z` (without either it is
/// UTC), or a whole number: seconds since 1970 below 100,000,000,000, milliseconds from there. A
/// number of eight digits is refused, since it may as well be a date.
pub fn parse_time(text: &str) -> Option<Millis> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok().filter(|_| text.len() != 8)?;
        return if number < 100_000_000_000 { number.checked_mul(1_000) } else { Some(number) };
    }
    let (date, rest) = text.split_at_checked(10)?;
    if rest.is_empty() {
        let date: Date = date.parse().ok()?;
        return Some(Offset::UTC.to_timestamp(date.into()).ok()?.as_millisecond());
    }
    // The library also reads times of the hour alone; those are more likely a mistake.
    if rest.as_bytes().get(3) != Some(&b':') {
        return None;
    }
    let time = if rest.contains(['Z', 'z', '+', '-']) {
        text.parse::<Timestamp>().ok()?
    } else {
        Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?
    };
    // The library takes a leap second for the one before it; it counts as the one after.
    let leap = rest.get(6..9) == Some(":60");
    Some(time.as_millisecond() + if leap { 1_000 } else { 0 })
}

/// The nearest moment that the calendar has: a row written by plain SQL may hold any number.
fn timestamp(time: Millis) -> Timestamp {
    Timestamp::from_millisecond(time).unwrap_or(if time < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Writes a time as [`rfc3339`] has it.
pub(super) fn serialize<S: Serializer>(time: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// Reads a time as [`parse_time`] does, a number as its digits; null is now.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
    struct Time;

    impl Visitor<'_> for Time {
        type Value = Millis;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a time: {TIME_FORMS}")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Millis, E> {
            parse_time(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Millis, E> {
            parse_time(&number.to_string())
                .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
        }

        fn visit_unit<E: Error>(self) -> Result<Millis, E> {
            Ok(now())
        }
    }

    deserializer.deserialize_any(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_the_calendar_has_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(year_of(1_704_067_199_999), 2023);
        assert_eq!(year_of(1_704_067_200_000), 2024);
        assert!(rfc3339(Millis::MAX).starts_with("9999") && rfc3339(Millis::MIN).starts_with("-009999"));
    }

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
