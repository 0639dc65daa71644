//! What speaks against a drug that somebody is about to order, by the rules and the terminology that
//! recommendations go by.
//!
//! A recommendation leaves out what is unsafe at the first reason. Whoever orders a drug has chosen it
//! already and is told every reason, each with how much it matters, and what would be safe instead. The
//! drug need not be in the catalogue: what it is called says which substances are in it, and the rules of
//! the catalogue's drugs with those substances hold for it.

use std::collections::BTreeSet;

use super::catalogue::{Catalogue, Entry};
use super::data::{Item, Kind, Millis, Profile, Severity};
use super::filters::{Concern, Medication, Patient, Reason, not_understood};
use super::settings::Settings;
use super::snapshot::Snapshot;
use super::terminology::{Field, Key, Meaning, Terminology, Unclear};

/// The most safe alternatives named for one order.
const ALTERNATIVES: usize = 3;

/// Near misses are looked for as often as this among the orders of one check.
const NEAR_MISSES: usize = 5;

/// Classes of classes within which one drug can stand in the place of another, for a purpose of both. Insulin is in
/// none: the rapid does not replace the basal, and a tablet neither. Nor are bronchodilators, of which
/// some relieve and others prevent. In normal form.
const FAMILIES: [&str; 14] = [
    "antihypertensive",
    "antibiotic",
    "glucose lowering drug",
    "antidepressant",
    "anticonvulsant",
    "non opioid analgesic",
    "acid suppressant",
    "lipid lowering drug",
    "hypnotic",
    "antiemetic",
    "laxative",
    "antifungal",
    "glaucoma eye drops",
    "antihistamine",
];

/// The number of a drug that is in no catalogue.
const NOT_LISTED: u32 = u32::MAX;

/// A drug that is ordered.
#[derive(Debug, Clone)]
pub struct Ordered {
    /// What it is: its name, and its codes among the attributes.
    pub item: Item,
    /// Whether it is to be checked. Those that are not stand beside those that are.
    pub checked: bool,
}

/// One thing that speaks against an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is about.
    pub concern: Concern,
    /// How much it matters.
    pub severity: Severity,
    /// The rule, such as "allergy: penicillin".
    pub reason: String,
    /// What would happen, where the rule says so.
    pub note: Option<String>,
    /// Where the rule comes from, where it says so.
    pub source: Option<String>,
}

/// A drug of the catalogue that may stand in the place of an ordered one.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative {
    /// The drug.
    pub item: Item,
    /// What it would be for.
    pub purposes: Vec<String>,
    /// What is to be heeded with it.
    pub cautions: Vec<String>,
}

/// An order and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Its place among the orders.
    pub index: usize,
    /// The drug of the catalogue that it is: the one of its id, or the only one with its substances.
    pub catalogued: Option<String>,
    /// What speaks against it, the most severe first.
    pub findings: Vec<Finding>,
    /// Drugs of the catalogue for the same purpose that no more than a caution speaks against, at most three; none where
    /// an order of the check was not understood, as nobody knows what goes beside that.
    pub alternatives: Vec<Alternative>,
    /// What of the order was not understood and so not checked, in words.
    pub unclear: Option<String>,
    /// That the order is understood and no rule is known about it or a part of it, in words: what it does beside other drugs
    /// or in a disease was not checked.
    pub unruled: Option<String>,
    /// The same of the profile.
    pub flags: Vec<String>,
}

/// An order as the rules see it.
struct Draft<'a> {
    item: &'a Item,
    entry: Entry,
    meaning: Meaning,
}

/// An order with all the rules that hold for it, as what is to be judged and as what stands beside others.
fn draft<'a>(item: &'a Item, drugs: &'a Catalogue, terminology: &Terminology) -> (Draft<'a>, Medication<'a>) {
    let meaning = terminology.understand_item(Field::Medication, item);
    let medication = Medication::ordered(item, meaning.clone(), drugs, terminology);
    let mut entry = Entry::new(item.clone(), terminology);
    // What the catalogue says of it is said of it, whatever it is called in the order.
    for (_, same) in medication.entries() {
        entry.called.extend(same.called.iter().cloned());
        entry.substances.extend(same.substances.iter().cloned());
        entry.allergens.extend(same.allergens.iter().cloned());
        entry.unexplained.extend(same.unexplained.iter().cloned());
        entry.single_words.extend(same.single_words.iter().cloned());
    }
    let rules = medication.rules();
    rules.same.iter().for_each(|(_, same)| entry.lend(same));
    rules.classes.iter().for_each(|(_, class)| entry.lend_rules(class));
    rules.kin.iter().for_each(|kin| entry.lend_circumstances(kin));
    entry.local = medication.is_local();
    entry.lower_local();
    (Draft { item, entry, meaning }, medication)
}

/// Checks those of the orders that are to be checked, each against the person and the other orders. What
/// speaks against two of them together is said once, of the later one. Alternatives of different orders go together, as
/// whoever reads may take both.
pub fn check(
    snapshot: &Snapshot,
    settings: &Settings,
    profile: &Profile,
    orders: &[Ordered],
    now: Millis,
) -> Vec<Checked> {
    let drugs = &snapshot.kind(Kind::Drug).catalogue;
    let terminology = &snapshot.terminology;
    let patient = Patient::new(profile, Kind::Drug, drugs, drugs, terminology, settings, now);
    let drafts: Vec<(Draft, Medication)> =
        orders.iter().map(|Ordered { item, .. }| draft(item, drugs, terminology)).collect();
    let mut looks = NEAR_MISSES;
    // What is suggested goes with the other orders, also with those that are not checked: all of them have to be known.
    let known = drafts.iter().all(|(draft, medication)| {
        let catalogued = medication.is_catalogued(&draft.item.name);
        let is_class = draft.meaning.names.iter().any(|name| terminology.is_class(name));
        is_known(draft, catalogued) && (catalogued || !is_class)
    });
    let mut checked = Vec::new();
    let mut suggested: Vec<Medication> = Vec::new();
    for (index, (draft, medication)) in drafts.iter().enumerate().filter(|(index, _)| orders[*index].checked)
    {
        let others = || drafts.iter().enumerate().filter(move |(other, _)| *other != index);
        let earlier = |other: usize| other < index || !orders[other].checked;
        let itself_known = medication.is_catalogued(&draft.item.name);
        let against = |entry| {
            let beside = others().filter(|(other, _)| earlier(*other));
            let beside = beside.flat_map(|(_, (_, other))| other.findings(NOT_LISTED, entry));
            patient.findings(NOT_LISTED, entry).into_iter().chain(beside).collect::<Vec<_>>()
        };
        let mut found = against(&draft.entry);
        let class = draft.meaning.names.iter().find(|name| terminology.is_class(name));
        if class.is_some() {
            let members = medication.members().iter().filter(|member| member.is_ruled());
            found.extend(common(members.map(|member| against(member))));
        }
        let findings = distinct(found);
        let serious = |finding: &Finding| {
            finding.severity != Severity::Caution && finding.concern != Concern::Duplicate
        };
        let alternatives = match known && findings.iter().any(serious) {
            false => Vec::new(),
            true => {
                let others = others().map(|(_, (_, other))| other);
                let beside: Vec<&Medication> = others.chain(&suggested).collect();
                alternatives(snapshot, &patient, &draft.entry, &beside)
            }
        };
        suggested.extend(alternatives.iter().map(|Alternative { item, .. }| {
            let meaning = terminology.understand_item(Field::Medication, item);
            Medication::suggested(item, meaning, drugs, terminology)
        }));
        let catalogued = catalogued(&draft.item.item_id, medication.entries().map(|(_, entry)| entry));
        let unclear = match class.filter(|_| !itself_known) {
            Some(_) if draft.meaning.known => Some(format!(
                "{:?} is a class of drugs, of which only what holds for all of it was looked at",
                draft.item.name
            )),
            _ => unclear(draft, itself_known, terminology, drugs, &mut looks),
        };
        let told = unclear.is_some() || class.is_some();
        let unruled = if told { None } else { unruled(draft, terminology, drugs) };
        let flags = patient.flags().to_vec();
        checked.push(Checked { index, catalogued, findings, alternatives, unclear, unruled, flags });
    }
    checked
}

/// What is found of every one, as severe as it is for the one for which it matters least.
fn common<'a>(
    mut each: impl Iterator<Item = Vec<(Concern, Severity, Reason)>> + 'a,
) -> Vec<(Concern, Severity, Reason)> {
    let mut all = each.next().unwrap_or_default();
    for found in each {
        all.retain_mut(|mine| {
            let same = found.iter().filter(|theirs| theirs.0 == mine.0 && theirs.2.text == mine.2.text);
            let Some(worst) = same.min_by_key(|theirs| theirs.1) else { return false };
            if worst.1 > mine.1 {
                *mine = worst.clone();
            }
            true
        });
    }
    all
}

/// That no rule says anything of an order or of some of its substances: neither the catalogue nor a rule of their class, nor
/// what drugs of the class have in common.
fn unruled(draft: &Draft<'_>, terminology: &Terminology, drugs: &Catalogue) -> Option<String> {
    let whole = &draft.meaning.names;
    let described = |name: &&Key| {
        let items = drugs.vocabulary().items_called(name).iter().filter_map(|&number| drugs.get(number));
        let mut same = items.filter(|entry| entry.is_described() && entry.substances.contains(*name));
        same.any(|entry| entry.substances.is_subset(whole))
    };
    let lent = |name: &&Key| {
        let meaning = terminology.understand(Field::Medication, name);
        let called = meaning.broader.into_iter().collect();
        drugs.sources(&vec![(Key::clone(name), meaning.therapeutic)], &called).all().next().is_some()
    };
    let unruled: Vec<&str> =
        whole.iter().filter(|name| !described(name) && !lent(name)).map(AsRef::as_ref).collect();
    (!unruled.is_empty()).then(|| format!("no rules are known about {}", unruled.join(" and ")))
}

/// Whether all of an order is understood. A drug of the catalogue is the hospital's own, whose rules are there.
fn is_known(draft: &Draft<'_>, catalogued: bool) -> bool {
    (catalogued || !draft.meaning.known || !draft.meaning.names.is_empty())
        && unclear_words(draft, catalogued).next().is_none()
}

/// Which of its words are not understood, but for the name of a drug of the catalogue.
fn unclear_words<'a>(draft: &'a Draft<'_>, catalogued: bool) -> impl Iterator<Item = &'a Unclear> {
    let own = move |unclear: &Unclear| catalogued && unclear.text == draft.item.name && !unclear.partly;
    draft.meaning.unclear.iter().filter(move |unclear| !own(unclear))
}

/// That an order is not understood, or only in part: whatever rule is about the rest was not asked.
fn unclear(
    draft: &Draft<'_>,
    catalogued: bool,
    terminology: &Terminology,
    drugs: &Catalogue,
    looks: &mut usize,
) -> Option<String> {
    let meaning = &draft.meaning;
    let name = &draft.item.name;
    // Words for "there is none" are no drug that can be ordered.
    if meaning.known && meaning.names.is_empty() && !catalogued {
        return Some(not_understood(name, name, None));
    }
    let told: Vec<String> = unclear_words(draft, catalogued)
        .map(|unclear| {
            let near = (*looks > 0 && !unclear.partly).then(|| {
                *looks -= 1;
                let words = drugs.vocabulary().words(Field::Medication);
                terminology.nearest(Field::Medication, &unclear.text, words)
            });
            not_understood(name, &unclear.text, near.flatten())
        })
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn catalogued<'a>(id: &str, entries: impl Iterator<Item = &'a Entry>) -> Option<String> {
    let ids: Vec<&str> = entries.map(|entry| entry.item.item_id.as_str()).collect();
    let found = match ids.as_slice() {
        [only] => Some(*only),
        several => several.iter().copied().find(|known| *known == id),
    };
    found.map(str::to_owned)
}

/// Each reason once, as severe as it was found to be, the most severe first.
fn distinct(found: Vec<(Concern, Severity, Reason)>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (concern, severity, reason) in found {
        let Reason { text, note, source, .. } = reason;
        match findings.iter_mut().find(|known| known.reason == text) {
            Some(known) => {
                if severity < known.severity || (severity == known.severity && known.note.is_none()) {
                    *known = Finding { concern, severity, reason: text, note, source };
                }
            }
            None => findings.push(Finding { concern, severity, reason: text, note, source }),
        }
    }
    findings.sort_by_key(|finding| (finding.severity, finding.concern));
    findings
}

/// Drugs of the ordered one's class or family that this person can have beside the other orders, for
/// what it was ordered for: those of its purposes that the person has. Where the person has none of them, it
/// was ordered for something that nobody recorded, and only what serves most of its purposes can stand in its
/// place. A purpose alone makes no replacement (bisoprolol and warfarin are both for atrial fibrillation), a class
/// alone neither (morphine and tramadol are both opioids). First those without a caution.
fn alternatives<'a>(
    snapshot: &'a Snapshot,
    patient: &Patient<'a>,
    ordered: &Entry,
    beside: &[&Medication<'a>],
) -> Vec<Alternative> {
    let Entry { purposes, therapeutic: classes, substances, .. } = ordered;
    let catalogue = &snapshot.kind(Kind::Drug).catalogue;
    let families = FAMILIES.into_iter().filter_map(|family| ordered.called.get(family));
    let kin: BTreeSet<u32> =
        families.flat_map(|family| catalogue.vocabulary().items_called(family)).copied().collect();
    let had: BTreeSet<_> = purposes.iter().filter(|purpose| patient.has(purpose)).collect();
    let mut found = Vec::new();
    for (number, _) in catalogue.iter() {
        let Some(entry) = catalogue.judged(number) else { continue };
        let of_class = !entry.therapeutic.is_disjoint(classes);
        let same = || !entry.substances.is_disjoint(substances);
        if !(of_class || !purposes.is_empty() && kin.contains(&number)) || entry.item.hidden || same() {
            continue;
        }
        let served: Vec<_> = match had.is_empty() {
            true => entry.purposes.intersection(purposes).collect(),
            false => entry.purposes.iter().filter(|purpose| had.contains(purpose)).collect(),
        };
        let serves = match had.is_empty() {
            true => purposes.is_empty() || 2 * served.len() > purposes.len(),
            false => !served.is_empty(),
        };
        if !serves {
            continue;
        }
        if let Some(cautions) = patient.heeding(number, entry, beside) {
            let rank = (cautions.is_empty(), served.len(), of_class);
            let purposes = served.into_iter().map(|purpose| purpose.to_string()).collect();
            found.push((
                rank,
                &entry.substances,
                Alternative { item: entry.item.clone(), purposes, cautions },
            ));
        }
    }
    found.sort_by(|(a, _, x), (b, _, y)| b.cmp(a).then_with(|| x.item.name.cmp(&y.item.name)));
    // A drug that a record brought may be one of the catalogue by another id.
    let mut seen: Vec<&BTreeSet<Key>> = Vec::new();
    found.retain(|(_, substances, _)| {
        let new = substances.is_empty() || !seen.contains(substances);
        seen.push(substances);
        new
    });
    found.into_iter().take(ALTERNATIVES).map(|(_, _, alternative)| alternative).collect()
}
