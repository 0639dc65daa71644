//! What is written: acknowledgements (chapter 2.9), and a model's answer about an image as ORU^R01 (chapter 7.3).

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

/// The acknowledgement of a message; of none that could be read, to nobody.
pub fn acknowledgement(
    message: Option<&Message>,
    accepted: Accepted,
    error: Option<&Hl7Error>,
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
    if let Some(error) = error {
        let (segment, field) = error.place.split_once('-').unwrap_or((error.place, ""));
        text.push_str(&format!(
            "ERR||{segment}^1^{field}|{}^^HL70357|E||||{}\r",
            error.code,
            escaped(&error.detail)
        ));
    }
    text
}

/// The code that an acknowledgement gives, such as "AA"; `None` for what is none.
pub fn accepted(acknowledgement: &Message) -> Option<String> {
    Some(acknowledgement.get(("MSA", 0), 1, 1)).filter(|code| !code.is_empty())
}

/// A model's answer about an image.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    /// The id of this message.
    pub id: &'a str,
    /// When.
    pub now: Millis,
    /// Patient ID.
    pub patient: &'a str,
    /// Accession Number of the image's order; empty where there is none.
    pub accession: &'a str,
    /// Study Instance UID.
    pub study: &'a str,
    /// The model.
    pub model: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The label answered; `None` for an abstention.
    pub label: Option<&'a str>,
}

/// An answer as ORU^R01: preliminary, since nobody has read it.
pub fn result(observation: &Observation<'_>) -> String {
    let Observation { id, now, patient, accession, study, model, version, label } = observation;
    let time = time(*now);
    let model_text = escaped(&format!("{model} {version}"));
    let finding = label.map_or_else(|| "INDETERMINATE".to_string(), escaped);
    format!(
        "MSH|^~\\&|MEDSERVE||||{time}||ORU^R01^ORU_R01|{id}|P|2.5.1|||||||UNICODE UTF-8\r\
         PID|1||{}^^^^MR\r\
         OBR|1||{}|AI^{model_text}^99MEDSERVE|||{time}|||||||||||||||{time}|||P\r\
         OBX|1|ST|121071^Finding^DCM||{finding}||||||P|||{time}||||{model_text}\r\
         OBX|2|ST|110180^Study Instance UID^DCM||{}||||||P|||{time}\r\
         NTE|1||Made by an AI model and read by nobody yet. It is no diagnosis.\r",
        escaped(patient),
        escaped(accession),
        escaped(study),
    )
}

/// A time to the second, in universal time.
fn time(now: Millis) -> String {
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
        let text = acknowledgement(Some(&message), Accepted::Error, Some(&error), NOW, "1");
        assert_eq!(
            text,
            "MSH|^~\\&|MEDSERVE|H|ADT|WARD|20260301093000+0000||ACK^A01^ACK|1|T|2.4\rMSA|AE|M7\r\
             ERR||PID^1^3|101^^HL70357|E||||there is no identifier\r"
        );
        assert_eq!(accepted(&Message::read(&text).unwrap()).as_deref(), Some("AE"));
        assert!(acknowledgement(None, Accepted::Rejected, None, NOW, "1").contains("\rMSA|AR|\r"));
    }

    #[test]
    fn a_result_says_which_model_found_what_in_which_study() {
        let observation = Observation {
            id: "9",
            now: NOW,
            patient: "p|1",
            accession: "A7",
            study: "1.2.3",
            model: "pneumonia",
            version: "1",
            label: Some("normal"),
        };
        let read = Message::read(&result(&observation)).unwrap();
        assert_eq!(read.get(("PID", 0), 3, 1), "p|1");
        assert_eq!((read.get(("OBX", 0), 5, 1), read.get(("OBX", 0), 11, 1)), ("normal".into(), "P".into()));
        assert_eq!((read.get(("OBR", 0), 3, 1), read.get(("OBR", 0), 25, 1)), ("A7".into(), "P".into()));
        assert_eq!(read.get(("OBX", 1), 5, 1), "1.2.3");
        let unsure = Observation { label: None, ..observation };
        assert!(result(&unsure).contains("INDETERMINATE"));
    }
}
