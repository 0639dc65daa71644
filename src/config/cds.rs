//! The settings of CDS Hooks: what becomes of feedback beyond the audit.

use super::given::Reader;
use super::setting::Accepts;
use super::settings;

/// Largest weight that feedback may have.
const MOST: f32 = 1000.0;

/// What becomes of feedback: the weights of the interactions, nothing where it goes to the audit alone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CdsConfig {
    /// Of a suggestion that was taken: with the item that it orders.
    pub accepted: Option<f32>,
    /// Of a card that was overridden: with the drugs that were ordered all the same.
    pub overridden: Option<f32>,
}

impl CdsConfig {
    /// Reads them.
    pub(super) fn read(reader: &mut Reader) -> CdsConfig {
        CdsConfig {
            accepted: reader.given(&settings::CDS_ACCEPTED_WEIGHT),
            overridden: reader.given(&settings::CDS_OVERRIDDEN_WEIGHT),
        }
    }

    /// Whether any feedback becomes an interaction.
    pub fn is_on(self) -> bool {
        self.accepted.is_some() || self.overridden.is_some()
    }
}

/// The weight of an interaction.
pub struct Weight;

impl Accepts for Weight {
    type Value = f32;

    fn accepted(&self) -> String {
        format!("a number above 0, at most {MOST}")
    }

    fn parse(&self, text: &str) -> Option<f32> {
        text.parse().ok().filter(|weight| *weight > 0.0 && *weight <= MOST)
    }
}
