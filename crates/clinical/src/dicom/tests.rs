//! What results say, as a reader of theirs would look for it.

use super::*;

const PATIENT: &[u8] = b"Doe^Jane";

fn value(tag: tags::Tag) -> Option<Vec<u8>> {
    let text: &[u8] = match tag {
        tags::SOP_CLASS => b"1.2.840.10008.5.1.4.1.1.1.1",
        tags::SOP_INSTANCE => b"1.2.3.4",
        tags::STUDY => b"1.2.3",
        tags::SERIES => b"1.2.3.1",
        tags::PATIENT_NAME => PATIENT,
        tags::PATIENT_ID => b"p1",
        tags::MODALITY => b"DX",
        tags::TIMEZONE => b"-0130",
        tags::PIXEL_SPACING => b"0.5\\0.5",
        _ => return None,
    };
    Some(text.to_vec())
}

fn source() -> Source {
    Source::read(value).unwrap()
}

const MAKER: Maker<'static> =
    Maker { program: "0.1.0", model: "pneumonia", version: "1", weights: "0f0f", now: 1_772_357_400_000 };

fn answer() -> Answer<'static> {
    Answer {
        label: Some("pneumonia"),
        meaning: None,
        reason: None,
        predictions: vec![("pneumonia", 0.97), ("normal", 0.03)],
    }
}

#[test]
fn a_result_is_in_the_study_of_its_image_and_a_series_of_its_own() {
    let mask = [0u8, 1];
    let names = ["background".to_string(), "lung".to_string()];
    let mask = Mask { width: 2, height: 1, labels: &mask, names: &names };
    let drawing = Drawing { width: 2, height: 1, pixels: vec![0; 6] };
    let all = [
        (report(&MAKER, &source(), &answer()), Kind::Report),
        (capture(&MAKER, &source(), &drawing, "pneumonia 97 %"), Kind::Capture),
        (segmentation(&MAKER, &source(), &mask), Kind::Segmentation),
    ];
    for (set, kind) in &all {
        let of = |tag| set.get(tag).unwrap_or_default();
        assert_eq!((of(tags::STUDY), of(tags::PATIENT_ID)), ("1.2.3".to_string(), "p1".to_string()));
        assert_eq!(of(tags::SOP_CLASS), kind.sop_class());
        // 2026-03-01 09:30 in universal time, by the image's clock.
        assert_eq!((of(tags::CONTENT_DATE), of(tags::CONTENT_TIME)), ("20260301".into(), "080000".into()));
        assert!(set.json().to_string().contains("1.2.3.4"), "it refers to its image");
        assert_eq!(set.file()[128..132], *b"DICM");
    }
    let uids: std::collections::BTreeSet<_> =
        all.iter().flat_map(|(set, _)| [set.get(tags::SERIES), set.get(tags::SOP_INSTANCE)]).collect();
    assert_eq!(uids.len(), 6);
}

#[test]
fn an_image_that_is_sent_twice_has_one_result_and_another_model_another() {
    let uid = |maker: &Maker<'_>, now| {
        report(&Maker { now, ..*maker }, &source(), &answer()).get(tags::SOP_INSTANCE)
    };
    assert_eq!(uid(&MAKER, 1), uid(&MAKER, 2));
    assert_ne!(uid(&MAKER, 1), uid(&Maker { version: "2", ..MAKER }, 1));
}

#[test]
fn an_abstention_gives_no_finding_and_says_why() {
    let answer = Answer { label: None, reason: Some("the picture is blank"), ..answer() };
    let json = report(&MAKER, &source(), &answer).json().to_string();
    assert!(json.contains("Indeterminate") && json.contains("the picture is blank"));
    assert!(!json.contains("Certainty of Finding"));
}

#[test]
fn letters_of_a_label_are_kept_where_the_image_does_not_forbid_them() {
    let answer = Answer { label: Some("肺炎"), predictions: vec![("肺炎", 1.0)], ..answer() };
    let set = report(&MAKER, &source(), &answer);
    assert_eq!(set.get(tags::CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
    assert!(set.json().to_string().contains("肺炎"));
}
