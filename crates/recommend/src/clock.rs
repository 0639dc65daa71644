//! The little of the calendar the recommender needs: the year of a moment and its RFC 3339 text.
//!
//! The present time always comes in as an argument, so that the same data and the same moment
//! give the same answer.

use super::data::Millis;

const MS_PER_DAY: i64 = 86_400_000;

/// Year, month (1 to 12) and day (1 to 31) of the proleptic Gregorian calendar, counted in eras
/// of 400 years (146,097 days) that begin on 1 March, so that the leap day comes last.
fn civil(day: i64) -> (i64, u32, u32) {
    let shifted = day + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day)
}

/// The present time by the system's clock.
pub fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as Millis)
}

/// The calendar year, in UTC, of a moment.
pub fn year_of(time: Millis) -> i32 {
    civil(time.div_euclid(MS_PER_DAY)).0 as i32
}

/// The moment as RFC 3339 text in UTC, such as `2024-02-29T13:05:09.250Z`.
pub fn rfc3339(time: Millis) -> String {
    let (year, month, day) = civil(time.div_euclid(MS_PER_DAY));
    let ms = time.rem_euclid(MS_PER_DAY);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
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
    }
}
