//! A dense layer over rows, packed once.

use crate::packed::{Epilogue, Matrix, PackedWeights, Residual};
use crate::simd::AlignedVec;

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
        let weights = PackedWeights::new(&self.weight, self.bias.len());
        Dense { bias: weights.pad(&self.bias), weights }
    }
}

/// A dense layer, ready to serve.
#[derive(Clone)]
pub struct Dense {
    weights: PackedWeights,
    bias: AlignedVec,
}

impl Dense {
    /// Values of a row that goes in.
    pub fn inputs(&self) -> usize {
        self.weights.depth()
    }

    /// `x W^T + b + residual` for `rows` rows, to `out`, whose rows begin every `stride` values.
    ///
    /// # Panics
    /// Rows that are too short; slices that end before the last row.
    pub fn forward(&self, rows: usize, x: Matrix, residual: Residual, out: &mut [f32], stride: usize) {
        let epilogue = Epilogue { bias: Some(&self.bias), residual, relu: false };
        self.weights.multiply(rows, x, epilogue, out, stride);
    }
}
