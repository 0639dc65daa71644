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

const MAKER: Maker<'static> = Maker {
    program: "0.1.0",
    model: "pneumonia",
    version: "1",
    weights: "0f0f",
    labels: &[],
    now: 1_772_357_400_000,
};

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
        (capture(&MAKER, &source(), &drawing, "pneumonia", 0.97), Kind::Capture),
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
    // A number would be read as a finding.
    assert!(
        !json.contains("Certainty of Finding") && !json.contains("\"NUM\"") && !json.contains("Probability")
    );
}

#[test]
fn letters_of_a_label_are_kept_where_the_image_does_not_forbid_them() {
    let answer = Answer { label: Some("肺炎"), predictions: vec![("肺炎", 1.0)], ..answer() };
    let set = report(&MAKER, &source(), &answer);
    assert_eq!(set.get(tags::CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
    assert!(set.json().to_string().contains("肺炎"));
}

/// Readers (highdicom, dciodvfy) refuse a sequence with a part of what it is made of.
#[test]
fn a_segmentation_says_of_its_place_all_or_nothing() {
    let names = ["background".to_string(), "lung".to_string()];
    let mask = Mask { width: 2, height: 1, labels: &[0u8, 1], names: &names };
    let found = |more: &[(tags::Tag, &[u8])]| {
        let value = |tag| {
            more.iter().find(|(own, _)| *own == tag).map(|(_, text)| text.to_vec()).or_else(|| value(tag))
        };
        let text = segmentation(&MAKER, &Source::read(value).unwrap(), &mask).json().to_string();
        // Pixel measures, plane position, plane orientation, frame of reference.
        ["00289110", "00209113", "00209116", "00200052"].map(|tag| text.contains(tag))
    };
    let thickness = (tags::SLICE_THICKNESS, &b"2.5"[..]);
    let place: [(tags::Tag, &[u8]); 3] = [
        (tags::FRAME_OF_REFERENCE, b"1.2.9"),
        (tags::IMAGE_POSITION, b"0\\0\\-12.5"),
        (tags::IMAGE_ORIENTATION, b"1\\0\\0\\0\\1\\0"),
    ];
    assert_eq!(found(&[]), [false; 4], "a spacing alone");
    assert_eq!(found(&[thickness]), [true, false, false, false]);
    assert_eq!(found(&[&[thickness][..], &place].concat()), [true; 4]);
    assert_eq!(found(&place), [false; 4], "a place without a size");
    assert_eq!(found(&[&[thickness][..], &place[..2]].concat()), [true, false, false, false]);
    for bad in
        [(tags::SLICE_THICKNESS, &b"0"[..]), (tags::PIXEL_SPACING, b"0.5"), (tags::PIXEL_SPACING, b"a\\b")]
    {
        assert_eq!(found(&[&[bad, thickness][..], &place].concat()), [false; 4], "{bad:?}");
    }
    let two = (tags::IMAGE_POSITION, &b"0\\0"[..]);
    assert_eq!(found(&[&[two, thickness][..], &place].concat()), [true, false, false, false]);
}

/// Readers lay a mask over its image only where it says that both have their pixels in the same places.
#[test]
fn a_segmentation_says_of_each_frame_that_it_lies_on_its_image() {
    let names = ["background", "lung", "heart"].map(String::from);
    let mask = Mask { width: 2, height: 1, labels: &[2u8, 1], names: &names };
    let json = segmentation(&MAKER, &source(), &mask).json();
    let frames = json["52009230"]["Value"].as_array().unwrap();
    assert_eq!(frames.len(), 2);
    for frame in frames {
        let image = &frame["00089124"]["Value"][0]["00082112"]["Value"][0];
        assert_eq!(image["00081155"]["Value"][0], "1.2.3.4");
        assert_eq!(image["0028135A"]["Value"][0], "YES", "{image}");
    }
}

#[test]
fn a_picture_says_of_which_side_it_is() {
    let drawing = Drawing { width: 2, height: 1, pixels: vec![0; 6] };
    let found = |more: &[(tags::Tag, &[u8])]| {
        let value = |tag| {
            more.iter().find(|(own, _)| *own == tag).map(|(_, text)| text.to_vec()).or_else(|| value(tag))
        };
        let set = capture(&MAKER, &Source::read(value).unwrap(), &drawing, "pneumonia", 0.97);
        [tags::LATERALITY, tags::IMAGE_LATERALITY].map(|tag| set.get(tag))
    };
    let said = |side: &str| Some(side.to_string());
    assert_eq!(found(&[]), [said(""), None]);
    assert_eq!(found(&[(tags::BODY_PART, b"CHEST")]), [None, None]);
    assert_eq!(found(&[(tags::LATERALITY, b"L ")]), [said("L"), None]);
    assert_eq!(found(&[(tags::LATERALITY, b"L"), (tags::IMAGE_LATERALITY, b"R")]), [None, said("R")]);
    assert_eq!(found(&[(tags::LATERALITY, b"left")]), [said(""), None]);
}

/// `value` with more attributes or others.
fn source_with(more: &[(tags::Tag, &[u8])]) -> Source {
    let value =
        |tag| more.iter().find(|(own, _)| *own == tag).map(|(_, text)| text.to_vec()).or_else(|| value(tag));
    Source::read(value).unwrap()
}

#[test]
fn another_frame_has_other_results_and_a_picture_says_which_it_is_of() {
    let names = ["background".to_string(), "lung".to_string()];
    let mask = Mask { width: 2, height: 1, labels: &[0u8, 1], names: &names };
    let of = |frame| {
        let source = source_with(&[(tags::FRAMES, b"10"), (tags::INSTANCE_NUMBER, b"4")]).of_frame(frame);
        let set = segmentation(&MAKER, &source, &mask);
        let drawing = Drawing { width: 2, height: 1, pixels: vec![0; 6] };
        let words = capture(&MAKER, &source, &drawing, "pneumonia", 0.97).get(tags::IMAGE_COMMENTS).unwrap();
        (set.get(tags::SOP_INSTANCE).unwrap(), set.get(tags::INSTANCE_NUMBER).unwrap(), words)
    };
    let (one, two) = (of(1), of(2));
    assert_ne!(one.0, two.0);
    assert_eq!((one.1.as_str(), two.1.as_str()), ("4", "2"));
    assert!(one.2.contains(" Of frame 1 of 10. ") && two.2.contains(" Of frame 2 of 10. "), "{}", one.2);
    let drawing = Drawing { width: 2, height: 1, pixels: vec![0; 6] };
    let single = capture(&MAKER, &source(), &drawing, "pneumonia", 0.97).get(tags::IMAGE_COMMENTS).unwrap();
    assert!(!single.contains("frame"), "{single}");
}

#[test]
fn a_picture_says_of_burnt_in_words_what_its_image_says_and_nothing_else() {
    let drawing = Drawing { width: 2, height: 1, pixels: vec![0; 6] };
    for (said, expected) in [("YES", Some("YES")), ("NO", Some("NO")), ("", None), ("MAYBE", None)] {
        let source = source_with(&[(tags::BURNED_IN, said.as_bytes())]);
        let set = capture(&MAKER, &source, &drawing, "pneumonia", 0.97);
        assert_eq!(set.get(tags::BURNED_IN).as_deref(), expected);
    }
}

#[test]
fn what_is_made_of_an_image_that_has_lost_something_says_so() {
    let names = ["background".to_string(), "lung".to_string()];
    let mask = Mask { width: 2, height: 1, labels: &[0u8, 1], names: &names };
    let drawing = Drawing { width: 2, height: 1, pixels: vec![0; 6] };
    let said = |more: &[(tags::Tag, &[u8])]| {
        let source = source_with(more);
        let regions = segmentation(&MAKER, &source, &mask);
        let picture = capture(&MAKER, &source, &drawing, "pneumonia", 0.97);
        (regions.get(tags::LOSSY).unwrap(), picture.get(tags::LOSSY), regions.get(tags::LOSSY_RATIO))
    };
    let (lossy, lossless) = ("01".to_string(), "00".to_string());
    let ratio = (tags::LOSSY_RATIO, &b"12.5"[..]);
    assert_eq!(said(&[]), (lossless.clone(), None, None));
    assert_eq!(said(&[(tags::LOSSY, b"00"), ratio]), (lossless.clone(), Some(lossless), None));
    assert_eq!(
        said(&[(tags::LOSSY, b"01"), ratio]),
        (lossy.clone(), Some(lossy.clone()), Some("12.5".into()))
    );
    let jpeg = (tags::TRANSFER_SYNTAX, &b"1.2.840.10008.1.2.4.50\0"[..]);
    assert_eq!(said(&[jpeg]), (lossy.clone(), Some(lossy), None));
}

/// An archive keeps a series to one patient.
#[test]
fn results_of_two_patients_in_one_study_are_in_two_series() {
    let series = |more: &[(tags::Tag, &[u8])]| MAKER.series(Kind::Report, &source_with(more));
    assert_eq!(series(&[]), series(&[(tags::SOP_INSTANCE, b"1.2.3.5")]));
    assert_ne!(series(&[]), series(&[(tags::PATIENT_ID, b"p2")]));
    assert_ne!(series(&[]), series(&[(tags::PATIENT_ID_ISSUER, b"HOSP-B")]));
}

#[test]
fn an_image_that_has_changed_has_other_results() {
    let uid = |source: Source| MAKER.sop_instance(Kind::Report, &source);
    let corrected = |tag| match tag {
        tags::PATIENT_ID => Some(b"p2".to_vec()),
        tag => value(tag),
    };
    let same = uid(source().digested(b"picture"));
    assert_eq!(same, uid(source().digested(b"picture")));
    assert_ne!(same, uid(source().digested(b"another")));
    assert_ne!(same, uid(Source::read(corrected).unwrap().digested(b"picture")));
}

#[test]
fn an_image_that_says_anything_else_of_itself_has_other_results() {
    let with = |more: &[(tags::Tag, &[u8])]| {
        let value = |tag| {
            more.iter().find(|(own, _)| *own == tag).map(|(_, text)| text.to_vec()).or_else(|| value(tag))
        };
        Source::read(value).unwrap().digested(b"picture").image
    };
    let same = with(&[]);
    for (tag, text) in [
        (tags::IMAGE_LATERALITY, &b"R"[..]),
        (tags::LATERALITY, b"R"),
        (tags::BODY_PART, b"CHEST"),
        (tags::PATIENT_ORIENTATION, b"R\\F"),
        (tags::MODALITY, b"CR"),
        (tags::BURNED_IN, b"YES"),
        (tags::LOSSY, b"01"),
        (tags::INSTANCE_NUMBER, b"2"),
        (tags::PATIENT_NAME, b"Doe^Joan"),
        (tags::SERIES, b"1.2.3.9"),
        (tags::PIXEL_SPACING, b"0.4\\0.4"),
    ] {
        assert_ne!(with(&[(tag, text)]), same, "{tag:08X}");
    }
    assert_eq!(with(&[(tags::PATIENT_ID, b"p1 ")]), same, "padding says nothing");
    assert_eq!(with(&[(tags::MANUFACTURER, b"somebody")]), same, "nor does what nothing is made of");
}

#[test]
fn what_was_made_here_is_known_again_by_what_it_says() {
    let names = ["background".to_string(), "lung".to_string()];
    let mask = Mask { width: 2, height: 1, labels: &[0u8, 1], names: &names };
    let drawing = Drawing { width: 2, height: 1, pixels: vec![0; 6] };
    for set in [
        report(&MAKER, &source(), &answer()),
        capture(&MAKER, &source(), &drawing, "pneumonia", 0.97),
        segmentation(&MAKER, &source(), &mask),
    ] {
        let found = |set: &DataSet| {
            Source::read(|tag| match tag {
                tags::CODING_SCHEMES => set.json()["00080110"].is_object().then(|| set.encode()),
                tag => set.get(tag).map(String::into_bytes),
            })
            .unwrap()
            .ours
        };
        assert!(found(&set));
        let mut another = set.clone();
        another.text(tags::MANUFACTURER, b"LO", "somebody");
        assert!(!found(&another));
    }
    assert!(!source().ours);
}

/// Two labels in letters that the image's set does not have must not become one.
#[test]
fn labels_that_the_image_s_character_set_does_not_hold_are_told_apart() {
    let labels = ["正常".to_string(), "肺炎".to_string()];
    let maker = Maker { labels: &labels, ..MAKER };
    let answer =
        Answer { label: Some("肺炎"), predictions: vec![("肺炎", 0.97), ("正常", 0.03)], ..answer() };
    let drawing = Drawing { width: 400, height: 8, pixels: vec![0; 3 * 400 * 8] };
    let made = |charset: &'static [u8], name: &'static [u8]| {
        let source = Source::read(|tag| match tag {
            tags::CHARACTER_SET => Some(charset.to_vec()),
            tags::PATIENT_NAME => Some(name.to_vec()),
            tag => value(tag),
        });
        let source = source.unwrap();
        (report(&maker, &source, &answer), capture(&maker, &source, &drawing, "肺炎", 0.97))
    };
    for (charset, name, read) in [
        (&b"GB18030"[..], &b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"[..], "Wang^XiaoDong=王^小东"),
        (b"ISO_IR 100", b"M\xfcller^X", "Müller^X"),
        (b"", "Müller^X".as_bytes(), "Müller^X"),
    ] {
        let (report, picture) = made(charset, name);
        for set in [&report, &picture] {
            assert_eq!(set.get(tags::CHARACTER_SET).as_deref(), Some("ISO_IR 192"), "{read}");
            assert_eq!(set.get(tags::PATIENT_NAME).as_deref(), Some(read));
        }
        let text = report.json().to_string();
        assert!(text.contains("pneumonia/肺炎") && text.contains("pneumonia/正常/probability"), "{text}");
        assert!(picture.get(tags::IMAGE_COMMENTS).unwrap().contains("肺炎 97 %"));
    }
    // Text that is of no known set stays as it is, and is not said to be of another.
    for (charset, name) in [(&b"ISO_IR 999"[..], &b"M\xfcller"[..]), (b"", b"\xcd\xf5^\xd0\xa1")] {
        let (report, picture) = made(charset, name);
        for set in [&report, &picture] {
            let kept = set.get(tags::CHARACTER_SET).unwrap_or_default();
            assert_eq!(kept.as_bytes(), charset);
            assert!(set.encode().windows(name.len()).any(|part| part == name));
        }
        let text = report.json().to_string();
        for said in ["pneumonia/label 2 of 2", "pneumonia/label 1 of 2/probability"] {
            assert!(text.contains(said), "{text}");
        }
        assert!(!text.contains("??") && !text.contains("肺炎"));
        assert!(picture.get(tags::IMAGE_COMMENTS).unwrap().contains("label 2 of 2 97 %"));
    }
    // The drawn band has no such letters in any set.
    let plain = Maker { labels: &["b".to_string(), "label 2 of 2".to_string()], ..MAKER };
    let drawn = |set: &DataSet| set.encode().split_off(set.encode().len() - 3 * 400 * 20);
    let (_, picture) = made(b"ISO_IR 192", b"Doe");
    let same = capture(&plain, &source(), &drawing, "label 2 of 2", 0.97);
    assert_eq!(drawn(&picture), drawn(&same));
    assert_eq!(MAKER.numbered("肺炎"), "U+80BA U+708E");
}

#[test]
fn an_offset_that_is_none_is_left_out() {
    let found = |text: &'static [u8]| {
        let value = |tag| if tag == tags::TIMEZONE { Some(text.to_vec()) } else { value(tag) };
        let set = report(&MAKER, &Source::read(value).unwrap(), &answer());
        (set.get(tags::TIMEZONE), set.get(tags::CONTENT_TIME).unwrap())
    };
    for (text, time) in [("+0530", "150000"), ("-1200", "213000"), ("+1400", "233000")] {
        assert_eq!(found(text.as_bytes()), (Some(text.to_string()), time.to_string()));
    }
    for text in [&b"0530"[..], b"+05", b"junk", b"+1500", b"-1300", b"+0560", b"++530", b""] {
        assert_eq!(found(text), (None, "093000".to_string()), "{text:?}");
    }
}

#[test]
fn a_segmentation_says_the_shape_of_its_pixels_where_it_does_not_say_how_large_they_are() {
    let names = ["background".to_string(), "lung".to_string()];
    let mask = Mask { width: 2, height: 1, labels: &[0, 1], names: &names };
    let aspect = |source: &Source| segmentation(&MAKER, source, &mask).get(tags::PIXEL_ASPECT);
    assert_eq!(aspect(&source()), None);
    assert_eq!(aspect(&source().of_pixels(3, 4)).as_deref(), Some("3\\4"));
    let measured = source_with(&[(tags::SLICE_THICKNESS, b"1")]);
    assert_eq!(aspect(&measured.of_pixels(3, 4)), None);
}
