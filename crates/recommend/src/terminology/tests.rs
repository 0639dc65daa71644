//! What words mean, however they are written, and that nothing is guessed.

use super::*;

fn names(field: Field, text: &str) -> Vec<String> {
    let meaning = Terminology::default().understand(field, text);
    assert!(meaning.known, "{text}");
    meaning.names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn the_built_in_table_is_sound() {
    let rows = read_terms(include_str!("terms.csv").as_bytes()).unwrap();
    let all: BTreeSet<Key> = rows.iter().map(|(_, term)| plain(&term.name)).collect();
    assert_eq!(all.len(), rows.len(), "a name stands twice");
    for (line, term) in &rows {
        // The classes of words for none are the lists in which they stand.
        let classes = term.classes.iter().filter(|_| term.kind != TermKind::None);
        for name in term.ingredients.iter().chain(classes).chain(&term.cross_reactivity) {
            assert!(all.contains(&plain(name)), "line {line}: {name:?} is no term");
        }
    }
    let terminology = Terminology::default();
    assert_eq!((terminology.unresolved(&BUILT_IN), terminology.misplaced(&BUILT_IN)), (None, None));
    for (word, names) in &terminology.index {
        assert_eq!(names.len(), 1, "{word:?} means {names:?}");
    }
}

#[test]
fn drugs_are_understood_however_they_are_written() {
    for (text, expected) in [
        ("warfarin sodium", &["warfarin"][..]),
        ("Warfarin Sodium Oral Tablet (1 MG)", &["warfarin"]),
        ("Coumadin", &["warfarin"]),
        ("metoprolol succinate", &["metoprolol"]),
        ("Tylenol", &["paracetamol"]),
        ("ACETAMINOPHEN", &["paracetamol"]),
        ("24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet", &["metformin"]),
        ("Amoxicillin 250 MG / Clavulanate 125 MG Oral Tablet", &["amoxicillin", "clavulanate"]),
        ("amoxicillin-clavulanate", &["amoxicillin", "clavulanate"]),
        ("Augmentin", &["amoxicillin", "clavulanate"]),
        ("sacubitril/valsartan", &["sacubitril", "valsartan"]),
        ("Paracetamol & Amidopyrine", &["aminophenazone", "paracetamol"]),
        ("200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", &["salbutamol"]),
        ("sodium valproate", &["valproate"]),
        ("calcium carbonate 500 mg", &["calcium carbonate"]),
        ("statins", &["statin"]),
        ("ＡＳＰＩＲＩＮ", &["aspirin"]),
        ("RxNorm 11289", &["warfarin"]),
        ("http://www.nlm.nih.gov/research/umls/rxnorm|11289", &["warfarin"]),
        ("B01AA03", &["warfarin"]),
        // A member of a class that is not known itself: ATC says that it is one.
        ("J01CA17", &["penicillin"]),
    ] {
        assert_eq!(names(Field::Medication, text), expected, "{text}");
    }
}

#[test]
fn a_letter_or_a_time_behind_a_name_makes_it_another() {
    let terminology = Terminology::default();
    for text in ["Zyrtec-D", "Claritin-D 24 hour", "Aleve-D", "Panadol Night", "Amaryl M", "Losartan H"] {
        let meaning = terminology.understand(Field::Medication, text);
        assert!(!meaning.known, "{text}: {meaning:?}");
    }
    for text in [
        "amoxicillin 500 mg x 7 d",
        "Take a penicillin q 6 h",
        "ibuprofen 400 mg at night",
        "metformin 1 g twice a day",
        "omeprazole 20 mg every morning",
        "insulin glargine 10 u",
    ] {
        let meaning = terminology.understand(Field::Medication, text);
        assert!(meaning.known, "{text}: {meaning:?}");
    }
}

#[test]
fn allergies_and_conditions_are_understood_in_the_words_of_code_systems() {
    for text in [
        "Penicillins",
        "PCN",
        "Allergy to penicillin",
        "Allergy to penicillin (finding)",
        "penicillin allergy",
        "91936005",
        "SNOMED-CT 91936005",
        "http://snomed.info/sct|91936005",
        "Z88.0",
    ] {
        assert_eq!(names(Field::Allergy, text), ["penicillin"], "{text}");
    }
    assert_eq!(names(Field::Allergy, "Allergy to peanut"), ["peanut"]);
    assert!(names(Field::Allergy, "NKDA").is_empty() && names(Field::Medication, "no medication").is_empty());
    let terminology = Terminology::default();
    for (field, text) in [
        (Field::Medication, "NKDA"),
        (Field::Allergy, "no medications"),
        (Field::Allergy, "no known food allergies"),
    ] {
        assert!(!terminology.understand(field, text).known, "{text} says nothing of that list");
    }
    for text in ["CKD stage 4", "N18.4", "Chronic kidney disease, stage 4", "431857002", "kidney failure"] {
        let meaning = Terminology::default().understand(Field::Condition, text);
        assert!(meaning.broader.contains("chronic kidney disease"), "{text}: {meaning:?}");
    }
}

#[test]
fn a_condition_is_understood_with_its_qualifiers_codes_and_in_chinese() {
    let terminology = Terminology::default();
    for (text, name) in [
        ("stage 4 CKD", "chronic kidney disease"),
        ("ESRD on HD", "chronic kidney disease"),
        ("N184", "chronic kidney disease"),
        ("E11.22", "chronic kidney disease"),
        ("慢性肾病", "chronic kidney disease"),
        ("severe persistent asthma", "asthma"),
        ("history of peptic ulcer", "peptic ulcer"),
        ("CHF (EF 25%)", "heart failure"),
        ("Heart failure, unspecified", "heart failure"),
        ("OSA on CPAP", "sleep apnea"),
        ("G70.00", "myasthenia gravis"),
        ("G47.33", "sleep apnea"),
        ("T78.3XXA", "angioedema"),
        ("G43.109", "migraine with aura"),
        ("K92.2", "gastrointestinal bleeding"),
        ("26 weeks pregnant", "pregnancy"),
    ] {
        let meaning = terminology.understand(Field::Condition, text);
        assert!(meaning.known && meaning.broader.contains(name), "{text}: {meaning:?}");
    }
    for text in [
        "no asthma",
        "denies gout",
        "rule out epilepsy",
        "family history of glaucoma",
        "mother has gout",
        "r/o asthma",
        "无哮喘",
        "ingrown toenail",
    ] {
        let meaning = terminology.understand(Field::Condition, text);
        assert!(!meaning.known && !meaning.partly, "{text}: {meaning:?}");
    }
    assert!(!terminology.understand(Field::Condition, "gi bleed").broader.contains("peptic ulcer"));
    assert_eq!(names(Field::Allergy, "青霉素"), ["penicillin g"]);
    assert_eq!(names(Field::Medication, "华法林"), ["warfarin"]);
}

#[test]
fn nothing_is_guessed() {
    let terminology = Terminology::default();
    for text in
        ["unknown", "penicilin", "warfarine x", "amoxicillin / zorbamycin", "sodium", "", "-", "1234567"]
    {
        assert!(!terminology.understand(Field::Allergy, text).known, "{text}");
    }
    // A condition is no allergy, and a food no medication.
    assert!(!terminology.understand(Field::Allergy, "gout").known);
    assert!(!terminology.understand(Field::Medication, "peanut").known);
    let near = |text: &str| terminology.nearest(Field::Allergy, text, std::iter::empty());
    assert_eq!(near("penicilin"), Some("penicillin"));
    assert_eq!(near("unknown"), None);
}

#[test]
fn members_share_the_groups_of_their_class_and_combinations_those_of_their_parts() {
    let terminology = Terminology::default();
    let groups = |text: &str| terminology.understand(Field::Allergy, text).groups;
    assert!(groups("aspirin").contains("nsaid") && groups("ibuprofen").contains("nsaid"));
    assert!(groups("Augmentin").contains("penicillin") && groups("lisinopril").contains("ace inhibitor"));
    assert!(groups("paracetamol").is_empty());
    // A relative in either direction: by a side chain, as an isomer or metabolite, by one substance.
    for (one, other) in [
        ("cefalexin", "amoxicillin"),
        ("escitalopram", "citalopram"),
        ("lisinopril", "sacubitril/valsartan"),
        ("prednisolone", "prednisone"),
        ("tiotropium", "ipratropium"),
    ] {
        assert!(!groups(one).is_disjoint(&groups(other)), "{one}, {other}");
    }
    assert!(groups("cefuroxime").is_disjoint(&groups("amoxicillin")));
}

#[test]
fn a_hospitals_own_rows_are_added() {
    let file = "kind,name,synonyms,codes,classes\ndrug,zorbamycin,Zorba; ZRB 5,local:77,macrolide\n\
                class,penicillin,Penny,,\n";
    let own: Vec<Term> = read_terms(file.as_bytes()).unwrap().into_iter().map(|(_, term)| term).collect();
    let terminology = Terminology::new(&own);
    for text in ["zorba", "zrb-5", "local:77", "77", "Zorbamycin 5 mg tablets"] {
        let meaning = terminology.understand(Field::Medication, text);
        assert!(meaning.known && meaning.broader.contains("macrolide"), "{text}");
    }
    assert!(terminology.understand(Field::Allergy, "penny").groups.contains("penicillin"));
    let wrong = |text: &str| read_terms(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(wrong("kind,synonyms\n"), "there is no column \"name\"; the columns are kind, synonyms");
    assert!(wrong("kind,name\ndrug,a\nfood,b\n").starts_with("line 3: unknown kind of term"));
    assert_eq!(wrong("kind,name\ndrug, \n"), "line 2: column name must not be blank");
}

#[test]
fn a_text_of_more_than_any_list_takes_is_not_understood() {
    let terminology = Terminology::default();
    for text in ["asthma ".repeat(200), "\u{fdfa}".repeat(400)] {
        for field in [Field::Allergy, Field::Medication, Field::Condition] {
            let meaning = terminology.understand(field, &text);
            assert!(!meaning.known && !meaning.partly && !meaning.names.is_empty());
        }
    }
    assert!(terminology.understand(Field::Condition, &"asthma, ".repeat(62)).known);
}

#[test]
fn names_of_several_words_are_found_behind_others_however_they_are_spelt() {
    let terminology = Terminology::default();
    for (text, name) in [
        ("zorblax oesophageal varices bleeding", "gastrointestinal bleeding"),
        ("zorblax haemorrhage, intracranial", "intracranial bleeding"),
        ("zorblax long-QT syndrome", "long qt syndrome"),
        ("zorblax Parkinson's disease", "parkinson disease"),
        ("zorblax chronic kidney disease stage 4", "chronic kidney disease stage 4"),
    ] {
        let meaning = terminology.understand(Field::Condition, text);
        assert!(meaning.partly && meaning.broader.contains(name), "{text}: {meaning:?}");
    }
}
