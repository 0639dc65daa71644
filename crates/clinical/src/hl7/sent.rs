//! Which messages of one sender came already, and which of two is the later one: engines send again what they sent before, and
//! out of order, and what was taken back must not come back by that.

use recommend::Millis;
use recommend::clock::parse_time;

use super::message::Message;
use crate::dicom::uid::derived;

/// How far a clock without a zone, read as universal time, may be ahead: as far as the easternmost is, and a little. What is
/// further ahead is wrong, and would make all that comes until then late.
const AHEAD: Millis = (14 * 60 + 10) * 60 * 1000;
/// Thousandths of a second of a day.
const DAY: Millis = 24 * 60 * 60 * 1000;

/// Who sent a message, which it is, and when that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Follows from application and facility (MSH-3, MSH-4): each sender has a clock and a count of its own.
    pub sender: String,
    /// Follows from the id (MSH-10) and all that the message says: some senders count from 1 anew each day.
    pub message: String,
    /// When it was made (MSH-7, or else EVN-2), where it says so; what is still to come is no time.
    pub at: Option<Millis>,
    /// The last moment that this time may mean: one to the minute may be any second of it.
    pub until: Option<Millis>,
    /// Whether MSH-7 says something that is no such time.
    pub unread: bool,
}

impl Sent {
    /// Reads it.
    pub fn of(message: &Message, now: Millis) -> Sent {
        let header = |field| message.raw("MSH", field);
        let times = [("MSH", 7), ("EVN", 2)].into_iter();
        let times: Vec<Option<(Millis, Millis)>> = times
            .map(|(segment, field)| time(&message.get((segment, 0), field, 1)))
            .map(|time| time.filter(|(at, _)| *at <= now + AHEAD))
            .collect();
        let made = times.iter().flatten().next().copied();
        Sent {
            sender: derived(&[&header(3), &header(4)]),
            message: derived(&[&header(10), &header(9), &message.body()]),
            at: made.map(|(at, _)| at),
            until: made.map(|(at, span)| at + span),
            unread: times[0].is_none() && !header(7).trim().is_empty(),
        }
    }
}

/// A time as messages write it: a day at least, and perhaps a zone; and how much later it may be than it begins. One without a zone
/// counts as universal time, since it is compared with those of the same clock alone.
fn time(text: &str) -> Option<(Millis, Millis)> {
    let text = text.trim();
    let (whole, zone) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
    let (digits, fraction) = whole.split_once('.').unwrap_or((whole, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let zone = match zone.len() {
        0 => "Z".to_owned(),
        5 if is_number(&zone[1..]) => format!("{}:{}", &zone[..3], &zone[3..]),
        _ => return None,
    };
    if !is_number(digits) || whole.contains('.') && !is_number(fraction) {
        return None;
    }
    let span = match (digits.len(), fraction.len()) {
        (8, 0) => DAY,
        (10, 0) => 60 * 60 * 1000,
        (12, 0) => 60 * 1000,
        (14, 0) => 1000,
        (14, 1) => 100,
        (14, 2) => 10,
        (14, _) => 1,
        _ => return None,
    };
    let part = |at: usize| digits.get(at..at + 2).unwrap_or("00");
    let day = format!("{}-{}-{}", &digits[..4], part(4), part(6));
    let at = parse_time(&format!("{day}T{}:{}:{}.{fraction:0<1}{zone}", part(8), part(10), part(12)))?;
    Some((at, span - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_772_357_400_000;

    #[test]
    fn a_time_is_read_to_what_it_says() {
        for (text, read) in [
            ("20260301093000", Some(NOW)),
            ("20260301093000.000+0000", Some(NOW)),
            ("20260301103000.5+0100", Some(NOW + 500)),
            ("202603010930", Some(NOW)),
            ("20260301", Some(NOW - 34_200_000)),
            ("2026", None),
            ("2026030109300", None),
            ("20261301093000", None),
            ("20260301093000+01", None),
            ("2026é301", None),
            ("20260301093000+é12", None),
            ("", None),
        ] {
            assert_eq!(time(text).map(|(at, _)| at), read, "{text}");
        }
    }

    #[test]
    fn a_time_may_mean_all_that_it_does_not_say() {
        for (text, span) in [
            ("20260301", DAY),
            ("2026030109", 3_600_000),
            ("202603010930", 60_000),
            ("20260301093000", 1000),
            ("20260301093000.5", 100),
            ("20260301093000.5000+0100", 1),
        ] {
            assert_eq!(time(text).unwrap().1, span - 1, "{text}");
        }
        let of = |time: &str| {
            Sent::of(&Message::read(&format!("MSH|^~\\&|A|B|||{time}||ADT^A08|1\rPID|1||p\r")).unwrap(), NOW)
        };
        assert!(!of("20260301093000").unread && !of("").unread && of("2026-03-01 09:30").unread);
        // Twenty hours ahead.
        assert!(of("20260302053000").unread && of("20260302053000").at.is_none());
    }

    #[test]
    fn a_message_is_the_same_by_its_id_and_what_it_says() {
        let of = |header: &str, event: &str, rest: &str| {
            let text = format!("MSH|^~\\&|{header}|P|2.5.1\rEVN||{event}\rPID|1||p1\r{rest}");
            Sent::of(&Message::read(&text).unwrap(), NOW)
        };
        let first = of("EPIC|H|||20260301093000||ADT^A08|7", "", "AL1|1|DA|NKDA\r");
        assert_eq!(first.at, Some(NOW));
        let again = of("EPIC|H|||||ADT^A08|7", "20260301093000", "AL1|1|DA|NKDA\r");
        assert_eq!(again, first);
        assert_ne!(of("EPIC|H|||||ADT^A08|8", "", "AL1|1|DA|NKDA\r").message, first.message);
        assert_ne!(of("EPIC|H|||||ADT^A08|7", "", "AL1|1|DA|^latex\r").message, first.message);
        assert_ne!(of("EPIC|I|||||ADT^A08|7", "", "AL1|1|DA|NKDA\r").sender, first.sender);
        // A clock in another zone may be ahead, one of another year is wrong.
        assert!(of("EPIC|H|||20260301173000||ADT^A08|7", "", "").at.is_some());
        assert_eq!(of("EPIC|H|||20620301093000||ADT^A08|7", "20260301093000", "").at, Some(NOW));
    }
}
