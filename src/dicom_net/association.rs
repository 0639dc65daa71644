//! An association that somebody opened: agreed on or refused, then C-ECHO and C-STORE one after another.
//!
//! An instance is answered with success once it is in the database, so that from then on it is ours to see to. One that is
//! refused leaves a row in the audit, and one that breaks off half way nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clinical::dicom::SourceError;
use clinical::dicom::data_set::part10;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::answers::{self, AnswerError};
use super::arrival;
use super::command::{CANCEL, Command, ECHO, STORE};
use super::intake::NotQueued;
use super::listen::Network;
use super::negotiation::{Refusal, Titles, agree, is_ours, is_storage, words};
use super::pdu::{self, MOST_DATA, Pdu, PduError, Pdv};
use super::queue::digests;
use crate::config::Models;
use crate::inference::head;
use crate::store::dicom::Received;
use crate::store::{AuditRow, Store, StoreError};
use recommend::clock;

/// Most bytes of a command.
const MOST_COMMAND: usize = 16 << 10;

/// Statuses of a response (PS3.7 annex C and PS3.4 annex B).
mod status {
    pub const SUCCESS: u16 = 0x0000;
    pub const CLASS_NOT_SUPPORTED: u16 = 0x0122;
    pub const UNRECOGNIZED: u16 = 0x0211;
    pub const OUT_OF_RESOURCES: u16 = 0xa700;
    pub const NOT_AS_ANNOUNCED: u16 = 0xa900;
    pub const NOT_UNDERSTOOD: u16 = 0xc000;
    pub const NO_MODEL: u16 = 0xc001;
    pub const TOO_LARGE: u16 = 0xc002;
}

/// Aborts: by us, for no reason that has a number; by the protocol, for what was not expected or is malformed.
const ABORT: [u8; 2] = [0, 0];
const UNEXPECTED: [u8; 2] = [2, 2];
const MALFORMED: [u8; 2] = [2, 6];

/// An association and its connection.
pub struct Association<S> {
    network: Arc<Network>,
    stream: S,
    peer: SocketAddr,
    /// SOP class and transfer syntax of each accepted context.
    contexts: BTreeMap<u8, (String, String)>,
    caller: String,
}

/// How an association ended, for the metric.
enum End {
    Released,
    Aborted,
    Refused,
}

/// What is known of an instance by the time that it is taken or refused.
#[derive(Default)]
struct Came {
    /// Whose it is, where it says that.
    patient: Option<String>,
    file: Option<Bytes>,
}

/// A data set on its way.
struct Arriving {
    context: u8,
    command: Command,
    bytes: Vec<u8>,
    /// Why it is not kept: the rest is read and let go.
    refused: Option<(u16, &'static str)>,
    memory: Vec<OwnedSemaphorePermit>,
}

/// The row of the audit about an association that was refused. The title is whatever somebody wrote there.
pub fn refused(network: &Network, peer: SocketAddr, calling: &str, refusal: Refusal) {
    let (status, why) = words(refusal);
    let title: String = calling.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let address = peer.ip().to_canonical().to_string();
    network.state.note_refusal(AuditRow {
        status,
        answers: vec![Some(why.to_string())],
        ..AuditRow::of(&format!("ae:{title}"), &address, "A-ASSOCIATE", "dicom")
    });
}

impl<S: AsyncRead + AsyncWrite + Unpin> Association<S> {
    /// Over this connection.
    pub fn new(network: Arc<Network>, stream: S, peer: SocketAddr) -> Association<S> {
        let (contexts, caller) = (BTreeMap::new(), String::new());
        Association { network, stream, peer, contexts, caller }
    }

    /// Goes on until it is released, aborted or broken.
    pub async fn run(mut self) {
        let ended = match self.talk().await {
            Ok(end) => end,
            Err(error) => {
                let reason = match error {
                    PduError::Malformed(_) => Some(MALFORMED),
                    PduError::Broken(ref error) if error.kind() == std::io::ErrorKind::TimedOut => {
                        Some(ABORT)
                    }
                    _ => None,
                };
                tracing::debug!(%error, "a DICOM association ended early");
                if let Some(reason) = reason {
                    let _ = pdu::write(&mut self.stream, &Pdu::Abort(reason)).await;
                }
                End::Aborted
            }
        };
        let result = match ended {
            End::Released => "released",
            End::Aborted => "aborted",
            End::Refused => "refused",
        };
        metrics::counter!("medserve_dicom_associations_total", "result" => result).increment(1);
    }

    async fn read(&mut self, patience: Duration) -> Result<Pdu, PduError> {
        match timeout(patience, pdu::read(&mut self.stream, MOST_DATA)).await {
            Ok(read) => read,
            Err(_) => Err(PduError::Broken(std::io::ErrorKind::TimedOut.into())),
        }
    }

    async fn write(&mut self, pdu: &Pdu) -> Result<(), PduError> {
        let patience = self.network.state.config.response_timeout;
        match timeout(patience, pdu::write(&mut self.stream, pdu)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(PduError::Broken(std::io::ErrorKind::TimedOut.into())),
        }
    }

    async fn talk(&mut self) -> Result<End, PduError> {
        let config = self.network.state.config.clone();
        let request = match self.read(config.head_timeout).await? {
            Pdu::Request(request) => request,
            Pdu::Abort(_) => return Ok(End::Aborted),
            _ => {
                self.write(&Pdu::Abort(UNEXPECTED)).await?;
                return Ok(End::Aborted);
            }
        };
        let titles = Titles { own: &config.dicom.ae_title, callers: &config.dicom.callers };
        let accepted = match agree(&request, &titles) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                refused(&self.network, self.peer, &request.calling, refusal);
                self.write(&Pdu::Reject(refusal)).await?;
                return Ok(End::Refused);
            }
        };
        self.contexts = accepted
            .contexts
            .iter()
            .filter(|context| context.result == 0)
            .map(|own| (own.id, (own.abstract_syntax.clone(), own.transfer_syntaxes.concat())))
            .collect();
        self.caller = accepted.calling.clone();
        self.write(&Pdu::Accept(accepted)).await?;
        let mut command = Vec::new();
        let mut arriving: Option<Arriving> = None;
        loop {
            match self.read(config.idle_timeout).await? {
                Pdu::Data(parts) => {
                    for part in parts {
                        self.part(part, &mut command, &mut arriving).await?;
                    }
                }
                Pdu::ReleaseRequest => {
                    self.write(&Pdu::ReleaseReply).await?;
                    return Ok(End::Released);
                }
                Pdu::Abort(_) => return Ok(End::Aborted),
                _ => {
                    self.write(&Pdu::Abort(UNEXPECTED)).await?;
                    return Ok(End::Aborted);
                }
            }
        }
    }

    async fn part(
        &mut self,
        part: Pdv,
        command: &mut Vec<u8>,
        arriving: &mut Option<Arriving>,
    ) -> Result<(), PduError> {
        if part.command {
            if arriving.is_some() || command.len() + part.bytes.len() > MOST_COMMAND {
                return Err(PduError::Malformed("a command came where none is expected, or is too long"));
            }
            command.extend(part.bytes);
            if !part.last {
                return Ok(());
            }
            let read = Command::read(&std::mem::take(command));
            let read = read.ok_or(PduError::Malformed("a command cannot be read"))?;
            if !self.contexts.contains_key(&part.context) {
                return Err(PduError::Malformed("a command is of no presentation context"));
            }
            if read.has_data {
                let (bytes, memory) = (Vec::new(), Vec::new());
                *arriving =
                    Some(Arriving { context: part.context, command: read, bytes, refused: None, memory });
                return Ok(());
            }
            return self.without_data(part.context, &read).await;
        }
        let Some(whole) = arriving.as_mut().filter(|whole| whole.context == part.context) else {
            return Err(PduError::Malformed("a data set came without its command"));
        };
        whole.take(&self.network, &part.bytes);
        if !part.last {
            return Ok(());
        }
        let Some(whole) = arriving.take() else { return Ok(()) };
        let context = whole.context;
        let response = self.store(whole).await;
        self.respond(context, response).await
    }

    async fn without_data(&mut self, context: u8, command: &Command) -> Result<(), PduError> {
        let response = match command.field {
            ECHO => command.response(status::SUCCESS, ""),
            STORE => command.response(status::NOT_UNDERSTOOD, "a C-STORE has a data set"),
            CANCEL => return Ok(()),
            field if field & 0x8000 != 0 => return Ok(()),
            _ => command.response(status::UNRECOGNIZED, "C-ECHO and C-STORE are answered"),
        };
        self.respond(context, response).await
    }

    async fn respond(&mut self, context: u8, response: Command) -> Result<(), PduError> {
        let part = Pdv { context, command: true, last: true, bytes: response.bytes() };
        self.write(&Pdu::Data(vec![part])).await
    }

    /// Takes an instance, or says why not.
    async fn store(&self, whole: Arriving) -> Command {
        let command = whole.command.clone();
        if command.field != STORE {
            return command.response(status::UNRECOGNIZED, "C-ECHO and C-STORE are answered");
        }
        let begun = Instant::now();
        let mut came = Came::default();
        let taken = self.take_in(whole, &mut came).await;
        let result = if taken.is_ok() { "accepted" } else { "refused" };
        metrics::counter!("medserve_dicom_received_total", "result" => result).increment(1);
        match taken {
            Ok(()) => command.response(status::SUCCESS, ""),
            Err((status, comment)) => {
                self.note(&command, came, (status, &comment), begun).await;
                command.response(status, &comment)
            }
        }
    }

    /// Has the audit say of whom an instance was that is refused, and why, with the status that HTTP has for the like.
    async fn note(&self, command: &Command, came: Came, (status, why): (u16, &str), begun: Instant) {
        let (input_sha256, request_sha256) = match &came.file {
            Some(file) => digests(&command.sop_instance, file).await,
            None => Default::default(),
        };
        self.network.state.note_refusal(AuditRow {
            status: match status {
                status::TOO_LARGE => 413,
                status::OUT_OF_RESOURCES => 503,
                _ => 409,
            },
            people: came.patient.into_iter().collect(),
            input_sha256,
            request_sha256,
            answers: vec![Some(why.to_string())],
            latency_ms: begun.elapsed().as_secs_f64() * 1e3,
            ..self.row()
        });
    }

    /// A row of the audit about an instance of this association.
    fn row(&self) -> AuditRow {
        let address = self.peer.ip().to_canonical().to_string();
        AuditRow::of(&format!("ae:{}", self.caller), &address, "C-STORE", "dicom")
    }

    /// Has the audit say of whom something goes that was made of an image as it was, where that is so.
    async fn replaced(&self, store: &dyn Store, sop_instance: &str, image: &str) -> Result<(), StoreError> {
        let people = store.replaced_dicom(&[(sop_instance, image)]).await?;
        if people.is_empty() {
            return Ok(());
        }
        let row = AuditRow {
            people,
            status: 200,
            answers: vec![Some("what was made of this image as it was goes".to_string())],
            ..self.row()
        };
        self.network.state.audit.record(row).await.map_err(|error| StoreError::Unavailable(error.into()))
    }

    /// Queues an instance, and leaves in `came` what is known of it by then.
    async fn take_in(&self, whole: Arriving, came: &mut Came) -> Result<(), (u16, String)> {
        let refuse = |status: u16, words: &str| Err((status, words.to_string()));
        let Arriving { context, command, bytes, refused, memory } = whole;
        if let Some((status, words)) = refused {
            return refuse(status, words);
        }
        let Some((class, syntax)) = self.contexts.get(&context) else {
            return refuse(status::NOT_UNDERSTOOD, "no such presentation context");
        };
        if !(is_storage(class) || is_ours(class)) || *class != command.sop_class {
            return refuse(status::CLASS_NOT_SUPPORTED, "another SOP class was agreed on");
        }
        let file: Bytes = part10(&command.sop_class, &command.sop_instance, syntax, &bytes).into();
        drop(bytes);
        came.file = Some(file.clone());
        let state = &self.network.state;
        let (Ok(registry), Ok(people)) = (state.registry(), state.people()) else {
            return refuse(status::OUT_OF_RESOURCES, "starting; try again in a moment");
        };
        let store = people.store.as_ref();
        let away = || refuse(status::OUT_OF_RESOURCES, "the database is not available");
        let read = head::read(&file, answers::source).await;
        let source =
            match read.unwrap_or_else(|| Err(AnswerError::Failed("it could not be read".to_string()))) {
                Ok(source) => source,
                Err(error) => {
                    // Of an image that was answered and is now of nobody known the old answer must not stay.
                    if let AnswerError::Source(SourceError { instance: Some(instance), .. }) = &error
                        && *instance == command.sop_instance
                    {
                        let arrival = arrival::unread(instance);
                        let replaced = self.replaced(store, instance, &arrival.image).await;
                        if replaced.is_err() || arrival::refused(store, arrival).await.is_err() {
                            return away();
                        }
                    }
                    return refuse(status::NOT_UNDERSTOOD, &error.to_string());
                }
            };
        came.patient = Some(source.patient_id.clone()).filter(|id| !id.is_empty());
        if source.sop_instance != command.sop_instance || source.sop_class != command.sop_class {
            return refuse(status::NOT_AS_ANNOUNCED, "the data set is another instance than was said");
        }
        // What we made comes back where everything is forwarded to us: it is taken and let go.
        match arrival::is_ours(store, &source).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(_) => return away(),
        }
        if !is_storage(class) {
            return refuse(status::CLASS_NOT_SUPPORTED, "of this class only what was made here is taken");
        }
        if self.replaced(store, &source.sop_instance, &source.image).await.is_err() {
            return away();
        }
        // Callers of this network have no keys that could be for some models alone.
        let all = Models::default();
        if let Err(error) = arrival::is_read(&registry, &state.config, &all, &source) {
            return match arrival::refused(store, arrival::arrival(&source, false)).await {
                Ok(_) => refuse(status::NO_MODEL, &error.to_string()),
                Err(_) => away(),
            };
        }
        let received = Received {
            sop_instance: source.sop_instance,
            image: source.image,
            study: source.study,
            patient: source.patient_id,
            caller: self.caller.clone(),
            address: self.peer.ip().to_canonical().to_string(),
            received: clock::now(),
            file,
        };
        let queued = self.network.intake.queue(store, received, state.config.dicom.queue).await;
        drop(memory);
        match queued {
            Ok(()) => {
                self.network.queued.notify_one();
                Ok(())
            }
            Err(NotQueued::Full) => {
                refuse(status::OUT_OF_RESOURCES, "as many images wait as may; try again later")
            }
            Err(NotQueued::Unavailable) => away(),
            Err(NotQueued::Refused) => refuse(status::NOT_UNDERSTOOD, "it could not be kept"),
        }
    }
}

impl Arriving {
    /// Adds a part, under the bounds of one instance and of all that arrive.
    fn take(&mut self, network: &Network, part: &[u8]) {
        if self.refused.is_some() {
            return;
        }
        if self.bytes.len() + part.len() > network.state.config.max_body_bytes {
            self.refuse(status::TOO_LARGE, "the instance is larger than is accepted");
            return;
        }
        let kibibytes = part.len().div_ceil(1024) as u32;
        match network.memory.clone().try_acquire_many_owned(kibibytes) {
            Ok(taken) => match self.memory.last_mut() {
                Some(all) => all.merge(taken),
                None => self.memory.push(taken),
            },
            Err(_) => {
                self.refuse(status::OUT_OF_RESOURCES, "too much arrives at once; try again later");
                return;
            }
        }
        self.bytes.extend_from_slice(part);
    }

    fn refuse(&mut self, status: u16, words: &'static str) {
        self.refused = Some((status, words));
        self.bytes = Vec::new();
        self.memory.clear();
    }
}
