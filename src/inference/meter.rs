//! What the metrics say of a model: where its time goes, what it answers and how sure it is, so
//! that a drift of its inputs shows.
//!
//! The series of a model are made when it is put into service: their number is bounded by its
//! labels, and counting an answer takes no look-up.

use std::sync::Arc;

use metrics::{Counter, Histogram, counter, histogram};

use super::pool::{AskError, Timing};
use super::tally::{self, Tally};
use super::{InferenceError, Outcome};
use model::Manifest;
use vision::segment::Regions;

/// The metrics of one version of a model.
pub struct Meter {
    labels: Vec<String>,
    answers: Vec<Counter>,
    abstentions: Counter,
    confidence: Histogram,
    tally: Arc<Tally>,
    /// Decoding, preprocessing, waiting, computing.
    stages: [Histogram; 4],
}

impl Meter {
    /// The metrics of the model that `manifest` describes.
    pub fn new(manifest: &Manifest) -> Meter {
        let Manifest { name, version, labels, .. } = manifest;
        let answer = |label: &String| counter!("medserve_answers_total", "model" => name.clone(), "version" => version.clone(), "label" => label.clone());
        // Counted where it happens; here it begins with 0, so that the first failure is a change.
        let _ = counter!("medserve_batches_failed_total", "model" => name.clone());
        let stage = |stage| histogram!("medserve_stage_seconds", "model" => name.clone(), "stage" => stage);
        Meter {
            labels: labels.clone(),
            answers: labels.iter().map(answer).collect(),
            abstentions: counter!("medserve_abstentions_total", "model" => name.clone(), "version" => version.clone()),
            confidence: histogram!("medserve_confidence", "model" => name.clone(), "version" => version.clone()),
            tally: tally::begin(manifest),
            stages: ["decode", "preprocess", "queue", "inference"].map(stage),
        }
    }

    /// A request was answered.
    pub fn answered(&self, outcomes: &[Outcome], timing: &Timing) {
        for outcome in outcomes {
            if outcome.reason.is_none() && (outcome.holding.is_some() || outcome.estimate.is_some()) {
                self.several(outcome);
                continue;
            }
            let at = match &outcome.label {
                None => {
                    self.abstentions.increment(1);
                    None
                }
                Some(label) => {
                    let Some(at) = self.labels.iter().position(|known| known == label) else { continue };
                    self.answers[at].increment(1);
                    Some(at)
                }
            };
            if let Some(best) = outcome.predictions.first() {
                self.confidence.record(best.probability);
                self.tally.count(at, best.probability);
            }
        }
        self.timed(timing);
    }

    /// Counts the labels that hold, each for itself; a number is none.
    fn several(&self, outcome: &Outcome) {
        for own in outcome.holding.iter().flatten() {
            if let Some(answers) = self.answers.get(own.index) {
                answers.increment(1);
            }
            self.confidence.record(own.probability);
            self.tally.count(Some(own.index), own.probability);
        }
    }

    /// A request was answered with any number of labels, each with its probability.
    pub fn found(&self, labels: impl Iterator<Item = (usize, f32)>, timing: &Timing) {
        for (label, probability) in labels {
            if let Some(answers) = self.answers.get(label) {
                answers.increment(1);
            }
            self.confidence.record(probability);
            self.tally.count(Some(label), probability);
        }
        self.timed(timing);
    }

    /// A request was answered with the regions of pictures, or with none for those that the model does not stand by. Each label
    /// that a picture has counts.
    pub fn outlined<'a>(&self, pictures: impl Iterator<Item = Option<&'a Regions>>, timing: &Timing) {
        for regions in pictures {
            let Some(regions) = regions else {
                self.abstentions.increment(1);
                continue;
            };
            for (label, answers) in self.answers.iter().enumerate().skip(1) {
                if regions.labels.iter().any(|own| usize::from(*own) == label) {
                    answers.increment(1);
                }
            }
        }
        self.timed(timing);
    }

    /// A request was answered with so many pictures of one label.
    pub fn made(&self, label: usize, pictures: u64, timing: &Timing) {
        if let Some(answers) = self.answers.get(label) {
            answers.increment(pictures);
        }
        self.timed(timing);
    }

    fn timed(&self, timing: &Timing) {
        let Timing { decode, preprocess, queue, inference } = timing;
        for (stage, time) in self.stages.iter().zip([decode, preprocess, queue, inference]) {
            stage.record(time.as_secs_f64());
        }
    }
}

/// A request was not answered, for want of room or of time. A failure is counted where it
/// happens.
pub fn refused(error: &AskError) {
    let reason = match error {
        AskError::QueueFull(_) => "queue_full",
        AskError::TooMany { .. } => "too_many",
        AskError::Inference(InferenceError::DeadlinePassed) => "deadline",
        AskError::Inference(InferenceError::Failed) | AskError::NotFinite(_) => return,
    };
    counter!("medserve_rejected_total", "reason" => reason).increment(1);
}
