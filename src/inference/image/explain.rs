//! What a classifier's answer rests on: parts of the picture are covered, and the answer asked for again.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{ImageService, ImagesError, ReadAs};
use crate::inference::pool::{AskError, Timing};
use crate::inference::prediction::Outcome;
use vision::evidence::{Cover, covered, covers, drawn, evidence};
use vision::{DecodeOptions, Format, Image, decode};

/// Probabilities nearer to 0 or 1 than this count as this.
const CERTAIN: f32 = 1e-6;

/// Evidence for one label on one picture.
pub struct Explained {
    /// The picture, its evidence drawn over it.
    pub picture: Image,
    /// The label whose evidence it is.
    pub label: String,
    /// What the model answered.
    pub outcome: Outcome,
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
        let size = (self.input.height as usize, self.input.width as usize);
        let parts = covers(size.0, size.1);
        let mut outcome =
            self.answers(vec![reading.look.input.clone()], deadline, &mut timing).await?.swap_remove(0);
        if let Some(reason) = reading.look.refused {
            outcome.abstain(reason);
        }
        let shown = asked.or_else(|| outcome.predictions.first().map(|best| best.index)).unwrap_or(0);
        let odds = |outcome: &Outcome| {
            let own = outcome.predictions.iter().find(|prediction| prediction.index == shown);
            let p = own.map_or(0.0, |own| own.probability).clamp(CERTAIN, 1.0 - CERTAIN);
            (p / (1.0 - p)).ln()
        };
        let whole = odds(&outcome);
        let copy = |cover: &Cover| covered(&reading.look.input, size, cover);
        // No more at a time than a queue that others use as well has room for.
        let mut lost = Vec::with_capacity(parts.len());
        for parts in parts.chunks(16) {
            let copies = parts.iter().map(copy).collect();
            let outcomes = self.answers(copies, deadline, &mut timing).await?;
            lost.extend(outcomes.iter().map(|outcome| whole - odds(outcome)));
        }
        let service = self.clone();
        let draw = move || -> Result<Image, ExplainError> {
            let options = DecodeOptions { max_pixels: service.max_pixels, frame: read_as.frame };
            let image = decode(format, &bytes, &options)
                .map_err(|error| ExplainError::Images(ImagesError::Decode { index: 0, error }))?;
            let reader = service.reader().map_err(ImagesError::from)?;
            let seen = reader.preprocessor.seen(&image);
            let pixels = drawn(&image, seen, &evidence(size, &parts, &lost), size);
            service.keep(reader);
            Image::from_rgb8(image.width(), image.height(), pixels)
                .map_err(|error| ExplainError::Drawing(error.to_string()))
        };
        let failed = |error| ExplainError::Images(AskError::from(error).into());
        let (picture, _) = self.preprocess.run(deadline, draw).await.map_err(failed)?;
        Ok((Explained { picture: picture?, label: labels[shown].clone(), outcome }, timing))
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
