//! The manifest: everything the server must know about a model besides its weights.
//!
//! It is plain data, so that a person can read it and another program can check it; it names no tensor. What
//! is done to an input before the model sees it stands here, because training and serving must do the
//! very same. The sizes of architectures and the metrics have files of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::architecture::{
    Architecture, BagConfig, CnnConfig, CnnLayer, CrfConfig, LstmConfig, NGrams, NameList, RelationConfig,
    ResnetConfig, ResnetStage, TransformerConfig, TreesConfig,
};
pub use super::calibration::NameCalibration;
pub use super::embedding::{
    EncoderConfig, EncoderHead, HeadActivation, RelativeConfig, RetrievalMetrics, RotaryConfig, TextPooling,
    VectorsConfig,
};
pub use super::generation::{DenoiserConfig, FewExamples, Generation, GenerationMetrics, Memorisation};
pub use super::metrics::{ExtractionMetrics, FoundMetrics, Metrics, OrdinalMetrics};
pub use super::networks::{
    BlockStage, ConvnextConfig, ConvnextStage, DensenetConfig, FineStep, InceptionConfig, MobilenetConfig,
    OnnxConfig, UnetConfig, VitConfig,
};
pub use super::outputs::{Binary, BinaryMetrics, Interval, NumberMetrics, NumberOutput, Outputs};
pub use super::precision::{BY_ROW, Bf16, Int8, Measure, Precision, PrecisionCost, Precisions};
use super::recommendation::HistoryInput;
pub use super::segmentation::{Instances, ObjectMetrics, Reading, RegionMetrics, Segmentation, UsualRegions};

/// The version of the package format this program writes and reads.
pub const FORMAT: u32 = 1;

/// A model's description, as stored in `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Package format; [`FORMAT`] is the only one accepted.
    pub format: u32,
    /// Name the model is served under: lower-case letters, digits and dashes.
    pub name: String,
    /// Version: a positive whole number, the name of the package's folder.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// Labels in the order of the network's outputs; a recommender and a model that embeds have none.
    pub labels: Vec<String>,
    /// What each label means, where its name alone does not say it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub label_descriptions: BTreeMap<String, String>,
    /// The labels are steps of one scale, in order (a triage level, say).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<Ordinal>,
    /// Preprocessing of an image or a record.
    pub input: Input,
    /// The network and its sizes.
    pub architecture: Architecture,
    /// Keep an image network's convolutions to the sums of their definition. Serving otherwise takes
    /// a shorter way (Winograd's) whose rounding errors grow with the largest activation near by:
    /// this is for a network whose activations differ so much in size that it shows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact_convolution: bool,
    /// In which precisions besides single precision a network over images or an encoder may be computed, where that was
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precisions>,
    /// How logits become probabilities.
    pub calibration: Calibration,
    /// An answer whose highest probability is below this is an abstention.
    pub abstain_below: f32,
    /// How an input that is unlike the training data is told, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likeness: Option<Likeness>,
    /// What the outputs of a network over images are, where they are not labels that exclude each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// How a picture becomes regions, of a model that gives every pixel a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<Segmentation>,
    /// How pictures are made, of a model that makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// What the model was trained on.
    pub data: DataSource,
    /// How it was trained.
    pub training: Training,
    /// Metrics by split; the split's name says where the numbers come from.
    pub metrics: BTreeMap<String, Metrics>,
    /// The weights file.
    pub weights: Weights,
    /// sha256, in hexadecimal, of the other files that an answer depends on, by name: of a model
    /// of notes the tokenizer and, where it has them, the rules for red flags. A package without them is read without that check.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// The task this model does, as named over HTTP.
    pub fn task(&self) -> Task {
        match self.input {
            Input::Image(_) if self.segmentation.is_some() => Task::ImageSegmentation,
            Input::Image(_) if self.generation.is_some() => Task::ImageGeneration,
            Input::Image(_) => Task::ImageClassification,
            Input::Record(_) => Task::NoteClassification,
            Input::Text(_) if self.labels.is_empty() => Task::TextEmbedding,
            Input::Text(_) => Task::NoteExtraction,
            Input::History(_) => Task::Recommendation,
        }
    }

    /// `cost[truth][answer]`, if answers go by expected cost.
    pub fn cost(&self) -> Option<&Vec<Vec<f32>>> {
        self.ordinal.as_ref()?.cost.as_ref()
    }

    /// Index of the label that is answered for a row of probabilities: the most probable one, or
    /// that of least expected cost where the manifest has a cost matrix; the first of equals.
    pub fn decide(&self, probabilities: &[f32]) -> usize {
        let first_highest = |scores: &mut dyn Iterator<Item = f32>| {
            let start = (0, f32::NEG_INFINITY);
            scores
                .enumerate()
                .fold(start, |best, (i, score)| if score > best.1 { (i, score) } else { best })
                .0
        };
        match self.cost() {
            None => first_highest(&mut probabilities.iter().copied()),
            Some(cost) => {
                let expected = |answer: usize| {
                    probabilities.iter().zip(cost).map(|(p, row)| p * row[answer]).sum::<f32>()
                };
                first_highest(&mut (0..probabilities.len()).map(|answer| -expected(answer)))
            }
        }
    }
}

/// What a manifest without the number of alterations means: as many as there were first.
fn all_alterations() -> usize {
    14
}

/// How an input that is unlike the training data is told. Such an input gets no label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Likeness {
    /// Of a bag: the share of a note's n-grams that training had seen (of characters those of three
    /// and more, where the bag reads characters, otherwise those of words).
    KnownNgrams {
        /// Least share.
        at_least: f32,
        /// Share of the validation notes below it.
        abstained: f64,
        /// Area under the ROC curve of validation notes against the same notes with their
        /// characters shuffled.
        auroc: f64,
    },
    /// Of a bag or an adopted encoder: the share of known n-grams, as above, and how likely the characters of a note are
    /// after one another. The counts that say so are in the package's `likeness.safetensors`, and so are the known n-grams of
    /// a model that has none of its own.
    Characters {
        /// Least share of known n-grams.
        at_least: f32,
        /// Characters of the longest n-gram counted.
        order: usize,
        /// Mean logarithm of the probability of a character, over unseen training notes.
        mean: f64,
        /// Power of a note's length that its distance from the mean is multiplied with: where notes are short and
        /// alike, a long note that is somewhat less likely is more of a surprise.
        exponent: f64,
        /// Least such distance.
        least: f64,
        /// Share of the validation notes below either.
        abstained: f64,
        /// Share of sentences about other things (`everyday.txt` of `train`) below either.
        everyday_abstained: f64,
        /// Area under the ROC curve of validation notes against these sentences, by the distance.
        auroc: f64,
    },
    /// Of images: distance from the training pictures, looked at coarsely. What is kept of them is in the
    /// package's `likeness.safetensors`.
    TrainingPictures {
        /// Principal components of the training pictures.
        components: usize,
        /// The split that the next three are measured on.
        measured_on: String,
        /// Share of its pictures that are unlike.
        abstained: f64,
        /// Share of its pictures that are unlike once they are altered: turned, torn apart, enlarged,
        /// or replaced by shapes and patterns of chance.
        altered_abstained: f64,
        /// In how many ways they were altered: one that pictures of training cannot be told by is none.
        #[serde(default = "all_alterations")]
        alterations: usize,
        /// Area under the ROC curve of its pictures against the altered ones.
        auroc: f64,
    },
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One image in, one label out.
    ImageClassification,
    /// One image in, a label for each of its pixels out.
    ImageSegmentation,
    /// One label in, an image of it out.
    ImageGeneration,
    /// One record (a note and its fields) in, one label out.
    NoteClassification,
    /// One note in, the names in it out.
    NoteExtraction,
    /// One text in, a vector out, near those of texts that mean the like.
    TextEmbedding,
    /// The items somebody has in, others out.
    Recommendation,
}

impl Task {
    /// The name used in manifests and over HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::ImageClassification => "image-classification",
            Task::ImageSegmentation => "image-segmentation",
            Task::ImageGeneration => "image-generation",
            Task::NoteClassification => "note-classification",
            Task::NoteExtraction => "note-extraction",
            Task::TextEmbedding => "text-embedding",
            Task::Recommendation => "recommendation",
        }
    }
}

/// An ordered scale of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordinal {
    /// Name of the scale, e.g. "KTAS".
    pub scale: String,
    /// `cost[truth][answer]`, in any unit: when present, the label of least expected cost is
    /// answered instead of the most probable one. Probabilities are returned unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Vec<Vec<f32>>>,
}

/// What the network is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Input {
    /// An image.
    Image(ImageInput),
    /// A note and its fields.
    Record(RecordInput),
    /// A note alone, of any number of sentences.
    Text(TextInput),
    /// The items that somebody has.
    History(HistoryInput),
}

/// Preprocessing of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInput {
    /// Most tokens of a text that are read, from its beginning; of a longer one the answer says so.
    pub max_tokens: usize,
}

/// Preprocessing of an image: crop, resize, channels, normalisation, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// Height in pixels after resizing.
    pub height: u32,
    /// Width in pixels after resizing.
    pub width: u32,
    /// 1 (luma) or 3 (red, green, blue).
    pub channels: u32,
    /// What is cut off before resizing.
    pub crop: Crop,
    /// Resampling filter.
    pub resize: ResizeFilter,
    /// What is done to the values.
    pub normalisation: Normalisation,
    /// What a DICOM file may say that it is. Any where this is left out; a file that says nothing is
    /// accepted always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts: Option<Accepts>,
}

/// What a DICOM file may say that it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepts {
    /// Values of Modality (0008,0060), such as "CR"; any where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modalities: Vec<String>,
    /// Values of Body Part Examined (0018,0015), such as "CHEST"; any where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body_parts: Vec<String>,
    /// Values of View Position (0018,5101), such as "PA"; any where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<String>,
    /// Whole years of the oldest person whose images it reads; any where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u16>,
}

/// What devices write beside a part of the body, where the standard has a term alone.
const BESIDE: [&str; 22] = [
    "1", "1V", "2", "2V", "AP", "BED", "BEDSIDE", "CR", "DR", "DX", "ERECT", "FRONTAL", "PA", "PORT",
    "PORTABLE", "RAY", "ROUTINE", "SUPINE", "UPRIGHT", "VIEW", "VIEWS", "XR",
];
/// What says nothing.
const UNSAID: [&str; 5] = ["NA", "NONE", "OTHER", "UNKNOWN", "UNSPECIFIED"];
/// How else the views from the front and from the back are written.
const VIEWS: [(&str, &str); 8] = [
    ("A-P", "AP"),
    ("P-A", "PA"),
    ("A P", "AP"),
    ("P A", "PA"),
    ("ANTEROPOSTERIOR", "AP"),
    ("ANTERO-POSTERIOR", "AP"),
    ("POSTEROANTERIOR", "PA"),
    ("POSTERO-ANTERIOR", "PA"),
];

impl Accepts {
    /// Whether somebody of this age in whole years may be one of those whose images the model reads.
    pub fn admits_age(&self, age: u16) -> bool {
        self.oldest.is_none_or(|oldest| age <= oldest)
    }

    /// Whether a file that says this of itself may be what the model reads. What it does not say is not held against it, and
    /// words that devices write beside a term ("CHEST PA", "PORT CHEST") do not make it another.
    pub fn admits(&self, modality: &str, body_part: &str, view: &str) -> bool {
        let words = |said: &str| -> Vec<String> {
            let said = said.to_uppercase().replace("X-RAY", "XR").replace("X RAY", "XR");
            said.split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let unsaid = |words: &[String]| words.iter().all(|word| UNSAID.contains(&word.as_str()));
        let is = |word: &str, known: &[String]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
        let modality = words(modality);
        let modality = unsaid(&modality) || modality.iter().all(|word| is(word, &self.modalities));
        let part = words(body_part);
        let (own, beside): (Vec<&String>, Vec<&String>) =
            part.iter().partition(|word| is(word, &self.body_parts));
        let beside = beside.into_iter().all(|word| BESIDE.contains(&word.as_str()));
        let part = unsaid(&part) || !own.is_empty() && beside;
        let view = view.trim().to_uppercase();
        let written = VIEWS.iter().find(|(other, _)| *other == view);
        let view = words(written.map_or(view.as_str(), |(_, view)| view));
        // Of "PA LAO" or "AP LLDECUB" a word is another view.
        let frontal = |word: &str| word == "FRONTAL" && ["AP", "PA"].iter().any(|own| is(own, &self.views));
        let (own, beside): (Vec<&String>, Vec<&String>) =
            view.iter().partition(|word| is(word, &self.views) || frontal(word));
        let beside =
            beside.into_iter().all(|word| BESIDE.contains(&word.as_str()) || is(word, &self.body_parts));
        let view = unsaid(&view) || !own.is_empty() && beside;
        (self.modalities.is_empty() || modality)
            && (self.body_parts.is_empty() || part)
            && (self.views.is_empty() || view)
    }
}

/// What is cut off an image before it is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Nothing: the whole image is resized, its aspect ratio given up.
    None,
    /// The centred part with the aspect ratio of the target (a centred square for a square).
    Centre,
    /// The middle, as large as the target, of the image resized so that its shorter side is this long.
    Resized {
        /// Length in pixels, that of the target's sides at least.
        shorter: u32,
    },
}

/// Antialiased resampling filters: the support grows with the factor of reduction, as in Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeFilter {
    /// Triangle filter.
    Bilinear,
    /// Cubic filter with a = -0.5.
    Bicubic,
    /// Windowed sinc over three lobes.
    Lanczos3,
}

/// What is done to pixel values, which come in as fractions of full scale, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Normalisation {
    /// `(x - mean[channel]) / std[channel]`.
    Fixed {
        /// One value a channel.
        mean: Vec<f32>,
        /// One positive value a channel.
        std: Vec<f32>,
    },
    /// `(x - m) / max(s, floor)` with the image's own mean `m` and standard deviation `s` over
    /// all pixels and channels: exposure and contrast of the device cancel out.
    PerImage {
        /// Smallest divisor, so that a blank image stays finite.
        floor: f32,
    },
}

/// Preprocessing of a record: the note's tokens and the fields beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordInput {
    /// Most tokens of a note that the network reads. Of a longer note it reads the head and the
    /// tail, and the answer says so.
    pub max_tokens: usize,
    /// Fields in the order of the network's inputs.
    pub fields: Vec<Field>,
}

/// One field of a record. A missing field is normal and modelled.
// Unknown members are refused by its type: serde cannot deny them here, beside `flatten`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Name, as in the request's `fields` object.
    pub name: String,
    /// Type, and what is accepted.
    #[serde(flatten)]
    pub kind: FieldKind,
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum FieldKind {
    /// A number.
    Numeric {
        /// Least value accepted.
        min: f64,
        /// Greatest value accepted.
        max: f64,
        /// Unit, e.g. "mmHg"; empty where there is none.
        #[serde(default)]
        unit: String,
        /// Mean over the training records that have it.
        mean: f64,
        /// Standard deviation over them.
        std: f64,
        /// Quantiles over them, rising: between two neighbors lies one input that goes from 0 to
        /// 1 (piecewise linear encoding, Gorishniy et al. 2022, "On embeddings for numerical
        /// features in tabular deep learning").
        #[serde(default)]
        knots: Vec<f64>,
        /// Where a person is well. Beyond it a bag over a scale never answers less urgently the
        /// further out the value is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        normal: Option<(f64, f64)>,
    },
    /// One of several values.
    Categorical {
        /// The values accepted, in the order of their inputs.
        values: Vec<String>,
    },
}

/// How logits become probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Logits are divided by this before the softmax (Guo et al. 2017, "On calibration of modern
    /// neural networks").
    pub temperature: f32,
    /// Of a model that finds names: how the probability of each label's names is corrected, in the order of the labels; none
    /// where it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameCalibration>,
    /// Of a model that ties names: how the probability of each relation is corrected, in their order; none where it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<NameCalibration>,
}

impl Calibration {
    /// One with a temperature alone.
    pub fn at(temperature: f32) -> Calibration {
        Calibration { temperature, names: Vec::new(), relations: Vec::new() }
    }
}

/// What a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Name of the data set.
    pub name: String,
    /// Who made it and where it was published.
    pub source: String,
    /// Its licence.
    pub licence: String,
    /// sha256 by file, in hexadecimal.
    pub sha256: BTreeMap<String, String>,
    /// Number of examples by split.
    pub examples: BTreeMap<String, usize>,
}

/// How a model was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Seed of everything random.
    pub seed: u64,
    /// Epochs done.
    pub epochs: usize,
    /// Every other setting, by name, as given to the program.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// The program that made the package and its version.
    pub program: String,
}

/// The weights file of a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// File name inside the package.
    pub file: String,
    /// sha256 of the file, in hexadecimal.
    pub sha256: String,
    /// Number of trained values.
    pub parameters: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_read_what_they_write_and_refuse_what_they_do_not_know() {
        let sex = FieldKind::Categorical { values: vec!["female".to_string(), "male".to_string()] };
        let age = FieldKind::Numeric {
            min: 0.0,
            max: 120.0,
            unit: "years".to_string(),
            mean: 50.0,
            std: 20.0,
            knots: vec![20.0, 80.0],
            normal: None,
        };
        let field = |name: &str, kind| Field { name: name.to_string(), kind };
        let input = RecordInput { max_tokens: 64, fields: vec![field("sex", sex), field("age", age)] };
        let mut written = serde_json::to_value(&input).unwrap();
        assert_eq!(serde_json::from_value::<RecordInput>(written.clone()).unwrap(), input);
        written["fields"][0]["colour"] = json!("red");
        let error = serde_json::from_value::<RecordInput>(written).unwrap_err().to_string();
        assert!(error.contains("colour"), "{error}");
    }
}
