//! Between what the values of a map lie, measured on examples: what bytes are chosen by.

use std::collections::BTreeMap;

use crate::bytes::Levels;

/// The least and the greatest value that is kept as it is; what lies beyond becomes the nearer of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The least.
    pub low: f32,
    /// The greatest.
    pub high: f32,
}

impl Range {
    /// The levels of its bytes.
    pub(crate) fn levels(self) -> Levels {
        Levels::over(self.low, self.high)
    }
}

/// Ranges by the name of the convolution or dense layer that reads the values; of what is added to the
/// results of a layer under [`residual`].
pub type Ranges = BTreeMap<String, Range>;

/// The name of what is added to the results of `layer`.
pub fn residual(layer: &str) -> String {
    format!("{layer}.residual")
}
