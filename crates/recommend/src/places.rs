//! How far things are: great-circle distance on a sphere.

use serde::{Deserialize, Serialize};

/// The mean radius of the Earth in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// A place, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

impl Place {
    /// The place, if both coordinates are known.
    pub fn new(latitude: Option<f64>, longitude: Option<f64>) -> Option<Self> {
        Some(Self { latitude: latitude?, longitude: longitude? })
    }

    /// The distance by the haversine formula, within half a percent of that on the ellipsoid.
    pub fn distance_km(self, other: Place) -> f64 {
        let (phi, other_phi) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_phi = (other_phi - phi) / 2.0;
        let half_lambda = (other.longitude - self.longitude).to_radians() / 2.0;
        let h = half_phi.sin().powi(2) + phi.cos() * other_phi.cos() * half_lambda.sin().powi(2);
        2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_globe() {
        let place = |latitude, longitude| Place { latitude, longitude };
        let quarter = std::f64::consts::FRAC_PI_2 * EARTH_RADIUS_KM;
        assert!((place(0.0, 0.0).distance_km(place(90.0, 45.0)) - quarter).abs() < 1e-6);
        // Across the date line it is a short way.
        assert!((place(0.0, 179.5).distance_km(place(0.0, -179.5)) - quarter / 90.0).abs() < 1e-6);
        // London to Paris, as scikit-learn's haversine_distances has it with this radius.
        let distance = place(51.5074, -0.1278).distance_km(place(48.8566, 2.3522));
        assert!((distance - 343.5565).abs() < 1e-3, "{distance}");
        assert_eq!(place(12.0, 13.0).distance_km(place(12.0, 13.0)), 0.0);
    }
}
