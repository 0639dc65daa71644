//! When an image was taken, as far as it says so. The clock of an answer says nothing of that: an archive may send what is years
//! old.

use super::source::offset;
use super::tags::{self, Tag};
use recommend::clock::parse_time;

/// A day, and where they are known the time of day and how far that is from universal time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Year, month and day: eight digits.
    date: String,
    /// Hours, minutes and seconds: six digits, four, or none.
    time: String,
    /// Such as "+0530"; empty where the image does not say.
    offset: String,
}

/// What of an image tells when it was taken, the first that does: when it was acquired, when its content was begun, when its
/// study was.
const DAYS: [(Tag, Tag); 3] = [
    (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::STUDY_DATE, tags::STUDY_TIME),
];

impl Moment {
    /// Every attribute that is read.
    pub fn wanted() -> impl Iterator<Item = Tag> {
        let days = DAYS.into_iter().flat_map(|(date, time)| [date, time]);
        [tags::ACQUISITION_DATETIME, tags::TIMEZONE].into_iter().chain(days)
    }

    /// Puts together what an image says; `value` gives the bytes of an attribute.
    pub fn read(value: impl Fn(Tag) -> Option<Vec<u8>>) -> Option<Moment> {
        let text = |tag| {
            let bytes = value(tag).unwrap_or_default();
            String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_string()
        };
        let zone = text(tags::TIMEZONE);
        let whole = text(tags::ACQUISITION_DATETIME);
        let (digits, own) = whole.split_at(whole.find(['+', '-']).unwrap_or(whole.len()));
        let (date, time) = digits.split_at_checked(8).unwrap_or_default();
        let zone_of_whole = if own.is_empty() { &zone } else { own };
        Moment::of(date, time, zone_of_whole)
            .or_else(|| DAYS.iter().find_map(|(date, time)| Moment::of(&text(*date), &text(*time), &zone)))
    }

    fn of(date: &str, time: &str, zone: &str) -> Option<Moment> {
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if date.len() != 8 || !all_digits(date) {
            return None;
        }
        parse_time(&dashed(date))?;
        let whole = time.split('.').next().unwrap_or_default();
        let within = |at: usize, most: &str| whole.get(at..at + 2).is_none_or(|part| part < most);
        let is_time = matches!(whole.len(), 4 | 6)
            && all_digits(whole)
            && [(0, "24"), (2, "60"), (4, "60")].into_iter().all(|(at, most)| within(at, most));
        let time = if is_time { whole } else { "" };
        let zone = if is_time && offset(zone).is_some() { zone } else { "" };
        Some(Moment { date: date.to_string(), time: time.to_string(), offset: zone.to_string() })
    }

    /// As FHIR has it: a time stands there only with its offset, and with seconds.
    pub fn fhir(&self) -> String {
        let date = dashed(&self.date);
        if self.offset.is_empty() {
            return date;
        }
        let part = |at: usize| self.time.get(at..at + 2).unwrap_or("00");
        let (hours, minutes) = self.offset.split_at(3);
        format!("{date}T{}:{}:{}{hours}:{minutes}", part(0), part(2), part(4))
    }

    /// As HL7 version 2 has it.
    pub fn hl7(&self) -> String {
        format!("{}{}{}", self.date, self.time, self.offset)
    }
}

/// Eight digits as a date.
fn dashed(date: &str) -> String {
    let (year, day) = date.split_at(4);
    let (month, day) = day.split_at(2);
    format!("{year}-{month}-{day}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an image says.
    type Said<'a> = &'a [(Tag, &'a str)];

    #[test]
    fn an_image_was_taken_when_it_says_so_and_at_no_other_time() {
        let (when, day, time) = (tags::ACQUISITION_DATETIME, tags::ACQUISITION_DATE, tags::ACQUISITION_TIME);
        let (content, study, at) = (tags::CONTENT_DATE, tags::STUDY_DATE, tags::STUDY_TIME);
        let zone = tags::TIMEZONE;
        let cases: [(Said, Option<(&str, &str)>); 14] = [
            (&[], None),
            (&[(study, "20190304"), (at, "101500")], Some(("2019-03-04", "20190304101500"))),
            (
                &[(study, "20190304"), (at, "101500.25"), (zone, "+0530")],
                Some(("2019-03-04T10:15:00+05:30", "20190304101500+0530")),
            ),
            (
                &[(study, "20190304"), (at, "1015"), (zone, "-0800 ")],
                Some(("2019-03-04T10:15:00-08:00", "201903041015-0800")),
            ),
            (&[(study, "20190304"), (zone, "+0530")], Some(("2019-03-04", "20190304"))),
            (&[(study, "20190304"), (at, "250000"), (zone, "+0530")], Some(("2019-03-04", "20190304"))),
            (&[(study, "20190304"), (at, "101500"), (zone, "junk")], Some(("2019-03-04", "20190304101500"))),
            (&[(study, "20190304"), (content, "20190306")], Some(("2019-03-06", "20190306"))),
            (
                &[(content, "20190306"), (day, "20190305"), (time, "0900")],
                Some(("2019-03-05", "201903050900")),
            ),
            (
                &[(day, "20190305"), (when, "20190307080910.5+0100"), (zone, "+0530")],
                Some(("2019-03-07T08:09:10+01:00", "20190307080910+0100")),
            ),
            (&[(when, "201903"), (study, "20190304")], Some(("2019-03-04", "20190304"))),
            (&[(content, "20190231"), (study, "20190304")], Some(("2019-03-04", "20190304"))),
            (&[(study, "2019.03.04")], None),
            (&[(study, "\u{661}9031234")], None),
        ];
        for (said, expected) in cases {
            let value =
                |tag| said.iter().find(|(own, _)| *own == tag).map(|(_, text)| text.as_bytes().to_vec());
            let moment = Moment::read(value).map(|own| (own.fhir(), own.hl7()));
            let expected = expected.map(|(fhir, hl7)| (fhir.to_string(), hl7.to_string()));
            assert_eq!(moment, expected, "{said:?}");
        }
    }
}
