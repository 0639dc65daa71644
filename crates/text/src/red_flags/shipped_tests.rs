//! The rules that are shipped, over notes as emergency departments write them.

use std::fs;
use std::path::PathBuf;

use unicode_normalization::UnicodeNormalization;

use super::*;

/// Notes of level 1.
const RESUSCITATION: [&str; 59] = [
    "actively fitting",
    "fitting on arrival",
    "LUCAS device in place",
    "not able to rouse",
    "4 year old not breathing",
    "80 year old unresponsive",
    "55 year old cardiac arrest",
    "6 year-old boy anaphylaxis",
    "3 year old drowning",
    "old lady found unconscious",
    "hx diabetes unresponsive glucose 20",
    "in the past hour became unresponsive",
    "seizure prior to arrival still seizing",
    "no respirations",
    "cannot be aroused",
    "cant breathe",
    "can’t breathe",
    "VF",
    "PEA",
    "no heartbeat",
    "without pulse",
    "bleeding out",
    "hemorrhaging",
    "arterial bleed",
    "posturing",
    "lips are blue",
    "no palpable pulse",
    "no resps",
    "V-fib",
    "asystolic",
    "code blue",
    "AVPU: U",
    "responds to pain only",
    "BP undetectable",
    "no recordable BP",
    "no longer breathing",
    "not waking up",
    "no response to voice",
    "no pmh found unconscious",
    "after vaccination anaphylaxis",
    "no doubt anaphylaxis",
    "no improvement in anaphylaxis after epi",
    "without warning became unresponsive",
    "father had him on floor unresponsive",
    "wife had to do cpr",
    "not able to breathe",
    "nonresponsive",
    "non responsive",
    "no signs of life",
    "cardiac arest",
    "unconcious",
    "found in pool",
    "allergic reaction with hypotension",
    "allergic reaction, lip swelling, wheeze",
    "E1 V1 M1",
    "BP was 120/80, now 60/40",
    "GCS 3",
    "stabbed in chest, denied entry to bar",
    "no pulse, no respirations",
];

/// Notes of level 2 at least.
const EMERGENCY: [&str; 44] = [
    "open femur fracture",
    "on warfarin, fell, head injury",
    "head injury LOC 10 min, amnesia",
    "massive PR bleed",
    "esophageal varices bleeding",
    "acute scrotum",
    "70 year old woman with hemiplegia",
    "past 30 min slurred speech and facial droop",
    "for the past 2 hours crushing chest pain",
    "stroke with history of AF",
    "chest pain with cardiac history",
    "no relief from GTN ongoing chest pain",
    "no trauma chest pain x2h",
    "temp 94 F",
    "sats 78 on air",
    "spo2 85",
    "SpO2 98% on RA, was 80%",
    "pulse ox 78",
    "b/p 70/40",
    "B.P. 80/40",
    "tachy 170",
    "resp 40",
    "ches pain",
    "chset pain",
    "сhest pain",
    "aphasic",
    "right arm weak and numb",
    "query PE",
    "SI with plan",
    "severe SOB",
    "V-tach with pulse",
    "sudden onset severe headache",
    "vomiting bright red blood",
    "coffee ground emesis",
    "fever on chemo",
    "bleach in eyes",
    "cold white leg",
    "head injury on anticoagulants",
    "34 weeks, headache and visual disturbance",
    "bp 220/130 headache",
    "no change in slurred speech",
    "high risk of suicide, plan to hang",
    "concern about slurred speech since this morning",
    "temp 107 F",
];

/// Notes that no rule holds for: denied, past, of the family, or another thing.
const QUIET: [&str; 55] = [
    "shoe fitting, blister",
    "old femur fracture, follow up",
    "temp 98.6 F",
    "temperature 99.1F, cough",
    "temp 102.2 F, sore throat",
    "fever, temp 101",
    "abdominal pain 1 hr 30 min",
    "ankle pain, waited 2 hr 30 min",
    "ankle sprain, pulse 2+ distal",
    "PR 180 ms on ECG",
    "burning pain 50% worse",
    "BP 16/9.3 kPa",
    "sleep apnea, needs CPAP mask",
    "hanging out with friends, ankle pain",
    "under arrest by police, medical clearance",
    "teething baby drooling",
    "stabbing pain in back",
    "ICD shock x3",
    "shock wave therapy shoulder",
    "coma scale 15",
    "mom had anaphylaxis to bees, wants epipen",
    "CVA 2010, here for dressing change",
    "FHx of stroke, headache",
    "dad died of heart attack, anxious",
    "golf stroke injured wrist",
    "perforated eardrum",
    "poison ivy rash",
    "arm weakness for 3 years, known MS",
    "meningitis vaccine request",
    "requests suicide prevention leaflet",
    "chest pain: no",
    "chest pain: denies",
    "chest pain (-)",
    "(-) chest pain",
    "nil chest pain",
    "neg for chest pain",
    "w/o chest pain",
    "hasn't had chest pain",
    "chest pain-free",
    "allergic to peanuts (anaphylaxis)",
    "rash, allergies: anaphylaxis to penicillin",
    "amputation of L toe 2018",
    "s/p amputation, stump pain",
    "head contusion",
    "denies chest pain",
    "history of cardiac arrest",
    "prev stroke, toothache",
    "peptic ulcer",
    "stock market",
    "knee pain, no loss of consciousness",
    "no chest pain or stroke",
    "husband in cardiac arrest, patient anxious",
    "no problem breathing",
    "old stroke",
    "cough, denies chest pain, nausea, stroke",
];

/// Emergencies in the stems and abbreviations that emergency departments write, and in either order of words.
const SHORT: [&str; 62] = [
    "acute MI",
    "m.i., sweating",
    "active seizure",
    "seizure active",
    "seizure now",
    "having a seizure in the waiting room, still seizing",
    "tension ptx",
    "tension pneumo",
    "brain bleed",
    "bullet wound head",
    "knifed in chest",
    "head injury with blown pupil",
    "unequal pupils after fall",
    "no blood pressure",
    "my heart has stopped",
    "lost pulse in ambulance",
    "strangulation",
    "ligature around neck",
    "eviscerated bowel",
    "MVA ejection",
    "ped vs auto",
    "neck fracture",
    "c-spine fx",
    "burnt in house fire with soot in nose",
    "high voltage burn",
    "hives and hypotension",
    "urticaria, wheezing",
    "peanut allergy epipen used",
    "slit wrists",
    "wrists slashed",
    "nec fasc",
    "gas gangrene",
    "mass bleeding per rectum",
    "UGIB",
    "PPH",
    "angina at rest with sweating",
    "resting angina",
    "rapid AF",
    "malignant hyperthermia",
    "seizure in pregnancy",
    "pregnant, convulsing",
    "INR 12, head injury",
    "head injury on eliquis",
    "hit her head, takes xarelto",
    "SDH",
    "drooping of the mouth",
    "can't move left arm",
    "cauda equina",
    "saddle anesthesia",
    "handful of pills",
    "too many tablets",
    "methanol",
    "narcan given",
    "trach dislodged",
    "bleeding AV fistula",
    "delirium tremens",
    "raised ICP",
    "limp infant",
    "known AAA, back pain",
    "chest pain resolved with nitro",
    "jumped off a bridge",
    "angioedema",
];

/// Words of those emergencies that mean another thing, or an emergency of another person or time.
const NOT_SHORT: [&str; 44] = [
    "husband has chest pain, patient has sore throat",
    "wife unconscious at home, patient anxious",
    "wife has meningitis",
    "exposed to meningitis",
    "contact with bacterial meningitis",
    "roommate overdosed",
    "brother overdosed",
    "boyfriend attempted suicide",
    "cousin with anaphylaxis",
    "neighbour has sepsis",
    "grandfather stroke last week",
    "friend shot",
    "chest pain -ve",
    "chest pain (-ve)",
    "CP resolved",
    "chest pain resolved 3 weeks ago",
    "known AAA, cough",
    "hanging skin tag",
    "choked up emotionally",
    "shock collar bite",
    "stroked the cat",
    "stroke of luck",
    "ran 5 mi, knee pain",
    "s/p MI, here for rash",
    "PMH: CVA, MI, here for rash",
    "ruled out for MI",
    "ejection fraction 40, refill",
    "fractured neck of femur",
    "fracture of radial neck",
    "no blood pressure problems, cough",
    "no bp meds left",
    "heart has stopped racing",
    "seizures now controlled, refill",
    "cut finger with knife",
    "bullet journal",
    "gun shot practice, ear pain",
    "retraction of gum",
    "soot on hands",
    "warfarin refill",
    "took tylenol for headache",
    "fell on his feet, ankle pain",
    "perforation of eardrum",
    "going to die of boredom",
    "hit by car door, bruise",
];

/// Who brought or found the patient is no other patient.
const BROUGHT: [&str; 18] = [
    "brought in by husband, chest pain",
    "brought in by husband with chest pain",
    "brought by coworker with arm weakness",
    "husband found her unconscious",
    "wife states he has chest pain",
    "sister has noticed slurred speech",
    "here with wife with chest pain",
    "friend called, patient overdosed",
    "mother reports seizure now, patient drowsy",
    "roommate found him unresponsive",
    "brother says he overdosed",
    "lives with son, overdosed",
    "daughter overdosed on tylenol",
    "exposed to carbon monoxide",
    "came with boyfriend, stabbed",
    "boyfriend strangled her",
    "cousin had to do CPR",
    "husband has chest pain",
];

/// What is no complaint, though some of it is made of a complaint's words.
const NO_COMPLAINT: [&str; 14] = [
    "hello",
    "thank you",
    "the the the",
    "test",
    "undefined",
    "call me back",
    "heart shaped box",
    "chest of drawers",
    "eye liner",
    "cold beer",
    "blood orange juice",
    "pizza with cheese",
    "office window",
    "back to school",
];

/// Complaints in which a word of another subject stands, and words that are one letter from one.
const COMPLAINT: [&str; 14] = [
    "chest",
    "burning chest",
    "skin lesion",
    "cut hand on window",
    "fell off bicycle in garden",
    "swelling after eating egg",
    "rash after coffee",
    "back pain from office work",
    "pizza stuck in throat",
    "burnt by candle",
    "hello, fever",
    "cough",
    "state of consciousness",
    "motor weakness",
];

/// Emergencies that no clinic is right for.
const EMERGENCY_ZH: [&str; 55] = [
    "突然讲不出话，右边身子动不了",
    "孩子抽风，眼睛往上翻",
    "半边脸歪了，流口水",
    "早上起来嘴巴歪了，右手拿不住东西",
    "突然一侧手脚没力，说话不清楚",
    "血糖1.8，叫不应",
    "把降压药吃多了，吃了10片",
    "心口痛得厉害，喘不上气",
    "突然看不见东西了",
    "血压220/130头痛呕吐",
    "心率只有30，晕倒",
    "刚出生10天的宝宝发烧",
    "突发脑出血",
    "孩子喝了84消毒液",
    "老人喝了洁厕灵",
    "吃了30片扑热息痛",
    "想从楼上跳下去",
    "活着没意思，想一了百了",
    "吐血了，一大碗",
    "嘴唇紫",
    "异物呛到，脸都紫了",
    "吃花生后喉咙肿呼吸困难",
    "被蛇咬了",
    "安眠药吃了一瓶",
    "吃了一瓶安眠药",
    "吃了一把药",
    "药吃了一大把",
    "药物过量",
    "服药过量怎么办",
    "癫痫发作不停",
    "羊癫疯发作停不下来",
    "孩子抽风了",
    "孩子抽搐了",
    "高烧抽搐",
    "高烧40度抽搐",
    "发高烧抽起来了",
    "脑膜炎高热",
    "高热，脑膜炎",
    "黑便头晕乏力",
    "头晕乏力黑便",
    "食管静脉曲张破裂出血",
    "宝宝不吃奶发紫",
    "婴儿脸色青紫",
    "心梗",
    "心肌梗死发作",
    "爸爸心梗了",
    "脑出血",
    "老人脑梗了",
    "电击伤",
    "脚被玻璃割伤流血不止",
    "割伤流血止不住",
    "花生卡住气管",
    "胃穿孔",
    "血压测不出",
    "胸闷冒冷汗左手麻",
];

/// Questions for a clinic.
const QUIET_ZH: [&str; 15] = [
    "血糖6.1正常吗",
    "血糖高2年了",
    "高血压150/95吃什么药",
    "没有自杀",
    "胃痛三天",
    "心率72正常吗",
    "没有吐血，胃痛",
    "心梗后吃什么药",
    "陈旧性心梗怎么治",
    "如何预防脑出血",
    "脑出血后遗症",
    "降压药吃了一片没效果",
    "高血压吃了很多种药不降",
    "黑便是怎么回事",
    "头晕乏力怎么办",
];

/// Notes whose vitals or words are an emergency, whatever else of another time, person or thing they say.
const NEAR: [&str; 30] = [
    "sats seventy percent",
    "blood pressure sixty over thirty",
    "heart rate one hundred eighty",
    "BP 88/60 HR 30",
    "RR 14 HR 30",
    "sats in the 70s",
    "sats on 15L nonrebreather 78",
    "SpO2 was 97 yesterday, today 80",
    "BP via arm cuff 80/40",
    "HR on monitor 170",
    "O2 sat on the mask 70",
    "PE suspected, pleuritic pain",
    "pulmonary embolism on outside CT",
    "raped last night",
    "sexual assault two hours ago",
    "wife shot him in the head",
    "worried about her chest pain since two hours",
    "chest pain, father had MI at 50",
    "told to return if chest pain; chest pain now",
    "mother has brought child, lethargic and febrile",
    "father is unresponsive",
    "took whole bottle of paracetamol after brother died",
    "BP one sixty over ninety, HR one eighty",
    "stroke clinic sent her: new slurred speech today",
    "vomiting blood, no blood in stool",
    "rule out MI, sweating and chest pressure",
    "asks for help, overdose",
    "never had chest pain before today, now severe chest pain",
    "planned CT but became unresponsive",
    "witnessed cardiac arrest",
];

/// Notes of another thing, person or time, or of what might be.
const ELSEWHERE: [&str; 42] = [
    "BP cuff 60 cm left a bruise",
    "works at temp agency 34 hours a week, back ache",
    "temp worker 33, cut thumb",
    "target sats 85-88 %, COPD, wants refill",
    "HR department 40 staff, needs sick note",
    "pulse oximeter model 50 broken, wants new one",
    "sat on a chair 45 cm high, tailbone sore",
    "BP was 60/30 yesterday at home, feels well, blister on foot",
    "PE tubes fell out, ear check",
    "PE: lungs clear, mild cold",
    "cough and runny nose. Pt is not short of breath and does not have chest pain",
    "vomited twice, no blood in vomit",
    "no fever, chest pain or dyspnea, ear wax",
    "childhood meningitis, hearing aid problem",
    "survivor of cardiac arrest 5 years ago, ear wax",
    "father in ICU with sepsis, daughter feels stressed",
    "roommate has meningitis, no symptoms, wants advice",
    "coworker with bacterial meningitis, asking about prophylaxis",
    "boyfriend was stabbed last week, patient wants anxiety medication",
    "asks what to do in case of anaphylaxis, epipen training",
    "wants information about stroke prevention",
    "return if chest pain or confusion; discharged ankle sprain",
    "advised to come back if vomiting blood or confused",
    "worried she might have a stroke one day, feels fine",
    "given leaflet on signs of sepsis, wound healing well",
    "needs refill of nitroglycerin for chest pain, no symptoms",
    "preop check for planned aortic aneurysm repair next month",
    "follow up from TIA clinic, asymptomatic",
    "cardiac arrest drill volunteer, twisted ankle",
    "electric shock-like pain down leg, sciatica",
    "drowning in paperwork, stress headache",
    "shot in the arm for tetanus yesterday, arm sore",
    "explosion of acne on back",
    "amputated fingertip healed, nail catches",
    "crushed by the news, low mood, no SI",
    "dissection class at school, cut finger",
    "CP (cerebral palsy), here for botox",
    "right eye (OD) itchy",
    "3 yo with pea up nose, well",
    "dressing change for old burn on face",
    "asks whether aspirin lowers risk of heart attack",
    "epipen refill for anaphylaxis",
];

pub(super) fn shipped(model: &str) -> (RedFlags, Manifest) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models").join(model).join("1");
    let manifest: Manifest =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    (RedFlags::read(&folder, &manifest).unwrap().unwrap(), manifest)
}

/// The flags of a note alone.
pub(super) fn alone(rules: &(RedFlags, Manifest), note: &str) -> Vec<RedFlag> {
    let Input::Record(input) = &rules.1.input else { unreachable!() };
    let record = Record { note: note.to_string(), fields: vec![FieldValue::Missing; input.fields.len()] };
    // As the packages' tokenizers normalise a note.
    let note = laid_out(note).unwrap_or_else(|| note.to_string());
    let note: String = note.nfkc().map(|c| if c.is_control() { ' ' } else { c }).collect();
    rules.0.find(&record, &rules.0.scan(&note.to_lowercase()))
}

/// Which notes are not at the level that they should be at, with their flags.
fn wrong(model: &str, notes: &[&str], right: impl Fn(Option<usize>) -> bool) -> Vec<String> {
    let rules = shipped(model);
    let flagged = notes.iter().map(|note| (note, alone(&rules, note)));
    let wrong = flagged.filter(|(_, flags)| !right(rules.0.floor(flags)));
    wrong.map(|(note, flags)| format!("{note}: {flags:?}")).collect()
}

#[test]
fn emergencies_as_they_are_written_are_flagged_at_their_level() {
    assert_eq!(wrong("triage", &RESUSCITATION, |level| level == Some(0)), Vec::<String>::new());
    assert_eq!(
        wrong("triage", &EMERGENCY, |level| level.is_some_and(|level| level < 2)),
        Vec::<String>::new()
    );
}

#[test]
fn stems_and_abbreviations_of_emergencies_are_flagged_and_what_only_looks_like_them_is_not() {
    assert_eq!(wrong("triage", &SHORT, |level| level.is_some_and(|level| level < 2)), Vec::<String>::new());
    assert_eq!(wrong("triage", &NOT_SHORT, |level| level.is_none()), Vec::<String>::new());
}

#[test]
fn what_relatives_say_or_bring_is_the_patients() {
    assert_eq!(wrong("triage", &BROUGHT, |level| level.is_some_and(|level| level < 2)), Vec::<String>::new());
}

#[test]
fn what_is_denied_past_or_of_the_family_is_not_flagged() {
    assert_eq!(wrong("triage", &QUIET, |level| level.is_none()), Vec::<String>::new());
}

#[test]
fn an_emergency_beside_words_of_another_time_person_or_thing_is_flagged() {
    assert_eq!(wrong("triage", &NEAR, |level| level.is_some_and(|level| level < 2)), Vec::<String>::new());
}

#[test]
fn what_is_of_another_thing_person_or_time_or_only_might_be_is_not_flagged() {
    assert_eq!(wrong("triage", &ELSEWHERE, |level| level.is_none()), Vec::<String>::new());
}

#[test]
fn what_is_no_complaint_is_elsewhere_and_a_complaint_is_not() {
    let rules = shipped("triage");
    let told = |note: &&&str| rules.0.is_elsewhere(&rules.0.scan(note));
    assert_eq!(NO_COMPLAINT.iter().filter(|note| !told(note)).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(COMPLAINT.iter().filter(told).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn emergencies_in_chinese_are_flagged_and_questions_for_a_clinic_are_not() {
    let rules = shipped("department-zh");
    let found = |notes: &[&'static str], flagged: bool| -> Vec<&'static str> {
        notes.iter().copied().filter(|note| alone(&rules, note).is_empty() == flagged).collect()
    };
    assert_eq!(found(&EMERGENCY_ZH, true), Vec::<&str>::new());
    assert_eq!(found(&QUIET_ZH, false), Vec::<&str>::new());
}

#[test]
fn a_long_note_is_read_to_its_end() {
    // Were time to grow with the square of the length, this test would not end.
    let rules = shipped("triage");
    let denied = "no stroke ".repeat(16_000);
    assert!(alone(&rules, &denied).is_empty());
    assert!(!alone(&rules, &format!("{denied}. cardiac arrest")).is_empty());
}
