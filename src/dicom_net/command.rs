//! Commands of DIMSE (PS3.7): C-ECHO and C-STORE, each a data set of group 0000 in implicit little endian.

use std::collections::BTreeMap;

/// A command or its response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Command Field.
    pub field: u16,
    /// Message ID, or of a response the one it is to.
    pub message: u16,
    /// Affected SOP Class UID.
    pub sop_class: String,
    /// Affected SOP Instance UID.
    pub sop_instance: String,
    /// Whether a data set follows.
    pub has_data: bool,
    /// Of a response.
    pub status: u16,
    /// Of a response that is no success: why, in at most 64 letters.
    pub comment: String,
}

/// C-STORE-RQ.
pub const STORE: u16 = 0x0001;
/// C-ECHO-RQ.
pub const ECHO: u16 = 0x0030;
/// C-CANCEL-RQ, to which nothing is answered.
pub const CANCEL: u16 = 0x0fff;
/// What makes a command its response.
const RESPONSE: u16 = 0x8000;
/// There is no data set.
const NO_DATA: u16 = 0x0101;

impl Command {
    /// Reads a command.
    pub fn read(mut bytes: &[u8]) -> Option<Command> {
        let mut values = BTreeMap::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_first_chunk::<8>()?;
            let tag = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
            let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            if tag.0 == 0 {
                values.insert(tag.1, value);
            }
            bytes = rest;
        }
        let number = |element: u16| {
            let two = values.get(&element)?.first_chunk::<2>()?;
            Some(u16::from_le_bytes(*two))
        };
        let text = |element: u16| {
            let value = values.get(&element).copied().unwrap_or_default();
            String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_string()
        };
        let field = number(0x0100)?;
        Some(Command {
            field,
            message: number(if field & RESPONSE == 0 { 0x0110 } else { 0x0120 })?,
            sop_class: text(0x0002),
            sop_instance: text(0x1000),
            has_data: number(0x0800)? != NO_DATA,
            status: number(0x0900).unwrap_or(0),
            comment: text(0x0902),
        })
    }

    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut element = |number: u16, mut value: Vec<u8>, pad: u8| {
            if value.len() % 2 == 1 {
                value.push(pad);
            }
            all.extend([0, 0]);
            all.extend(number.to_le_bytes());
            all.extend((value.len() as u32).to_le_bytes());
            all.extend(value);
        };
        let is_response = self.field & RESPONSE != 0;
        if !self.sop_class.is_empty() {
            element(0x0002, self.sop_class.clone().into_bytes(), 0);
        }
        element(0x0100, self.field.to_le_bytes().into(), 0);
        element(if is_response { 0x0120 } else { 0x0110 }, self.message.to_le_bytes().into(), 0);
        if self.field == STORE {
            // Priority: medium.
            element(0x0700, vec![0, 0], 0);
        }
        let data = if self.has_data { 0x0001 } else { NO_DATA };
        element(0x0800, data.to_le_bytes().into(), 0);
        if is_response {
            element(0x0900, self.status.to_le_bytes().into(), 0);
            if !self.comment.is_empty() {
                let comment: String = self.comment.chars().filter(char::is_ascii).take(64).collect();
                element(0x0902, comment.into_bytes(), b' ');
            }
        }
        if !self.sop_instance.is_empty() {
            element(0x1000, self.sop_instance.clone().into_bytes(), 0);
        }
        let length = (all.len() as u32).to_le_bytes();
        [&[0, 0, 0, 0, 4, 0, 0, 0], &length[..], &all].concat()
    }

    /// The response to this command.
    pub fn response(&self, status: u16, comment: &str) -> Command {
        Command {
            field: self.field | RESPONSE,
            message: self.message,
            sop_class: self.sop_class.clone(),
            sop_instance: self.sop_instance.clone(),
            has_data: false,
            status,
            comment: comment.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let store = Command {
            field: STORE,
            message: 7,
            sop_class: "1.2".into(),
            sop_instance: "1.2.3".into(),
            has_data: true,
            ..Command::default()
        };
        assert_eq!(Command::read(&store.bytes()), Some(store.clone()));
        let refused = store.response(0xa700, "the queue is full");
        assert_eq!(Command::read(&refused.bytes()), Some(refused));
    }

    #[test]
    fn what_is_cut_off_is_no_command() {
        let bytes = Command { field: ECHO, message: 1, ..Command::default() }.bytes();
        for at in 0..bytes.len() {
            let read = Command::read(&bytes[..at]);
            assert!(read.is_none_or(|command| at >= bytes.len() - 10 && command.field == ECHO), "{at}");
        }
        assert_eq!(Command::read(b"\0\0\0\x01\xff\xff\xff\xff"), None);
    }
}
