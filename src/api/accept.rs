//! What a client accepts (RFC 9110, section 12.5.1), as far as an answer goes by it: media ranges with their weights. Which
//! of them fits a media type is the most particular one, so that `application/json;q=0, */*` is anything but JSON.

use axum::http::{HeaderMap, header};

use super::extract::media_type;

/// A media range that a client names.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Type and subtype in small letters: `application/fhir+json`, `application/*`.
    pub essence: String,
    /// Parameters but for the weight, their names in small letters and their values without quotes.
    pub parameters: Vec<(String, String)>,
    /// From 0, never, to 1.
    pub weight: f32,
}

impl Range {
    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// The ranges that a client names, in its order; none where it has no wish.
pub fn ranges(headers: &HeaderMap) -> Vec<Range> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let range = |text: &str| {
        let of = text.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        let of = of.map(|(name, value)| {
            (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
        });
        let (weights, parameters): (Vec<_>, Vec<_>) = of.partition(|(name, _)| name == "q");
        // What is no weight is none.
        let weight = weights.first().and_then(|(_, weight)| weight.parse().ok()).unwrap_or(1.0);
        Range { essence: media_type(text).to_ascii_lowercase(), parameters, weight }
    };
    values.flat_map(|value| value.split(',')).map(range).filter(|range| !range.essence.is_empty()).collect()
}

/// How much one of these media types is wished for, by the most particular range of each; 1 where there is no wish.
pub fn weight(ranges: &[Range], kinds: &[&str]) -> f32 {
    if ranges.is_empty() {
        return 1.0;
    }
    let of = |kind: &&str| {
        let wide = format!("{}/*", kind.split('/').next().unwrap_or_default());
        let named = |name: &str| ranges.iter().find(|range| range.essence == name);
        named(kind).or_else(|| named(&wide)).or_else(|| named("*/*")).map_or(0.0, |range| range.weight)
    };
    kinds.iter().map(of).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_most_particular_range_tells_how_much_a_type_is_wished_for() {
        for (accept, weighs) in [
            ("application/json", 1.0),
            ("application/*;q=0.5", 0.5),
            ("text/plain", 0.0),
            ("*/*, application/json;q=0", 0.0),
            ("application/json; q=0.2, */*;q=0.1", 0.2),
            ("Application/JSON", 1.0),
            ("", 1.0),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(weight(&ranges(&headers), &["application/json"]), weighs, "{accept}");
        }
        assert_eq!(weight(&ranges(&HeaderMap::new()), &["application/json"]), 1.0);
    }
}
