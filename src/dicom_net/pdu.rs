//! The messages of the upper layer (PS3.8 section 9.3), read and written.
//!
//! What a length field says is checked before memory is taken for it: a message of data may be as long as we
//! announced, a request for an association as long as the most that one can hold, and all others are of four bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a message of data that we announce to take.
pub const MOST_DATA: u32 = 256 << 10;
/// Most bytes of a request for an association, or of its answer.
const MOST_ASSOCIATE: u32 = 256 << 10;
/// The application context of DICOM.
pub const APPLICATION: &str = "1.2.840.10008.3.1.1.1";
/// Most presentation contexts of an association: their ids are the odd numbers of a byte.
const MOST_CONTEXTS: usize = 128;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pdu {
    /// A-ASSOCIATE-RQ.
    Request(Associate),
    /// A-ASSOCIATE-AC.
    Accept(Associate),
    /// A-ASSOCIATE-RJ: result, source, reason.
    Reject([u8; 3]),
    /// P-DATA-TF.
    Data(Vec<Pdv>),
    /// A-RELEASE-RQ.
    ReleaseRequest,
    /// A-RELEASE-RP.
    ReleaseReply,
    /// A-ABORT: source, reason.
    Abort([u8; 2]),
}

/// A request for an association, or its acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Associate {
    /// The versions of the protocol that the sender knows, a bit each.
    pub versions: u16,
    /// The called application entity's title.
    pub called: String,
    /// The calling one's.
    pub calling: String,
    /// The application context's name.
    pub application: String,
    /// What is proposed, or agreed on.
    pub contexts: Vec<Context>,
    /// Bytes of a message of data that the sender takes; 0 for any number.
    pub most: u32,
}

/// A presentation context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Its id, an odd number.
    pub id: u8,
    /// Of an answer: 0 for accepted, otherwise why not.
    pub result: u8,
    /// Of a request: what is to be done.
    pub abstract_syntax: String,
    /// How it may be written; of an answer, how it is.
    pub transfer_syntaxes: Vec<String>,
}

/// A part of a command or of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdv {
    /// Its presentation context.
    pub context: u8,
    /// Whether it is of a command.
    pub command: bool,
    /// Whether it is the last of it.
    pub last: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why no message was read.
#[derive(Debug, thiserror::Error)]
pub enum PduError {
    /// The connection is at its end, between two messages.
    #[error("the connection was closed")]
    Closed,
    /// The connection failed or ended within a message.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is no message.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Reads a message; one of data may have `most` bytes.
///
/// # Errors
/// The end, or what is no message.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), most: u32) -> Result<Pdu, PduError> {
    let mut head = [0; 6];
    if stream.read(&mut head[..1]).await? == 0 {
        return Err(PduError::Closed);
    }
    stream.read_exact(&mut head[1..]).await?;
    let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
    let most = match head[0] {
        1 | 2 => MOST_ASSOCIATE,
        3 | 5..=7 => 4,
        4 => most,
        _ => return Err(PduError::Malformed("a message is of no known type")),
    };
    if length > most {
        return Err(PduError::Malformed("a message says that it is longer than is accepted"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await?;
    let mut parts = Parts(&body);
    let short = PduError::Malformed("a message is shorter than what is in it");
    let parsed = match head[0] {
        1 => parts.associate(true).map(Pdu::Request),
        2 => parts.associate(false).map(Pdu::Accept),
        3 => parts.array().map(|[_, a, b, c]| Pdu::Reject([a, b, c])),
        4 => parts.data().map(Pdu::Data),
        5 => Some(Pdu::ReleaseRequest),
        6 => Some(Pdu::ReleaseReply),
        _ => parts.array().map(|[_, _, a, b]| Pdu::Abort([a, b])),
    };
    parsed.ok_or(short)
}

/// Writes a message.
///
/// # Errors
/// What the connection says.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), pdu: &Pdu) -> io::Result<()> {
    stream.write_all(&bytes(pdu)).await?;
    stream.flush().await
}

/// Bytes left of a message.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Title of an application entity.
    fn title(&mut self) -> Option<String> {
        Some(text(self.take(16)?))
    }

    /// An item: its type and what is in it.
    fn item(&mut self) -> Option<(u8, Parts<'a>)> {
        let [kind, _, high, low] = self.array()?;
        Some((kind, Parts(self.take(usize::from(u16::from_be_bytes([high, low])))?)))
    }

    fn associate(&mut self, request: bool) -> Option<Associate> {
        let versions = u16::from_be_bytes(self.array()?);
        self.take(2)?;
        let (called, calling) = (self.title()?, self.title()?);
        self.take(32)?;
        let mut associate = Associate {
            versions,
            called,
            calling,
            application: String::new(),
            contexts: Vec::new(),
            most: 0,
        };
        while !self.0.is_empty() {
            let (kind, mut item) = self.item()?;
            match kind {
                0x10 => associate.application = text(item.0),
                0x20 | 0x21 if associate.contexts.len() < MOST_CONTEXTS => {
                    associate.contexts.push(item.context(request)?);
                }
                0x20 | 0x21 => return None,
                0x50 => {
                    while !item.0.is_empty() {
                        let (kind, mut own) = item.item()?;
                        if kind == 0x51 {
                            associate.most = u32::from_be_bytes(own.array()?);
                        }
                    }
                }
                _ => {}
            }
        }
        Some(associate)
    }

    fn context(&mut self, request: bool) -> Option<Context> {
        let [id, _, result, _] = self.array()?;
        let mut context = Context { id, result: if request { 0 } else { result }, ..Context::default() };
        while !self.0.is_empty() {
            match self.item()? {
                (0x30, item) => context.abstract_syntax = text(item.0),
                (0x40, item) => context.transfer_syntaxes.push(text(item.0)),
                _ => {}
            }
        }
        Some(context)
    }

    fn data(&mut self) -> Option<Vec<Pdv>> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            let length = u32::from_be_bytes(self.array()?) as usize;
            let mut part = Parts(self.take(length)?);
            let [context, flags] = part.array()?;
            let bytes = part.0.to_vec();
            all.push(Pdv { context, command: flags & 1 != 0, last: flags & 2 != 0, bytes });
        }
        Some(all)
    }
}

/// Text without its padding; what is no ASCII is replaced.
fn text(bytes: &[u8]) -> String {
    let shown = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '?' };
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes[..end].iter().map(shown).collect::<String>().trim().to_string()
}

fn bytes(pdu: &Pdu) -> Vec<u8> {
    let (kind, body) = match pdu {
        Pdu::Request(associate) => (1, associate_bytes(associate, true)),
        Pdu::Accept(associate) => (2, associate_bytes(associate, false)),
        Pdu::Reject([a, b, c]) => (3, vec![0, *a, *b, *c]),
        Pdu::Data(parts) => (4, parts.iter().flat_map(pdv_bytes).collect()),
        Pdu::ReleaseRequest => (5, vec![0; 4]),
        Pdu::ReleaseReply => (6, vec![0; 4]),
        Pdu::Abort([a, b]) => (7, vec![0, 0, *a, *b]),
    };
    [&[kind, 0], &(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn pdv_bytes(pdv: &Pdv) -> Vec<u8> {
    let flags = u8::from(pdv.command) | u8::from(pdv.last) << 1;
    [&(pdv.bytes.len() as u32 + 2).to_be_bytes()[..], &[pdv.context, flags], &pdv.bytes].concat()
}

fn associate_bytes(associate: &Associate, request: bool) -> Vec<u8> {
    use clinical::dicom::data_set::{IMPLEMENTATION, IMPLEMENTATION_CLASS};
    let item = |kind: u8, body: &[u8]| [&[kind, 0], &(body.len() as u16).to_be_bytes()[..], body].concat();
    let title = |title: &str| format!("{title:<16.16}").into_bytes();
    let mut body = [&associate.versions.to_be_bytes()[..], &[0, 0]].concat();
    body.extend(title(&associate.called));
    body.extend(title(&associate.calling));
    body.extend([0; 32]);
    body.extend(item(0x10, associate.application.as_bytes()));
    for context in &associate.contexts {
        let mut own = vec![context.id, 0, context.result, 0];
        if request {
            own.extend(item(0x30, context.abstract_syntax.as_bytes()));
        }
        for syntax in &context.transfer_syntaxes {
            own.extend(item(0x40, syntax.as_bytes()));
        }
        body.extend(item(if request { 0x20 } else { 0x21 }, &own));
    }
    let user = [
        item(0x51, &associate.most.to_be_bytes()),
        item(0x52, IMPLEMENTATION_CLASS.as_bytes()),
        item(0x55, IMPLEMENTATION.as_bytes()),
    ];
    body.extend(item(0x50, &user.concat()));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Associate {
        let context = |id: u8| Context {
            id,
            result: 0,
            abstract_syntax: "1.2.840.10008.1.1".into(),
            transfer_syntaxes: vec!["1.2.840.10008.1.2".into(), "1.2.840.10008.1.2.1".into()],
        };
        Associate {
            versions: 1,
            called: "MEDSERVE".into(),
            calling: "PACS 7".into(),
            application: APPLICATION.into(),
            contexts: vec![context(1), context(3)],
            most: 16_384,
        }
    }

    async fn read_of(bytes: &[u8]) -> Result<Pdu, PduError> {
        read(&mut &bytes[..], 64).await
    }

    #[tokio::test]
    async fn what_is_written_is_read_again() {
        let part = |command, last| Pdv { context: 1, command, last, bytes: vec![1, 2, 3] };
        for pdu in [
            Pdu::Request(request()),
            Pdu::Reject([1, 1, 7]),
            Pdu::Data(vec![part(true, true), part(false, false)]),
            Pdu::ReleaseRequest,
            Pdu::ReleaseReply,
            Pdu::Abort([2, 6]),
        ] {
            assert_eq!(read_of(&bytes(&pdu)).await.unwrap(), pdu);
        }
    }

    #[tokio::test]
    async fn lengths_that_lie_are_found_before_memory_is_taken() {
        for (bad, words) in [
            (&b"\x04\0\xff\xff\xff\xff"[..], "longer than is accepted"),
            (b"\x01\0\x7f\xff\xff\xff", "longer than is accepted"),
            (b"\x05\0\0\0\0\x05\0\0\0\0\0", "longer than is accepted"),
            (b"\x09\0\0\0\0\0", "no known type"),
            (b"\x04\0\0\0\0\x06\0\0\0\x09\x01\0", "shorter than"),
            (b"\x04\0\0\0\0\x05\0\0\0\x01\x01", "shorter than"),
            (b"\x04\0\0\0\0\x06\0\0", "broke"),
            (b"\x01\0\0\0\0\x04\0\x01\0\0", "shorter than"),
        ] {
            let error = read_of(bad).await.unwrap_err().to_string();
            assert!(error.contains(words), "{bad:?}: {error}");
        }
        assert!(matches!(read_of(b"").await, Err(PduError::Closed)));
        // Items that say more than there is, at every place of a sound request.
        let sound = bytes(&Pdu::Request(request()));
        for at in 6..sound.len() {
            let mut broken = sound.clone();
            broken[at] ^= 0xff;
            let _ = read_of(&broken).await;
            let cut = [&sound[..2], &(at as u32 - 6).to_be_bytes()[..], &sound[6..at]].concat();
            let _ = read_of(&cut).await;
        }
    }
}
