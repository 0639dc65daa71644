//! What the layout of a note says, in marks that its normal form keeps: a line ends what was said, a cell stands for itself,
//! and of two boxes the ticked one is the answer.
//!
//! A tokenizer makes one blank of all of that, and then a denial reaches into the next line ("PMH: none", and below it
//! "suicidal"). A line that was only wrapped goes on, and so does a list below its heading.

use crate::terms::is_ideograph;

/// Stands for the end of a line; no tokenizer takes it for a control character.
pub const END: char = '\u{2028}';

/// From how many characters on a line may have been wrapped.
const WRAPPED: usize = 60;
/// With what a line ends that goes on in the next.
const JOINS: [&str; 12] =
    ["and", "or", "nor", "of", "with", "without", "to", "the", "a", "for", "reports", "has"];
const TICKED: [&str; 8] = ["☒", "☑", "✓", "✔", "■", "[x]", "[X]", "[√]"];
const EMPTY: [&str; 4] = ["☐", "□", "[ ]", "[]"];
const ANSWERS: [&str; 12] = ["Yes", "YES", "yes", "No", "NO", "no", "Y", "N", "是", "否", "有", "无"];

/// The note with such marks, where it has any layout.
pub fn laid_out(note: &str) -> Option<String> {
    let has_boxes = || TICKED.iter().chain(&EMPTY).any(|mark| note.contains(mark));
    let has_layout = note.contains(|c: char| c == '\t' || is_break(c));
    let has_blanks = note.contains(' ') && note.contains(is_ideograph);
    if !has_layout && !has_blanks && !has_boxes() {
        return None;
    }
    let mut text = String::with_capacity(note.len() + 16);
    let mut last = "";
    let mut below_heading = false;
    for line in note.split(is_break) {
        let line = line.trim();
        if line.is_empty() {
            (last, below_heading) = ("", false);
            text.push(END);
            continue;
        }
        let listed = is_listed(line);
        let heading = last.ends_with([':', '：']);
        below_heading = heading || below_heading && listed;
        match () {
            () if heading => text.push(' '),
            () if below_heading => text.push_str(" , "),
            () if !listed && goes_on(last, line) => text.push(' '),
            () => text.extend([' ', END, ' ']),
        }
        text.push_str(&parted(&answered(line)).replace('\t', " | "));
        last = line;
    }
    Some(text)
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a line is one of a list: "- seizure", "• seizure", "1) seizure", "1、胸痛".
fn is_listed(line: &str) -> bool {
    let behind = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let mut marks = behind.chars();
    let numbered =
        behind.len() < line.len() && marks.next().is_some_and(|mark| [')', '.', '、'].contains(&mark));
    line.starts_with(['-', '*', '•', '·', '–', '>'])
        || numbered && !marks.next().is_some_and(|next| next.is_ascii_digit())
}

/// Whether a line goes on in the next: it was wrapped, or has not come to an end.
fn goes_on(line: &str, next: &str) -> bool {
    if line.ends_with([',', '，', '、', '(', '（']) {
        return true;
    }
    let word = line.rsplit(' ').next().unwrap_or_default().to_lowercase();
    let wrapped = line.chars().count() >= WRAPPED && next.starts_with(char::is_lowercase);
    let open = JOINS.contains(&word.as_str()) && word.len() < line.len();
    !line.ends_with(['.', '!', '?', ';', ':']) && (wrapped || open)
}

/// Of boxes beside answers ("☐Yes ☒No", "Yes [ ] No [x]") the ticked answer alone.
fn answered(line: &str) -> String {
    let first = |text: &str, marks: &[&'static str]| -> Option<(usize, &'static str)> {
        marks
            .iter()
            .filter_map(|mark| Some((text.find(mark)?, *mark)))
            .min_by_key(|(at, mark)| (*at, usize::MAX - mark.len()))
    };
    let boxes: Vec<&'static str> = TICKED.iter().chain(&EMPTY).copied().collect();
    // The answer that begins or ends a text, as a word of its own.
    let begins = |text: &str| {
        let word =
            ANSWERS.iter().filter(|answer| text.starts_with(**answer)).max_by_key(|answer| answer.len())?;
        let next = text[word.len()..].chars().next();
        (!word.is_ascii() || next.is_none_or(|c| !c.is_alphanumeric())).then_some(*word)
    };
    let ends = |text: &str| {
        let word =
            ANSWERS.iter().filter(|answer| text.ends_with(**answer)).max_by_key(|answer| answer.len())?;
        let last = text[..text.len() - word.len()].chars().next_back();
        (!word.is_ascii() || last.is_none_or(|c| !c.is_alphanumeric())).then_some(*word)
    };
    let (mut out, mut rest) = (String::new(), line);
    // Whether boxes stand before their answers, as the first one does.
    let mut before: Option<bool> = None;
    while let Some((at, mark)) = first(rest, &boxes) {
        let (head, tail) = (rest[..at].trim_end(), rest[at + mark.len()..].trim_start());
        let ticked = TICKED.contains(&mark);
        let (behind, ahead) = (begins(tail), ends(head));
        let is_before = *before.get_or_insert(
            behind.is_some() && (ahead.is_none() || !out.is_empty() || head.ends_with([':', '?'])),
        );
        let answer = if is_before { behind } else { ahead };
        let Some(answer) = answer else {
            out.push_str(&rest[..at + mark.len()]);
            rest = &rest[at + mark.len()..];
            continue;
        };
        let head = if is_before { head } else { &head[..head.len() - answer.len()] };
        out.push_str(head);
        if ticked {
            let asked = out.trim_end().ends_with([':', '?', '：', '？']);
            out.push_str(if asked { " " } else { ": " });
            out.push_str(answer);
        }
        out.push(' ');
        rest = if is_before { &tail[answer.len()..] } else { tail };
    }
    out.push_str(rest);
    out
}

/// A blank between Chinese words ends what was said, as a comma does: "否认外伤 昏迷1小时". Not behind one word of two
/// characters ("否认 胸痛"), or behind what heads a list.
fn parted(line: &str) -> String {
    if !line.contains(' ') || !line.contains(is_ideograph) {
        return line.to_string();
    }
    let mut out = String::with_capacity(line.len());
    let mut pieces = line.split(' ').filter(|piece| !piece.is_empty()).peekable();
    while let Some(piece) = pieces.next() {
        out.push_str(piece);
        let Some(next) = pieces.peek() else { break };
        let said = piece.chars().count() >= 3 && piece.ends_with(is_ideograph) && !piece.ends_with('史');
        let apart = said && next.chars().count() >= 2 && next.starts_with(is_ideograph);
        out.push_str(if apart { "，" } else { " " });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_what_was_said_unless_they_go_on() {
        for (note, wanted) in [
            ("PMH: none\nsuicidal", vec!["PMH: none", "suicidal"]),
            ("no fever\r\n\r\nslurred speech", vec!["no fever", "slurred speech"]),
            ("Denies chest pain,\nsyncope", vec!["Denies chest pain, syncope"]),
            ("denies fever and\nsyncope", vec!["denies fever and syncope"]),
            ("PMH:\n- stroke\n- MI\nCC: cough", vec!["PMH: - stroke , - MI", "CC: cough"]),
            ("PMH: HTN\n- seizure", vec!["PMH: HTN", "- seizure"]),
            ("主诉：\n1、胸痛\n2、大汗", vec!["主诉： 1、胸痛 , 2、大汗"]),
            (
                "Patient was brought in by her husband since she has crushing chest\npain and sweats",
                vec!["Patient was brought in by her husband since she has crushing chest pain and sweats"],
            ),
        ] {
            let text = laid_out(note).unwrap();
            let lines: Vec<&str> = text.split(END).map(str::trim).filter(|line| !line.is_empty()).collect();
            assert_eq!(lines, wanted);
        }
        assert_eq!(laid_out("chest pain"), None);
    }

    #[test]
    fn of_boxes_the_ticked_answer_is_left() {
        for (note, wanted) in [
            ("Chest pain: ☐Yes ☒No", "Chest pain: No"),
            ("Chest pain: ☒ Yes ☐ No", "Chest pain: Yes"),
            ("Chest pain: [ ] Yes [x] No", "Chest pain: No"),
            ("Chest pain: Yes [ ] No [x]", "Chest pain: No"),
            ("Chest pain Y[x] N[ ]", "Chest pain : Y"),
            ("胸痛□有 ☑无", "胸痛 : 无"),
            ("[ ] chest pain [x] cough", "[ ] chest pain [x] cough"),
        ] {
            let text = laid_out(note).unwrap().replace(END, "");
            assert_eq!(
                text.split_whitespace().collect::<Vec<_>>().join(" "),
                wanted.split_whitespace().collect::<Vec<_>>().join(" "),
                "{note}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_written_stops_it(note in "([-0-9.、:：,，()☐☒□ \\[\\]xYesNo\n\t有无否认胸痛]|\\PC){0,60}") {
            let text = laid_out(&note).unwrap_or_else(|| note.clone());
            super::super::phrases::clauses(&text.to_lowercase());
        }
    }

    #[test]
    fn a_blank_parts_chinese_words() {
        for (note, wanted) in [
            ("否认外伤 昏迷1小时", "否认外伤，昏迷1小时"),
            ("过敏史：无 癫痫持续状态", "过敏史：无，癫痫持续状态"),
            ("否认 胸痛", "否认 胸痛"),
            ("既往史 脑梗", "既往史 脑梗"),
            ("心 率 快", "心 率 快"),
        ] {
            assert_eq!(laid_out(note).unwrap().replace(END, "").trim(), wanted);
        }
    }
}
