//! What QIDO-RS searches for, and attribute matching (PS3.4 section C.2.2.2, PS3.18 section 8.3.4): single values,
//! wildcards, lists of UIDs and ranges of dates, against the attributes of a result in DICOM's JSON.

use clinical::dicom::uid::is_uid;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::api::Problem;

/// Modality.
pub const MODALITY: &str = "00080060";

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchParameters {
    /// Study Instance UID, or several with commas between.
    #[serde(rename = "StudyInstanceUID", alias = "0020000D")]
    #[param(example = "1.2.826.0.1.3680043.8.498.1")]
    pub study: Option<String>,
    /// A group of the patient's name; `*` and `?` are wildcards, and the case does not count.
    #[serde(rename = "PatientName", alias = "00100010")]
    #[param(example = "Doe*")]
    pub name: Option<String>,
    /// Study Date, or from one to another.
    #[serde(rename = "StudyDate", alias = "00080020")]
    #[param(example = "20260301-20260331")]
    pub date: Option<String>,
    /// Study Time, or from one to another.
    #[serde(rename = "StudyTime", alias = "00080030")]
    #[param(example = "0800-1200")]
    pub time: Option<String>,
    /// Accession Number, with wildcards.
    #[serde(rename = "AccessionNumber", alias = "00080050")]
    #[param(example = "A17")]
    pub accession: Option<String>,
    /// A modality of the results in the study.
    #[serde(rename = "ModalitiesInStudy", alias = "00080061")]
    #[param(example = "SR")]
    pub modality: Option<String>,
    /// A group of the referring physician's name, with wildcards.
    #[serde(rename = "ReferringPhysicianName", alias = "00080090")]
    #[param(example = "Roe*")]
    pub physician: Option<String>,
    /// Study ID, with wildcards.
    #[serde(rename = "StudyID", alias = "00200010")]
    #[param(example = "S1")]
    pub study_id: Option<String>,
    /// Names are always matched letter by letter; the header `warning` says so.
    pub fuzzymatching: Option<bool>,
    /// Patient ID, with wildcards.
    #[serde(rename = "PatientID", alias = "00100020")]
    #[param(example = "p1")]
    pub patient: Option<String>,
    /// Most answers; default: 100.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Answers to pass over; default: 0.
    pub offset: Option<usize>,
    /// Further attributes; those that are answered are always the same.
    pub includefield: Option<String>,
}

/// What to search for within a study, and which page of the answer.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// Modality, such as SR, OT or SEG.
    #[serde(rename = "Modality", alias = "00080060")]
    #[param(example = "SR")]
    pub modality: Option<String>,
    /// Series Instance UID, or several with commas between.
    #[serde(rename = "SeriesInstanceUID", alias = "0020000E")]
    #[param(example = "2.25.1")]
    pub series: Option<String>,
    /// Series Number.
    #[serde(rename = "SeriesNumber", alias = "00200011")]
    #[param(example = "9001")]
    pub number: Option<String>,
    /// SOP Class UID, or several with commas between.
    #[serde(rename = "SOPClassUID", alias = "00080016")]
    #[param(example = "1.2.840.10008.5.1.4.1.1.88.34")]
    pub sop_class: Option<String>,
    /// SOP Instance UID, or several with commas between.
    #[serde(rename = "SOPInstanceUID", alias = "00080018")]
    #[param(example = "2.25.2")]
    pub sop_instance: Option<String>,
    /// Instance Number.
    #[serde(rename = "InstanceNumber", alias = "00200013")]
    #[param(example = "1")]
    pub instance_number: Option<String>,
    /// Names are always matched letter by letter; the header `warning` says so.
    pub fuzzymatching: Option<bool>,
    /// Most answers; default: 100.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Answers to pass over; default: 0.
    pub offset: Option<usize>,
    /// Further attributes; those that are answered are always the same.
    pub includefield: Option<String>,
}

impl SearchParameters {
    /// What is asked of the attributes of each result.
    ///
    /// # Errors
    /// 400 for a value that the attribute cannot have.
    pub(super) fn keys(&self) -> Result<Vec<Key>, Problem> {
        let keys = [
            Key::new("StudyInstanceUID", "0020000D", "UI", self.study.as_ref())?,
            Key::new("PatientName", "00100010", "PN", self.name.as_ref())?,
            Key::new("PatientID", "00100020", "LO", self.patient.as_ref())?,
            Key::new("StudyDate", "00080020", "DA", self.date.as_ref())?,
            Key::new("StudyTime", "00080030", "TM", self.time.as_ref())?,
            Key::new("AccessionNumber", "00080050", "SH", self.accession.as_ref())?,
            Key::new("ReferringPhysicianName", "00080090", "PN", self.physician.as_ref())?,
            Key::new("StudyID", "00200010", "SH", self.study_id.as_ref())?,
        ];
        Ok(keys.into_iter().flatten().collect())
    }
}

impl PageParameters {
    /// What is asked of the attributes of each result.
    ///
    /// # Errors
    /// 400 for a value that the attribute cannot have.
    pub(super) fn keys(&self) -> Result<Vec<Key>, Problem> {
        let keys = [
            Key::new("Modality", MODALITY, "CS", self.modality.as_ref())?,
            Key::new("SeriesInstanceUID", "0020000E", "UI", self.series.as_ref())?,
            Key::new("SeriesNumber", "00200011", "IS", self.number.as_ref())?,
            Key::new("SOPClassUID", "00080016", "UI", self.sop_class.as_ref())?,
            Key::new("SOPInstanceUID", "00080018", "UI", self.sop_instance.as_ref())?,
            Key::new("InstanceNumber", "00200013", "IS", self.instance_number.as_ref())?,
        ];
        Ok(keys.into_iter().flatten().collect())
    }
}

/// How the values of an attribute are compared.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Wildcards, letter by letter.
    Text,
    /// Wildcards, of any group of a person's name, whatever the case.
    Name,
    /// One of a list.
    Uid,
    /// A day or an hour, or from one to another.
    Range,
}

/// What a search asks of an attribute.
pub struct Key {
    tag: &'static str,
    way: Way,
    wanted: String,
}

impl Key {
    /// An attribute by its keyword, tag and value representation; nothing where nothing is asked of it.
    ///
    /// # Errors
    /// 400 for a value that no such attribute has: its search would find nothing, as if there were nothing.
    pub fn new(
        name: &str,
        tag: &'static str,
        vr: &str,
        wanted: Option<&String>,
    ) -> Result<Option<Key>, Problem> {
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty() && *wanted != "*") else {
            return Ok(None);
        };
        let (way, sound, accepted) = match vr {
            "PN" => (Way::Name, true, ""),
            "UI" => (Way::Uid, is_uids(wanted), "a UID, or several with commas between, is accepted"),
            "DA" => (
                Way::Range,
                is_range(wanted, is_day),
                "a day (20260301) or a range (20260301-20260331) is accepted",
            ),
            "TM" => (
                Way::Range,
                is_range(wanted, is_hour),
                "a time (0830, 083000) or a range (0800-1200) is accepted",
            ),
            "IS" => (Way::Text, wanted.parse::<i32>().is_ok(), "a whole number is accepted"),
            _ => (Way::Text, true, ""),
        };
        match sound {
            true => Ok(Some(Key { tag, way, wanted: wanted.clone() })),
            false => Err(Problem::bad_parameter(name, accepted)),
        }
    }

    /// Whether any value of the attribute is what is asked for.
    pub fn fits(&self, attributes: &Map<String, Value>) -> bool {
        let values = attributes.get(self.tag).and_then(|own| own.get("Value")).and_then(Value::as_array);
        values.is_some_and(|values| values.iter().any(|value| self.fits_value(value)))
    }

    fn fits_value(&self, value: &Value) -> bool {
        match value {
            Value::Object(groups) => groups.values().any(|group| self.fits_value(group)),
            Value::String(text) => self.fits_text(text),
            other => self.fits_text(&other.to_string()),
        }
    }

    fn fits_text(&self, text: &str) -> bool {
        let wanted = self.wanted.as_str();
        match self.way {
            Way::Text => like(wanted, text),
            Way::Name => like(&wanted.to_lowercase(), &text.to_lowercase()),
            Way::Uid => wanted.split([',', '\\']).any(|uid| uid.trim() == text),
            Way::Range => match wanted.split_once('-') {
                None => wanted == text,
                Some((from, to)) => {
                    let upto = text.get(..to.len().min(text.len())).unwrap_or(text);
                    (from.is_empty() || text >= from) && (to.is_empty() || upto <= to)
                }
            },
        }
    }
}

fn is_uids(list: &str) -> bool {
    list.split([',', '\\']).all(|uid| is_uid(uid.trim()))
}

/// Whether text is a value, or two with a dash between, of which one may be missing.
fn is_range(text: &str, is_one: impl Fn(&str) -> bool) -> bool {
    match text.split_once('-') {
        None => is_one(text),
        Some((from, to)) => {
            let open = |end: &str| end.is_empty() || is_one(end);
            open(from) && open(to) && text != "-"
        }
    }
}

/// Whether text is a day: YYYYMMDD.
fn is_day(text: &str) -> bool {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u32>().ok());
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (1..=12).contains(&number(4, 6).unwrap_or(0)) && (1..=31).contains(&number(6, 8).unwrap_or(0))
}

/// Whether text is a time of a day: HH, HHMM or HHMMSS, that with a fraction.
fn is_hour(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let below = |at: usize, most: u32| {
        let part = whole.get(at..at + 2).and_then(|digits| digits.parse::<u32>().ok());
        part.is_none_or(|part| part < most)
    };
    let shape = [2, 4, 6].contains(&whole.len()) && (whole.len() == 6 || !text.contains('.'));
    shape
        && digits(whole)
        && digits(fraction)
        && fraction.len() <= 6
        && below(0, 24)
        && below(2, 60)
        && below(4, 61)
}

/// Whether text is what a pattern says, in which `*` is any letters and `?` one. Of several ways to read a `*` the one that
/// takes least is tried first, and then a letter more, so that the time is at most the product of both lengths.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(place) {
            Some('*') => {
                star = Some((place, at));
                place += 1;
            }
            Some(&own) if own == '?' || own == text[at] => {
                place += 1;
                at += 1;
            }
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from + 1));
                place = back + 1;
                at = from + 1;
            }
        }
    }
    pattern[place..].iter().all(|own| *own == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_fit_by_wildcards_lists_and_ranges() {
        let all = json!({
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]},
            "00100020": {"vr": "LO", "Value": ["P-17"]},
            "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
            "00080020": {"vr": "DA", "Value": ["20260301"]},
            "00200011": {"vr": "IS", "Value": [9001]},
            "00080050": {"vr": "SH"},
        });
        let Value::Object(all) = all else { panic!("an object") };
        for (tag, vr, wanted, fits) in [
            ("00100010", "PN", "wang*", true),
            ("00100010", "PN", "王*", true),
            ("00100010", "PN", "Li*", false),
            ("00100020", "LO", "P*7", true),
            ("00100020", "LO", "P-1?", true),
            ("00100020", "LO", "p-17", false),
            ("00100020", "LO", "P-17*?", false),
            ("0020000D", "UI", "1.2.4,1.2.3", true),
            ("00080020", "DA", "20260301", true),
            ("00080020", "DA", "20260101-20260301", true),
            ("00080020", "DA", "-20260228", false),
            ("00080020", "DA", "20260302-", false),
            ("00200011", "IS", "9001", true),
            ("00080050", "SH", "A1", false),
            ("00080060", "CS", "SR", false),
        ] {
            let key = Key::new("Name", tag, vr, Some(&wanted.to_string())).unwrap().unwrap();
            assert_eq!(key.fits(&all), fits, "{tag} {wanted}");
        }
        assert!(Key::new("Name", "00080050", "SH", Some(&"*".to_string())).unwrap().is_none(), "any or none");
        assert!(!like(&"*a".repeat(2000), &"b".repeat(20_000)));
    }

    #[test]
    fn values_that_an_attribute_cannot_have_are_refused() {
        for (vr, wanted, sound) in [
            ("DA", "junk", false),
            ("DA", "2026-03-01", false),
            ("DA", "20261301", false),
            ("DA", "2026*", false),
            ("DA", "-", false),
            ("DA", "20260301-", true),
            ("TM", "25", false),
            ("TM", "08:30", false),
            ("TM", "0800-1200", true),
            ("TM", "083000.5", true),
            ("UI", "1.2.*", false),
            ("UI", "1.2.3,junk", false),
            ("UI", "1.2.3\\1.2.4", true),
            ("IS", "nine", false),
            ("LO", "anything *", true),
        ] {
            let key = Key::new("StudyDate", "00080020", vr, Some(&wanted.to_string()));
            assert_eq!(key.is_ok(), sound, "{vr} {wanted}");
            assert!(
                key.is_ok() || key.is_err_and(|problem| problem.detail.contains("StudyDate")),
                "{wanted}"
            );
        }
    }
}
