//! Stages of kidney disease, as they are written: "CKD stage G4A3", "慢性肾脏病(4期)", "CKD Ⅳ期". Rules differ by them, so a stage
//! that is written another way must not be lost: each is put as the terms have it, and an albuminuria stage is left out.

/// What kidney disease is called where a stage may follow, and how the terms name it. The longer first.
const NAMES: [(&str, &str); 12] = [
    ("chronic kidney disease", "chronic kidney disease"),
    ("chronic renal disease", "chronic kidney disease"),
    ("chronic renal failure", "chronic kidney disease"),
    ("chronic renal insufficiency", "chronic kidney disease"),
    ("慢性肾功能不全", "慢性肾脏病"),
    ("慢性肾功能衰竭", "慢性肾脏病"),
    ("慢性肾衰竭", "慢性肾脏病"),
    ("慢性肾脏病", "慢性肾脏病"),
    ("慢性肾脏疾病", "慢性肾脏病"),
    ("慢性肾病", "慢性肾脏病"),
    ("慢性肾衰", "慢性肾脏病"),
    ("ckd", "ckd"),
];

/// Puts every stage behind a name of kidney disease as the terms have it.
pub(super) fn in_terms(normal: &str) -> String {
    let mut text = String::with_capacity(normal.len());
    let mut rest = normal;
    'next: while let Some(first) = rest.chars().next() {
        if !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
            for (name, term) in NAMES {
                let Some((stage, behind)) = rest.strip_prefix(name).and_then(staged) else { continue };
                text.push_str(&match term.is_ascii() {
                    true => format!("{term} stage {stage}"),
                    false => format!("{term}{stage}期"),
                });
                if behind.starts_with(char::is_alphanumeric) {
                    text.push(' ');
                }
                rest = behind;
                continue 'next;
            }
        }
        text.push(first);
        rest = &rest[first.len_utf8()..];
    }
    text
}

/// The stage with which a text goes on, and what is behind it. A number alone is none: it may count years.
fn staged(text: &str) -> Option<(u8, &str)> {
    let mut rest = text;
    let mut marked = false;
    let mut bracket = false;
    loop {
        let bare = rest.trim_start_matches([' ', ',', ':', '-', '第', '.']);
        if let Some(open) = bare.strip_prefix(['(', '[']) {
            (rest, bracket) = (open, true);
            continue;
        }
        let word = ["stage", "stadium", "kdigo", "grade", "分期"].iter().find_map(|w| bare.strip_prefix(w));
        match word {
            Some(behind) => (rest, marked) = (behind, true),
            None => {
                rest = bare;
                break;
            }
        }
    }
    if let Some(behind) = rest.strip_prefix('g') {
        (rest, marked) = (behind, true);
    }
    // A Roman number alone is one; before a noun "IV" is the way of a drug.
    let roman = |digit: &str, open: bool| {
        let behind = text.strip_prefix(' ').and_then(|rest| rest.strip_prefix(digit));
        let goes_on =
            |rest: &str| [" not ", " on ", " with ", " and "].iter().any(|word| rest.starts_with(word));
        behind.is_some_and(|rest| ends(rest) && (open || !rest.starts_with(' ') || goes_on(rest)))
    };
    marked |= roman("v", true) || roman("iii", true) || roman("iv", false);
    let (stage, behind) = number(rest)?;
    let behind = behind.strip_prefix(['a', 'b']).filter(|_| stage == 3).unwrap_or(behind);
    let (marked, behind) = match behind.trim_start().strip_prefix('期') {
        Some(behind) => (true, behind),
        None => (marked, behind),
    };
    // Of albumin: G4A3, "G4 A3".
    let albumin = behind.trim_start_matches([' ', '/', ',']).strip_prefix('a');
    let albumin = albumin.and_then(|rest| rest.strip_prefix(['1', '2', '3'])).filter(|rest| ends(rest));
    let behind = albumin.unwrap_or(behind);
    let behind =
        if bracket { behind.trim_start().strip_prefix([')', ']']).unwrap_or(behind) } else { behind };
    // "Stage 3-4" is of both, and said elsewhere.
    let range = behind.trim_start().strip_prefix(['-', '/', '~', '至']).is_some_and(|rest| {
        number(rest.trim_start().trim_start_matches('g')).is_some_and(|(_, behind)| ends(behind))
    });
    (marked && ends(behind) && !range).then_some((stage, behind))
}

/// A stage in digits of any script.
fn number(text: &str) -> Option<(u8, &str)> {
    const ROMAN: [(&str, u8); 5] = [("iii", 3), ("iv", 4), ("ii", 2), ("v", 5), ("i", 1)];
    const CHINESE: [(&str, u8); 5] = [("一", 1), ("二", 2), ("三", 3), ("四", 4), ("五", 5)];
    const DIGITS: [(&str, u8); 5] = [("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5)];
    let all = || DIGITS.iter().chain(&ROMAN).chain(&CHINESE);
    all().find_map(|(digit, stage)| Some((*stage, text.strip_prefix(digit)?)))
}

/// Whether no word or number goes on here.
fn ends(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_put_as_the_terms_have_it() {
        for (written, put) in [
            ("ckd stage g4a3", "ckd stage 4"),
            ("ckd g5", "ckd stage 5"),
            ("ckd g3b a2, gout", "ckd stage 3, gout"),
            ("ckd (stage iv)", "ckd stage 4"),
            ("ckd v not on hd", "ckd stage 5 not on hd"),
            ("ckd iv", "ckd stage 4"),
            ("ckd, kdigo g4", "ckd stage 4"),
            ("ckd 4期", "ckd stage 4"),
            ("ckd4期", "ckd stage 4"),
            ("chronic renal failure, stage 5", "chronic kidney disease stage 5"),
            ("慢性肾脏病 4期", "慢性肾脏病4期"),
            ("慢性肾脏病(5期)", "慢性肾脏病5期"),
            ("慢性肾脏病第四期", "慢性肾脏病4期"),
            ("慢性肾脏病iv期", "慢性肾脏病4期"),
            ("慢性肾脏病5期,高血压", "慢性肾脏病5期,高血压"),
            ("慢性肾脏病4期 肾性贫血", "慢性肾脏病4期 肾性贫血"),
            ("慢性肾功能不全(4期)", "慢性肾脏病4期"),
        ] {
            assert_eq!(in_terms(written), put, "{written}");
        }
    }

    #[test]
    fn what_is_no_stage_stays() {
        for written in [
            "ckd",
            "ckd for 4 years",
            "ckd 3 years",
            "ckd stage 3-4",
            "ckd stage 10",
            "ckd iv iron",
            "nickd stage 4",
            "ckd, stage iva",
            "慢性肾脏病4年",
        ] {
            assert_eq!(in_terms(written), written);
        }
    }
}
