//! Fields that hold a code of one of HL7's tables: an action, a status, a type. A code that says that it is of another table
//! (its coding system, the third component) is none of that table, whatever it looks like: `I` of a house's own may be "imported".
//! A code that does not say of what it is, as most senders write it, is of the field's table.

use super::message::{Hl7Error, Message};

/// Where the identifier stands of the element and of its two alternatives; its coding system stands two behind it.
const IDENTIFIERS: [usize; 3] = [0, 3, 9];

/// A field with a code of a table.
pub(super) struct Tabled {
    /// The segment's name.
    segment: &'static str,
    /// The field.
    field: usize,
    /// The number of the table.
    table: &'static str,
    /// Its codes, as far as they are read.
    codes: &'static [&'static str],
    /// Whether any other code is as good as none: sites have codes of their own.
    open: bool,
}

/// What an allergy is to (of AL1-2 and IAM-2).
pub(super) const AL1_TYPE: Tabled = tabled("AL1", 2, "0127", &[], true);
pub(super) const IAM_TYPE: Tabled = tabled("IAM", 2, "0127", &[], true);
/// What is to be done with an allergy.
pub(super) const IAM_ACTION: Tabled = tabled("IAM", 6, "0323", &["A", "D", "U", "X"], false);
/// How sure an allergy is.
pub(super) const IAM_STATUS: Tabled = tabled("IAM", 17, "0438", &["C", "D", "E", "I", "P", "S", "U"], false);
/// What kind of diagnosis one is.
pub(super) const DG1_TYPE: Tabled = tabled("DG1", 6, "0052", &[], true);
/// What is to be done with a diagnosis.
pub(super) const DG1_ACTION: Tabled = tabled("DG1", 21, "0206", &["A", "D", "U", "X"], false);
/// The sex of a person.
pub(super) const PID_SEX: Tabled = tabled("PID", 8, "0001", &[], true);

/// All that are read of segments of which there may be several.
const ALL: [Tabled; 6] = [AL1_TYPE, IAM_TYPE, IAM_ACTION, IAM_STATUS, DG1_TYPE, DG1_ACTION];

const fn tabled(
    segment: &'static str,
    field: usize,
    table: &'static str,
    codes: &'static [&'static str],
    open: bool,
) -> Tabled {
    Tabled { segment, field, table, codes, open }
}

/// What such a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    /// Nothing.
    None,
    /// This code of its table.
    Of(String),
    /// Something that is no one code of its table.
    Other,
}

impl Tabled {
    /// What the field says in the `nth` segment (from 0). Codes of other tables beside one of its own are translations; of several
    /// of its own that differ, in repetitions or alternatives, nobody can say which is meant.
    pub fn read(&self, message: &Message, nth: usize) -> Code {
        let (mut own, mut others) = (Vec::new(), false);
        for parts in message.whole((self.segment, nth), self.field) {
            let part = |at: usize| parts.get(at).map_or("", String::as_str);
            for at in IDENTIFIERS.into_iter().filter(|at| !part(*at).is_empty()) {
                // An alternative has a system, as it is of another than the first.
                let unsaid = at == 0 && part(at + 2).is_empty();
                match unsaid || self.is_system(part(at + 2)) {
                    true => own.push(part(at).to_owned()),
                    false => others = true,
                }
            }
            // Words without a code are no code of the table.
            others |= (!self.open || self.segment == PID_SEX.segment)
                && IDENTIFIERS.iter().all(|at| part(*at).is_empty())
                && parts.iter().any(|text| !text.is_empty());
        }
        own.dedup();
        match (own.pop(), own.is_empty(), others) {
            (None, _, false) => Code::None,
            (Some(code), true, _) if self.open || self.codes.contains(&code.as_str()) => Code::Of(code),
            _ => Code::Other,
        }
    }

    /// Whether this is what HL7 calls the table (table 0396): `HL70438`, or its object identifier. Of a table that sites fill
    /// themselves a local code (`L`) is one as well.
    fn is_system(&self, written: &str) -> bool {
        let name: String = written.chars().filter(|c| c.is_alphanumeric()).collect();
        let name = name.to_uppercase();
        let oid = format!("2.16.840.1.113883.12.{}", self.table.trim_start_matches('0'));
        let of_the_site = self.open && ["L", "HL7"].contains(&name.as_str());
        name.strip_prefix("HL7").unwrap_or(&name) == self.table || written == oid || of_the_site
    }

    /// That the field is not understood, as an acknowledgement says it.
    fn warning(&self) -> Hl7Error {
        let of = match self.open {
            true => String::new(),
            false => format!(": {}", self.codes.join(", ")),
        };
        let detail = format!(
            "the code is not understood, and nothing is taken back or denied by it: one of table HL7{} is read{of}",
            self.table
        );
        Hl7Error::new(format!("{}-{}", self.segment, self.field), 103, detail)
    }
}

/// What of a message is not understood, each field once.
pub(super) fn not_understood(message: &Message) -> impl Iterator<Item = Hl7Error> {
    let other = |own: &Tabled| {
        (0..message.count(own.segment))
            .any(|nth| own.read(message, nth) == Code::Other)
            .then(|| own.warning())
    };
    ALL.iter().filter_map(other).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_of_the_table_of_its_field_or_is_not_understood() {
        let of = |code: &str| Code::Of(code.to_owned());
        for (field, said) in [
            ("", Code::None),
            ("\"\"", Code::None),
            ("I", of("I")),
            ("I^Confirmed but inactive", of("I")),
            ("I^Confirmed but inactive^HL70438", of("I")),
            ("I^inactive^hl7-0438", of("I")),
            ("I^inactive^2.16.840.1.113883.12.438", of("I")),
            ("77^gone^99LOCAL^I^inactive^HL70438", of("I")),
            ("I^inactive^HL70438^A^archived^99LOCAL", of("I")),
            ("C^^^I^^99LOCAL", of("C")),
            ("I~I", of("I")),
            ("I^imported from old system^99LOCAL", Code::Other),
            ("I^^L", Code::Other),
            ("D^Delete^HL70323", Code::Other),
            ("C^^HL70438^I^^HL70438", Code::Other),
            ("C~I", Code::Other),
            ("I~C~I", Code::Other),
            ("^inactive", Code::Other),
            ("I & more", Code::Other),
            ("i", Code::Other),
            ("Z", Code::Other),
        ] {
            let text = format!("MSH|^~\\&|\rIAM|1|DA|^latex|||A{}{field}\r", "|".repeat(11));
            let message = Message::read(&text).unwrap();
            assert_eq!(IAM_STATUS.read(&message, 0), said, "{field}");
            let told: Vec<String> = not_understood(&message).map(|own| own.place.to_string()).collect();
            assert_eq!(told.len(), usize::from(said == Code::Other), "{field} {told:?}");
        }
    }
}
