//! MLLP (HL7, Minimal Lower Layer Protocol, release 1): a message between a vertical tab and a file separator with a
//! carriage return. Nothing else ends a block: a file separator or a vertical tab within it is part of the message, which
//! is refused for it (`Message::without_controls`), so that no message is cut short and no two are taken for one.

use std::io;

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
}
