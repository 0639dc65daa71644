//! Harm that a drug has done, in problem lists: a reason not to give it again, as an allergy is ("Heparin-induced
//! thrombocytopenia", "Statin myopathy", "Gastritis due to NSAIDs").

use super::said::{Link, Token, tokens};
use super::{Key, TermKind, Terminology};

/// Conditions that alone say which drugs have done them.
const HARMED_BY: [(&str, &[&str]); 2] = [
    ("heparin induced thrombocytopenia", &["heparin"]),
    ("aspirin exacerbated respiratory disease", &["aspirin", "nsaid"]),
];
/// Words by which a drug has done what the rest of the text names, and what of that is a reason not to give it again: a
/// thrombocytopenia, and not the constipation of everybody who takes opioids.
const CAUSED: [&str; 7] = ["induced", "exacerbated", "provoked", "associated", "related", "诱导", "诱发"];
const HARMS: [&str; 35] = [
    "thrombocytopeni",
    "rhabdomyoly",
    "myopath",
    "myositis",
    "myalgia",
    "muscle",
    "hepat",
    "liver",
    "agranulocyt",
    "neutropeni",
    "aplastic",
    "hemoly",
    "haemoly",
    "nephritis",
    "nephropath",
    "lupus",
    "asthma",
    "bronchospasm",
    "respiratory disease",
    "dystoni",
    "tardive",
    "torsade",
    "pancreatitis",
    "pneumonitis",
    "vasculitis",
    "necrosis",
    "gastropath",
    "enteropath",
    "gastritis",
    "ulcer",
    "cough",
    "thyro",
    "hyponatr",
    "血小板减少",
    "横纹肌溶解",
];
/// What of that directly behind a drug is its harm, with no other word: "statin myopathy".
const DIRECT: [&str; 9] = [
    "myopath",
    "myalgia",
    "rhabdomyoly",
    "cough",
    "gastropath",
    "enteropath",
    "nephropath",
    "pneumonitis",
    "necrosis",
];
/// What stands before a drug that has done what stands before that.
const DUE: [&str; 4] = ["due to", "caused by", "secondary to", "from"];
/// The most words of the name of a drug.
const MOST: usize = 4;

/// What has done these conditions.
pub(super) fn harmed_by<'a>(conditions: impl Iterator<Item = &'a Key>) -> Vec<&'static str> {
    let drugs = |name: &'a Key| {
        HARMED_BY
            .iter()
            .filter(|(harm, _)| *harm == name.as_ref())
            .flat_map(|(_, drugs)| drugs.iter().copied())
    };
    conditions.flat_map(drugs).collect()
}

/// Whether a word tells of harm that a drug has done.
pub(super) fn is_harm(word: &str) -> bool {
    CAUSED.iter().chain(&HARMS).any(|stem| stem.is_ascii() && word.starts_with(stem))
}

impl Terminology {
    /// Whether normalised words say that a drug has done harm.
    pub(super) fn tells_of_harm(&self, normal: &str) -> bool {
        if !HARMS.iter().any(|harm| normal.contains(harm)) {
            return false;
        }
        let tokens = tokens(normal);
        let begins = |token: &Token<'_>, stems: &[&str]| {
            stems
                .iter()
                .any(|stem| token.text.starts_with(stem) || !stem.is_ascii() && token.text.contains(stem))
        };
        let joined = |at: usize| matches!(tokens[at].link, Link::Space | Link::Hyphen);
        let behind_drug = |at: usize| {
            at > 0 && joined(at) && (1..=MOST.min(at)).any(|count| self.is_drug_name(&tokens[at - count..at]))
        };
        let due = |at: usize| {
            let two = tokens.get(at..at + 2).map(|two| format!("{} {}", two[0].text, two[1].text));
            let length = match two {
                Some(two) if DUE.contains(&two.as_str()) => 2,
                _ if DUE.contains(&tokens[at].text) => 1,
                _ => return false,
            };
            let from = at + length;
            (1..=MOST)
                .filter_map(|count| tokens.get(from..from + count))
                .any(|words| self.is_drug_name(words))
        };
        (0..tokens.len()).any(|at| {
            begins(&tokens[at], &CAUSED) || begins(&tokens[at], &DIRECT) && behind_drug(at) || due(at)
        })
    }

    fn is_drug_name(&self, words: &[Token<'_>]) -> bool {
        let name: Vec<&str> = words.iter().map(|token| token.text).collect();
        let names = self.lookup(&name.join(" ")).unwrap_or_default();
        let drug = |name: &Key| {
            let kind = self.nodes.get(name).map(|node| node.kind);
            matches!(kind, Some(TermKind::Drug | TermKind::Class))
        };
        names.iter().any(drug)
    }
}
