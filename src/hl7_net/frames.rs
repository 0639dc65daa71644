//! MLLP (HL7, Minimal Lower Layer Protocol, release 1): a message between a vertical tab and a file separator with a
//! carriage return.

use std::io;

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

/// A message as text: UTF-8, or else Latin-1, in which every byte is a letter.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
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
        assert_eq!(text(b"M\xfcller"), "Müller");
    }
}
