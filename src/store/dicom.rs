//! DICOM in the store: images that wait for their answer, and what was made of them.
//!
//! The statements are the same for both databases, so both adapters are made by one macro; what differs is said
//! where it is used. An image's row is taken for a while and put off meanwhile: who takes it and dies has not
//! taken it away. The answer and the end of the wait are one transaction, and so are an image's coming and the end of what it was: which
//! of two came last is then the order of those.

mod adapter;

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::Answer;
use super::hl7::Outgoing;
use super::rows::from_columns;
pub(super) use adapter::adapter;
use recommend::Millis;

/// An image that came over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// SOP Instance UID.
    pub sop_instance: String,
    /// The digest of what it says and shows.
    pub image: String,
    /// Study Instance UID.
    pub study: String,
    /// Patient ID; empty where the image has none.
    pub patient: String,
    /// The application entity that sent it.
    pub caller: String,
    /// From where.
    pub address: String,
    /// When.
    pub received: Millis,
    /// The file.
    pub file: Bytes,
}

/// An image that has come, before it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// SOP Instance UID.
    pub sop_instance: String,
    /// The digest of what it says and shows.
    pub image: String,
    /// Patient ID; empty where it is not known.
    pub patient: String,
    /// Whether it is to be answered.
    pub waits: bool,
}

/// What became of an image by arriving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It waits for its answer by the row of this number.
    Waits(i64),
    /// It gets none.
    Ended,
    /// Models that its sender may not ask made what would go, or are to answer what waits: nothing goes.
    NotAllowed,
}

/// By which row an image waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Of the queue.
    Queued(i64),
    /// Of what [arrived](DicomStore::arrive_dicom).
    Arrived(i64),
}

/// What is to be kept as the answer to an image.
#[derive(Debug, Clone, Copy, Default)]
pub struct DicomAnswer<'a> {
    /// What was made.
    pub results: &'a [DicomResult],
    /// The same as HL7 messages.
    pub messages: &'a [Outgoing],
    /// What was made before, and is to be sent again.
    pub known: &'a [String],
    /// When results are to be sent, where anybody gets them.
    pub due: Option<Millis>,
    /// When messages that were made before are to be sent again, where anybody gets them.
    pub said_again: Option<Millis>,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept, and the image waits no more.
    Yes,
    /// Nothing is kept: the image waits no more, since it was erased, or came again and has changed.
    Gone,
    /// Nothing is kept, and the image still waits: what was made before and is to be sent again has gone.
    Again,
}

/// An image whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its number in the queue.
    pub number: i64,
    /// How often it was taken, this time included.
    pub tries: i64,
    /// Of those since somebody said what came of one: odd while it is read, and even where it was read and the process ended, so
    /// that it is suspected of having ended it.
    pub unfinished: i64,
    /// The image.
    pub instance: Received,
}

/// Something that was made of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomResult {
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Series Instance UID.
    pub series: String,
    /// Study Instance UID, that of the image.
    pub study: String,
    /// SOP Class UID.
    pub sop_class: String,
    /// The image's SOP Instance UID.
    pub source: String,
    /// The digest of what the image said and showed.
    pub image: String,
    /// Patient ID.
    pub patient: String,
    /// The model that answered.
    pub model: String,
    /// Its version.
    pub version: String,
    /// When.
    pub created: Millis,
    /// DICOM's JSON, without pixels.
    pub metadata: String,
    /// The file; empty in a list.
    pub file: Bytes,
}

/// Which results to list, in the order of their UIDs; what is empty fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultQuery {
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID.
    pub series: String,
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Patient ID.
    pub patient: String,
    /// Above this SOP Instance UID.
    pub after: String,
    /// At most so many.
    pub limit: u32,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Images without an answer.
    pub waiting: u64,
    /// Results that are not sent.
    pub unsent: u64,
}

/// The part of the store that DICOM needs.
pub trait DicomStore: Send + Sync {
    /// Images have come that are answered later: all in one transaction of each goes what was made of it as it was before it
    /// changed, and it waits, once. Of each whether it does: false where `most` wait.
    fn queue_dicom<'a>(&'a self, instances: &'a [Received], most: u32) -> Answer<'a, Vec<bool>>;

    /// The image whose turn it is at `now`; it is nobody else's before `until`.
    fn take_dicom(&self, now: Millis, until: Millis) -> Answer<'_, Option<Queued>>;

    /// Begins to read an image that was taken and is suspected of having ended a process; nobody else may take it before `until`.
    /// False where it does not wait for that any more.
    fn read_dicom_alone(&self, number: i64, until: Millis) -> Answer<'_, bool>;

    /// Gives an image that was taken back, for not before `due`.
    fn give_back_dicom(&self, number: i64, due: Millis) -> Answer<'_, ()>;

    /// Ends the wait of an image that gets no answer; its file goes.
    fn fail_dicom<'a>(&'a self, number: i64, reason: &'a str) -> Answer<'a, ()>;

    /// Images have come, in this order, from one who may ask these models (any, where none are named): of each goes what was
    /// made of it as it was before it changed, and itself where it waits as it was. Those that are to be answered wait until
    /// their answer is kept, or until a moment after which nobody waits for it: `times` are now and that. All in one transaction.
    fn arrive_dicom<'a>(
        &'a self,
        arrivals: &'a [Arrival],
        models: Option<&'a [String]>,
        times: (Millis, Millis),
    ) -> Answer<'a, Vec<Arrived>>;

    /// Who there is something of that goes when these images arrive, as they were before: their Patient IDs.
    fn replaced_dicom<'a>(&'a self, images: &'a [(&'a str, &'a str)]) -> Answer<'a, Vec<String>>;

    /// Ends the wait of an image that arrived and gets no answer.
    fn leave_dicom(&self, number: i64) -> Answer<'_, ()>;

    /// Keeps the answer to an image, and ends its wait, all in one transaction; nothing of it where the image waits no more. A
    /// result that is there stays as it is, but for being sent again; so does a message.
    fn answer_dicom<'a>(&'a self, turn: Turn, answer: DicomAnswer<'a>) -> Answer<'a, Kept>;

    /// Which of these results there are.
    fn known_dicom<'a>(&'a self, sop_instances: &'a [String]) -> Answer<'a, Vec<String>>;

    /// Results without their files.
    fn list_dicom<'a>(&'a self, query: &'a ResultQuery) -> Answer<'a, Vec<DicomResult>>;

    /// A result with its file.
    fn get_dicom<'a>(&'a self, sop_instance: &'a str) -> Answer<'a, Option<DicomResult>>;

    /// The result that is to be sent next at `now`, and how often that was tried, this time included; it is nobody
    /// else's before `until`.
    fn take_result(&self, now: Millis, until: Millis) -> Answer<'_, Option<(DicomResult, i64)>>;

    /// What became of sending: sent, to be tried again at `due`, or given up for a reason.
    fn sent_result<'a>(
        &'a self,
        sop_instance: &'a str,
        due: Option<Millis>,
        failure: Option<&'a str>,
    ) -> Answer<'a, ()>;

    /// Drops results and failures from before a moment, and says how many there were. What is still to be sent stays.
    fn trim_dicom(&self, before: Millis) -> Answer<'_, u64>;

    /// How much waits.
    fn dicom_backlog(&self) -> Answer<'_, Backlog>;
}

/// The columns of a [`ResultRow`].
pub(super) const RESULT: &str =
    "sop_instance, series, study, sop_class, source, image, patient, model, version, created, metadata";

from_columns! {
    ResultRow { sop_instance, series, study, sop_class, source, image, patient, model, version, created, metadata }
    FileRow { sop_instance, file, tries }
    QueueRow { number, tries, unfinished, sop_instance, image, study, patient, caller, address, received, file }
}

/// A row of `dicom_results` without its file.
pub(super) struct ResultRow {
    sop_instance: String,
    series: String,
    study: String,
    sop_class: String,
    source: String,
    image: String,
    patient: String,
    model: String,
    version: String,
    created: i64,
    metadata: String,
}

impl From<ResultRow> for DicomResult {
    fn from(row: ResultRow) -> DicomResult {
        DicomResult {
            sop_instance: row.sop_instance,
            series: row.series,
            study: row.study,
            sop_class: row.sop_class,
            source: row.source,
            image: row.image,
            patient: row.patient,
            model: row.model,
            version: row.version,
            created: row.created,
            metadata: row.metadata,
            file: Bytes::new(),
        }
    }
}

/// The file of a row of `dicom_results`.
pub(super) struct FileRow {
    pub sop_instance: String,
    pub file: Vec<u8>,
    pub tries: i64,
}

/// A row of `dicom_queue`.
pub(super) struct QueueRow {
    number: i64,
    tries: i64,
    unfinished: i64,
    sop_instance: String,
    image: String,
    study: String,
    patient: String,
    caller: String,
    address: String,
    received: i64,
    file: Vec<u8>,
}

impl From<QueueRow> for Queued {
    fn from(row: QueueRow) -> Queued {
        let QueueRow {
            number,
            tries,
            unfinished,
            sop_instance,
            image,
            study,
            patient,
            caller,
            address,
            received,
            file,
        } = row;
        let file = file.into();
        let instance = Received { sop_instance, image, study, patient, caller, address, received, file };
        Queued { number, tries, unfinished, instance }
    }
}
