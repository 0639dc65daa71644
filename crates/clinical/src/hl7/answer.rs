//! Acknowledgements (chapter 2.9): those that we write, and what those of others say.

use super::adt::left_out;
use super::message::{Hl7Error, Message, escaped};
use recommend::Millis;
use recommend::clock::rfc3339;

/// Whether a message was taken (table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// AA: it was.
    Yes,
    /// AE: it is not sound, and will not be if it is sent again.
    Error,
    /// AR: not now, or no such message.
    Rejected,
}

impl Accepted {
    fn code(self) -> &'static str {
        match self {
            Accepted::Yes => "AA",
            Accepted::Error => "AE",
            Accepted::Rejected => "AR",
        }
    }
}

/// The acknowledgement of a message; of none that could be read, to nobody. `told` is what is wrong with it; of one that is taken
/// these are warnings, and what of it is left out is another.
pub fn acknowledgement(
    message: Option<&Message>,
    accepted: Accepted,
    told: &[Hl7Error],
    now: Millis,
    id: &str,
) -> String {
    let of = |field: usize| message.map_or_else(String::new, |own| own.get(("MSH", 0), field, 1));
    let (event, version) = match message {
        Some(own) => (own.get(("MSH", 0), 9, 2), of(12)),
        None => (String::new(), String::new()),
    };
    let version = if version.is_empty() { "2.5.1".to_string() } else { version };
    let kind = if event.is_empty() { "ACK".to_string() } else { format!("ACK^{}^ACK", escaped(&event)) };
    let processing = Some(of(11)).filter(|text| !text.is_empty()).unwrap_or_else(|| "P".to_string());
    let mut text = format!(
        "MSH|^~\\&|{}|{}|{}|{}|{}||{kind}|{id}|{}|{}\rMSA|{}|{}\r",
        escaped(&of(5)),
        escaped(&of(6)),
        escaped(&of(3)),
        escaped(&of(4)),
        time(now),
        escaped(&processing),
        escaped(&version),
        accepted.code(),
        escaped(&of(10)),
    );
    let (severity, left_out) = match (accepted, message) {
        (Accepted::Yes, Some(message)) => ("W", left_out(message)),
        _ => ("E", Vec::new()),
    };
    for error in told.iter().chain(&left_out) {
        let (segment, field) = error.place.split_once('-').unwrap_or((&*error.place, ""));
        text.push_str(&format!(
            "ERR||{segment}^1^{field}|{}^^HL70357|{severity}||||{}\r",
            error.code,
            escaped(&error.detail)
        ));
    }
    text
}

/// What an acknowledgement of somebody else's says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// MSA-1.
    pub code: String,
    /// MSA-2: the id of the message that it is about.
    pub of: String,
    /// The code of table 0357 of the first ERR, where there is one; the words may tell of a patient.
    pub error: Option<String>,
}

/// Reads an acknowledgement; `None` for what is none.
pub fn acknowledged(message: &Message) -> Option<Acknowledged> {
    let code = Some(message.get(("MSA", 0), 1, 1)).filter(|code| !code.is_empty())?;
    let error = Some(message.get(("ERR", 0), 3, 1));
    let error =
        error.filter(|code| !code.is_empty() && code.len() <= 10 && code.bytes().all(|b| b.is_ascii_digit()));
    Some(Acknowledged { code, of: message.get(("MSA", 0), 2, 1), error })
}

/// A time to the second, in universal time.
pub(super) fn time(now: Millis) -> String {
    let digits: String = rfc3339(now).chars().filter(char::is_ascii_digit).take(14).collect();
    format!("{digits}+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_772_357_400_000;

    #[test]
    fn an_acknowledgement_goes_back_to_who_asked() {
        let message = Message::read("MSH|^~\\&|ADT|WARD|MEDSERVE|H|20260301||ADT^A01|M7|T|2.4\r").unwrap();
        let error = Hl7Error::new("PID-3", 101, "there is no identifier");
        let text = acknowledgement(Some(&message), Accepted::Error, std::slice::from_ref(&error), NOW, "1");
        assert_eq!(
            text,
            "MSH|^~\\&|MEDSERVE|H|ADT|WARD|20260301093000+0000||ACK^A01^ACK|1|T|2.4\rMSA|AE|M7\r\
             ERR||PID^1^3|101^^HL70357|E||||there is no identifier\r"
        );
        let read = acknowledged(&Message::read(&text).unwrap()).unwrap();
        assert_eq!(read, Acknowledged { code: "AE".into(), of: "M7".into(), error: Some("101".into()) });
        assert_eq!(acknowledged(&message), None);
        let born =
            Message::read("MSH|^~\\&|ADT|WARD|MEDSERVE|H|2026||ADT^A01|M7|P|2.4\rPID|1||p1||||U\r").unwrap();
        let warned = acknowledgement(Some(&born), Accepted::Yes, &[], NOW, "1");
        assert!(warned.contains("MSA|AA|M7\rERR||PID^1^7|102^^HL70357|W||||the date of birth"), "{warned}");
        assert!(!acknowledgement(Some(&born), Accepted::Rejected, &[], NOW, "1").contains("ERR|"));
        assert!(acknowledgement(None, Accepted::Rejected, &[], NOW, "1").contains("\rMSA|AR|\r"));
    }
}
