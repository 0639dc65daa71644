//! What is taken over from the image that is answered: whose it is, of which study, and how it lies in space.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

use super::data_set::{DataSet, UNICODE};
use super::lossy::{LOSSINESS, is_lossy};
use super::maker::{MANUFACTURER, SCHEME};
use super::moment::Moment;
use super::tags::{self, Tag};
use super::text::texts;
use super::uid::is_uid;

/// Attributes of the patient and the study that a result must have as its image has them, each with its value
/// representation. Those that are false are left out where the image has none; the others are then empty.
const KEPT: [(Tag, &[u8; 2], bool); 15] = [
    (tags::CHARACTER_SET, b"CS", false),
    (tags::STUDY_DATE, b"DA", true),
    (tags::STUDY_TIME, b"TM", true),
    (tags::ACCESSION_NUMBER, b"SH", true),
    (tags::REFERRING_PHYSICIAN, b"PN", true),
    (tags::TIMEZONE, b"SH", false),
    (tags::STUDY_DESCRIPTION, b"LO", false),
    (tags::PATIENT_NAME, b"PN", true),
    (tags::PATIENT_ID, b"LO", true),
    (tags::PATIENT_ID_ISSUER, b"LO", false),
    (tags::BIRTH_DATE, b"DA", true),
    (tags::SEX, b"CS", true),
    (tags::AGE, b"AS", false),
    (tags::STUDY, b"UI", true),
    (tags::STUDY_ID, b"SH", true),
];

/// Attributes of how an image lies in space.
const GEOMETRY: [(Tag, &[u8; 2]); 5] = [
    (tags::PIXEL_SPACING, b"DS"),
    (tags::SLICE_THICKNESS, b"DS"),
    (tags::FRAME_OF_REFERENCE, b"UI"),
    (tags::IMAGE_POSITION, b"DS"),
    (tags::IMAGE_ORIENTATION, b"DS"),
];

/// Identifiers that have one value each (PS3.6): by the first of several an answer would be filed as somebody else's, or
/// under another order.
const IDENTIFIERS: [(Tag, &[u8; 2], &str); 3] = [
    (tags::PATIENT_ID, b"LO", "Patient ID"),
    (tags::PATIENT_ID_ISSUER, b"LO", "Issuer of Patient ID"),
    (tags::ACCESSION_NUMBER, b"SH", "Accession Number"),
];

/// Attributes by which a result of ours is known again, and those of the file around the image. Which pixels are shown does not
/// depend on them.
const MARKS: [Tag; 4] =
    [tags::MANUFACTURER, tags::CODING_SCHEMES, tags::MEDIA_INSTANCE, tags::TRANSFER_SYNTAX];

/// Longest value that is taken over, in bytes; a longer one is no name or number.
const MOST: usize = 1024;

/// An image that results are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// SOP Class UID.
    pub sop_class: String,
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID.
    pub series: String,
    /// Modality, such as "DX"; empty where the image does not say.
    pub modality: String,
    /// Patient ID, for the audit; empty where there is none.
    pub patient_id: String,
    /// Frames that it has.
    pub frames: u32,
    /// The frame that was looked at, from 1.
    pub frame: u32,
    /// What it says and shows, as a digest: of one that comes again under its UID and has changed it is another. Empty
    /// where nobody asked.
    pub image: String,
    /// Whether it is no image of a patient's but a result that this program made.
    pub ours: bool,
    /// The digest of all attributes that are read of it.
    pub(super) said: [u8; 32],
    /// Patient and study.
    pub(super) about: DataSet,
    /// Where it lies.
    pub(super) geometry: DataSet,
    /// Height and width of its pixels as a ratio, where they are not square.
    pub(super) pixel_shape: Option<(u32, u32)>,
    /// Instance Number.
    pub(super) number: String,
    pub(super) body_part: String,
    pub(super) burned_in: String,
    pub(super) orientation: String,
    /// What it says of lossy compression.
    pub(super) lossiness: DataSet,
    /// Whether it says, or its transfer syntax does, that something of it was lost.
    pub(super) is_lossy: bool,
    /// When it was taken.
    pub(crate) taken: Option<Moment>,
    /// Laterality and Image Laterality, where they are defined terms.
    pub(super) sides: [Option<String>; 2],
}

/// Why no result can be made of an image: an attribute that names it or its patient does not say which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} ({:04X},{:04X}) {wrong}", .tag >> 16, .tag & 0xffff)]
pub struct SourceError {
    name: &'static str,
    tag: Tag,
    wrong: &'static str,
    /// SOP Instance UID, where it says that.
    pub instance: Option<String>,
}

impl SourceError {
    pub(super) fn new(name: &'static str, tag: Tag, wrong: &'static str) -> SourceError {
        SourceError { name, tag, wrong, instance: None }
    }
}

impl Source {
    /// Every attribute that is read of an image.
    pub fn wanted() -> Vec<Tag> {
        Source::told().into_iter().chain(MARKS).collect()
    }

    /// Those that results depend on.
    fn told() -> Vec<Tag> {
        let names = [tags::SOP_CLASS, tags::SOP_INSTANCE, tags::SERIES, tags::MODALITY, tags::FRAMES];
        let more = [tags::INSTANCE_NUMBER, tags::BODY_PART, tags::BURNED_IN, tags::PATIENT_ORIENTATION];
        let more = more.into_iter().chain(LOSSINESS.iter().map(|(tag, _)| *tag)).chain(Moment::wanted());
        let sides = [tags::LATERALITY, tags::IMAGE_LATERALITY];
        let kept = KEPT.iter().map(|(tag, ..)| *tag).chain(GEOMETRY.iter().map(|(tag, _)| *tag));
        let mut told: Vec<Tag> = names.into_iter().chain(more).chain(sides).chain(kept).collect();
        told.sort_unstable();
        told.dedup();
        told
    }

    /// Puts together what an image says; `value` gives the bytes of an attribute.
    ///
    /// # Errors
    /// The image does not say which it is.
    pub fn read(value: impl Fn(Tag) -> Option<Vec<u8>>) -> Result<Source, SourceError> {
        // The file around a data set that cannot be read says of what it is, too.
        let instance =
            || said_uid(&value, tags::SOP_INSTANCE).or_else(|| said_uid(&value, tags::MEDIA_INSTANCE));
        let named = |error| SourceError { instance: instance(), ..error };
        Source::of(&value).map_err(named)
    }

    fn of(value: &impl Fn(Tag) -> Option<Vec<u8>>) -> Result<Source, SourceError> {
        let mut said = Sha256::new();
        for tag in Source::told() {
            if let Some(bytes) = value(tag) {
                said.update(tag.to_be_bytes());
                said.update((trimmed(&bytes).len() as u64).to_be_bytes());
                said.update(trimmed(&bytes));
            }
        }
        let charset = value(tags::CHARACTER_SET).unwrap_or_default();
        let charset = String::from_utf8_lossy(&charset).trim_matches(['\0', ' ']).to_string();
        let mut patient_id = String::new();
        for (tag, vr, name) in IDENTIFIERS {
            let bytes = value(tag).unwrap_or_default();
            let text =
                identifier(&bytes, vr, &charset).map_err(|wrong| SourceError::new(name, tag, wrong))?;
            if tag == tags::PATIENT_ID {
                patient_id = text;
            }
        }
        // Left out it would be missing from the result, which is filed under what the rest says.
        if let Some((tag, ..)) =
            KEPT.iter().find(|(tag, ..)| value(*tag).is_some_and(|bytes| bytes.len() > MOST))
        {
            let name = if *tag == tags::PATIENT_NAME {
                "Patient's Name"
            } else {
                "An attribute of patient or study"
            };
            return Err(SourceError::new(name, *tag, "is too long"));
        }
        let manufacturer = value(tags::MANUFACTURER).unwrap_or_default();
        let schemes = value(tags::CODING_SCHEMES).unwrap_or_default();
        let ours = trimmed(&manufacturer) == MANUFACTURER.as_bytes()
            && schemes.windows(SCHEME.len()).any(|part| part == SCHEME.as_bytes());
        let value = |tag| value(tag).filter(|bytes: &Vec<u8>| bytes.len() <= MOST);
        let text = |tag| {
            let bytes = value(tag).unwrap_or_default();
            String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_string()
        };
        let uid = |tag, name| {
            let wrong = "is missing or is no UID";
            Some(text(tag)).filter(|text| is_uid(text)).ok_or(SourceError::new(name, tag, wrong))
        };
        let study = uid(tags::STUDY, "Study Instance UID")?;
        let mut about = DataSet::new();
        for (tag, vr, always) in KEPT {
            match value(tag) {
                // Content Date and Time are by a clock that is known, or in universal time.
                Some(bytes)
                    if tag == tags::TIMEZONE && offset(&String::from_utf8_lossy(&bytes)).is_none() =>
                {
                    continue;
                }
                Some(bytes) => about.text(tag, vr, trimmed(&bytes)),
                None if always => about.text(tag, vr, ""),
                None => continue,
            };
        }
        about.text(tags::STUDY, b"UI", &study);
        let mut geometry = DataSet::new();
        for (tag, vr) in GEOMETRY {
            if let Some(bytes) = value(tag).filter(|bytes| !trimmed(bytes).is_empty() && places(tag, bytes)) {
                geometry.text(tag, vr, trimmed(&bytes));
            }
        }
        let mut lossiness = DataSet::new();
        for (tag, vr) in LOSSINESS {
            let text = text(tag);
            if !text.is_empty() {
                lossiness.text(tag, vr, text);
            }
        }
        let is_lossy = is_lossy(&lossiness, &text(tags::TRANSFER_SYNTAX));
        Ok(Source {
            sop_class: uid(tags::SOP_CLASS, "SOP Class UID")?,
            sop_instance: uid(tags::SOP_INSTANCE, "SOP Instance UID")?,
            study,
            series: uid(tags::SERIES, "Series Instance UID")?,
            modality: text(tags::MODALITY),
            patient_id,
            frames: text(tags::FRAMES).parse().unwrap_or(1).max(1),
            frame: 1,
            image: String::new(),
            ours,
            said: said.finalize().into(),
            about,
            geometry,
            pixel_shape: None,
            number: Some(text(tags::INSTANCE_NUMBER))
                .filter(|n| n.parse::<i32>().is_ok())
                .unwrap_or_default(),
            body_part: text(tags::BODY_PART),
            burned_in: text(tags::BURNED_IN),
            orientation: text(tags::PATIENT_ORIENTATION),
            lossiness,
            is_lossy,
            taken: Moment::read(value),
            sides: [(tags::LATERALITY, &["R", "L"][..]), (tags::IMAGE_LATERALITY, &["R", "L", "U", "B"])]
                .map(|(tag, terms)| Some(text(tag)).filter(|side| terms.contains(&side.as_str()))),
        })
    }

    /// With the digest of what results depend on: all that is read of the image, and in `picture` what its pixels are and
    /// whatever else decides how they are answered.
    pub fn digested(mut self, picture: &[u8]) -> Source {
        let mut sha256 = Sha256::new();
        for part in [&self.said[..], picture] {
            sha256.update((part.len() as u64).to_be_bytes());
            sha256.update(part);
        }
        self.image = STANDARD_NO_PAD.encode(sha256.finalize());
        self
    }

    /// Of pixels that are not square, but so tall for so wide, as whoever reads its pixels knows.
    pub fn of_pixels(self, tall: u32, wide: u32) -> Source {
        Source { pixel_shape: Some((tall, wide)), ..self }
    }

    /// As looked at in this frame.
    pub fn of_frame(self, frame: u32) -> Source {
        Source { frame, ..self }
    }

    /// Which frame of how many was looked at, in words; nothing where there is one.
    pub(super) fn frame_in_words(&self) -> Option<String> {
        (self.frames > 1).then(|| format!("frame {} of {}", self.frame, self.frames))
    }

    /// Says whether something of the image was lost, and how much where the image says that.
    pub(super) fn tell_lossiness(&self, set: &mut DataSet) {
        if self.is_lossy {
            set.extend(&self.lossiness).text(tags::LOSSY, b"CS", "01");
        } else if self.lossiness.get(tags::LOSSY).as_deref() == Some("00") {
            set.text(tags::LOSSY, b"CS", "00");
        }
    }

    /// Body Part Examined, such as "CHEST"; empty where the image does not say.
    pub fn body_part(&self) -> &str {
        &self.body_part
    }

    /// What the image says of patient or study, decoded; empty where it says nothing.
    pub fn words(&self, tag: Tag) -> String {
        self.about.decoded(tag)
    }

    /// As a result is written that says these words. Where the image's character set does not hold them, or it names none,
    /// the result is in Unicode, and the image's own text is put into that. Where that cannot be done, since the text is
    /// not of the set or that is not known, all stays as it came, and only what [`Source::holds`] may be said.
    pub(super) fn written<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Source {
        let charset = self.about.get(tags::CHARACTER_SET).unwrap_or_default();
        let fits = charset == UNICODE || !charset.is_empty() && words.into_iter().all(str::is_ascii);
        let about = if fits { None } else { self.about.in_unicode() };
        Source { about: about.unwrap_or_else(|| self.about.clone()), ..self.clone() }
    }

    /// Whether words of ours can be said in the character set.
    pub(super) fn holds(&self, words: &str) -> bool {
        words.is_ascii() || self.about.get(tags::CHARACTER_SET).as_deref() == Some(UNICODE)
    }

    /// The item that refers to the image.
    pub(super) fn reference(&self) -> DataSet {
        let mut item = DataSet::new();
        item.text(tags::REFERENCED_CLASS, b"UI", &self.sop_class);
        item.text(tags::REFERENCED_INSTANCE, b"UI", &self.sop_instance);
        if self.frames > 1 {
            item.text(tags::REFERENCED_FRAME, b"IS", self.frame.to_string());
        }
        item
    }
}

/// Whether a value of [`GEOMETRY`] says what it is there for: so many numbers, of which lengths are positive.
fn places(tag: Tag, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let numbers: Option<Vec<f64>> =
        text.split('\\').map(|number| number.trim_matches(['\0', ' ']).parse().ok()).collect();
    let numbers = numbers.unwrap_or_default();
    let (count, is_length) = match tag {
        tags::PIXEL_SPACING => (2, true),
        tags::SLICE_THICKNESS => (1, true),
        tags::IMAGE_POSITION => (3, false),
        tags::IMAGE_ORIENTATION => (6, false),
        _ => return true,
    };
    numbers.len() == count && numbers.iter().all(|number| number.is_finite() && (!is_length || *number > 0.0))
}

/// A UID that an image says, where it is one.
pub(super) fn said_uid(value: &impl Fn(Tag) -> Option<Vec<u8>>, tag: Tag) -> Option<String> {
    let text = String::from_utf8(value(tag)?).ok()?;
    Some(text.trim_matches(['\0', ' ']).to_string()).filter(|text| is_uid(text))
}

/// An identifier without the spaces around it, which do not count (PS3.5 section 6.2); empty where there is none. Or what is
/// wrong with it.
pub(super) fn identifier(bytes: &[u8], vr: &[u8; 2], charset: &str) -> Result<String, &'static str> {
    if bytes.len() > MOST {
        return Err("is too long");
    }
    let mut values = texts(vr, trimmed(bytes), charset);
    match (values.pop(), values.is_empty()) {
        (None, _) => Err("is not in the image's character set"),
        (_, false) => Err("has a backslash, and may have one value alone"),
        (Some(text), true) if text.chars().any(char::is_control) => Err("has a control character"),
        (Some(text), true) => Ok(text),
    }
}

/// Minutes by which a Timezone Offset From UTC is ahead; `None` where it is none.
pub(super) fn offset(text: &str) -> Option<i64> {
    let text = text.trim_matches(['\0', ' ']);
    let (sign, digits) = text.split_at_checked(1)?;
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (digits[..2].parse::<i64>().ok()?, digits[2..].parse::<i64>().ok()?);
    let ahead = 60 * hours + minutes;
    match sign {
        "+" if minutes < 60 && ahead <= 14 * 60 => Some(ahead),
        "-" if minutes < 60 && ahead <= 12 * 60 => Some(-ahead),
        _ => None,
    }
}

/// Without the padding behind it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_does_not_say_which_it_is_is_refused_by_the_attribute() {
        let named = |tag: Tag| match tag {
            tags::SOP_CLASS | tags::SOP_INSTANCE | tags::STUDY => Some(b"1.2.3\0".to_vec()),
            _ => None,
        };
        let error = Source::read(named).unwrap_err();
        assert_eq!(error.to_string(), "Series Instance UID (0020,000E) is missing or is no UID");
        let all = |tag: Tag| match tag {
            tags::SERIES => Some(b"1.2.4".to_vec()),
            tags::PATIENT_NAME => Some(b"M\xfcller ".to_vec()),
            tags::FRAMES => Some(b"3 ".to_vec()),
            tag => named(tag),
        };
        let source = Source::read(all).unwrap();
        assert_eq!((source.frames, source.series.as_str()), (3, "1.2.4"));
        assert_eq!(source.about.get(tags::PATIENT_ID).as_deref(), Some(""));
        assert_eq!(source.about.get(tags::AGE), None);
        assert_eq!(source.reference().get(tags::REFERENCED_FRAME).as_deref(), Some("1"));
    }

    #[test]
    fn an_identifier_that_is_not_one_value_is_refused_by_its_attribute_and_never_read_in_part() {
        let of = |changed: Tag, bytes: &'static [u8]| {
            Source::read(|tag| match tag {
                tag if tag == changed => Some(bytes.to_vec()),
                tags::SOP_CLASS | tags::SOP_INSTANCE | tags::STUDY | tags::SERIES => Some(b"1.2.3".to_vec()),
                tags::PATIENT_ID => Some(b"p1".to_vec()),
                _ => None,
            })
        };
        for (tag, bytes, words) in [
            (tags::PATIENT_ID, &b"p1\\p2"[..], "Patient ID (0010,0020) has a backslash"),
            (tags::PATIENT_ID, b"\\p2", "Patient ID (0010,0020) has a backslash"),
            (tags::PATIENT_ID, b"p1\\", "Patient ID (0010,0020) has a backslash"),
            (tags::PATIENT_ID, b"p1\0p2", "Patient ID (0010,0020) has a control"),
            (tags::PATIENT_ID, b"p1\n", "Patient ID (0010,0020) has a control"),
            (tags::PATIENT_ID, b"p\xe41", "Patient ID (0010,0020) is not in"),
            (tags::PATIENT_ID, &[b'1'; 2000], "Patient ID (0010,0020) is too long"),
            (tags::PATIENT_ID_ISSUER, b"A\\B", "Issuer of Patient ID (0010,0021) has a backslash"),
            (tags::ACCESSION_NUMBER, b"A7\\A8", "Accession Number (0008,0050) has a backslash"),
            (tags::STUDY, b"1.2.3\\1.2.4", "Study Instance UID (0020,000D) is missing or is no UID"),
            (tags::SOP_INSTANCE, b"1.2.3\\1.2.4", "SOP Instance UID (0008,0018) is missing or is no UID"),
            (tags::SERIES, b"1.2.3\t", "Series Instance UID (0020,000E) is missing or is no UID"),
        ] {
            let error = of(tag, bytes).unwrap_err().to_string();
            assert!(error.starts_with(words) && !error.contains("p1"), "{error}");
        }
        for tag in [tags::PATIENT_NAME, tags::BIRTH_DATE, tags::STUDY_DESCRIPTION] {
            let error = of(tag, &[b'N'; 1100]).unwrap_err();
            assert!(error.to_string().ends_with("is too long"), "{error}");
            assert_eq!(error.instance.as_deref(), Some("1.2.3"));
        }
        assert_eq!(of(tags::PATIENT_ID, b"  p1 \0").unwrap().patient_id, "p1");
        assert_eq!(of(tags::PATIENT_ID, b"").unwrap().patient_id, "");
        let spaced = of(tags::STUDY, b" 1.2.4").unwrap();
        assert_eq!(
            (spaced.study.as_str(), spaced.about.get(tags::STUDY).as_deref()),
            ("1.2.4", Some("1.2.4"))
        );
    }
}
