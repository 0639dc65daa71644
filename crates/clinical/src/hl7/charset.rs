//! The character set of a message (MSH-18, table 0211). What is not of the set that a message names, or that is configured for
//! those that name none, is refused: read as something else an allergy would be letters that nobody understands.

use encoding_rs::{
    Encoding, GB18030, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8,
    ISO_8859_15, UTF_8, WINDOWS_1252, WINDOWS_1254,
};

use super::message::Hl7Error;

/// The sets that are read, by their names without marks. Of Latin-1 and Latin-5 the sets of Windows are all and more.
const SETS: [(&str, &Encoding); 22] = [
    ("UNICODEUTF8", UTF_8),
    ("UTF8", UTF_8),
    ("ASCII", UTF_8),
    ("88591", WINDOWS_1252),
    ("88592", ISO_8859_2),
    ("88593", ISO_8859_3),
    ("88594", ISO_8859_4),
    ("88595", ISO_8859_5),
    ("88596", ISO_8859_6),
    ("88597", ISO_8859_7),
    ("88598", ISO_8859_8),
    ("88599", WINDOWS_1254),
    ("885915", ISO_8859_15),
    ("GB180302000", GB18030),
    ("GB18030", GB18030),
    ("GB180302005", GB18030),
    ("GB180302022", GB18030),
    ("GBK", GB18030),
    ("GB2312", GB18030),
    ("WINDOWS1252", WINDOWS_1252),
    ("CP1252", WINDOWS_1252),
    ("IR192", UTF_8),
];

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Charset {
    /// Which are read, in words.
    pub const READ: &str = "UTF-8 (or UNICODE UTF-8), ASCII, 8859/1 to 8859/9, 8859/15, windows-1252 or GB 18030 (or GBK, GB 2312)";

    /// The set of a name of table 0211, however it is written.
    pub fn of(name: &str) -> Option<Charset> {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = name.to_uppercase();
        let name = name.strip_prefix("ISO").unwrap_or(&name);
        SETS.iter().find(|(known, _)| *known == name).map(|(_, set)| Charset(set))
    }

    /// The text; nothing of bytes that are plainly of UTF-8 in another set, which would be letters that nobody understands: one letter
    /// of UTF-8 is two odd ones of Latin, and two characters of three bytes are three odd ones of Chinese.
    fn decoded(self, bytes: &[u8]) -> Option<String> {
        let count = |wide: fn(&char) -> bool| {
            std::str::from_utf8(bytes).map_or(0, |text| text.chars().filter(wide).count())
        };
        let is_utf_8 = match self.0 {
            set if set == UTF_8 => false,
            set if set == GB18030 => count(|c| ('\u{800}'..'\u{10000}').contains(c)) > 1,
            _ => count(|c| !c.is_ascii()) > 0,
        };
        if is_utf_8 {
            return None;
        }
        self.0.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
    }
}

impl Default for Charset {
    fn default() -> Charset {
        Charset(UTF_8)
    }
}

/// A message as text, in the character set that it names, or in this one where it names none.
///
/// # Errors
/// It is of another set, or not of the one that it should be of.
pub fn text(bytes: &[u8], unnamed: Charset) -> Result<String, Hl7Error> {
    if bytes.is_ascii() {
        return Ok(bytes.iter().map(|byte| char::from(*byte)).collect());
    }
    let refused = |detail: String| Hl7Error::new("MSH-18", 102, detail);
    match named(bytes) {
        None => unnamed.decoded(bytes).ok_or_else(|| {
            let detail = "the message names no character set, and is not of the one that is taken then; name it in MSH-18, or \
                have the receiver's hl7-charset name it";
            refused(detail.to_owned())
        }),
        Some(name) => {
            let set = Charset::of(&name)
                .ok_or_else(|| refused(format!("of the character sets {} are read", Charset::READ)))?;
            let detail = || refused("the message is not of the character set that it names".to_owned());
            set.decoded(bytes).ok_or_else(detail)
        }
    }
}

/// The first character set of MSH-18; none where the field is empty.
fn named(bytes: &[u8]) -> Option<String> {
    let header = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty())?;
    let separator = header.get(3)?;
    // The separator itself is the first field, so the eighteenth comes after seventeen.
    let field = header.split(|byte| byte == separator).nth(17)?;
    let first = field.split(|byte| *byte == b'~' || *byte == b'^').next()?;
    let name = String::from_utf8_lossy(first).trim().to_owned();
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_in_the_character_set_that_it_is_of_or_not_at_all() {
        let of = |unnamed: &str, set: &str, name: &[u8]| {
            let header = format!("MSH|^~\\&|ADT|WARD|MEDSERVE|H|1||ADT^A01|7|P|2.5.1||||||{set}\rPID|");
            text(&[header.as_bytes(), name].concat(), Charset::of(unnamed).unwrap())
                .map(|text| text.split("PID|").nth(1).unwrap().to_string())
        };
        let pregnancy = &b"\xc8\xd1\xc9\xef"[..];
        for (unnamed, set, name, read) in [
            ("UTF-8", "", "青霉素".as_bytes(), "青霉素"),
            ("8859/1", "", b"M\xfcller", "Müller"),
            ("GB 18030", "", pregnancy, "妊娠"),
            ("UTF-8", "8859/1", b"M\xfcller", "Müller"),
            ("UTF-8", "GBK", pregnancy, "妊娠"),
            ("UTF-8", "windows-1252", b"c\x9cur", "cœur"),
            ("UTF-8", "8859/1", b"c\xbdur", "c½ur"),
            ("UTF-8", "ISO 8859/15", b"c\xbdur p\xe9nicilline", "cœur pénicilline"),
            ("UTF-8", "8859/5", b"\xd0", "а"),
            ("8859/1", "UNICODE UTF-8", "青霉素".as_bytes(), "青霉素"),
            ("UTF-8", "UNICODE UTF-8~GB 18030", "青霉素".as_bytes(), "青霉素"),
            ("UTF-8", "GB 18030-2000", pregnancy, "妊娠"),
            ("UTF-8", "KS X 1001", b"penicillin", "penicillin"),
        ] {
            assert_eq!(of(unnamed, set, name).unwrap(), read, "{set}");
        }
        for (unnamed, set, name) in [
            ("UTF-8", "", &b"M\xfcller"[..]),
            ("UTF-8", "", pregnancy),
            ("GB 18030", "", b"penicillin \xff"),
            ("UTF-8", "UNICODE UTF-8", b"M\xfcller"),
            // Of 16 bits, which are no text in the frames of MLLP.
            ("UTF-8", "UNICODE", "ü".as_bytes()),
            ("UTF-8", "KS X 1001", b"\xb1\xe8"),
            // Of UTF-8, whatever they say.
            ("UTF-8", "8859/1", "Müller".as_bytes()),
            ("8859/15", "", "妊娠".as_bytes()),
            ("GB 18030", "", "妊娠".as_bytes()),
        ] {
            assert_eq!(of(unnamed, set, name).unwrap_err().place, "MSH-18", "{set}");
        }
    }
}
