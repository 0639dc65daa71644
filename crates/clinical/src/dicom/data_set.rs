//! Writing DICOM: a data set as a plain map of attributes, and its forms as a file (PS3.10, explicit little
//! endian), as JSON (PS3.18 annex F) and as XML (PS3.19 annex A).
//!
//! It is written and never read here: what comes from outside is read by `vision`, which trusts no length. Text
//! of the source image is carried as the bytes that it is, beside its Specific Character Set, so that no name is
//! changed on its way; our own words are kept to ASCII where the character set is not UTF-8.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use super::charset::decoded;
use super::tags::{self, Tag};
use super::text::{escaped, groups, person, texts};

/// Explicit VR Little Endian, in which everything is written.
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";

/// The character set of JSON and XML, and of results that no other holds.
pub(super) const UNICODE: &str = "ISO_IR 192";

/// This program, in what it writes and says on the network.
pub const IMPLEMENTATION_CLASS: &str = "2.25.262113764902418843205713316170331214521";
/// Its name there.
pub const IMPLEMENTATION: &str = "MEDSERVE";

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, in the data set's character set.
    Text(Vec<u8>),
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// 16-bit numbers.
    Words(Vec<u16>),
    /// 32-bit numbers.
    Longs(Vec<u32>),
    /// Attributes' numbers.
    Tags(Vec<Tag>),
    /// Items of a sequence.
    Items(Vec<DataSet>),
}

/// An attribute's value representation, as two letters, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Element {
    vr: &'static [u8; 2],
    value: Value,
}

/// Attributes in the order of their tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataSet(BTreeMap<Tag, Element>);

impl DataSet {
    /// With nothing in it.
    pub fn new() -> DataSet {
        DataSet::default()
    }

    /// Puts text; several values have backslashes between them.
    pub fn text(&mut self, tag: Tag, vr: &'static [u8; 2], text: impl AsRef<[u8]>) -> &mut DataSet {
        self.put(tag, vr, Value::Text(text.as_ref().to_vec()))
    }

    /// Puts 16-bit numbers.
    pub fn words(&mut self, tag: Tag, words: &[u16]) -> &mut DataSet {
        self.put(tag, b"US", Value::Words(words.to_vec()))
    }

    /// Puts 32-bit numbers.
    pub fn longs(&mut self, tag: Tag, longs: &[u32]) -> &mut DataSet {
        self.put(tag, b"UL", Value::Longs(longs.to_vec()))
    }

    /// Puts the number of another attribute.
    pub fn pointer(&mut self, tag: Tag, to: Tag) -> &mut DataSet {
        self.put(tag, b"AT", Value::Tags(vec![to]))
    }

    /// Puts a sequence.
    pub fn items(&mut self, tag: Tag, items: Vec<DataSet>) -> &mut DataSet {
        self.put(tag, b"SQ", Value::Items(items))
    }

    /// Puts pixels.
    pub fn bytes(&mut self, tag: Tag, bytes: Vec<u8>) -> &mut DataSet {
        self.put(tag, b"OB", Value::Bytes(bytes))
    }

    fn put(&mut self, tag: Tag, vr: &'static [u8; 2], value: Value) -> &mut DataSet {
        self.0.insert(tag, Element { vr, value });
        self
    }

    /// The first value of an attribute, in the data set's own character set as far as that is known here; of a person's
    /// name the alphabetic form, or the first that there is.
    pub fn decoded(&self, tag: Tag) -> String {
        let charset = self.get(tags::CHARACTER_SET).unwrap_or_default();
        let Some(Element { vr, value: Value::Text(text) }) = self.0.get(&tag) else { return String::new() };
        let first = texts(vr, text, &charset).into_iter().next().unwrap_or_default();
        let first = if *vr == b"PN" { groups(&first).next().map_or("", |(_, group)| group) } else { &first };
        first.trim_matches(['\0', ' ']).to_string()
    }

    /// Text that is there, without padding; bytes that are no UTF-8 are replaced.
    pub fn get(&self, tag: Tag) -> Option<String> {
        match &self.0.get(&tag)?.value {
            Value::Text(text) => Some(String::from_utf8_lossy(text).trim_matches(['\0', ' ']).to_string()),
            _ => None,
        }
    }

    /// The same in Unicode; `None` where text is not of the set that is named, or that is not known.
    pub(super) fn in_unicode(&self) -> Option<DataSet> {
        let charset = self.get(tags::CHARACTER_SET).unwrap_or_default();
        let mut set = self.clone();
        for (tag, Element { vr, value }) in &mut set.0 {
            if let Value::Text(text) = value
                && *tag != tags::CHARACTER_SET
            {
                let decoded = decoded(text, &charset, *vr == b"PN")?;
                // Sets that change within a text of which none is named.
                if decoded.contains('\u{1b}') {
                    return None;
                }
                *text = decoded.into_bytes();
            }
        }
        set.text(tags::CHARACTER_SET, b"CS", UNICODE);
        Some(set)
    }

    /// Takes over every attribute of another.
    pub fn extend(&mut self, other: &DataSet) -> &mut DataSet {
        self.0.extend(other.0.iter().map(|(tag, element)| (*tag, element.clone())));
        self
    }

    /// The attributes as they follow one another in explicit little endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, Element { vr, value }) in &self.0 {
            let value = value.encode(vr);
            bytes.extend(((tag >> 16) as u16).to_le_bytes());
            bytes.extend((*tag as u16).to_le_bytes());
            bytes.extend_from_slice(*vr);
            if matches!(*vr, b"OB" | b"OW" | b"SQ" | b"UC" | b"UT" | b"UN" | b"UR") {
                bytes.extend([0, 0]);
                bytes.extend((value.len() as u32).to_le_bytes());
            } else {
                bytes.extend((value.len() as u16).to_le_bytes());
            }
            bytes.extend(value);
        }
        bytes
    }

    /// The file of an instance.
    pub fn file(&self) -> Vec<u8> {
        let of = |tag| self.get(tag).unwrap_or_default();
        part10(&of(tags::SOP_CLASS), &of(tags::SOP_INSTANCE), EXPLICIT_LITTLE, &self.encode())
    }

    /// As DICOM's JSON has it; pixels are left out.
    pub fn json(&self) -> Json {
        self.json_in(&self.get(tags::CHARACTER_SET).unwrap_or_default())
    }

    fn json_in(&self, charset: &str) -> Json {
        let elements = self.0.iter().filter(|(tag, _)| **tag != tags::PIXELS);
        let members = elements.map(|(tag, Element { vr, value })| {
            let vr_name = String::from_utf8_lossy(*vr);
            let mut member = Map::new();
            member.insert("vr".to_string(), json!(vr_name));
            let values: Vec<Json> = match value {
                Value::Bytes(bytes) => {
                    member.insert("InlineBinary".to_string(), json!(STANDARD.encode(bytes)));
                    Vec::new()
                }
                Value::Words(words) => words.iter().map(|word| json!(word)).collect(),
                Value::Longs(longs) => longs.iter().map(|long| json!(long)).collect(),
                Value::Tags(tags) => tags.iter().map(|tag| json!(format!("{tag:08X}"))).collect(),
                Value::Items(items) => items.iter().map(|item| item.json_in(charset)).collect(),
                // Whatever it was, here it is Unicode (PS3.18 annex F).
                Value::Text(_) if *tag == tags::CHARACTER_SET => vec![json!(UNICODE)],
                Value::Text(text) => texts(vr, text, charset)
                    .into_iter()
                    .map(|text| match *vr {
                        _ if text.is_empty() => Json::Null,
                        b"PN" => Json::Object(
                            groups(&text).map(|(group, own)| (group.into(), own.into())).collect(),
                        ),
                        b"IS" | b"DS" => text.parse::<f64>().map_or(json!(text), whole),
                        _ => json!(text),
                    })
                    .collect(),
            };
            if values.iter().any(|value| !value.is_null()) {
                member.insert("Value".to_string(), Json::Array(values));
            }
            (format!("{tag:08X}"), Json::Object(member))
        });
        Json::Object(members.collect())
    }

    /// As DICOM's XML has it, for answers of a few attributes: pixels are left out.
    pub fn xml(&self) -> String {
        let mut text = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">",
        );
        self.xml_into(&mut text, &self.get(tags::CHARACTER_SET).unwrap_or_default());
        text.push_str("</NativeDicomModel>\n");
        text
    }

    fn xml_into(&self, out: &mut String, charset: &str) {
        for (tag, Element { vr, value }) in self.0.iter().filter(|(tag, _)| **tag != tags::PIXELS) {
            let name = String::from_utf8_lossy(*vr);
            out.push_str(&format!("<DicomAttribute tag=\"{tag:08X}\" vr=\"{name}\">"));
            let mut value_of = |number: usize, text: &str| {
                out.push_str(&format!("<Value number=\"{}\">{}</Value>", number + 1, escaped(text)));
            };
            match value {
                Value::Words(words) => {
                    words.iter().enumerate().for_each(|(n, w)| value_of(n, &w.to_string()))
                }
                Value::Longs(longs) => {
                    longs.iter().enumerate().for_each(|(n, l)| value_of(n, &l.to_string()))
                }
                Value::Tags(tags) => {
                    tags.iter().enumerate().for_each(|(n, t)| value_of(n, &format!("{t:08X}")))
                }
                Value::Text(_) if *tag == tags::CHARACTER_SET => value_of(0, UNICODE),
                Value::Text(text) => {
                    for (number, text) in texts(vr, text, charset).iter().enumerate() {
                        match *vr {
                            b"PN" => person(out, number + 1, text),
                            _ => out.push_str(&format!(
                                "<Value number=\"{}\">{}</Value>",
                                number + 1,
                                escaped(text)
                            )),
                        }
                    }
                }
                Value::Bytes(bytes) => {
                    out.push_str(&format!("<InlineBinary>{}</InlineBinary>", STANDARD.encode(bytes)));
                }
                Value::Items(items) => {
                    for (number, item) in items.iter().enumerate() {
                        out.push_str(&format!("<Item number=\"{}\">", number + 1));
                        item.xml_into(out, charset);
                        out.push_str("</Item>");
                    }
                }
            }
            out.push_str("</DicomAttribute>");
        }
    }
}

impl Value {
    fn encode(&self, vr: &[u8; 2]) -> Vec<u8> {
        let mut bytes = match self {
            Value::Text(text) | Value::Bytes(text) => text.clone(),
            Value::Words(words) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Value::Longs(longs) => longs.iter().flat_map(|long| long.to_le_bytes()).collect(),
            Value::Tags(tags) => {
                let pair =
                    |tag: &Tag| [((tag >> 16) as u16).to_le_bytes(), (*tag as u16).to_le_bytes()].concat();
                tags.iter().flat_map(pair).collect()
            }
            Value::Items(items) => {
                let item = |item: &DataSet| {
                    let bytes = item.encode();
                    [&b"\xfe\xff\x00\xe0"[..], &(bytes.len() as u32).to_le_bytes(), &bytes].concat()
                };
                items.iter().flat_map(item).collect()
            }
        };
        if bytes.len() % 2 == 1 {
            bytes.push(if matches!(vr, b"UI" | b"OB" | b"UN") { 0 } else { b' ' });
        }
        bytes
    }
}

/// A file around a data set that is written in `syntax`.
pub fn part10(sop_class: &str, sop_instance: &str, syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut meta = DataSet::new();
    meta.put(0x0002_0001, b"OB", Value::Bytes(vec![0, 1]))
        .text(0x0002_0002, b"UI", sop_class)
        .text(0x0002_0003, b"UI", sop_instance)
        .text(0x0002_0010, b"UI", syntax)
        .text(0x0002_0012, b"UI", IMPLEMENTATION_CLASS)
        .text(0x0002_0013, b"SH", IMPLEMENTATION);
    let meta = meta.encode();
    let mut length = DataSet::new();
    length.longs(0x0002_0000, &[meta.len() as u32]);
    [&[0; 128][..], b"DICM", &length.encode(), &meta, data_set].concat()
}

/// The data set in a file that [`part10`] made.
pub fn data_set_of(file: &[u8]) -> &[u8] {
    // Behind the preamble stands the length of the group that is not the data set's.
    let length =
        file.get(140..144).and_then(|four| four.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four));
    file.get(144 + length as usize..).unwrap_or_default()
}

/// A number as JSON has it, without a fraction where there is none.
fn whole(number: f64) -> Json {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => json!(number as i64),
        false => json!(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient() -> DataSet {
        let mut item = DataSet::new();
        item.text(tags::CODE_VALUE, b"SH", "111012");
        let mut set = DataSet::new();
        set.text(tags::CHARACTER_SET, b"CS", "ISO_IR 100")
            .text(tags::PATIENT_NAME, b"PN", b"M\xfcller^Anna")
            .text(tags::PATIENT_ID, b"LO", "7")
            .words(tags::ROWS, &[2])
            .items(tags::CONCEPT_NAME, vec![item])
            .text(tags::SEX, b"CS", "");
        set
    }

    #[test]
    fn elements_are_in_order_even_and_explicit() {
        let bytes = patient().encode();
        assert!(
            bytes.starts_with(
                b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x10\x00\x10\x00PN\x0c\x00M\xfcller^Anna "
            )
        );
        let sequence =
            b"\x40\x00\x43\xa0SQ\0\0\x16\0\0\0\xfe\xff\x00\xe0\x0e\0\0\0\x08\0\0\x01SH\x06\x00111012";
        assert!(bytes.windows(sequence.len()).any(|part| part == sequence));
        assert_eq!(bytes.len() % 2, 0);
    }

    #[test]
    fn the_data_set_of_a_file_is_found_again() {
        let set = patient();
        assert_eq!(data_set_of(&set.file()), set.encode());
        assert_eq!(data_set_of(b"short"), b"");
    }

    #[test]
    fn json_and_xml_say_the_same_in_unicode() {
        let json = patient().json();
        assert_eq!(json["00100010"], json!({"vr": "PN", "Value": [{"Alphabetic": "Müller^Anna"}]}));
        assert_eq!(json["00280010"], json!({"vr": "US", "Value": [2]}));
        assert_eq!(json["00100040"], json!({"vr": "CS"}));
        assert_eq!(json["0040A043"]["Value"][0]["00080100"]["Value"][0], "111012");
        let xml = patient().xml();
        assert!(xml.contains("<DicomAttribute tag=\"00280010\" vr=\"US\"><Value number=\"1\">2</Value>"));
        assert!(
            xml.contains(
                "<Alphabetic><FamilyName>Müller</FamilyName><GivenName>Anna</GivenName></Alphabetic>"
            )
        );
        assert!(xml.contains(">ISO_IR 192<") && json["00080005"]["Value"] == json!(["ISO_IR 192"]));
    }

    /// As pydicom's `to_json_dict` has them.
    #[test]
    fn the_groups_of_a_name_stand_apart_in_the_words_of_any_set() {
        let mut set = DataSet::new();
        set.text(tags::CHARACTER_SET, b"CS", "GB18030")
            .text(tags::PATIENT_NAME, b"PN", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab")
            .text(tags::STUDY_DESCRIPTION, b"LO", b"\xd0\xd8\xb2\xbf");
        let name = json!({"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"});
        assert_eq!(set.json()["00100010"]["Value"], json!([name]));
        assert_eq!(set.json()["00081030"]["Value"], json!(["胸部"]));
        assert_eq!(set.decoded(tags::PATIENT_NAME), "Wang^XiaoDong");
        set.text(tags::PATIENT_NAME, b"PN", b"=\xcd\xf5^\xd0\xa1\xb6\xab");
        assert_eq!(set.decoded(tags::PATIENT_NAME), "王^小东");
        set.text(tags::PATIENT_NAME, b"PN", b"\xff\xff");
        assert_eq!(set.json()["00100010"], json!({"vr": "PN"}), "nothing, and no question marks");
    }
}
