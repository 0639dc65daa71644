//! MLLP (HL7, Minimal Lower Layer Protocol, release 1): a message between a vertical tab and a file separator with a
//! carriage return.

use std::io;

use clinical::hl7::Hl7Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

const START: u8 = 0x0b;
const END: u8 = 0x1c;

/// Reads a message of at most `most` bytes; `None` at the end. What stands before the start is passed over.
///
/// # Errors
/// The connection broke, or the message is too long.
pub async fn read(stream: &mut (impl AsyncBufRead + Unpin), most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut message: Option<Vec<u8>> = None;
    let mut passed = 0;
    loop {
        let bytes = stream.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let (mut used, mut whole) = (0, false);
        match &mut message {
            None => match bytes.iter().position(|byte| *byte == START) {
                Some(place) => {
                    used = place + 1;
                    message = Some(Vec::new());
                }
                None => used = bytes.len(),
            },
            Some(message) => {
                let end = bytes.iter().position(|byte| *byte == END);
                message.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
                used += end.map_or(bytes.len(), |end| end + 1);
                whole = end.is_some();
            }
        }
        stream.consume(used);
        passed += used;
        if passed > most {
            return Err(io::Error::other("a message is longer than is accepted"));
        }
        if whole {
            // The carriage return behind it is passed over before the next start.
            return Ok(message);
        }
    }
}

/// A message in its frame.
pub fn framed(message: &str) -> Vec<u8> {
    [&[START], message.as_bytes(), &[END, b'\r']].concat()
}

/// The character sets that are read, by their names in table 0211 without marks: those of UTF-8, and those of Latin-1.
const UTF_8: [&str; 4] = ["UNICODEUTF8", "UTF8", "ASCII", "UNICODE"];
const LATIN_1: [&str; 4] = ["88591", "885915", "ISO88591", "ISO885915"];

/// A message as text. Where MSH-18 names a character set it is read as that; where it names none it is UTF-8, or else Latin-1,
/// in which every byte is a letter.
///
/// # Errors
/// It is of another character set, or is not of the one that it names: read as something else an allergy would be letters
/// that nobody understands.
pub fn text(bytes: &[u8]) -> Result<String, Hl7Error> {
    let latin = || bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let utf_8 = std::str::from_utf8(bytes);
    let named = named(bytes);
    match named.as_deref() {
        _ if bytes.is_ascii() => Ok(latin()),
        None => Ok(utf_8.map_or_else(|_| latin(), str::to_string)),
        Some(name) if LATIN_1.contains(&name) => Ok(latin()),
        Some(name) if UTF_8.contains(&name) => utf_8.map(str::to_string).map_err(|_| {
            Hl7Error::new("MSH-18", 102, "the message is not of the character set that it names")
        }),
        Some(_) => Err(Hl7Error::new(
            "MSH-18",
            102,
            "of the character sets UNICODE UTF-8, ASCII and 8859/1 are read",
        )),
    }
}

/// The first character set of MSH-18, in capitals and without marks; none where the field is empty.
fn named(bytes: &[u8]) -> Option<String> {
    let header = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty())?;
    let separator = header.get(3)?;
    // The separator itself is the first field, so the eighteenth comes after seventeen.
    let field = header.split(|byte| byte == separator).nth(17)?;
    let first = field.split(|byte| *byte == b'~' || *byte == b'^').next()?;
    let name: String =
        first.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(|byte| char::from(*byte)).collect();
    Some(name.to_uppercase()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_what_lies_in_frames() {
        let mut two = [framed("MSH|a"), b"noise".to_vec(), framed("MSH|b")].concat();
        two.extend_from_slice(b"\x0bMSH|cut off");
        let mut stream = &two[..];
        assert_eq!(read(&mut stream, 100).await.unwrap().as_deref(), Some(&b"MSH|a"[..]));
        assert_eq!(read(&mut stream, 100).await.unwrap().as_deref(), Some(&b"MSH|b"[..]));
        assert_eq!(read(&mut stream, 100).await.unwrap(), None);
        let long = framed(&"x".repeat(101));
        assert!(read(&mut &long[..], 100).await.is_err());
        assert!(read(&mut &[b'x'; 200][..], 100).await.is_err(), "noise without an end");
    }

    #[test]
    fn a_message_is_read_in_the_character_set_that_it_names_or_not_at_all() {
        let of = |set: &str, name: &[u8]| {
            let header = format!("MSH|^~\\&|ADT|WARD|MEDSERVE|H|1||ADT^A01|7|P|2.5.1||||||{set}\rPID|");
            text(&[header.as_bytes(), name].concat())
                .map(|text| text.split("PID|").nth(1).unwrap().to_string())
        };
        for (set, name, read) in [
            ("", &b"M\xfcller"[..], "Müller"),
            ("8859/1", b"M\xfcller", "Müller"),
            ("8859/1", "Mü".as_bytes(), "MÃ¼"),
            ("UNICODE UTF-8", "青霉素".as_bytes(), "青霉素"),
            ("UNICODE UTF-8~GB 18030", "青霉素".as_bytes(), "青霉素"),
            ("GB18030", b"penicillin", "penicillin"),
        ] {
            assert_eq!(of(set, name).unwrap(), read, "{set}");
        }
        for (set, name) in [
            ("GB18030", &b"\xc7\xe0\xc3\xb9\xcb\xd8"[..]),
            ("8859/5", b"\xd0"),
            ("UNICODE UTF-8", b"M\xfcller"),
        ] {
            assert_eq!(of(set, name).unwrap_err().place, "MSH-18", "{set}");
        }
    }
}
