//! Words of a text, with their places in it.
//!
//! A word is a run of letters and digits; every other character that is no blank is a token of its
//! own, and so is an ideograph. That is how the corpora of biomedical names (BC5CDR, NCBI disease)
//! are cut, so a sentence of theirs gives the same tokens whether blanks stand between them or not.
//! A mark that combines with the character before it, an accent written by itself, stays in its word.
//! Places count Unicode code points, since bytes and UTF-16 units differ between programs.

use std::ops::Range;

use super::super::terms::is_ideograph;

/// A token of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its first code point.
    pub start: usize,
    /// The code point after its last.
    pub end: usize,
    /// Its bytes.
    pub bytes: Range<usize>,
}

/// What a character is to the cutting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Word,
    Alone,
    Joins,
}

fn kind(character: char) -> Kind {
    match character {
        _ if is_ideograph(character) => Kind::Alone,
        // Combining marks, variation selectors and the joiners between parts of one sign.
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}'
        | '\u{200c}'
        | '\u{200d}' => Kind::Joins,
        _ if character.is_alphanumeric() => Kind::Word,
        _ if character.is_whitespace() || character.is_control() => Kind::Blank,
        _ => Kind::Alone,
    }
}

/// The tokens of `text`, in order.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut last = Kind::Blank;
    for (place, (at, character)) in text.char_indices().enumerate() {
        let end = at + character.len_utf8();
        let now = kind(character);
        let goes_on = match now {
            Kind::Blank => {
                last = now;
                continue;
            }
            Kind::Word => last == Kind::Word,
            Kind::Joins => last != Kind::Blank,
            Kind::Alone => false,
        };
        match tokens.last_mut() {
            Some(token) if goes_on => (token.end, token.bytes.end) = (place + 1, end),
            _ => tokens.push(Token { start: place, end: place + 1, bytes: at..end }),
        }
        if now != Kind::Joins || last == Kind::Blank {
            last = now;
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| &text[token.bytes]).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_and_the_rest_stands_alone() {
        let text = "5-HT(2A)-induced Parkinson's  disease,\n10.5mg";
        let expected = [
            "5",
            "-",
            "HT",
            "(",
            "2A",
            ")",
            "-",
            "induced",
            "Parkinson",
            "'",
            "s",
            "disease",
            ",",
            "10",
            ".",
            "5mg",
        ];
        assert_eq!(cut(text), expected);
        let apart = expected.join(" ");
        assert_eq!(cut(&apart), expected);
    }

    #[test]
    fn places_count_code_points_in_every_script() {
        let text = "naïve 😷 e\u{301}tat 胸痛 ألم";
        assert_eq!(cut(text), ["naïve", "😷", "e\u{301}tat", "胸", "痛", "ألم"]);
        let characters: Vec<char> = text.chars().collect();
        for token in tokens(text) {
            let told: String = characters[token.start..token.end].iter().collect();
            assert_eq!(told, text[token.bytes]);
        }
        assert!(tokens(" \n\t").is_empty());
        assert_eq!(tokens("\u{301}a").len(), 2);
    }
}
