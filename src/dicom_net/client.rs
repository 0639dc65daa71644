//! An association that we open, to send results by C-STORE.

use std::io;

use clinical::dicom::Kind;
use clinical::dicom::data_set::{EXPLICIT_LITTLE, data_set_of};
use tokio::io::{AsyncRead, AsyncWrite};

use super::command::{Command, STORE};
use super::pdu::{self, APPLICATION, Associate, Context, MOST_DATA, Pdu, PduError, Pdv};

/// Bytes of a part where the peer takes any number.
const USUAL: u32 = 128 << 10;
/// What stands before the bytes of a part.
const HEAD: u32 = 6;

/// Why an instance was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed, or what came is no message.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// The association was refused.
    #[error("the peer refused the association ({}, {}, {})", .0[0], .0[1], .0[2])]
    Rejected([u8; 3]),
    /// The peer broke it off.
    #[error("the peer aborted the association")]
    Aborted,
    /// Something else came than is expected.
    #[error("the peer answered with something else than is expected")]
    Unexpected,
    /// The peer does not take instances of this class.
    #[error("the peer takes no such instances in explicit little endian")]
    NoContext,
    /// The peer does not take this instance.
    #[error("the peer answered with status {0:04X}")]
    Status(u16),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        ClientError::Pdu(error.into())
    }
}

/// An association that is open.
pub struct Client<S> {
    stream: S,
    contexts: Vec<(u8, &'static str)>,
    most: u32,
    message: u16,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Opens an association as `own` with `peer`.
    ///
    /// # Errors
    /// It is refused, or the connection fails.
    pub async fn open(mut stream: S, own: &str, peer: &str) -> Result<Client<S>, ClientError> {
        let kinds = [Kind::Report, Kind::Capture, Kind::Segmentation];
        let numbered = || kinds.iter().zip((1u8..).step_by(2));
        let contexts = numbered().map(|(kind, id)| Context {
            id,
            result: 0,
            abstract_syntax: kind.sop_class().to_string(),
            transfer_syntaxes: vec![EXPLICIT_LITTLE.to_string()],
        });
        let request = Associate {
            versions: 1,
            called: peer.to_string(),
            calling: own.to_string(),
            application: APPLICATION.to_string(),
            contexts: contexts.collect(),
            most: MOST_DATA,
        };
        pdu::write(&mut stream, &Pdu::Request(request)).await?;
        let accepted = match pdu::read(&mut stream, MOST_DATA).await? {
            Pdu::Accept(accepted) => accepted,
            Pdu::Reject(refusal) => return Err(ClientError::Rejected(refusal)),
            Pdu::Abort(_) => return Err(ClientError::Aborted),
            _ => return Err(ClientError::Unexpected),
        };
        let agreed = |id: u8| accepted.contexts.iter().any(|own| own.id == id && own.result == 0);
        let contexts =
            numbered().filter(|(_, id)| agreed(*id)).map(|(kind, id)| (id, kind.sop_class())).collect();
        let most = if accepted.most == 0 { USUAL } else { accepted.most.clamp(HEAD + 2, USUAL) };
        Ok(Client { stream, contexts, most, message: 0 })
    }

    /// Sends an instance, by its file.
    ///
    /// # Errors
    /// The peer does not take it, or the connection fails.
    pub async fn store(&mut self, class: &str, instance: &str, file: &[u8]) -> Result<(), ClientError> {
        let context = self.contexts.iter().find(|(_, own)| *own == class).ok_or(ClientError::NoContext)?.0;
        self.message = self.message.wrapping_add(1);
        let command = Command {
            field: STORE,
            message: self.message,
            sop_class: class.to_string(),
            sop_instance: instance.to_string(),
            has_data: true,
            ..Command::default()
        };
        self.send(context, true, &command.bytes()).await?;
        self.send(context, false, data_set_of(file)).await?;
        let mut answer = Vec::new();
        loop {
            let parts = match pdu::read(&mut self.stream, MOST_DATA).await? {
                Pdu::Data(parts) => parts,
                Pdu::Abort(_) => return Err(ClientError::Aborted),
                _ => return Err(ClientError::Unexpected),
            };
            for part in parts {
                if !part.command || answer.len() > MOST_DATA as usize {
                    return Err(ClientError::Unexpected);
                }
                answer.extend(part.bytes);
                if part.last {
                    let answer = Command::read(&answer).ok_or(ClientError::Unexpected)?;
                    return match answer.status {
                        // A warning says that it was taken.
                        0 | 0xb000..=0xbfff => Ok(()),
                        status => Err(ClientError::Status(status)),
                    };
                }
            }
        }
    }

    async fn send(&mut self, context: u8, command: bool, bytes: &[u8]) -> Result<(), ClientError> {
        let size = (self.most - HEAD) as usize;
        let count = bytes.len().div_ceil(size).max(1);
        for number in 0..count {
            let part = &bytes[number * size..bytes.len().min((number + 1) * size)];
            let part = Pdv { context, command, last: number + 1 == count, bytes: part.to_vec() };
            pdu::write(&mut self.stream, &Pdu::Data(vec![part])).await?;
        }
        Ok(())
    }

    /// Ends the association.
    ///
    /// # Errors
    /// What the connection says.
    pub async fn release(mut self) -> Result<(), ClientError> {
        pdu::write(&mut self.stream, &Pdu::ReleaseRequest).await?;
        pdu::read(&mut self.stream, MOST_DATA).await?;
        Ok(())
    }
}
