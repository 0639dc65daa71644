//! What a classifier's answer rests on: parts of the picture are covered, and the answer asked for again.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{ImageService, ImagesError, ReadAs};
use crate::inference::pool::{AskError, Timing};
use crate::inference::prediction::Outcome;
use vision::evidence::{Cover, covered, covers, drawn, evidence, evidence_of_parts, grid};
use vision::{DecodeOptions, Format, Image, decode};

/// Probabilities nearer to 0 or 1 than this count as this.
const CERTAIN: f32 = 1e-6;

/// Evidence for one label on one picture.
pub struct Explained {
    /// The picture in square pixels, its evidence drawn over it.
    pub picture: Image,
    /// The label whose evidence it is.
    pub label: String,
    /// What the model answered.
    pub outcome: Outcome,
}

/// What an answer rests on, as numbers: the evidence of each part of what the network saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The label whose evidence it is: the one answered, or of an abstention the most probable one.
    pub label: String,
    /// Rows and columns of the grid of parts.
    pub grid: (usize, usize),
    /// What the log odds of the label lose where a part is covered, row after row.
    pub values: Vec<f32>,
    /// Rows and columns of the picture that the grid lies on.
    pub seen: (Range<usize>, Range<usize>),
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The model has no such label.
    #[error("there is no label \"{label}\"; there are {}", .labels.join(", "))]
    UnknownLabel {
        /// The label asked for.
        label: String,
        /// Those that there are.
        labels: Vec<String>,
    },
    /// The picture was not classified.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// The picture could not be drawn.
    #[error("the picture could not be drawn: {0}")]
    Drawing(String),
}

impl ImageService {
    /// The evidence for `label`, or for the most probable one, on one picture.
    ///
    /// # Errors
    /// No such label; a picture that cannot be read; a model that is busy or failed.
    pub async fn explain(
        self: &Arc<Self>,
        (format, bytes): (Format, Bytes),
        read_as: ReadAs,
        label: Option<&str>,
        deadline: Instant,
    ) -> Result<(Explained, Timing), ExplainError> {
        let labels = &self.manifest.labels;
        let asked = match label {
            None => None,
            Some(label) => Some(labels.iter().position(|own| own == label).ok_or_else(|| {
                ExplainError::UnknownLabel { label: label.to_string(), labels: labels.clone() }
            })?),
        };
        let (reading, waited) = self.clone().read(0, format, bytes.clone(), read_as, false, deadline).await?;
        let mut timing = Timing {
            decode: reading.decode,
            preprocess: reading.preprocess,
            queue: waited,
            ..Timing::default()
        };
        let size = self.size();
        let mut outcome =
            self.answers(vec![reading.look.input.clone()], deadline, &mut timing).await?.swap_remove(0);
        if let Some(reason) = reading.look.refused {
            outcome.abstain(reason);
        }
        let shown = asked.or_else(|| outcome.predictions.first().map(|best| best.index)).unwrap_or(0);
        let lost = self.lost(&reading.look.input, (shown, &outcome), deadline, &mut timing).await?;
        let service = self.clone();
        let draw = move || -> Result<Image, ExplainError> {
            let options = DecodeOptions { max_pixels: service.max_pixels, frame: read_as.frame };
            let image = decode(format, &bytes, &options)
                .map_err(|error| ExplainError::Images(ImagesError::Decode { index: 0, error }))?;
            let parts = covers(size.0, size.1);
            let pixels = drawn(&image, reading.seen, &evidence(size, &parts, &lost), size);
            let failed = |error: &dyn std::error::Error| ExplainError::Drawing(error.to_string());
            let drawn = Image::from_rgb8(image.width(), image.height(), pixels);
            let drawn = drawn.map_err(|error| failed(&error))?.of_pixels(image.pixel_shape());
            // People look at it: as it is, and not longer or broader.
            vision::in_square_pixels(drawn, service.max_pixels).map_err(|error| failed(&error))
        };
        let failed = |error| ExplainError::Images(AskError::from(error).into());
        let (picture, _) = self.preprocess.run(deadline, draw).await.map_err(failed)?;
        Ok((Explained { picture: picture?, label: labels[shown].clone(), outcome }, timing))
    }

    /// As [`ImageService::classify`], and for each image the evidence of its answer.
    ///
    /// # Errors
    /// As [`ImageService::classify`].
    pub async fn classify_with_evidence(
        self: &Arc<Self>,
        images: Vec<(Format, Bytes)>,
        read_as: ReadAs,
        top_k: usize,
        deadline: Instant,
    ) -> Result<(Vec<(Outcome, Evidence)>, Timing), ImagesError> {
        let (readings, timing) = self.read_all(images, read_as, deadline).await?;
        let (looks, seen): (Vec<_>, Vec<_>) =
            readings.into_iter().map(|reading| (reading.look, reading.seen)).unzip();
        let inputs: Vec<Vec<f32>> = looks.iter().map(|look| look.input.clone()).collect();
        let (outcomes, mut timing) = self.answer(looks, top_k, deadline, timing).await?;
        let labels = &self.manifest.labels;
        let mut explained = Vec::with_capacity(outcomes.len());
        for ((outcome, input), seen) in outcomes.into_iter().zip(inputs).zip(seen) {
            let answered =
                outcome.label.as_ref().and_then(|label| labels.iter().position(|own| own == label));
            let best = outcome.predictions.first().map(|best| best.index);
            let shown = answered.or(best).unwrap_or_default();
            let lost = self.lost(&input, (shown, &outcome), deadline, &mut timing).await?;
            let (label, grid) = (labels[shown].clone(), grid(self.size()));
            let values = evidence_of_parts(self.size(), &lost);
            explained.push((outcome, Evidence { label, grid, values, seen }));
        }
        Ok((explained, timing))
    }

    fn size(&self) -> (usize, usize) {
        (self.input.height as usize, self.input.width as usize)
    }

    /// What the log odds of the label `shown` of an outcome lose with each part of the input covered.
    async fn lost(
        &self,
        input: &[f32],
        (shown, outcome): (usize, &Outcome),
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Vec<f32>, ImagesError> {
        let odds = |outcome: &Outcome| {
            // Of a number it is the number itself, in deviations.
            if let Some(estimate) = &outcome.estimate {
                return estimate.scaled as f32;
            }
            let own = outcome.predictions.iter().find(|prediction| prediction.index == shown);
            let p = own.map_or(0.0, |own| own.probability).clamp(CERTAIN, 1.0 - CERTAIN);
            (p / (1.0 - p)).ln()
        };
        let (whole, size) = (odds(outcome), self.size());
        let parts = covers(size.0, size.1);
        let copy = |cover: &Cover| covered(input, size, cover);
        // No more at a time than a queue that others use as well has room for.
        let mut lost = Vec::with_capacity(parts.len());
        for parts in parts.chunks(16) {
            let copies = parts.iter().map(copy).collect();
            let outcomes = self.answers(copies, deadline, timing).await?;
            lost.extend(outcomes.iter().map(|outcome| whole - odds(outcome)));
        }
        Ok(lost)
    }

    /// Outcomes that are counted nowhere: nobody asked for them.
    async fn answers(
        &self,
        inputs: Vec<Vec<f32>>,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Vec<Outcome>, ImagesError> {
        Ok(self.pool.outcomes(&self.manifest, inputs, usize::MAX, deadline, timing).await?)
    }
}
