//! What QIDO-RS searches for, and attribute matching (PS3.4 section C.2.2.2, PS3.18 section 8.3.4): single values,
//! wildcards, lists and ranges of dates, against the attributes of a result in DICOM's JSON. What is written otherwise and
//! means the same is found: an answer of nothing reads as if there were nothing.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use clinical::dicom::uid::is_uid;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::api::Problem;
use crate::api::extract::Parameters;

/// Modality.
pub const MODALITY: &str = "00080060";

/// The query string of a search as `T`. `includefield` may come several times (PS3.18 section 8.3.4.3).
pub struct Search<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Search<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Some(uri) = joined(&parts.uri) {
            parts.uri = uri;
        }
        Parameters::from_request_parts(parts, state).await.map(|Parameters(value)| Search(value))
    }
}

/// The address with all its `includefield`s as one list; nothing where they are already.
fn joined(uri: &Uri) -> Option<Uri> {
    let field = |pair: &&str| pair.starts_with("includefield=");
    let (fields, others): (Vec<&str>, Vec<&str>) = uri.query()?.split('&').partition(field);
    if fields.len() < 2 {
        return None;
    }
    let values: Vec<&str> = fields.iter().filter_map(|pair| Some(pair.split_once('=')?.1)).collect();
    let list = format!("includefield={}", values.join(","));
    let all: Vec<&str> = others.into_iter().chain([list.as_str()]).collect();
    format!("{}?{}", uri.path(), all.join("&")).parse().ok()
}

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
    /// A modality of the results in the study, or several with commas between.
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
    /// Further attributes, also by several of these; those that are answered are always the same.
    pub includefield: Option<String>,
}

/// What to search for within a study, and which page of the answer.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// Modality, such as SR, OT or SEG, or several with commas between.
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
    /// Further attributes, also by several of these; those that are answered are always the same.
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
    /// One of a list, with wildcards.
    Code,
    /// The same number, however it is written.
    Number,
    /// A day or an hour of so many digits, or from one to another. What is written with fewer is all that they leave open.
    Range(usize),
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
                Way::Range(DAY),
                is_range(wanted, is_day),
                "a day (20260301) or a range (20260301-20260331) is accepted",
            ),
            "TM" => (
                Way::Range(HOUR),
                is_range(wanted, is_hour),
                "a time (0830, 083000) or a range (0800-1200) is accepted",
            ),
            "IS" => (Way::Number, wanted.parse::<i32>().is_ok(), "a whole number is accepted"),
            "CS" => (
                Way::Code,
                is_codes(wanted),
                "a code in large letters (SR), or several with commas between, is accepted",
            ),
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
            Way::Name => {
                let (wanted, text) = (wanted.to_lowercase(), text.to_lowercase());
                // Empty parts at the end of a name say nothing, and may be written or not.
                like(&wanted, &text) || like(wanted.trim_end_matches('^'), text.trim_end_matches('^'))
            }
            Way::Code => wanted.split([',', '\\']).any(|code| like(code.trim(), text.trim())),
            Way::Number => {
                let number = |text: &str| text.trim().parse::<i32>().ok();
                number(text).is_some_and(|own| number(wanted) == Some(own))
            }
            Way::Uid => wanted.split([',', '\\']).any(|uid| uid.trim() == text),
            Way::Range(digits) => {
                let (from, to) = wanted.split_once('-').unwrap_or((wanted, wanted));
                let Some((first, last)) = span(text, digits) else { return false };
                span(from, digits).is_none_or(|(from, _)| last >= from)
                    && span(to, digits).is_none_or(|(_, to)| first <= to)
            }
        }
    }
}

/// Digits of a day, and of a time with its fraction.
const DAY: usize = 8;
const HOUR: usize = 12;

/// The first and the last of what a day or a time means that is written with so few digits; nothing where it has none.
fn span(text: &str, digits: usize) -> Option<(String, String)> {
    let own: String = text.chars().filter(char::is_ascii_digit).take(digits).collect();
    (!own.is_empty()).then(|| (format!("{own:0<digits$}"), format!("{own:9<digits$}")))
}

/// Whether a list has codes alone, which are in large letters, with or without wildcards.
fn is_codes(list: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" _*?".contains(&byte);
    list.split([',', '\\']).all(|code| !code.trim().is_empty() && code.bytes().all(is_letter))
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
            "00080030": {"vr": "TM", "Value": ["101010"]},
            "00080031": {"vr": "TM", "Value": ["101010.5"]},
            "00080032": {"vr": "TM", "Value": ["noon"]},
            "00080061": {"vr": "CS", "Value": ["SEG"]},
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
            ("00200011", "IS", "09001", true),
            ("00200011", "IS", "901", false),
            ("00100010", "PN", "wang^xiaodong^^^", true),
            ("00080061", "CS", "SR,SEG", true),
            ("00080061", "CS", "OT\\SE?", true),
            ("00080061", "CS", "SR,OT", false),
            ("00080030", "TM", "101010", true),
            ("00080030", "TM", "1010", true),
            ("00080030", "TM", "10", true),
            ("00080030", "TM", "1011", false),
            ("00080030", "TM", "101010.000-101011", true),
            ("00080030", "TM", "-101010", true),
            ("00080030", "TM", "1010-1010", true),
            ("00080030", "TM", "101011-", false),
            ("00080030", "TM", "0900-1009", false),
            ("00080031", "TM", "101010", true),
            ("00080031", "TM", "101010.6-", false),
            ("00080032", "TM", "0000-2359", false),
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
    fn what_is_to_be_included_may_come_several_times() {
        let whole = |uri: &str| joined(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(
            whole("/s?includefield=00081030&PatientID=p%201&includefield=00080060%2C00080020").as_deref(),
            Some("/s?PatientID=p%201&includefield=00081030,00080060%2C00080020")
        );
        // Of what is searched for only one can be meant.
        for alone in ["/s", "/s?includefield=all&limit=1", "/s?PatientID=a&PatientID=b"] {
            assert_eq!(whole(alone), None);
        }
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
            ("CS", "sr", false),
            ("CS", "SR,", false),
            ("CS", "SR, S*", true),
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
