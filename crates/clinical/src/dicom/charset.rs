//! Text in the character sets of DICOM (PS3.3 section C.12.1.1.2, PS3.5 section 6.1 and annexes H to K): with one set, and
//! with code extensions, where escape sequences change sets in the middle of a value.
//!
//! What cannot be decoded is nothing, and not a string of question marks: two people whose names differ must not get to have the same.

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, WINDOWS_874, WINDOWS_1254,
};

/// The text that bytes are in a Specific Character Set (0008,0005); `name` where they are a person's. `None` where they are
/// not of that set, or it is not known.
pub(super) fn decoded(bytes: &[u8], charset: &str, name: bool) -> Option<String> {
    if bytes.is_ascii() && !bytes.contains(&ESCAPE) {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    let first = charset.split('\\').next().unwrap_or_default().trim();
    match first {
        "ISO_IR 192" => String::from_utf8(bytes.to_vec()).ok(),
        "GB18030" => strict(GB18030, bytes),
        "GBK" => strict(GBK, bytes),
        // Of no set are letters of ASCII alone; where others form UTF-8 it is no accident.
        "" | "ISO_IR 6" if !charset.contains('\\') => String::from_utf8(bytes.to_vec()).ok(),
        _ => extended(bytes, right_of(first)?, name),
    }
}

const ESCAPE: u8 = 0x1b;

/// What bytes without their highest bit are.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    /// One byte a letter.
    Ascii,
    /// JIS X 0208, two bytes.
    Kanji,
    /// JIS X 0212, two bytes.
    MoreKanji,
}

/// What bytes with it are.
#[derive(Clone, Copy)]
enum Right {
    /// Nothing.
    None,
    /// ISO 8859-1.
    Latin,
    /// JIS X 0201: half-width kana.
    Kana,
    /// One byte a letter.
    Single(&'static Encoding),
    /// KS X 1001 or GB 2312, two bytes.
    Double(&'static Encoding),
}

/// The set on the right of the first value of the attribute.
fn right_of(term: &str) -> Option<Right> {
    let number = term.strip_prefix("ISO_IR ").or_else(|| term.strip_prefix("ISO 2022 IR "));
    Some(match number {
        None if term.is_empty() => Right::None,
        Some("6" | "87" | "159") => Right::None,
        Some("13") => Right::Kana,
        Some("58") => Right::Double(GBK),
        Some("100") => Right::Latin,
        Some("101") => Right::Single(ISO_8859_2),
        Some("109") => Right::Single(ISO_8859_3),
        Some("110") => Right::Single(ISO_8859_4),
        Some("126") => Right::Single(ISO_8859_7),
        Some("127") => Right::Single(ISO_8859_6),
        Some("138") => Right::Single(ISO_8859_8),
        Some("144") => Right::Single(ISO_8859_5),
        Some("148") => Right::Single(WINDOWS_1254),
        Some("149") => Right::Double(EUC_KR),
        Some("166") => Right::Single(WINDOWS_874),
        Some("203") => Right::Single(ISO_8859_15),
        _ => return None,
    })
}

/// What an escape sequence changes, and its length behind the escape.
fn escape(bytes: &[u8], left: &mut Left, right: &mut Right) -> Option<usize> {
    let of = |term| right_of(term);
    let length = match bytes {
        [b'$', b'(', b'D', ..] => {
            *left = Left::MoreKanji;
            3
        }
        [b'$', b')', b'C', ..] => {
            *right = Right::Double(EUC_KR);
            3
        }
        [b'$', b')', b'A', ..] => {
            *right = Right::Double(GBK);
            3
        }
        [b'$', b'B', ..] => {
            *left = Left::Kanji;
            2
        }
        [b'(', b'B' | b'J', ..] => {
            *left = Left::Ascii;
            2
        }
        [b')', b'I', ..] => {
            *right = Right::Kana;
            2
        }
        [b'-', set, ..] => {
            *right = of(match set {
                b'A' => "ISO_IR 100",
                b'B' => "ISO_IR 101",
                b'C' => "ISO_IR 109",
                b'D' => "ISO_IR 110",
                b'F' => "ISO_IR 126",
                b'G' => "ISO_IR 127",
                b'H' => "ISO_IR 138",
                b'L' => "ISO_IR 144",
                b'M' => "ISO_IR 148",
                b'T' => "ISO_IR 166",
                b'b' => "ISO_IR 203",
                _ => return None,
            })?;
            2
        }
        _ => return None,
    };
    Some(length)
}

/// Text with escape sequences. At the end of a value, a line or a component of a name the first sets are back.
fn extended(bytes: &[u8], first: Right, name: bool) -> Option<String> {
    let (mut left, mut right) = (Left::Ascii, first);
    let mut text = String::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = || Some([byte | 0x80, bytes.get(at + 1)? | 0x80]);
        at += match (byte, left, right) {
            (ESCAPE, ..) => 1 + escape(&bytes[at + 1..], &mut left, &mut right)?,
            (0x21..0x7f, Left::Kanji, _) => {
                text.push_str(&strict(EUC_JP, &pair()?)?);
                2
            }
            (0x21..0x7f, Left::MoreKanji, _) => {
                let [a, b] = pair()?;
                text.push_str(&strict(EUC_JP, &[0x8f, a, b])?);
                2
            }
            (..0x80, ..) => {
                let delimits = matches!(byte, b'\\' | b'\r' | b'\n' | 0x0c | b'\t');
                if delimits || name && matches!(byte, b'^' | b'=') {
                    (left, right) = (Left::Ascii, first);
                }
                text.push(char::from(byte));
                1
            }
            (_, _, Right::None) => return None,
            (_, _, Right::Latin) => {
                text.push(char::from(byte));
                1
            }
            (0xa1..=0xdf, _, Right::Kana) => {
                text.push(char::from_u32(0xff61 + u32::from(byte - 0xa1))?);
                1
            }
            (_, _, Right::Kana) => return None,
            (_, _, Right::Single(encoding)) => {
                text.push_str(&strict(encoding, &[byte])?);
                1
            }
            (_, _, Right::Double(encoding)) => {
                text.push_str(&strict(encoding, bytes.get(at..at + 2)?)?);
                2
            }
        };
    }
    Some(text)
}

fn strict(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    /// The examples of PS3.5 annexes H to K, of PS3.3, and what pydicom decodes them to
    /// (`pydicom.charset.decode_bytes`).
    #[test]
    fn names_of_the_standard_are_read() {
        for (charset, bytes, text) in [
            ("ISO_IR 100", &b"Buc^J\xe9r\xf4me"[..], "Buc^Jérôme"),
            ("ISO_IR 144", b"\xbb\xee\xda\x63\x65\xdc\xd1\x79\x70\xd3", "Люкceмбypг"),
            ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
            ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
            ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
            ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
            ("ISO_IR 192", "Wang^XiaoDong=王^小東=".as_bytes(), "Wang^XiaoDong=王^小東="),
            (
                "\\ISO 2022 IR 87",
                b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ),
            (
                "ISO 2022 IR 13\\ISO 2022 IR 87",
                b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
                "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
            ),
            (
                "\\ISO 2022 IR 149",
                b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
                "Hong^Gildong=洪^吉洞=홍^길동",
            ),
            ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
            ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\xe9\x1b-L\xbb\xee^\xe9", "éЛю^é"),
            ("", "Jérôme".as_bytes(), "Jérôme"),
            ("", b"Doe^Jane", "Doe^Jane"),
        ] {
            assert_eq!(decoded(bytes, charset, true).as_deref(), Some(text), "{charset}");
        }
    }

    #[test]
    fn what_is_not_of_the_set_is_nothing() {
        for (charset, bytes) in [
            ("", &b"M\xfcller"[..]),
            ("ISO_IR 192", b"M\xfcller"),
            ("ISO_IR 999", b"M\xfcller"),
            ("GB18030", b"\xff\xff"),
            ("\\ISO 2022 IR 87", b"\x1b$B;"),
            ("\\ISO 2022 IR 87", b"\x1b"),
            ("\\ISO 2022 IR 149", b"\x1b$)C\xfb"),
        ] {
            assert_eq!(decoded(bytes, charset, true), None, "{charset} {bytes:?}");
        }
    }
}
