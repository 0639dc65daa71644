//! The tensors of a model: what metadata shows is what requests are checked against.
//!
//! A classifier of images takes one of three inputs: encoded images, or pixels of the network's
//! own size as bytes or as fractions of full scale. A classifier of notes takes the notes and,
//! beside them, any of its fields, each under its own name. The first dimension is the batch.

use serde::Serialize;
use utoipa::ToSchema;

use model::Manifest;
use model::manifest::{FieldKind, Input};

/// Encoded images, one element an image.
pub const IMAGE: &str = "image";
/// Pixels 0 to 255, channels first.
pub const PIXELS: &str = "pixels";
/// Pixels as fractions of full scale, 0 to 1, channels first.
pub const FRACTIONS: &str = "fractions";
/// Notes, one element a note.
pub const NOTE: &str = "note";
/// Calibrated probabilities in the order of the model's labels.
pub const PROBABILITIES: &str = "probabilities";
/// The label answered; empty for an abstention.
pub const LABEL: &str = "label";
/// True where the model is not sure enough to answer.
pub const ABSTAINED: &str = "abstained";
/// What was found in a note: JSON, as a result of `/v1/notes/extract`.
pub const EXTRACTION: &str = "extraction";
/// True where a note was longer than the model reads.
pub const TRUNCATED: &str = "truncated";

/// The protocol's data types that are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Datatype {
    /// One byte a truth.
    Bool,
    /// Strings of any length.
    Bytes,
    /// Bytes.
    Uint8,
    /// 32-bit floating point.
    Fp32,
    /// 64-bit floating point.
    Fp64,
}

impl Datatype {
    /// The protocol's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Datatype::Bool => "BOOL",
            Datatype::Bytes => "BYTES",
            Datatype::Uint8 => "UINT8",
            Datatype::Fp32 => "FP32",
            Datatype::Fp64 => "FP64",
        }
    }
}

/// The declaration of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TensorSpec {
    /// Its name.
    #[schema(example = "image")]
    pub name: String,
    /// Type of its elements.
    pub datatype: Datatype,
    /// Its dimensions; -1, the first, is the batch.
    #[schema(example = json!([-1]))]
    pub shape: Vec<i64>,
}

impl TensorSpec {
    fn new(name: &str, datatype: Datatype, inner: &[u32]) -> TensorSpec {
        let shape = std::iter::once(-1).chain(inner.iter().map(|side| i64::from(*side))).collect();
        TensorSpec { name: name.to_string(), datatype, shape }
    }

    /// Number of elements of one input of the batch.
    pub fn elements(&self) -> usize {
        self.shape[1..].iter().map(|side| *side as usize).product()
    }
}

/// Whether what a model of images answers is no label of one, so that this protocol has no tensors for it.
fn elsewhere(manifest: &Manifest) -> bool {
    manifest.segmentation.is_some() || manifest.outputs.is_some() || manifest.generation.is_some()
}

/// What a model takes.
pub fn inputs(manifest: &Manifest) -> Vec<TensorSpec> {
    match &manifest.input {
        // Regions and made pictures are asked for at routes of their own.
        Input::Image(_) if elsewhere(manifest) => Vec::new(),
        Input::Image(image) => {
            let sides = [image.channels, image.height, image.width];
            vec![
                TensorSpec::new(IMAGE, Datatype::Bytes, &[]),
                TensorSpec::new(PIXELS, Datatype::Uint8, &sides),
                TensorSpec::new(FRACTIONS, Datatype::Fp32, &sides),
            ]
        }
        Input::Record(record) => {
            let fields = record.fields.iter().map(|field| {
                let datatype = match field.kind {
                    FieldKind::Numeric { .. } => Datatype::Fp64,
                    FieldKind::Categorical { .. } => Datatype::Bytes,
                };
                TensorSpec::new(&field.name, datatype, &[])
            });
            std::iter::once(TensorSpec::new(NOTE, Datatype::Bytes, &[])).chain(fields).collect()
        }
        // Vectors are asked for at a route of their own.
        Input::Text(_) if manifest.labels.is_empty() => Vec::new(),
        Input::Text(_) => vec![TensorSpec::new(NOTE, Datatype::Bytes, &[])],
        // It takes no tensors: it reads the history from the database.
        Input::History(_) => Vec::new(),
    }
}

/// What a model gives.
pub fn outputs(manifest: &Manifest) -> Vec<TensorSpec> {
    if elsewhere(manifest) {
        return Vec::new();
    }
    if matches!(manifest.input, Input::Text(_)) && manifest.labels.is_empty() {
        return Vec::new();
    }
    if matches!(manifest.input, Input::Text(_)) {
        return vec![TensorSpec::new(EXTRACTION, Datatype::Bytes, &[])];
    }
    if matches!(manifest.input, Input::History(_)) {
        return Vec::new();
    }
    let mut outputs = vec![
        TensorSpec::new(PROBABILITIES, Datatype::Fp32, &[manifest.labels.len() as u32]),
        TensorSpec::new(LABEL, Datatype::Bytes, &[]),
        TensorSpec::new(ABSTAINED, Datatype::Bool, &[]),
    ];
    if matches!(manifest.input, Input::Record(_)) {
        outputs.push(TensorSpec::new(TRUNCATED, Datatype::Bool, &[]));
    }
    outputs
}
