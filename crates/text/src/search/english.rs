//! English: plural endings, and words that say nothing of what a text is about.
//!
//! Endings follow Harman's S-stemmer ("How effective is suffixing?", Journal of the American Society for
//! Information Science, 1991): three rules for plurals. Stronger stemmers join words of medicine that differ
//! ("organ" and "organization", "general" and "generate"). People who ask about their health write much that is
//! not the question; the words of courtesy and of asking are left out beside the usual ones.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

/// A word without its plural ending.
pub fn singular(word: &str) -> Cow<'_, str> {
    let bytes = word.as_bytes();
    let before = |place: usize| bytes.len().checked_sub(place).map_or(0, |at| bytes[at]);
    if bytes.len() > 4 && word.ends_with("ies") && !b"ea".contains(&before(4)) {
        return Cow::Owned(format!("{}y", &word[..word.len() - 3]));
    }
    if bytes.len() > 3 && word.ends_with('s') && !b"us".contains(&before(2)) {
        return Cow::Borrowed(&word[..word.len() - 1]);
    }
    Cow::Borrowed(word)
}

/// Whether a question's term is left out.
pub fn says_nothing(term: &str) -> bool {
    NOTHING.contains(term)
}

static NOTHING: LazyLock<HashSet<Cow<'static, str>>> =
    LazyLock::new(|| WORDS.split_whitespace().chain(COURTESY.split_whitespace()).map(singular).collect());

/// Articles, pronouns, prepositions, auxiliary verbs.
const WORDS: &str = "\
    a about above after again against all also always am an and any are aren as at be because been before being \
    below between both but by can cannot could couldn did didn do does doesn doing don down during each either few \
    for from further had hadn has hasn have haven having he her here hers herself him himself his how however i if \
    in into is isn it its itself just me might more most must my myself neither no nor not now of off often on once \
    one only onto or other our ours ourselves out over own per same shall she should shouldn since so some still \
    such than that the their theirs them themselves then there therefore these they this those though through thus \
    to too toward towards under until up upon us very via was wasn we were weren what when where whether which while \
    who whom whose why will with within without won would wouldn yet you your yours yourself yourselves";

/// What questions to a doctor or a library say beside their matter.
const COURTESY: &str = "\
    advance advice advise answer anybody anyone anything appreciate appreciated ask asking bless dear e email \
    everyone explain find found get getting give given giving god going got grateful greetings guys hello help \
    helpful hi hope im info information ive kind kindly know known learn let like look looking madam many maybe \
    message much need never nobody ok please provide question read really regards reply response said say see send \
    sincerely sir someone something sorry subject suggest suggestion sure tell thank thanks thing think told try \
    trying understand want wanted way welcome whatever wonder wondering yes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_meet_their_singulars_and_other_words_stay() {
        for (plural, expected) in [
            ("allergies", "allergy"),
            ("headaches", "headache"),
            ("diseases", "disease"),
            ("symptoms", "symptom"),
            ("illness", "illness"),
            ("virus", "virus"),
            ("gas", "gas"),
            ("is", "is"),
            ("胸痛s", "胸痛"),
        ] {
            assert_eq!(singular(plural), expected, "{plural}");
        }
        assert_eq!(singular("headache"), singular("headaches"));
    }

    #[test]
    fn the_matter_of_a_question_is_kept() {
        for word in ["the", "please", "thank", "what", "thi", "thus", "doe"] {
            assert!(says_nothing(word), "{word}");
        }
        for word in ["pain", "treatment", "cause", "gene", "child", "blood", "c", "b"] {
            assert!(!says_nothing(word), "{word}");
        }
    }
}
