//! A dense layer over rows, packed once.

use crate::activation::Clip;
use crate::bytes::{Instructions, RowBytes, RowLayer};
use crate::packed::{Epilogue, Matrix, PackedWeights, Residual};
use crate::simd::AlignedVec;

/// How the dense layers of a network over sequences are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numbers {
    /// In single precision.
    #[default]
    Single,
    /// Over numbers of half the length (bfloat16), sums in single precision.
    Halves,
    /// Over bytes, each row brought to them by itself, sums in whole numbers.
    Bytes,
}

/// A dense layer as training keeps it.
pub struct DenseWeights {
    /// (outputs, inputs), row after row.
    pub weight: Vec<f32>,
    /// One value an output.
    pub bias: Vec<f32>,
}

/// The scale and shift of a layer normalisation.
pub struct LayerNormWeights {
    /// One value a column.
    pub weight: Vec<f32>,
    /// One value a column.
    pub bias: Vec<f32>,
}

impl DenseWeights {
    /// The layer over rows that `norm` has not scaled and shifted.
    pub fn after(&self, norm: &LayerNormWeights) -> DenseWeights {
        let inputs = norm.weight.len();
        let rows = self.weight.chunks_exact(inputs);
        let moved = |row: &[f32]| row.iter().zip(&norm.bias).map(|(w, b)| w * b).sum::<f32>();
        let bias = rows.clone().zip(&self.bias).map(|(row, bias)| bias + moved(row)).collect();
        let weight = rows.flat_map(|row| row.iter().zip(&norm.weight).map(|(w, scale)| w * scale)).collect();
        DenseWeights { weight, bias }
    }

    /// The layer packed.
    pub fn pack(&self) -> Dense {
        self.pack_as(Numbers::Single)
    }

    /// The layer packed for rows of some kind of numbers; sizes that do not suit stay in single precision.
    pub fn pack_as(&self, numbers: Numbers) -> Dense {
        let (inputs, outputs) = (self.weight.len() / self.bias.len().max(1), self.bias.len());
        match numbers {
            Numbers::Halves if RowLayer::suits(inputs, outputs) => {
                Dense::Low(RowLayer::halves(&self.weight, &self.bias, Instructions::halves()[0]))
            }
            Numbers::Bytes if RowLayer::suits(inputs, outputs) => {
                Dense::Low(RowLayer::bytes(&self.weight, &self.bias, Instructions::best()))
            }
            _ => {
                let weights = PackedWeights::new(&self.weight, outputs);
                Dense::Single { bias: weights.pad(&self.bias), weights }
            }
        }
    }
}

/// A dense layer, ready to serve.
#[derive(Clone)]
pub enum Dense {
    /// In single precision.
    Single {
        /// Its weights.
        weights: PackedWeights,
        /// One value a column.
        bias: AlignedVec,
    },
    /// In less.
    Low(RowLayer),
}

impl Dense {
    /// Values of a row that goes in.
    pub fn inputs(&self) -> usize {
        match self {
            Dense::Single { weights, .. } => weights.depth(),
            Dense::Low(layer) => layer.inputs(),
        }
    }

    /// Whether it is computed in less than single precision.
    pub fn is_low(&self) -> bool {
        matches!(self, Dense::Low(_))
    }

    /// `x W^T + b + residual` for `rows` rows, to `out`, whose rows begin every `stride` values.
    ///
    /// # Panics
    /// Rows that are too short; slices that end before the last row.
    pub fn forward(
        &self,
        rows: usize,
        x: Matrix,
        residual: Residual,
        (out, stride): (&mut [f32], usize),
        memory: &mut RowBytes,
    ) {
        match self {
            Dense::Single { weights, bias } => {
                let epilogue = Epilogue { bias: Some(bias), residual, clip: Clip::None };
                weights.multiply(rows, x, epilogue, out, stride);
            }
            Dense::Low(layer) => layer.forward(rows, x, residual, (out, stride), memory),
        }
    }
}
