//! A model's answer about an image as ORU^R01 (chapter 7.3): what a record system files under the patient and the order.
//!
//! The result is preliminary, since nobody has read it. Its codes are those of the structured report, so that a
//! system that gets both knows them for the same. A study has several images and an order several models: each answer is an order
//! of its own for the receiver (OBR-3), its observations are those of its image (OBX-4), and which image that is stands beside
//! them. The id follows from the image and the model's version: a message that
//! is sent again after a broken connection has the id that it had, by which its receiver knows it.

use super::message::escaped;
use super::time;
use crate::dicom::uid::derived;
use crate::dicom::{Moment, Source, tags};
use recommend::Millis;

/// Digits of a message's id, and of what tells the observations of one image from those of another; HL7 has room for 20.
const ID: usize = 20;

/// Who gets results: MSH-5 and MSH-6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receiver {
    /// Receiving application; empty where it does not matter.
    pub application: String,
    /// Receiving facility.
    pub facility: String,
}

/// What a model said of an image.
#[derive(Debug, Clone)]
pub struct Finding<'a> {
    /// The model.
    pub model: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The label answered; `None` for an abstention.
    pub label: Option<&'a str>,
    /// What the label means, where the model says so.
    pub meaning: Option<&'a str>,
    /// The label's calibrated probability, 0 to 1, where there is one.
    pub probability: Option<f32>,
    /// Of an abstention: why, in words.
    pub reason: Option<&'a str>,
}

/// The id of the message about an answer (MSH-10).
pub fn message_id(source: &Source, model: &str, version: &str) -> String {
    digits(&derived(&["ORU", &source.sop_instance, &source.image, model, version]))
}

/// So many digits of a UID of ours as there is room for.
fn digits(uid: &str) -> String {
    uid[uid.len().saturating_sub(ID)..].to_string()
}

/// The message about an answer, made at `now`.
pub fn result(source: &Source, finding: &Finding<'_>, receiver: &Receiver, now: Millis) -> String {
    let Finding { model, version, .. } = *finding;
    let id = message_id(source, model, version);
    let time = time(now);
    let by = escaped(&format!("{model} {version}"));
    let mut text = format!(
        "MSH|^~\\&|MEDSERVE||{}|{}|{time}||ORU^R01^ORU_R01|{id}|P|2.5.1||||||UNICODE UTF-8\r",
        escaped(&receiver.application),
        escaped(&receiver.facility),
    );
    text.push_str(&patient(source));
    // When it was taken and when it was answered are two times.
    let taken = source.taken.as_ref().map_or_else(String::new, Moment::hl7);
    text.push_str(&format!(
        "OBR|1||{id}|AI^{by}^99MEDSERVE|||{taken}|||||||||||{}||||{time}|||P\r",
        escaped(&source.words(tags::ACCESSION_NUMBER)),
    ));
    let said = match finding.label {
        Some(label) => {
            let meaning = finding.meaning.unwrap_or(label);
            format!("{}^{}^99MEDSERVE", escaped(&format!("{model}/{label}")), escaped(meaning))
        }
        None => "82334004^Indeterminate^SCT".to_string(),
    };
    let mut number = 0;
    let part = digits(&derived(&["image", &source.sop_instance, &source.frame.to_string()]));
    let mut observe = |kind: &str, code: &str, value: &str, unit: &str| {
        number += 1;
        text.push_str(&format!(
            "OBX|{number}|{kind}|{code}|{part}|{value}|{unit}|||||P|||{taken}||||{by}|{time}\r"
        ));
    };
    observe("CWE", "121071^Finding^DCM", &said, "");
    if let (Some(_), Some(probability)) = (finding.label, finding.probability) {
        let percent = format!("{:.2}", 100.0 * f64::from(probability));
        observe("NM", "111012^Certainty of Finding^DCM", &percent, "%^percent^UCUM");
    }
    observe("ST", "110180^Study Instance UID^DCM", &escaped(&source.study), "");
    observe("ST", "sop-instance-uid^SOP Instance UID^99MEDSERVE", &escaped(&source.sop_instance), "");
    if source.frames > 1 {
        observe("NM", "frame^Frame^99MEDSERVE", &source.frame.to_string(), "");
    }
    let why = match (finding.label, finding.reason) {
        (None, Some(reason)) => format!("No finding is given: {reason}. "),
        _ => String::new(),
    };
    text.push_str(&format!(
        "NTE|1||{}Made by an AI model and read by nobody yet. It is no diagnosis.\r",
        escaped(&why)
    ));
    text
}

/// PID: who the image is of, in the words of the image.
fn patient(source: &Source) -> String {
    let name = source.words(tags::PATIENT_NAME);
    // DICOM has prefix before suffix, HL7 suffix before prefix.
    let mut parts = name.split('^').map(escaped);
    let mut part = || parts.next().unwrap_or_default();
    let (family, given, middle, prefix, suffix) = (part(), part(), part(), part(), part());
    let kind = if family.is_empty() && given.is_empty() { "U" } else { "L" };
    let sex = source.words(tags::SEX);
    let sex = if ["F", "M", "O"].contains(&sex.as_str()) { sex } else { String::new() };
    let digits = |text: &String| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let born = Some(source.words(tags::BIRTH_DATE)).filter(digits).unwrap_or_default();
    format!(
        "PID|1||{}^^^{}^MR||{family}^{given}^{middle}^{suffix}^{prefix}^^{kind}||{born}|{sex}\r",
        escaped(&source.words(tags::PATIENT_ID)),
        escaped(&source.words(tags::PATIENT_ID_ISSUER)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::*;

    /// 2026-03-01, half past nine.
    const NOW: Millis = 1_772_357_400_000;

    fn source(name: &'static [u8]) -> Source {
        let value = |tag| {
            let text: &[u8] = match tag {
                tags::SOP_CLASS | tags::SERIES => b"1.2",
                tags::SOP_INSTANCE => b"1.2.3.1",
                tags::STUDY => b"1.2.3",
                tags::CHARACTER_SET => b"ISO_IR 100",
                tags::PATIENT_NAME => name,
                tags::PATIENT_ID => b"p|1",
                tags::BIRTH_DATE => b"19540301",
                tags::SEX => b"F",
                tags::ACCESSION_NUMBER => b"A7",
                tags::STUDY_DATE => b"20190304",
                tags::STUDY_TIME => b"101500",
                _ => return None,
            };
            Some(text.to_vec())
        };
        Source::read(value).unwrap()
    }

    const NORMAL: Finding<'_> = Finding {
        model: "pneumonia",
        version: "1",
        label: Some("normal"),
        meaning: Some("No pneumonia"),
        probability: Some(0.9625),
        reason: None,
    };

    #[test]
    fn a_result_says_of_whom_which_model_found_what_in_which_study() {
        let receiver = Receiver { application: "EHR".into(), facility: "H&C".into() };
        let source = source(b"M\xfcller^Anna^Maria^Dr.^MD=x");
        let text = result(&source, &NORMAL, &receiver, NOW);
        assert!(text.contains("Müller^Anna^Maria^MD^Dr.^^L"), "{text}");
        let read = Message::read(&text).unwrap();
        let of = |segment, field, component| read.get(segment, field, component);
        assert_eq!((of(("MSH", 0), 5, 1), of(("MSH", 0), 6, 1)), ("EHR".into(), "H&C".into()));
        assert_eq!((of(("MSH", 0), 9, 3), of(("MSH", 0), 18, 1)), ("ORU_R01".into(), "UNICODE UTF-8".into()));
        assert_eq!((of(("PID", 0), 3, 1), of(("PID", 0), 3, 5)), ("p|1".into(), "MR".into()));
        assert_eq!((of(("PID", 0), 7, 1), of(("PID", 0), 8, 1)), ("19540301".into(), "F".into()));
        assert_eq!((of(("OBR", 0), 18, 1), of(("OBR", 0), 25, 1)), ("A7".into(), "P".into()));
        // When it was taken, and when it was answered.
        for (segment, taken, answered) in [("OBR", 7, 22), ("OBX", 14, 19)] {
            let segment = (segment, 0);
            assert_eq!(
                (of(segment, taken, 1), of(segment, answered, 1)),
                ("20190304101500".into(), "20260301093000+0000".into())
            );
        }
        assert_eq!(
            (of(("OBX", 0), 5, 1), of(("OBX", 0), 5, 2)),
            ("pneumonia/normal".into(), "No pneumonia".into())
        );
        assert_eq!((of(("OBX", 0), 11, 1), of(("OBX", 0), 18, 1)), ("P".into(), "pneumonia 1".into()));
        assert_eq!((of(("OBX", 1), 5, 1), of(("OBX", 1), 6, 1)), ("96.25".into(), "%".into()));
        assert_eq!((of(("OBX", 2), 5, 1), of(("OBX", 3), 5, 1)), ("1.2.3".into(), "1.2.3.1".into()));
        let id = of(("MSH", 0), 10, 1);
        assert_eq!((id.len(), &id), (ID, &message_id(&source, "pneumonia", "1")));
        assert_eq!(of(("OBR", 0), 3, 1), id, "an order of its own");
        assert_ne!(message_id(&source, "pneumonia", "1"), message_id(&source, "pneumonia", "2"));
    }

    /// A record system files by OBR-3, OBR-4, OBX-3 and OBX-4.
    #[test]
    fn results_of_two_images_of_one_study_are_told_apart() {
        let keys = |source: &Source| {
            let text = result(source, &NORMAL, &Receiver::default(), NOW);
            let read = Message::read(&text).unwrap();
            [read.get(("OBR", 0), 3, 1), read.get(("OBX", 0), 4, 1), read.get(("OBX", 1), 4, 1)]
        };
        let one = source(b"");
        let mut other = one.clone();
        other.sop_instance = "1.2.3.2".into();
        let (one, other) = (keys(&one), keys(&other));
        assert!(one[0] != other[0] && one[1] != other[1], "{one:?} {other:?}");
        assert_eq!((one[1].len(), &one[1]), (ID, &one[2]), "all observations of an image");
        let mut frames = source(b"");
        frames.frames = 4;
        let text = result(&frames, &NORMAL, &Receiver::default(), NOW);
        assert!(text.contains("|NM|frame^Frame^99MEDSERVE|"), "{text}");
    }

    #[test]
    fn an_abstention_is_indeterminate_and_says_why() {
        let unsure = Finding { label: None, meaning: None, reason: Some("it is unlike"), ..NORMAL };
        let text = result(&source(b""), &unsure, &Receiver::default(), NOW);
        let read = Message::read(&text).unwrap();
        assert_eq!(read.get(("OBX", 0), 5, 2), "Indeterminate");
        assert_eq!((read.count("OBX"), read.get(("PID", 0), 5, 7)), (3, "U".into()));
        assert!(read.get(("NTE", 0), 3, 1).starts_with("No finding is given: it is unlike."));
    }
}
