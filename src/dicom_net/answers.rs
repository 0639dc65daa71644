//! From a DICOM image to its results: which models answer it, their answers, and the objects made of them.
//!
//! The network's queue and STOW-RS go through this one piece of code. An image whose results are there already is not
//! answered again: they are sent again as they are. One that has changed under its UID (another patient, study or
//! picture, as an archive's corrections leave it) is another image, whose results take the place of the old ones.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use clinical::dicom::{
    Answer, DataSet, Drawing, Kind, Maker, Mask, Source, SourceError, capture, report, segmentation, tags,
};
use clinical::hl7::{self, Finding, Receiver};
use model::Manifest;
use model::manifest::{Accepts, Input};

use crate::api::classify::{Reason, outcome_rested_on};
use crate::config::{Config, Models};
use crate::inference::image::explain::ExplainError;
use crate::inference::image::{ImageService, ImagesError, ReadAs};
use crate::inference::registry::{Registry, Served};
use crate::inference::segment::{SegmentService, SegmentsError};
use crate::inference::{AskError, Outcome};
use crate::store::audit::evidence::{Evidence, PackageUsed, ResultEvidence};
use crate::store::dicom::{DicomAnswer, DicomResult, Kept, Turn};
use crate::store::hl7::Outgoing;
use crate::store::{Store, StoreError};
use recommend::clock;
use sha2::{Digest, Sha256};
use vision::segment::SegmentError;
use vision::{DecodeOptions, Format, Samples};

/// Why there are no results.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The file is no DICOM of a transfer syntax that is read.
    #[error("this is no DICOM image of a transfer syntax that is read")]
    NoDicom,
    /// The image does not say which it is.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No model reads such images.
    #[error("no model here reads this modality and body part")]
    NoModel,
    /// There are such models, and the caller may ask none of them.
    #[error("this key or token may ask none of the models that read this modality and body part")]
    NotAllowed,
    /// The image cannot be read.
    #[error("{0}")]
    Image(String),
    /// It was made by a model, and is of nobody.
    #[error("this image is marked as synthetic, and of such an image no result is kept")]
    Synthetic,
    /// Another version of it came, or its patient was erased, before its answer was there.
    #[error("it came again and had changed, or was erased, before it was answered; what came last stays")]
    Superseded,
    /// There was no room or no time; the same image may be answered later.
    #[error("{0}")]
    Busy(String),
    /// A fault of ours.
    #[error("{0}")]
    Failed(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AnswerError {
    /// Whether the same image may be answered later.
    pub fn passes(&self) -> bool {
        match self {
            AnswerError::Busy(_) => true,
            AnswerError::Store(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// What one model answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// The label; none for an abstention.
    pub label: Option<String>,
    /// The digest of its package.
    pub package: Option<String>,
    /// What it rested on.
    pub evidence: ResultEvidence,
}

/// What answers rested on, for the audit.
pub fn evidence(labels: &[Label]) -> Evidence {
    let packages = labels.iter().filter_map(|own| {
        let (model, version) = (own.model.clone(), own.version.clone());
        Some(PackageUsed { model, version, sha256: own.package.clone()? })
    });
    let packages = unique(packages);
    let mut evidence = Evidence::of_results(labels.iter().map(|own| own.evidence.clone()));
    evidence.packages = packages;
    evidence
}

/// Each once, in their order.
fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// The models that answered and their versions, as the audit names them: each model once, and as many versions as models.
pub fn names(labels: &[Label]) -> (Option<String>, Option<String>) {
    let pairs = unique(labels.iter().map(|own| (own.model.as_str(), own.version.as_str())));
    let (models, versions): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
    let joined = |all: Vec<&str>| (!all.is_empty()).then(|| all.join(", "));
    (joined(models), joined(versions))
}

/// What came of an image.
#[derive(Debug, Default)]
pub struct Answered {
    /// What was made.
    pub results: Vec<DicomResult>,
    /// UIDs of what was there already.
    pub known: Vec<String>,
    /// What the models said that were asked.
    pub labels: Vec<Label>,
    /// The same as HL7 messages, where somebody is to get them.
    pub messages: Vec<Outgoing>,
}

/// What a model said, and the objects made of it.
struct Made {
    objects: Vec<DataSet>,
    label: Option<String>,
    meaning: Option<String>,
    probability: Option<f32>,
    reason: Option<&'static str>,
    evidence: ResultEvidence,
}

/// What a file says that it is.
///
/// # Errors
/// It is no DICOM image, or does not say which.
pub fn source(file: &[u8]) -> Result<Source, AnswerError> {
    let found = vision::attributes(file, &Source::wanted()).ok_or(AnswerError::NoDicom)?;
    let source = Source::read(|tag| found.get(&tag).cloned())?;
    let mut picture = Sha256::new();
    // By what the file is taken for a model reads it or does not: that may stand in a sequence or follow from its class.
    let declared = vision::declared(Format::Dicom, file, &DecodeOptions::default());
    let (identity, shape) = (declared.identity, declared.pixel_shape);
    for word in [identity.modality.unwrap_or_default(), identity.body_part.unwrap_or_default()] {
        picture.update((word.len() as u64).to_be_bytes());
        picture.update(word);
    }
    picture.update([identity.synthetic.into()]);
    identity.views.iter().for_each(|view| picture.update(view));
    picture.update([identity.inhuman.into()]);
    picture.update(identity.age.unwrap_or(u16::MAX).to_be_bytes());
    vision::picture_bytes(file, |part| picture.update(part));
    if shape.is_square() {
        return Ok(source.digested(&picture.finalize()));
    }
    // Attributes that are not among those of the pixels may say it, and how an image is answered depends on it.
    let (tall, wide) = shape.terms();
    [tall, wide].iter().for_each(|side| picture.update(side.to_be_bytes()));
    Ok(source.of_pixels(tall, wide).digested(&picture.finalize()))
}

/// The models that answer an image: of those that are configured, or else of those whose manifest names its modality,
/// all that read its modality and body part.
pub fn models(registry: &Registry, config: &Config, source: &Source) -> Vec<Served> {
    let named = &config.dicom.models;
    let reads = |manifest: &Manifest| {
        let Input::Image(input) = &manifest.input else { return false };
        // Reports have one label.
        if manifest.outputs.is_some() {
            return false;
        }
        match &input.accepts {
            Some(accepts) if named.is_empty() => {
                !accepts.modalities.is_empty() && !source.modality.is_empty() && is_accepted(accepts, source)
            }
            Some(accepts) => is_accepted(accepts, source),
            None => !named.is_empty(),
        }
    };
    let asked = |manifest: &Manifest| named.is_empty() || named.contains(&manifest.name);
    let fits = |served: &&Served| {
        let is_image = matches!(served, Served::Image(_) | Served::Segment(_));
        is_image && asked(served.manifest()) && reads(served.manifest())
    };
    registry.all().filter(fits).cloned().collect()
}

/// Whether an image that says this of itself may be what the model reads. Of another view it is told as an answer withheld.
fn is_accepted(accepts: &Accepts, source: &Source) -> bool {
    accepts.admits(&source.modality, source.body_part(), "")
}

/// Answers an image, by those of its models that the caller may ask.
///
/// # Errors
/// What stands in the way; nothing is kept then.
pub async fn answer(
    registry: &Registry,
    config: &Config,
    store: &dyn Store,
    allowed: &Models,
    (source, file): (&Source, Bytes),
    deadline: Instant,
) -> Result<Answered, AnswerError> {
    let mut models = models(registry, config, source);
    if models.is_empty() {
        return Err(AnswerError::NoModel);
    }
    models.retain(|served| allowed.include(&served.manifest().name));
    if models.is_empty() {
        return Err(AnswerError::NotAllowed);
    }
    let mut answered = Answered::default();
    for served in models {
        let manifest = served.manifest();
        let maker = maker(manifest);
        let kinds = [Kind::Report, Kind::Capture, Kind::Segmentation];
        let uids = kinds.map(|kind| maker.sop_instance(kind, source));
        let known = store.known_dicom(&uids).await?;
        if !known.is_empty() {
            answered.known.extend(known);
            continue;
        }
        let made = match &served {
            Served::Image(service) => classified(service, config, source, &file, deadline).await?,
            Served::Segment(service) => outlined(service, source, &file, deadline).await?,
            _ => continue,
        };
        answered.labels.push(Label {
            model: manifest.name.clone(),
            version: manifest.version.clone(),
            label: made.label.clone(),
            package: registry.digest(&manifest.name).map(str::to_string),
            evidence: made.evidence.clone(),
        });
        match &config.hl7.peer {
            None => {}
            // A record system would refuse it, or file it under nobody or anybody.
            Some(_) if source.patient_id.is_empty() => {
                metrics::counter!("medserve_hl7_sent_total", "result" => "nobody").increment(1);
                tracing::warn!("an answer is not sent by HL7, since its image has no Patient ID");
            }
            Some(peer) => answered.messages.push(message(&maker, source, &made, &peer.receiver)),
        }
        answered.results.extend(made.objects.iter().map(|set| result(&maker, source, set)));
    }
    Ok(answered)
}

/// Keeps what was made, ends the wait of the image, and has results sent that are to be sent; what was there already is sent
/// again.
///
/// # Errors
/// The store's.
pub async fn keep(
    config: &Config,
    store: &dyn Store,
    turn: Turn,
    answered: &Answered,
) -> Result<Kept, StoreError> {
    let now = clock::now();
    let answer = DicomAnswer {
        results: &answered.results,
        messages: &answered.messages,
        known: &answered.known,
        due: config.dicom.peer.is_some().then_some(now),
        said_again: config.hl7.peer.is_some().then_some(now),
    };
    store.answer_dicom(turn, answer).await
}

/// Who makes results of a model.
pub fn maker(manifest: &Manifest) -> Maker<'_> {
    Maker {
        program: env!("CARGO_PKG_VERSION"),
        model: &manifest.name,
        version: &manifest.version,
        weights: &manifest.weights.sha256,
        labels: &manifest.labels,
        now: clock::now(),
    }
}

async fn classified(
    service: &Arc<ImageService>,
    config: &Config,
    source: &Source,
    file: &Bytes,
    deadline: Instant,
) -> Result<Made, AnswerError> {
    let manifest = &service.manifest;
    let maker = maker(manifest);
    let image = (Format::Dicom, file.clone());
    let (mut outcomes, _) =
        service.classify(vec![image.clone()], ReadAs::default(), usize::MAX, deadline).await?;
    let outcome =
        outcomes.pop().ok_or_else(|| AnswerError::Failed("the model gave no answer".to_string()))?;
    let said = said(manifest, &outcome);
    let mut made = Vec::new();
    if config.dicom.report || outcome.label.is_none() {
        made.push(report(&maker, source, &said));
    }
    // An abstention has no evidence.
    if let Some(label) = outcome.label.as_deref().filter(|_| config.dicom.capture) {
        let (explained, _) = service.explain(image, ReadAs::default(), Some(label), deadline).await?;
        let (width, height) = (explained.picture.width() as usize, explained.picture.height() as usize);
        let Samples::Rgb8(pixels) = explained.picture.into_samples() else {
            return Err(AnswerError::Failed("the picture could not be drawn".to_string()));
        };
        let (label, probability) = (label.to_string(), probability(&outcome).unwrap_or_default());
        // Drawing and writing a large picture takes a while of a core, which the async threads do not have.
        let (service, source) = (service.clone(), source.clone());
        let draw = move || {
            let drawing = Drawing { width, height, pixels };
            capture(&self::maker(&service.manifest), &source, &drawing, &label, probability)
        };
        let drawn = tokio::task::spawn_blocking(draw).await;
        made.push(drawn.map_err(|_| AnswerError::Failed("the picture could not be drawn".to_string()))?);
    }
    let (meaning, reason) = (said.meaning.map(str::to_string), outcome.reason.map(words));
    let (probability, evidence) = (probability(&outcome), outcome_rested_on(&outcome));
    Ok(Made { objects: made, label: outcome.label, meaning, probability, reason, evidence })
}

/// Of the label answered.
fn probability(outcome: &Outcome) -> Option<f32> {
    let label = outcome.label.as_deref()?;
    outcome.predictions.iter().find(|own| own.label == label).map(|own| own.probability)
}

fn words(reason: crate::inference::Reason) -> &'static str {
    Reason::from(reason).words()
}

fn said<'a>(manifest: &'a Manifest, outcome: &'a Outcome) -> Answer<'a> {
    let label = outcome.label.as_deref();
    Answer {
        label,
        meaning: label.and_then(|label| manifest.label_descriptions.get(label)).map(String::as_str),
        reason: outcome.reason.map(words),
        predictions: outcome.predictions.iter().map(|own| (own.label.as_str(), own.probability)).collect(),
    }
}

async fn outlined(
    service: &Arc<SegmentService>,
    source: &Source,
    file: &Bytes,
    deadline: Instant,
) -> Result<Made, AnswerError> {
    let manifest = &service.manifest;
    let maker = maker(manifest);
    let (mut outlined, _) = service.segment(vec![(Format::Dicom, file.clone())], None, deadline).await?;
    let outlined =
        outlined.pop().ok_or_else(|| AnswerError::Failed("the model gave no answer".to_string()))?;
    let regions = match outlined.regions {
        Ok(regions) => regions,
        Err(reason) => {
            let evidence = ResultEvidence::new(Some(Reason::from(reason).code()), std::iter::empty());
            let reason = Some(Reason::from(reason).words());
            let answer = Answer { label: None, meaning: None, reason, predictions: Vec::new() };
            return Ok(Made {
                objects: vec![report(&maker, source, &answer)],
                label: None,
                meaning: None,
                probability: None,
                reason,
                evidence,
            });
        }
    };
    let mask = Mask {
        width: regions.width,
        height: regions.height,
        labels: &regions.labels,
        names: &manifest.labels,
    };
    Ok(Made {
        objects: vec![segmentation(&maker, source, &mask)],
        label: Some("regions".to_string()),
        meaning: None,
        probability: None,
        reason: None,
        evidence: ResultEvidence::default(),
    })
}

fn message(maker: &Maker<'_>, source: &Source, made: &Made, receiver: &Receiver) -> Outgoing {
    let finding = Finding {
        model: maker.model,
        version: maker.version,
        label: made.label.as_deref(),
        meaning: made.meaning.as_deref(),
        probability: made.probability,
        reason: made.reason,
    };
    Outgoing {
        id: hl7::message_id(source, maker.model, maker.version),
        source: source.sop_instance.clone(),
        image: source.image.clone(),
        patient: source.patient_id.clone(),
        created: maker.now,
        message: hl7::result(source, &finding, receiver, maker.now),
    }
}

fn result(maker: &Maker<'_>, source: &Source, set: &DataSet) -> DicomResult {
    let of = |tag| set.get(tag).unwrap_or_default();
    DicomResult {
        sop_instance: of(tags::SOP_INSTANCE),
        series: of(tags::SERIES),
        study: source.study.clone(),
        sop_class: of(tags::SOP_CLASS),
        source: source.sop_instance.clone(),
        image: source.image.clone(),
        patient: source.patient_id.clone(),
        model: maker.model.to_string(),
        version: maker.version.to_string(),
        created: maker.now,
        metadata: set.json().to_string(),
        file: set.file().into(),
    }
}

impl From<ImagesError> for AnswerError {
    fn from(error: ImagesError) -> AnswerError {
        match error {
            ImagesError::Decode { error, .. } => AnswerError::Image(error.to_string()),
            ImagesError::Synthetic { .. } => AnswerError::Synthetic,
            ImagesError::Ask(error) => error.into(),
            error => AnswerError::Failed(error.to_string()),
        }
    }
}

impl From<SegmentsError> for AnswerError {
    fn from(error: SegmentsError) -> AnswerError {
        match error {
            SegmentsError::Decode { error, .. } => AnswerError::Image(error.to_string()),
            SegmentsError::Synthetic { .. } => AnswerError::Synthetic,
            SegmentsError::Segment { error: error @ SegmentError::TooLarge { .. }, .. } => {
                AnswerError::Image(error.to_string())
            }
            SegmentsError::Segment { error, .. } => AnswerError::Failed(error.to_string()),
            SegmentsError::Ask(error) => error.into(),
        }
    }
}

impl From<ExplainError> for AnswerError {
    fn from(error: ExplainError) -> AnswerError {
        match error {
            ExplainError::Images(error) => error.into(),
            error => AnswerError::Failed(error.to_string()),
        }
    }
}

impl From<AskError> for AnswerError {
    fn from(error: AskError) -> AnswerError {
        match error {
            AskError::NotFinite(_) | AskError::TooMany { .. } => AnswerError::Failed(error.to_string()),
            // A defect that shows once may be one of the machine.
            error => AnswerError::Busy(error.to_string()),
        }
    }
}
