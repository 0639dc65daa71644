//! A message in the vertical-bar encoding (HL7 v2.5.1, chapter 2): segments on lines, fields between bars.
//!
//! The separators are those that the message names for itself. What cannot be read is told by segment and field and
//! never repeated, as it may be a patient's.

use std::borrow::Cow;

/// Most segments of a message.
const MOST: usize = 10_000;
/// Most repetitions of a field: a person has a few names and numbers, and an allergy a few codes.
const MOST_REPETITIONS: usize = 1_000;

/// Why a message is not taken: the place, the code of table 0357, and the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {detail}")]
pub struct Hl7Error {
    /// Segment and field, such as `PID-3`.
    pub place: Cow<'static, str>,
    /// The code of HL7's table 0357.
    pub code: u16,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

impl Hl7Error {
    /// An error at a place.
    pub fn new(place: impl Into<Cow<'static, str>>, code: u16, detail: impl Into<String>) -> Hl7Error {
        Hl7Error { place: place.into(), code, detail: detail.into() }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    separators: Separators,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Separators {
    field: char,
    component: char,
    repetition: char,
    escape: char,
    subcomponent: char,
}

/// A segment, its fields as they are written; field 0 is its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    fields: Vec<String>,
}

impl Message {
    /// Reads a message. Segments end with carriage returns as the standard says; where a message has none, with line feeds.
    ///
    /// # Errors
    /// It has no sound header, or too many segments or repetitions.
    pub fn read(text: &str) -> Result<Message, Hl7Error> {
        let no_header = || Hl7Error::new("MSH", 100, "a message begins with MSH and its five separators");
        let rest = text.strip_prefix("MSH").ok_or_else(no_header)?;
        let mut marks = rest.chars();
        let mut mark =
            || marks.next().filter(|c| !c.is_alphanumeric() && !c.is_control()).ok_or_else(no_header);
        let separators = Separators {
            field: mark()?,
            component: mark()?,
            repetition: mark()?,
            escape: mark()?,
            subcomponent: mark()?,
        };
        // A line feed among carriage returns stands within a segment, and must not begin one.
        let end = if text.contains('\r') { '\r' } else { '\n' };
        let lines = text.split(end).map(|line| line.strip_prefix('\n').unwrap_or(line));
        let mut segments = Vec::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if segments.len() == MOST {
                return Err(Hl7Error::new("MSH", 100, format!("the message has more than {MOST} segments")));
            }
            let mut fields: Vec<String> = line.split(separators.field).map(str::to_string).collect();
            // The lines of a report may be parted so.
            let of_text = ["OBX", "NTE"].contains(&fields[0].as_str());
            let many = |field: &String| field.matches(separators.repetition).count() >= MOST_REPETITIONS;
            if !of_text && fields.iter().any(many) {
                let detail = format!(
                    "segment {} has a field of more than {MOST_REPETITIONS} repetitions",
                    segments.len() + 1
                );
                return Err(Hl7Error::new("MSH", 100, detail));
            }
            if segments.is_empty() {
                // The separator itself is the first field of a header.
                fields.insert(1, separators.field.to_string());
            }
            segments.push(Segment { fields });
        }
        Ok(Message { separators, segments })
    }

    /// Refuses what is not one message: a second header may begin what is somebody else's, and a segment whose name is none
    /// is the rest of one that broke, or one that is not read by another name.
    ///
    /// # Errors
    /// The first such segment.
    pub fn one_message(&self) -> Result<(), Hl7Error> {
        for (number, segment) in self.segments.iter().enumerate() {
            let name = segment.fields.first().map(String::as_str).unwrap_or_default();
            let sound = name.len() == 3
                && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            let detail = match () {
                () if number > 0 && name.starts_with("MSH") => "a block is one message, with one MSH",
                () if !sound => "the name of a segment is three capital letters and digits",
                () => continue,
            };
            let detail = format!("{detail}; look at segment {} of the message", number + 1);
            return Err(Hl7Error::new("MSH", 100, detail));
        }
        Ok(())
    }

    /// Refuses a message with a control character: MLLP has none in a block, and where one stands two messages may have run
    /// together, or an identifier be somebody else's. Line feeds and tabs, which people type, are taken outside of PID.
    ///
    /// # Errors
    /// The first such field, and which segment of the message it is of.
    pub fn without_controls(&self) -> Result<(), Hl7Error> {
        for (number, segment) in self.segments.iter().enumerate() {
            let name = segment.fields.first().map(String::as_str).unwrap_or_default();
            let typed = |c: char| name != "PID" && matches!(c, '\n' | '\t');
            let unsound = |text: &String| text.chars().any(|c| c.is_ascii_control() && !typed(c));
            let Some(field) = segment.fields.iter().position(unsound) else { continue };
            // A name of another form may be the rest of a broken field.
            let named = name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            // Of a header the separator itself is the first field, and what follows it the second.
            let place = match (named, field) {
                (true, 0) => name.to_owned(),
                (true, field) => format!("{name}-{field}"),
                (false, _) => "MSH".to_owned(),
            };
            let detail = format!("a control character, in segment {} of the message", number + 1);
            return Err(Hl7Error::new(place, 102, detail));
        }
        Ok(())
    }

    /// The first component of each repetition of a field as an identifier: without the spaces around it. `None` for one with
    /// an escape or a subcomponent, which no identifier has: without that it would be another.
    pub fn identifiers(&self, name: &str, field: usize) -> Vec<Option<String>> {
        let own = &self.separators;
        let first = |text: &str| {
            let text = text.split(own.component).next().unwrap_or_default().trim_matches(' ');
            let text = if text == "\"\"" { "" } else { text };
            (!text.contains([own.escape, own.subcomponent])).then(|| text.to_owned())
        };
        self.raw(name, field).split(own.repetition).map(first).collect()
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Segment> {
        self.segments.iter().filter(move |segment| segment.fields.first().is_some_and(|own| own == name))
    }

    /// How many segments have this name.
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// A component of a field, without escapes: of the `nth` segment of a name (from 0), the field and the
    /// component counted from 1 as the standard does, the first repetition. Empty where there is none.
    pub fn get(&self, (name, nth): (&str, usize), field: usize, component: usize) -> String {
        self.repetitions((name, nth), field)
            .first()
            .map_or_else(String::new, |own| own.get(component - 1).cloned().unwrap_or_default())
    }

    /// Every repetition of a field, each as its components, each as its first subcomponent.
    pub fn repetitions(&self, segment: (&str, usize), field: usize) -> Vec<Vec<String>> {
        let first = |mut parts: Vec<String>| parts.swap_remove(0);
        let firsts = |own: Vec<Vec<String>>| own.into_iter().map(first).collect();
        self.parts(segment, field).into_iter().map(firsts).collect()
    }

    /// Every repetition of a field, each as its components, each as its subcomponents, of which each has at least one.
    pub fn parts(&self, (name, nth): (&str, usize), field: usize) -> Vec<Vec<Vec<String>>> {
        let Some(text) = self.named(name).nth(nth).and_then(|own| own.fields.get(field)) else {
            return Vec::new();
        };
        let own = &self.separators;
        let component = |text: &str| text.split(own.subcomponent).map(|text| self.plain(text)).collect();
        let components = |text: &str| text.split(own.component).map(component).collect();
        text.split(own.repetition).map(components).collect()
    }

    /// Every repetition of a field that should have no subcomponents, each as its components: where somebody wrote
    /// "sulfa & penicillin" without escapes, all of it.
    pub fn whole(&self, segment: (&str, usize), field: usize) -> Vec<Vec<String>> {
        let component = |own: &Vec<String>| {
            own.iter().map(String::as_str).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" & ")
        };
        let components = |own: Vec<Vec<String>>| own.iter().map(component).collect();
        self.parts(segment, field).into_iter().map(components).collect()
    }

    /// All words of a field that should be one text, with commas between what separators tore apart.
    pub fn words(&self, segment: (&str, usize), field: usize) -> String {
        let all = self.whole(segment, field).into_iter().flatten();
        all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Whether a segment has anything but its name, its number and two double quotes, which erase and name nothing.
    pub fn says_something(&self, segment: (&str, usize)) -> bool {
        self.fields(segment).any(|text| !text.trim().is_empty() && !self.erases(text))
    }

    /// Whether a segment says that something is to be erased, and names nothing.
    pub fn only_erases(&self, segment: (&str, usize)) -> bool {
        !self.says_something(segment) && self.fields(segment).any(|text| self.erases(text))
    }

    /// The fields of a segment behind its number, as they are written.
    fn fields<'a>(&'a self, (name, nth): (&'a str, usize)) -> impl Iterator<Item = &'a str> {
        self.named(name).nth(nth).into_iter().flat_map(|own| own.fields.iter().skip(2)).map(String::as_str)
    }

    /// The message without the segments that say when it was made, as it is written.
    pub(super) fn body(&self) -> String {
        let rest = self
            .segments
            .iter()
            .map(|own| own.fields.join(&self.separators.field.to_string()))
            .filter(|own| !own.starts_with("MSH") && !own.starts_with("EVN"));
        rest.collect::<Vec<_>>().join("\r")
    }

    fn erases(&self, field: &str) -> bool {
        let own = &self.separators;
        let mut parts = field.split([own.repetition, own.component, own.subcomponent]).map(str::trim);
        field.contains("\"\"") && parts.all(|part| ["", "\"\""].contains(&part))
    }

    /// A field as it is written.
    pub fn raw(&self, name: &str, field: usize) -> String {
        self.named(name).next().and_then(|own| own.fields.get(field)).cloned().unwrap_or_default()
    }

    /// Text without escapes (section 2.7). Two double quotes, which say that a value is to be erased, are nothing. An escape
    /// that is not understood stays as it is written, so that nobody takes what is left for the whole word.
    fn plain(&self, text: &str) -> String {
        let own = &self.separators;
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(own.escape) {
            plain.push_str(before);
            let Some((escape, after)) = after.split_once(own.escape) else {
                plain.push(own.escape);
                rest = after;
                break;
            };
            match self.escape(escape) {
                Some(text) => plain.push_str(&text),
                None => plain.extend([own.escape.to_string().as_str(), escape, &own.escape.to_string()]),
            }
            rest = after;
        }
        plain.push_str(rest);
        let plain = plain.trim();
        if plain == "\"\"" { String::new() } else { plain.to_string() }
    }

    /// What stands for an escape, where it is understood: separators, text in hexadecimal digits, white space for what
    /// formats, nothing for what highlights.
    fn escape(&self, escape: &str) -> Option<String> {
        let own = &self.separators;
        let mark = match escape {
            "F" => own.field,
            "S" => own.component,
            "T" => own.subcomponent,
            "R" => own.repetition,
            "E" => own.escape,
            "H" | "N" => return Some(String::new()),
            _ if escape.starts_with('.') => ' ',
            _ => return hexadecimal(escape.strip_prefix(['X', 'x'])?),
        };
        Some(mark.to_string())
    }
}

/// The text that bytes in hexadecimal digits are; nothing where they are none. Ends of lines are white space.
fn hexadecimal(digits: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let sound = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    let text = String::from_utf8(bytes.filter(|_| sound)?).ok()?;
    let text: String = text.chars().map(|c| if c.is_ascii_whitespace() { ' ' } else { c }).collect();
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}

/// Text of ours as a field holds it, with the usual separators.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\\' => out.push_str("\\E\\"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_as_the_standard_counts_them() {
        let text = "MSH|^~\\&|ADT|WARD|||20260301||ADT^A01|7|P|2.5.1\rPID|1||p1^^^H^MR~q2^^^N^NI||M\\F\\r\\T\\ \\X41\\Jane^\"\"\r";
        let message = Message::read(text).unwrap();
        assert_eq!(
            (message.get(("MSH", 0), 9, 2), message.get(("MSH", 0), 3, 1)),
            ("A01".into(), "ADT".into())
        );
        assert_eq!(message.get(("PID", 0), 3, 1), "p1");
        assert_eq!(message.repetitions(("PID", 0), 3)[1][4], "NI");
        assert_eq!(
            (message.get(("PID", 0), 5, 1), message.get(("PID", 0), 5, 2)),
            ("M|r& AJane".into(), String::new())
        );
        assert_eq!(
            (message.get(("PV1", 0), 3, 1), message.get(("PID", 0), 99, 9)),
            (String::new(), String::new())
        );
        assert_eq!(escaped("a|b^c\r"), "a\\F\\b\\S\\c ");
    }

    #[test]
    fn a_control_character_is_told_by_its_place_and_a_line_feed_begins_no_segment() {
        let text =
            "MSH|^~\\&|ADT|WARD|||20260301||ADT^A01|7|P|2.5.1\rPID|1||p1^^^H^MR||Doe\rNTE|1||one\n\ttwo\r";
        assert_eq!(Message::read(text).unwrap().without_controls(), Ok(()));
        for (from, to, place) in [
            ("p1", "p\u{1}1", "PID-3"),
            ("p1", "p1\n", "PID-3"),
            ("Doe", "D\0oe", "PID-5"),
            ("one", "one\u{1c}", "NTE-3"),
            ("|7|", "|\u{b}7|", "MSH-10"),
            ("NTE|1", "\u{b}MSH|^~\\&", "MSH"),
        ] {
            let error = Message::read(&text.replace(from, to)).unwrap().without_controls().unwrap_err();
            assert_eq!((error.place.as_ref(), error.code), (place, 102), "{from}");
            assert!(!error.detail.contains("Doe"));
        }
        let injected = Message::read(&text.replace("one\n", "one\nPID|1||p2\n")).unwrap();
        assert_eq!((injected.count("PID"), injected.count("NTE")), (1, 1));
        assert_eq!(Message::read(&text.replace('\r', "\r\n")).unwrap().count("PID"), 1);
        assert_eq!(Message::read(&text.replace("\n\t", " ").replace('\r', "\n")).unwrap().count("PID"), 1);
    }

    #[test]
    fn an_escape_is_read_or_stays_and_takes_no_word_away() {
        for (written, read) in [
            ("\\X50656E6963696C6C696E\\", "Penicillin"),
            ("\\XC3A9\\", "é"),
            ("\\XE9\\", "\\XE9\\"),
            ("\\X5\\", "\\X5\\"),
            ("\\X00\\a", "\\X00\\a"),
            ("sulfa\\X0D0A\\penicillin", "sulfa  penicillin"),
            ("sulfa\\.br\\penicillin", "sulfa penicillin"),
            ("\\H\\penicillin\\N\\", "penicillin"),
            ("peni\\Zq\\cillin", "peni\\Zq\\cillin"),
            ("sulfa \\penicillin", "sulfa \\penicillin"),
            ("a\\\\b", "a\\\\b"),
            ("\"\"", ""),
        ] {
            let message = Message::read(&format!("MSH|^~\\&|\rAL1|1||^{written}\r")).unwrap();
            assert_eq!(message.get(("AL1", 0), 3, 2), read, "{written}");
        }
    }

    #[test]
    fn a_block_is_one_message_of_segments_with_names() {
        let text = "MSH|^~\\&|ADT\rPID|1||p1\rZX1|1\r";
        assert_eq!(Message::read(text).unwrap().one_message(), Ok(()));
        for more in ["MSH|^~\\&|ADT", "MSH#^~\\&#ADT", "al1|1|DA|^penicillin", "penicillin|SV", " AL1|1"] {
            let error = Message::read(&format!("{text}{more}\r")).unwrap().one_message().unwrap_err();
            assert_eq!((error.place.as_ref(), error.code), ("MSH", 100), "{more}");
            assert!(error.detail.contains("segment 4") && !error.detail.contains("penicillin"));
        }
    }

    #[test]
    fn what_has_no_header_is_no_message() {
        for bad in ["", "PID|1", "MSH", "MSH|^~", "MSHABCDE|"] {
            assert_eq!(Message::read(bad).unwrap_err().place, "MSH", "{bad}");
        }
        assert!(Message::read(&format!("MSH|^~\\&|\r{}", "Z\r".repeat(MOST))).is_err());
        let repeated = |times: usize| Message::read(&format!("MSH|^~\\&|\rAL1|1||{}", "a^b~".repeat(times)));
        assert!(repeated(MOST_REPETITIONS).is_err() && repeated(MOST_REPETITIONS - 1).is_ok());
    }
}
