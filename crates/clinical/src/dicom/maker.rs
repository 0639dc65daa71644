//! Who makes a result and when, and the modules that every result has: patient, study, series, equipment, SOP.

use super::Code;
use super::data_set::DataSet;
use super::source::{Source, offset};
use super::tags;
use super::uid::derived;
use recommend::Millis;
use recommend::clock::rfc3339;

/// Who made a result, as it says.
pub(super) const MANUFACTURER: &str = "medserve";

/// The coding scheme of a model's own labels.
pub const SCHEME: &str = "99MEDSERVE";

/// What makes results: a model in this program.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'a> {
    /// The program's version.
    pub program: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The digest of its weights, in hexadecimal.
    pub weights: &'a str,
    /// Its labels, in the order of its card.
    pub labels: &'a [String],
    /// When, in milliseconds since 1970.
    pub now: Millis,
}

/// The kinds of results, each a series of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Comprehensive 3D SR.
    Report,
    /// Secondary Capture.
    Capture,
    /// Segmentation.
    Segmentation,
}

impl Kind {
    /// The SOP class.
    pub fn sop_class(self) -> &'static str {
        match self {
            Kind::Report => "1.2.840.10008.5.1.4.1.1.88.34",
            Kind::Capture => "1.2.840.10008.5.1.4.1.1.7",
            Kind::Segmentation => "1.2.840.10008.5.1.4.1.1.66.4",
        }
    }

    fn modality(self) -> &'static str {
        match self {
            Kind::Report => "SR",
            Kind::Capture => "OT",
            Kind::Segmentation => "SEG",
        }
    }

    fn series_number(self) -> &'static str {
        match self {
            Kind::Report => "9001",
            Kind::Capture => "9002",
            Kind::Segmentation => "9003",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::Report => "AI result",
            Kind::Capture => "AI evidence",
            Kind::Segmentation => "AI regions",
        }
    }
}

impl Maker<'_> {
    /// The SOP Instance UID that the result of this kind has: the same for an image that is sent again, and another for one
    /// that has changed under its UID, and for another frame.
    pub fn sop_instance(&self, kind: Kind, source: &Source) -> String {
        let Source { sop_instance, image, frame, .. } = source;
        let frame = frame.to_string();
        derived(&["instance", kind.modality(), sop_instance, image, &frame, self.model, self.version])
    }

    /// Its Series Instance UID: one of a study, a patient, a model and a kind. A study has one patient; where two images say
    /// otherwise an archive that keeps a series to a patient must not file the results of one with the other.
    pub fn series(&self, kind: Kind, source: &Source) -> String {
        let patient = [&source.patient_id, &source.words(tags::PATIENT_ID_ISSUER)];
        let words = [kind.modality(), &source.study, patient[0], patient[1], self.model, self.version];
        derived(&[&["series"], &words[..]].concat())
    }

    /// Its Instance Number: that of the image, and of another frame than the first that of the frame.
    fn number(source: &Source) -> String {
        match source.frame {
            1 if source.number.is_empty() => "1".to_string(),
            1 => source.number.clone(),
            frame => frame.to_string(),
        }
    }

    /// The UID that the model has where a device is asked for.
    pub(super) fn device(&self) -> String {
        derived(&["device", self.model, self.version, self.weights])
    }

    /// What every result begins with; of a source as it is [written](Source::written).
    pub(super) fn begin(&self, kind: Kind, source: &Source) -> DataSet {
        let (date, time) = self.date_and_time(source);
        let mut set = DataSet::new();
        set.extend(&source.about);
        set.text(tags::SOP_CLASS, b"UI", kind.sop_class())
            .text(tags::SOP_INSTANCE, b"UI", self.sop_instance(kind, source))
            .text(tags::CONTENT_DATE, b"DA", date)
            .text(tags::CONTENT_TIME, b"TM", time)
            .text(tags::MODALITY, b"CS", kind.modality())
            .text(tags::MANUFACTURER, b"LO", MANUFACTURER)
            .text(tags::SERIES_DESCRIPTION, b"LO", cut(&format!("{}: {}", kind.title(), self.model), 64))
            .text(tags::MODEL_NAME, b"LO", cut(self.model, 64))
            .text(tags::SERIAL_NUMBER, b"LO", cut(self.weights, 16))
            .text(tags::SOFTWARE, b"LO", format!("{}\\{}", cut(self.program, 32), cut(self.version, 32)))
            .text(tags::SERIES, b"UI", self.series(kind, source))
            .text(tags::SERIES_NUMBER, b"IS", kind.series_number())
            .text(tags::INSTANCE_NUMBER, b"IS", Maker::number(source));
        let mut scheme = DataSet::new();
        scheme.text(tags::CODING_SCHEME, b"SH", SCHEME).text(
            tags::CODING_SCHEME_NAME,
            b"ST",
            "Labels of medserve's models, by the name of the model and the label",
        );
        set.items(tags::CODING_SCHEMES, vec![scheme]);
        set
    }

    /// Now, where the image says how far its clock is from universal time by that clock.
    pub(super) fn date_and_time(&self, source: &Source) -> (String, String) {
        let offset = source.about.get(tags::TIMEZONE).and_then(|text| offset(&text));
        let text = rfc3339(self.now + offset.unwrap_or(0) * 60_000);
        let digits: Vec<String> =
            text.split('T').map(|part| part.chars().filter(char::is_ascii_digit).collect()).collect();
        let part =
            |at: usize, most: usize| digits.get(at).map_or("", |d| &d[..most.min(d.len())]).to_string();
        (part(0, 8), part(1, 6))
    }

    /// The code of a label of the model. A label of more than 16 bytes has a long code value.
    pub(super) fn label(&self, source: &Source, label: &str, meaning: Option<&str>) -> Code {
        let meaning = meaning.filter(|meaning| source.holds(meaning)).map(str::to_string);
        let label = self.said(source, label);
        Code {
            value: format!("{}/{label}", self.model),
            scheme: SCHEME.to_string(),
            meaning: cut(&meaning.unwrap_or(label), 64).to_string(),
        }
    }

    /// A label as the character set holds it: as it is, or by its number.
    pub(super) fn said(&self, source: &Source, label: &str) -> String {
        if source.holds(label) { label.to_string() } else { self.numbered(label) }
    }

    /// A label in ASCII, where its letters cannot be shown: its number, counted from 1 in the order of the model's card. Two
    /// labels are never the same.
    pub(super) fn numbered(&self, label: &str) -> String {
        match self.labels.iter().position(|own| own == label) {
            Some(place) => format!("label {} of {}", place + 1, self.labels.len()),
            None => label
                .chars()
                .map(|letter| format!("U+{:04X}", u32::from(letter)))
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// The beginning of a text, of at most so many characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}
