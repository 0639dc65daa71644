//! Known conditions among the words records put around them: "history of severe asthma", "CKD (eGFR 22)".
//! What is denied, or is said of relatives, is not what the person has (see [`said`](super::said)).

use super::normal;
use super::{Meaning, Terminology};

/// Words that qualify a condition and leave it the same.
const QUALIFIERS: &[&str] = &[
    "acute",
    "chronic",
    "severe",
    "mild",
    "moderate",
    "persistent",
    "intermittent",
    "history",
    "hx",
    "status",
    "post",
    "previous",
    "past",
    "old",
    "known",
    "current",
    "currently",
    "uncontrolled",
    "controlled",
    "stable",
    "unstable",
    "complete",
    "partial",
    "first",
    "second",
    "third",
    "degree",
    "congenital",
    "acquired",
    "unspecified",
    "specified",
    "nos",
    "other",
    "site",
    "primary",
    "secondary",
    "recurrent",
    "active",
    "early",
    "advanced",
    "stage",
    "grade",
    "class",
    "nyha",
    "iii",
    "ii",
    "iv",
    "exacerbation",
    "generalized",
    "systolic",
    "diastolic",
    "decompensated",
    "idiopathic",
    "alcoholic",
    "disorder",
    "disease",
    "syndrome",
    "of",
    "the",
    "with",
    "and",
    "on",
    "in",
    "due",
    "to",
    "hd",
    "cpap",
    "patient",
    "week",
    "month",
    "twin",
    "egfr",
    "ef",
    "or",
    "for",
    "by",
    "from",
    "since",
    "prior",
    "diagnosed",
    "dx",
    "year",
    "day",
    "left",
    "right",
    "bilateral",
    "has",
    "had",
    "an",
    "was",
    "caused",
    "possible",
    "probable",
    "suspected",
    "presumed",
    "likely",
    "positive",
    "antibody",
    "antibodies",
    "resolved",
    "healed",
    "under",
    "over",
    "lvef",
    "qtc",
    "seronegative",
    "recent",
    "recently",
    "new",
    "newly",
    "onset",
    "ongoing",
    "longstanding",
    "refractory",
    "confirmed",
    "documented",
    "established",
    "underlying",
    "untreated",
    "treated",
    "poorly",
    "well",
    "symptomatic",
    "asymptomatic",
];

pub(super) const QUALIFIERS_ZH: [&str; 34] = [
    "极高危",
    "很高危",
    "病史",
    "急性",
    "慢性",
    "重度",
    "中度",
    "轻度",
    "患者",
    "未控制",
    "控制不佳",
    "未愈",
    "失代偿期",
    "代偿期",
    "不稳定型",
    "稳定型",
    "稳定期",
    "活动期",
    "缓解期",
    "急性期",
    "恢复期",
    "陈旧性",
    "复发性",
    "近期",
    "新发",
    "确诊",
    "原发性",
    "继发性",
    "既往",
    "史",
    "期",
    "型",
    "血压",
    "的",
];

/// Whether the text is a code of ICD or of digits alone: nobody sees from it that it was not understood.
pub fn is_code(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let cut = text.rfind(['|', ':', '#', '/', ' ']).map_or(0, |at| at + 1);
    let (system, code) = text.split_at(cut);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    // ICD-9: "493.90". Behind other words it is a measure.
    let old = code.split_once('.').is_some_and(|(category, rest)| {
        category.len() == 3 && digits(category) && (1..=2).contains(&rest.len()) && digits(rest)
    });
    (code.len() >= 6 && digits(code))
        || (old && (system.is_empty() || system.contains("icd")))
        || dotted(code).is_some()
}

/// A code of ICD-10 with its dot, if the text is of that form.
pub fn dotted(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| *c != '.').collect();
    let bytes = bare.as_bytes();
    let shape = (3..=7).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_alphanumeric)
        && bytes[0].is_ascii_alphabetic()
        && bytes[1].is_ascii_digit()
        && (bytes[2].is_ascii_digit() || matches!(bytes[2], b'a' | b'b'))
        && bytes.get(3).is_none_or(|byte| byte.is_ascii_digit() || matches!(byte, b'a' | b'x'));
    let dot = text.find('.');
    if !shape || dot.is_some_and(|at| at != 3) || text.matches('.').count() > 1 {
        return None;
    }
    Some(if bytes.len() == 3 { bare } else { format!("{}.{}", &bare[..3], &bare[3..]) })
}

impl Terminology {
    /// What the known conditions among these normalised words mean; `known` if nothing but qualifiers is left.
    pub(super) fn conditions_among(&self, normal: &str) -> Option<Meaning> {
        let reading = self.read(normal, false, is_qualifier);
        let mut meaning = Meaning::default();
        for found in reading.counted(false) {
            found.names.iter().for_each(|name| self.explain(name, &mut meaning));
        }
        // Of "MI with normal coronaries" nobody can tell whether it is the infarction: it is not passed over in silence.
        let found = !meaning.broader.is_empty() || reading.unsure;
        let known = !reading.left && (found || !reading.values.is_empty());
        let values = reading.values;
        (found || !values.is_empty()).then_some(Meaning { known, partly: found && !known, values, ..meaning })
    }

    /// Whether words in a script whose names are too short to be very like another say nothing that is understood, be it
    /// only that something is denied.
    pub fn says_nothing_known(&self, text: &str) -> bool {
        text.chars().any(super::spelling::is_ideograph) && {
            let reading = self.read(&normal::normalise(text), true, is_qualifier);
            reading.found.is_empty() && reading.values.is_empty()
        }
    }
}

/// Whether a word says nothing that makes a condition another.
pub(super) fn is_qualifier(word: &str) -> bool {
    word.len() == 1
        || word.starts_with(|c: char| c.is_ascii_digit() || c == '%')
        || QUALIFIERS.contains(&word)
        || QUALIFIERS.contains(&normal::singular(word).as_str())
        || QUALIFIERS_ZH.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::is_code;

    #[test]
    fn a_number_alone_is_a_code_and_among_words_a_measure() {
        for code in ["585.4", "493.90", "icd9:493.9", "J45.9", "195967001"] {
            assert!(is_code(code), "{code}");
        }
        for words in ["temperature 101.2", "HbA1c 7.5", "7.5", "asthma"] {
            assert!(!is_code(words), "{words}");
        }
    }
}
