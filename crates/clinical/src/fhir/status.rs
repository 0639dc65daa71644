//! The statuses of an allergy and of a condition. FHIR R4 binds each of them to one code system (binding `required`), so a code
//! of another system is none of its codes, whatever it looks like: a hospital's own "resolved" may be of a message, or of a
//! reconciliation. What ends something has to be said plainly, as what is ended speaks against no drug any more: codes that
//! contradict each other, and words beside a code that do, end nothing. Codes without a system and older releases' bare codes
//! are read as R4's, where nothing contradicts them.

use serde_json::Value;

use super::bundle::Resource;
use super::resources::{AllergyIntolerance, Condition};

/// Words before the name of a code by which it is not said.
const DENYING: [&str; 7] = ["not", "no", "never", "longer", "previously", "formerly", "without"];

/// A status element, and what the codes say to which FHIR R4 binds it.
struct Bound {
    /// The member.
    name: &'static str,
    /// The code system.
    system: &'static str,
    /// Codes with which a denial holds.
    plain: &'static [&'static str],
    /// Other codes with which there is something.
    there: &'static [&'static str],
    /// Codes that end it, or say that it never was.
    over: &'static [&'static str],
}

static ALLERGY_CLINICAL: Bound = Bound {
    name: "clinicalStatus",
    system: "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
    plain: &["active"],
    there: &[],
    over: &["inactive", "resolved"],
};
static ALLERGY_VERIFICATION: Bound = Bound {
    name: "verificationStatus",
    system: "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
    plain: &["confirmed", "unconfirmed"],
    there: &[],
    over: &["refuted", "entered-in-error"],
};
static CONDITION_CLINICAL: Bound = Bound {
    name: "clinicalStatus",
    system: "http://terminology.hl7.org/CodeSystem/condition-clinical",
    plain: &["active"],
    there: &["recurrence", "relapse", "remission"],
    over: &["inactive", "resolved"],
};
static CONDITION_VERIFICATION: Bound = Bound {
    name: "verificationStatus",
    system: "http://terminology.hl7.org/CodeSystem/condition-ver-status",
    plain: &["confirmed", "unconfirmed", "provisional"],
    there: &[],
    over: &["refuted", "entered-in-error", "differential"],
};

/// A status: a CodeableConcept in R4, a bare code in older releases.
pub(super) struct Status {
    bound: &'static Bound,
    absent: bool,
    /// Its codes, in small letters: of the system that it is bound to, or of none.
    codes: Vec<String>,
    /// Codes of other systems, and nothing for a coding without a code.
    foreign: Vec<String>,
    /// The text, as it is written.
    text: Option<String>,
    /// The displays.
    displays: Vec<String>,
}

/// The clinical and the verification status of an allergy.
pub(super) fn of_allergy(allergy: &AllergyIntolerance) -> [Status; 2] {
    [
        Status::of(&ALLERGY_CLINICAL, allergy.clinical_status.as_ref()),
        Status::of(&ALLERGY_VERIFICATION, allergy.verification_status.as_ref()),
    ]
}

/// The clinical and the verification status of a condition.
pub(super) fn of_condition(condition: &Condition) -> [Status; 2] {
    [
        Status::of(&CONDITION_CLINICAL, condition.clinical_status.as_ref()),
        Status::of(&CONDITION_VERIFICATION, condition.verification_status.as_ref()),
    ]
}

/// The statuses of a resource that are not understood, by their members: what it says counts all the same, but for a denial.
/// Where one status surely ends it, the other does not matter.
pub(crate) fn unclear(resource: &Resource) -> Vec<&'static str> {
    let statuses = match resource {
        Resource::AllergyIntolerance(allergy) => of_allergy(allergy),
        Resource::Condition(condition) => of_condition(condition),
        _ => return Vec::new(),
    };
    if statuses.iter().any(Status::is_over) {
        return Vec::new();
    }
    statuses.iter().filter(|status| !status.is_understood()).map(|status| status.bound.name).collect()
}

impl Status {
    fn of(bound: &'static Bound, value: Option<&Value>) -> Status {
        let mut status = Status {
            bound,
            absent: false,
            codes: Vec::new(),
            foreign: Vec::new(),
            text: None,
            displays: Vec::new(),
        };
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Status { absent: true, ..status };
        };
        let member = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(folded);
        status.codes.extend(value.as_str().map(folded).filter(|code| !code.is_empty()));
        status.text = member(value, "text").filter(|text| !text.is_empty());
        for coding in value.get("coding").and_then(Value::as_array).into_iter().flatten() {
            let code = member(coding, "code").unwrap_or_default();
            let system = coding.get("system").filter(|system| !system.is_null());
            let own = system.is_none_or(|system| {
                system.as_str().is_some_and(|system| ["", bound.system].contains(&system.trim()))
            });
            let of_its_kind = if own && !code.is_empty() { &mut status.codes } else { &mut status.foreign };
            of_its_kind.push(code);
            status.displays.extend(member(coding, "display"));
        }
        status
    }

    /// Whether there is none.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// Whether it surely says that what the resource is of is over, or never was.
    pub fn is_over(&self) -> bool {
        let over = |code: &String| self.bound.over.contains(&code.as_str());
        !self.codes.is_empty() && self.codes.iter().all(over) && !self.names_any(&self.bound.there_now())
    }

    /// Whether there is none, or it says nothing but what a denial holds with.
    pub fn is_plain(&self) -> bool {
        let plain = |code: &String| self.bound.plain.contains(&code.as_str());
        let mut said = self.codes.iter().chain(&self.foreign).chain(&self.text);
        let others = [self.bound.there, self.bound.over].concat();
        self.absent || (!self.codes.is_empty() && said.all(plain) && !self.names_any(&others))
    }

    /// Whether nothing in it says whether something is there now.
    pub fn is_silent(&self) -> bool {
        let coded = self.codes.iter().chain(&self.foreign).any(|code| !code.is_empty());
        !coded && !self.names_any(&self.bound.there_now())
    }

    /// Whether what it says is known: codes of R4 that all say that there is something, or all that it is over, and nothing
    /// beside them that says otherwise. A text alone has to be the name of such a code, and to end nothing.
    fn is_understood(&self) -> bool {
        let there = self.bound.there_now();
        let there_now = || {
            let known = |code: &String| there.contains(&code.as_str());
            let said = if self.codes.is_empty() && self.foreign.is_empty() {
                self.text.as_slice()
            } else {
                self.codes.as_slice()
            };
            !said.is_empty() && said.iter().all(known) && !self.names_any(self.bound.over)
        };
        self.absent || self.is_over() || there_now()
    }

    /// Whether its words, or a code of another system, name one of these codes; "no longer active" names none.
    fn names_any(&self, codes: &[&str]) -> bool {
        let mut said = self.foreign.iter().chain(&self.text).chain(&self.displays).map(|text| words(text));
        said.any(|text| {
            codes.iter().map(|code| words(code)).any(|code| {
                let named = |at: &usize| text[*at..].starts_with(&code);
                let denied =
                    |at: usize| text[at.saturating_sub(2)..at].iter().any(|word| DENYING.contains(word));
                (0..text.len()).filter(named).any(|at| !denied(at))
            })
        })
    }
}

impl Bound {
    /// All codes with which there is something.
    fn there_now(&self) -> Vec<&'static str> {
        [self.plain, self.there].concat()
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const R4: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    const LOCAL: &str = "http://ehr.example.org/reconciliation-status";

    fn of(value: Value) -> Status {
        Status::of(&CONDITION_CLINICAL, Some(&value))
    }

    #[test]
    fn a_status_is_plain_where_it_says_nothing_else() {
        let own = |code: &str| json!({"system": R4, "code": code});
        for status in [
            json!(null),
            json!({"coding": [{"code": "Active "}]}),
            json!({"coding": [{"code": "active"}], "text": "Active"}),
            json!({"coding": [{"system": R4, "code": "active", "display": "Aktiv"}]}),
            json!({"coding": [own("active"), {"system": LOCAL, "code": "active"}]}),
            json!("active"),
        ] {
            assert!(of(status.clone()).is_plain(), "{status}");
        }
        for status in [
            json!({}),
            json!({"text": "active"}),
            json!({"text": "resolved"}),
            json!({"coding": [{"code": "active"}], "text": "resolved"}),
            json!({"coding": [{"code": "active"}, {"display": "Resolved"}]}),
            json!({"coding": [{"code": "active", "display": "Resolved"}]}),
            json!({"coding": [own("active"), own("relapse")]}),
            json!({"coding": [own("active"), {"system": LOCAL, "code": "1"}]}),
            json!({"coding": [{"system": LOCAL, "code": "active"}]}),
            json!({"coding": [{"code": "presumed"}]}),
            json!(7),
        ] {
            assert!(!of(status.clone()).is_plain(), "{status}");
        }
    }

    /// What each status says: whether it is over, and whether that is understood.
    #[test]
    fn a_status_ends_something_by_the_codes_of_r4_alone_and_where_nothing_contradicts_them() {
        let own = |code: &str| json!({"system": R4, "code": code});
        let local = |code: &str| json!({"system": LOCAL, "code": code});
        for (status, over, understood) in [
            (json!(null), false, true),
            (json!({"coding": [own("active")]}), false, true),
            (json!({"coding": [own("relapse"), own("active")]}), false, true),
            (json!({"coding": [own("resolved")]}), true, true),
            (json!({"coding": [own("resolved"), own("inactive")]}), true, true),
            (json!({"coding": [{"code": "Resolved "}]}), true, true),
            (json!({"coding": [{"system": " ", "code": "resolved"}]}), true, true),
            (json!("resolved"), true, true),
            (json!({"coding": [own("resolved"), local("2")], "text": "Over since 2019"}), true, true),
            (json!({"coding": [own("active"), local("1")], "text": "Active"}), false, true),
            (json!({"text": "Active"}), false, true),
            (
                json!({"coding": [own("inactive"), {"system": LOCAL, "code": "73", "display": "Not active"}]}),
                true,
                true,
            ),
            (json!({"coding": [own("resolved")], "text": "No longer active"}), true, true),
            // Contradictions.
            (json!({"coding": [own("active"), own("resolved")]}), false, false),
            (json!({"coding": [own("active"), local("resolved")]}), false, false),
            (json!({"coding": [own("resolved"), local("active")]}), false, false),
            (json!({"coding": [own("active"), {"code": "resolved"}]}), false, false),
            (json!({"coding": [{"code": "active"}, {"code": "inactive"}]}), false, false),
            (json!({"coding": [own("resolved")], "text": "Still active"}), false, false),
            (json!({"coding": [{"system": R4, "code": "resolved", "display": "Active"}]}), false, false),
            (json!({"coding": [own("resolved"), own("remission")]}), false, false),
            // Of another system, or none of R4's.
            (json!({"coding": [local("resolved")]}), false, false),
            (json!({"coding": [local("active")]}), false, false),
            (json!({"coding": [{"system": 7, "code": "resolved"}]}), false, false),
            (json!({"coding": [{"system": format!("{R4}-local"), "code": "resolved"}]}), false, false),
            (json!({"coding": [own("done")]}), false, false),
            (json!({"text": "resolved"}), false, false),
            (json!({"coding": []}), false, false),
        ] {
            let read = of(status.clone());
            assert_eq!((read.is_over(), read.is_understood()), (over, understood), "{status}");
        }
    }
}
