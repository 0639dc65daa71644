//! MLLP (HL7, Minimal Lower Layer Protocol, release 1): a message between a vertical tab and a file separator with a
//! carriage return. Nothing else ends a block: a file separator or a vertical tab within it is part of the message, which
//! is refused for it (`Message::without_controls`), so that no message is cut short and no two are taken for one.

use std::io;

use clinical::hl7::Hl7Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

const START: u8 = 0x0b;
const END: [u8; 2] = [0x1c, b'\r'];

/// A block as far as it has come.
#[derive(Debug, Default)]
pub struct Block {
    /// What stands behind its start; `None` before that.
    pub message: Option<Vec<u8>>,
    passed: usize,
}

/// Reads a message of at most `most` bytes into `block`, from which it is to be taken; false at the end of the stream. What
/// stands before the start is passed over.
///
/// # Errors
/// The connection broke, or the message is too long.
pub async fn read(
    stream: &mut (impl AsyncBufRead + Unpin),
    most: usize,
    block: &mut Block,
) -> io::Result<bool> {
    *block = Block::default();
    loop {
        let bytes = stream.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let used = match &mut block.message {
            None => match bytes.iter().position(|byte| *byte == START) {
                Some(place) => {
                    block.message = Some(Vec::new());
                    place + 1
                }
                None => bytes.len(),
            },
            Some(message) => {
                // The end may lie across two reads: its first byte is then the last that came before.
                let from = message.len().saturating_sub(1);
                let end = bytes.iter().position(|byte| *byte == END[1]);
                let used = end.map_or(bytes.len(), |end| end + 1);
                message.extend_from_slice(&bytes[..used]);
                if message[from..].ends_with(&END) {
                    message.truncate(message.len() - END.len());
                    let fits = message.len() <= most;
                    stream.consume(used);
                    return if fits { Ok(true) } else { Err(too_long()) };
                }
                used
            }
        };
        stream.consume(used);
        block.passed += used;
        if block.passed > most {
            return Err(too_long());
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message is longer than is accepted")
}

/// A message in its frame.
pub fn framed(message: &str) -> Vec<u8> {
    [&[START], message.as_bytes(), &END].concat()
}

/// The character sets that are read, by their names in table 0211 without marks: those of UTF-8, of Latin-1 and of Latin-9.
const UTF_8: [&str; 4] = ["UNICODEUTF8", "UTF8", "ASCII", "UNICODE"];
const LATIN_1: [&str; 2] = ["88591", "ISO88591"];
const LATIN_9: [&str; 2] = ["885915", "ISO885915"];

/// A byte of Latin-9, which has eight letters that Latin-1 has not.
fn latin_9(byte: u8) -> char {
    match byte {
        0xa4 => '€',
        0xa6 => 'Š',
        0xa8 => 'š',
        0xb4 => 'Ž',
        0xb8 => 'ž',
        0xbc => 'Œ',
        0xbd => 'œ',
        0xbe => 'Ÿ',
        byte => char::from(byte),
    }
}

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
        Some(name) if LATIN_9.contains(&name) => Ok(bytes.iter().map(|byte| latin_9(*byte)).collect()),
        Some(name) if UTF_8.contains(&name) => utf_8.map(str::to_string).map_err(|_| {
            Hl7Error::new("MSH-18", 102, "the message is not of the character set that it names")
        }),
        Some(_) => Err(Hl7Error::new(
            "MSH-18",
            102,
            "of the character sets UNICODE UTF-8, ASCII, 8859/1 and 8859/15 are read",
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

    /// Every message of a stream that comes in pieces of so many bytes, until it ends or breaks.
    async fn all(stream: &[u8], piece: usize, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut stream = tokio::io::BufReader::with_capacity(piece, stream);
        let (mut messages, mut block) = (Vec::new(), Block::default());
        while read(&mut stream, most, &mut block).await? {
            messages.extend(block.message.take());
        }
        Ok(messages)
    }

    #[tokio::test]
    async fn messages_are_what_lies_in_frames() {
        let mut two = [framed("MSH|a"), b"noise".to_vec(), framed("MSH|b\rPID|\r")].concat();
        two.extend_from_slice(b"\x0bMSH|cut off");
        for piece in [1, 2, 3, 100] {
            assert_eq!(all(&two, piece, 100).await.unwrap(), [&b"MSH|a"[..], b"MSH|b\rPID|\r"], "{piece}");
        }
        let long = framed(&"x".repeat(101));
        assert!(all(&long, 1000, 100).await.is_err());
        assert!(all(&[b'x'; 200], 1000, 100).await.is_err(), "noise without an end");
    }

    #[tokio::test]
    async fn nothing_but_both_bytes_ends_a_block() {
        let broken = b"\x0bMSH|a\x1cPID|1\r\x1c\x0bMSH|b\r\x1c\x1c\r";
        for piece in [1, 2, 100] {
            let read = all(&[&broken[..], &framed("MSH|c")].concat(), piece, 100).await.unwrap();
            assert_eq!(read, [&b"MSH|a\x1cPID|1\r\x1c\x0bMSH|b\r\x1c"[..], b"MSH|c"], "{piece}");
        }
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
            ("8859/1", b"c\xbdur", "c½ur"),
            ("8859/15", b"c\xbdur p\xe9nicilline", "cœur pénicilline"),
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
