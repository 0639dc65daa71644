//! Attribute matching of QIDO-RS (PS3.4 section C.2.2.2, PS3.18 section 8.3.4): single values, wildcards, lists of UIDs and
//! ranges of dates, against the attributes of a result in DICOM's JSON.

use serde_json::{Map, Value};

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
    /// An attribute by its tag and value representation; nothing where nothing is asked of it.
    pub fn new(tag: &'static str, vr: &str, wanted: Option<&String>) -> Option<Key> {
        let wanted = wanted.filter(|wanted| !wanted.is_empty() && *wanted != "*")?.clone();
        let way = match vr {
            "PN" => Way::Name,
            "UI" => Way::Uid,
            "DA" | "TM" => Way::Range,
            _ => Way::Text,
        };
        Some(Key { tag, way, wanted })
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
            ("0020000D", "UI", "1.2.*", false),
            ("00080020", "DA", "20260301", true),
            ("00080020", "DA", "20260101-20260301", true),
            ("00080020", "DA", "-20260228", false),
            ("00080020", "DA", "20260302-", false),
            ("00200011", "IS", "9001", true),
            ("00080050", "SH", "A1", false),
            ("00080060", "CS", "SR", false),
        ] {
            let key = Key::new(tag, vr, Some(&wanted.to_string())).unwrap();
            assert_eq!(key.fits(&all), fits, "{tag} {wanted}");
        }
        assert!(Key::new("00080050", "SH", Some(&"*".to_string())).is_none(), "any or none");
        assert!(!like(&"*a".repeat(2000), &"b".repeat(20_000)));
    }
}
