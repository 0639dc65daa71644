//! The resources of FHIR R4 that are read, as far as they are read. Members that are not here are
//! passed over. What a member looks like in another release of FHIR is kept where it tells the releases
//! apart: see `version`.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Declares a resource or a part of one: every member may be absent.
macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        #[allow(missing_docs)]
        pub struct $name { $($(#[$member_doc])* pub $member: $type),* }
    )*};
}

parts! {
    /// A code of a code system.
    Coding { system: Option<String>, code: Option<String>, display: Option<String>, extension: Option<Value> }

    /// A concept: codes for the same thing, and words.
    CodeableConcept { coding: Vec<Coding>, text: Option<String> }

    /// An identifier in somebody's system.
    Identifier { system: Option<String>, value: Option<String>, #[serde(rename = "use")] usage: Option<String>,
        #[serde(rename = "type")] kind: Option<Value> }

    /// A reference to another resource.
    Reference { reference: Option<String>, display: Option<String>, identifier: Option<Identifier>,
        #[serde(rename = "type")] kind: Option<String> }

    /// A span of time.
    Period { start: Option<String>, end: Option<String> }

    /// An extension: of all that there are, the place on Earth is read.
    Extension { url: Option<String>, extension: Vec<Extension>, value_decimal: Option<f64> }

    /// An address: where it is on Earth.
    Address { extension: Vec<Extension> }

    /// The parts of a person's name.
    HumanName { family: Option<String>, given: Vec<Option<String>>, prefix: Vec<Option<String>>,
        text: Option<String>, #[serde(rename = "use")] usage: Option<String> }

    /// A place on Earth.
    Position { latitude: Option<f64>, longitude: Option<f64> }

    /// A person who is cared for.
    Patient { identifier: Vec<Identifier>, gender: Option<String>, birth_date: Option<String>, address: Vec<Address>,
        active: Option<Value>, link: Vec<PatientLink>, deceased_boolean: Option<Value>, deceased_date_time: Option<Value>,
        extension: Option<Value> }

    /// Another record of the same person.
    PatientLink { #[serde(rename = "type")] kind: Option<String>, other: Option<Value> }

    /// What a person must not be given.
    AllergyIntolerance { category: Option<Vec<Option<String>>>, clinical_status: Option<Value>, verification_status: Option<Value>, code: Option<CodeableConcept>,
        patient: Option<Reference>, #[serde(rename = "type")] kind: Option<Value>, substance: Option<IgnoredAny>, reaction: Vec<Reaction>,
        note: Option<Value> }

    /// What a person has.
    Condition { clinical_status: Option<Value>, verification_status: Option<Value>, code: Option<CodeableConcept>,
        subject: Option<Reference>, patient: Option<IgnoredAny>, note: Option<Value>,
        severity: Option<Value>, body_site: Option<Value>, stage: Option<Value>,
        abatement_date_time: Option<Value>, abatement_period: Option<Value>,
        abatement_age: Option<Value>, abatement_string: Option<Value>, abatement_range: Option<Value> }

    /// What is in a medicine.
    Medication { code: Option<CodeableConcept>, ingredient: Vec<Ingredient>, contained: Vec<Contained> }

    /// What a medicine is made of.
    Substance { code: Option<CodeableConcept>, ingredient: Vec<Ingredient>, contained: Vec<Contained> }

    /// A substance in a medicine, or in another substance.
    Ingredient {
        #[serde(alias = "substanceCodeableConcept")]
        item_codeable_concept: Option<CodeableConcept>,
        #[serde(alias = "substanceReference")]
        item_reference: Option<Reference> }

    /// What happened to a person who was given something.
    Reaction { substance: Option<CodeableConcept>, description: Option<Value>, manifestation: Option<Value>,
        note: Option<Value> }

    /// An order of a drug.
    MedicationRequest { status: Option<String>, intent: Option<String>, do_not_perform: Option<bool>,
        medication_codeable_concept: Option<CodeableConcept>, medication_reference: Option<Reference>,
        subject: Option<Reference>, encounter: Option<Reference>, authored_on: Option<String>, requester: Option<Value>,
        note: Option<Value>, reason_code: Option<Value>, dosage_instruction: Option<Value>,
        prior_prescription: Option<Value>, based_on: Option<Value>,
        medication: Option<IgnoredAny>, contained: Vec<Contained> }

    /// What a person takes, as somebody says.
    MedicationStatement { status: Option<String>,
        medication_codeable_concept: Option<CodeableConcept>, medication_reference: Option<Reference>,
        subject: Option<Reference>, context: Option<Reference>, effective_date_time: Option<String>,
        effective_period: Option<Period>, date_asserted: Option<String>,
        note: Option<Value>, reason_code: Option<Value>, dosage: Option<Value>,
        medication: Option<IgnoredAny>, patient: Option<IgnoredAny>, taken: Option<IgnoredAny>, contained: Vec<Contained> }

    /// A drug that was handed out.
    MedicationDispense { status: Option<String>,
        medication_codeable_concept: Option<CodeableConcept>, medication_reference: Option<Reference>,
        subject: Option<Reference>, when_handed_over: Option<String>, when_prepared: Option<String>,
        performer: Vec<Performer>, location: Option<Reference>,
        medication: Option<IgnoredAny>, contained: Vec<Contained> }

    /// A drug that was given.
    MedicationAdministration { status: Option<String>,
        medication_codeable_concept: Option<CodeableConcept>, medication_reference: Option<Reference>,
        subject: Option<Reference>, medication: Option<IgnoredAny>, contained: Vec<Contained> }

    /// Who handed it out.
    Performer { actor: Option<Reference> }

    /// A visit.
    Encounter { status: Option<String>, class: Option<Value>, subject: Option<Reference>, period: Option<Period>,
        participant: Vec<Participant>, service_provider: Option<Reference>, location: Vec<EncounterLocation>,
        actual_period: Option<IgnoredAny>, patient: Option<IgnoredAny>, subject_status: Option<IgnoredAny> }

    /// Who took part in a visit.
    Participant { individual: Option<Reference>, actor: Option<IgnoredAny> }

    /// Where a visit was.
    EncounterLocation { location: Option<Reference> }

    /// A vaccination.
    Immunization { status: Option<String>, vaccine_code: Option<CodeableConcept>, patient: Option<Reference>,
        occurrence_date_time: Option<String>, date: Option<IgnoredAny> }

    /// A place of care.
    Location { identifier: Vec<Identifier>, name: Option<String>, status: Option<String>,
        #[serde(rename = "type")] kind: Option<Value>, position: Option<Position>,
        managing_organization: Option<Reference>, part_of: Option<Reference> }

    /// A hospital, a practice, a pharmacy.
    Organization { identifier: Vec<Identifier>, name: Option<String>, active: Option<bool>,
        #[serde(rename = "type")] kind: Option<Value>, address: Vec<Address>, part_of: Option<Reference> }

    /// Somebody who cares for people.
    Practitioner { identifier: Vec<Identifier>, name: Option<Value>, active: Option<bool> }

    /// What a practitioner does where.
    PractitionerRole { identifier: Vec<Identifier>, practitioner: Option<Reference>, organization: Option<Reference>,
        specialty: Vec<CodeableConcept> }

    /// A referral, or another service that was asked for.
    ServiceRequest { status: Option<String>, intent: Option<String>, do_not_perform: Option<bool>,
        code: Option<Value>, subject: Option<Reference>, authored_on: Option<String>, performer: Vec<Reference> }

    /// A resource within another.
    Contained { resource_type: Option<String>, id: Option<String>, code: Option<CodeableConcept>,
        ingredient: Vec<Ingredient> }
}

impl Identifier {
    /// Whether it is of a type of HL7 table 0203, such as MR: of the medical record.
    pub fn is_of(&self, code: &str) -> bool {
        let codings = self.kind.as_ref().and_then(|kind| kind.get("coding")?.as_array());
        codings.into_iter().flatten().any(|coding| coding.get("code").and_then(Value::as_str) == Some(code))
    }
}

impl Coding {
    /// Words without a code.
    fn worded(words: String) -> Coding {
        Coding { display: Some(words), ..Coding::default() }
    }

    /// The code with its system before it, as rules and terms know it.
    pub fn qualified(&self) -> Option<String> {
        let code = self.code.as_deref().map(str::trim).filter(|code| !code.is_empty())?;
        match self.system.as_deref().map(str::trim).filter(|system| !system.is_empty()) {
            Some(system) => Some(format!("{system}|{code}")),
            None => Some(code.to_owned()),
        }
    }
}

impl CodeableConcept {
    /// In words: the text, or else the first display, or else the first code.
    pub fn words(&self) -> Option<String> {
        let sound = |text: &&str| !text.trim().is_empty();
        let text = self.text.as_deref().filter(sound);
        let display = || self.coding.iter().filter_map(|coding| coding.display.as_deref()).find(sound);
        let words = text.or_else(display).map(clean);
        words.or_else(|| self.coding.iter().find_map(Coding::qualified).as_deref().map(clean))
    }

    /// Whether it says anything.
    pub fn is_worded(&self) -> bool {
        self.words().is_some_and(|words| !words.is_empty())
    }

    /// All other words for it: texts and displays, each once.
    pub fn synonyms(&self) -> Vec<String> {
        let words = self.words();
        let displays = self.coding.iter().filter_map(|coding| coding.display.as_deref());
        let texts = self.text.as_deref().into_iter().chain(displays).map(clean);
        once(texts.filter(|text| !text.is_empty() && Some(text) != words.as_ref()))
    }

    /// The concept, with what these are called among its words: they are parts of it, and their codes are not its own.
    /// Each part has to be understood, one that has nothing but codes as well: then its code stands among the words in a
    /// form that is not passed over as a code beside words is.
    #[must_use]
    pub fn naming<'a>(mut self, parts: impl IntoIterator<Item = &'a CodeableConcept>) -> CodeableConcept {
        let parts: Vec<&CodeableConcept> = parts.into_iter().collect();
        let alone = parts.len() == 1 && !self.is_worded();
        for part in parts {
            if part.has_words() || alone {
                self.alias(part);
            } else {
                let codes = part.codes().into_iter();
                self.coding.extend(codes.map(|code| Coding::worded(format!("code {code}"))));
            }
        }
        self
    }

    /// Adds what another concept for the same thing is called, its codes among the words: as searches have them, `|code`
    /// where they are of no system.
    pub fn alias(&mut self, other: &CodeableConcept) {
        let codes = other.codes().into_iter();
        let codes = codes.map(|code| if code.contains('|') { code } else { format!("|{code}") });
        let worded = other.has_words().then(|| other.words()).flatten();
        let words = worded.into_iter().chain(other.synonyms()).chain(codes);
        self.coding.extend(words.map(Coding::worded));
    }

    /// Whether it has a text or a display.
    pub fn has_words(&self) -> bool {
        let displays = self.coding.iter().filter_map(|coding| coding.display.as_deref());
        self.text.as_deref().into_iter().chain(displays).any(|words| !words.trim().is_empty())
    }

    /// All codes, each with its system, once.
    pub fn codes(&self) -> Vec<String> {
        once(self.coding.iter().filter_map(Coding::qualified).map(|code| clean(&code)))
    }

    /// Whether one of the codes is one of these, whatever its system.
    pub fn has(&self, codes: &[&str]) -> bool {
        self.coding.iter().filter_map(|coding| coding.code.as_deref()).any(|code| codes.contains(&code))
    }
}

/// Each text once, in their order: there may be a hundred thousand in a message.
fn once(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

/// Most characters of a text.
const MOST: usize = 500;
/// What stands in place of the rest of a longer text. No terminology knows it, so that nobody takes the text for a whole one.
const CUT: &str = " [cut here: the text is longer]";

/// A text as lists of a profile take it: one line, of the length that is accepted.
pub fn clean(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.chars().count() <= MOST {
        return line.to_owned();
    }
    let kept: String = line.chars().take(MOST - CUT.len()).collect();
    format!("{}{CUT}", kept.trim_end())
}

/// The codes of a member that is a CodeableConcept in R4 and a bare code in older releases.
pub fn codes_of(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(code)) => vec![code.as_str()],
        Some(value) => {
            let codings = value.get("coding").and_then(Value::as_array).into_iter().flatten();
            codings.filter_map(|coding| coding.get("code")?.as_str()).collect()
        }
        None => Vec::new(),
    }
}
