//! Where a name begins and ends: without marks, and words around it, that a tagger took for its first or last.
//!
//! Nobody who marked the names of PHEE, BC5CDR or the NCBI corpus began one with such a word or left half a bracket in it; a
//! tagger does where a note is not what it has read: "(anaphylaxis)", "avoid penicillin", "gave him bronchospasm".

use std::ops::Range;

/// Words that no name begins with.
const NO_BEGINNINGS: &[&str] = &[
    "avoid",
    "avoids",
    "avoided",
    "avoiding",
    "hold",
    "stop",
    "stopped",
    "stopping",
    "discontinue",
    "discontinued",
    "give",
    "gave",
    "given",
    "giving",
    "take",
    "takes",
    "taking",
    "took",
    "start",
    "started",
    "continue",
    "resume",
    "restart",
    "him",
    "her",
    "them",
    "he",
    "she",
    "they",
    "his",
    "their",
    "me",
    "my",
    "patient",
    "pt",
];
/// Fewest letters of a word behind which a full stop is no part of a name: "vit. D", "E. coli".
const WORD: usize = 4;

/// A name without what is no part of it at its ends; at least one token is left.
pub(super) fn trimmed(lowers: &[String], name: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = name;
    let count = |part: Range<usize>, mark: &str| lowers[part].iter().filter(|word| *word == mark).count();
    loop {
        let (first, last) = (lowers[start].as_str(), lowers[end - 1].as_str());
        let open = |open: &str, close: &str| count(start..end, open) > count(start..end, close);
        let shut = |open: &str, close: &str| count(start..end, open) < count(start..end, close);
        let begins = match first {
            "(" => open("(", ")"),
            "[" => open("[", "]"),
            ")" | "]" | "," | ";" | ":" | "." | "?" | "!" | "\"" | "“" | "”" => true,
            word => NO_BEGINNINGS.contains(&word),
        };
        let ends = match last {
            ")" => shut("(", ")"),
            "]" => shut("[", "]"),
            "." if end > start + 1 => {
                let before = lowers[end - 2].as_str();
                !before.starts_with(char::is_alphanumeric) || before.chars().count() >= WORD
            }
            "(" | "[" | "," | ";" | ":" | "!" | "\"" | "“" | "”" => true,
            _ => false,
        };
        match (begins, ends) {
            _ if start + 1 >= end => return start..end,
            (true, _) => start += 1,
            (_, true) => end -= 1,
            _ => return start..end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tagger::Document;
    use crate::tagger::lexicon::Lexicons;

    #[test]
    fn a_name_begins_and_ends_with_what_is_its_own() {
        for (text, expected) in [
            ("anaphylaxis)", "anaphylaxis"),
            ("(anaphylaxis", "anaphylaxis"),
            ("anaphylaxis).", "anaphylaxis"),
            ("Avoid penicillin", "penicillin"),
            ("him bronchospasm", "bronchospasm"),
            ("\u{201c}naïve 😷 état\u{301}\u{201d},", "naïve 😷 état\u{301}"),
            ("hepatitis.", "hepatitis"),
            // What is its own.
            ("5-HT(2A)", "5-HT(2A)"),
            ("(+)-baclofen", "(+)-baclofen"),
            ("E.", "E."),
            ("Ca2+", "Ca2+"),
            (")", ")"),
            ("Avoid", "Avoid"),
        ] {
            let document = Document::new(text, &Lexicons::default(), 99);
            let at = trimmed(&document.lowers, 0..document.lowers.len());
            let (first, last) = (&document.tokens[at.start], &document.tokens[at.end - 1]);
            assert_eq!(&text[first.bytes.start..last.bytes.end], expected, "{text}");
            let told: String = text.chars().skip(first.start).take(last.end - first.start).collect();
            assert_eq!(told, expected, "places count code points");
        }
    }
}
