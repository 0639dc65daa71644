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
    let of = |kind: &&str| place(ranges, kind).map_or(0.0, |place| ranges[place].weight);
    kinds.iter().map(of).fold(0.0, f32::max)
}

/// Which of these media types is wished for most; of equals the one that is named first, and where none is named or there is
/// no wish the first of them. None where none is accepted.
pub fn best<T: Copy>(ranges: &[Range], kinds: &[(&str, T)]) -> Option<T> {
    if ranges.is_empty() {
        return kinds.first().map(|(_, kind)| *kind);
    }
    let mut best: Option<(f32, usize, T)> = None;
    for (name, kind) in kinds {
        let Some(place) = place(ranges, name) else { continue };
        let weight = ranges[place].weight;
        let better =
            |(most, before, _): &(f32, usize, T)| weight > *most || (weight == *most && place < *before);
        if weight > 0.0 && best.as_ref().is_none_or(better) {
            best = Some((weight, place, *kind));
        }
    }
    best.map(|(_, _, kind)| kind)
}

/// The most particular range that a media type fits.
fn place(ranges: &[Range], kind: &str) -> Option<usize> {
    let wide = format!("{}/*", kind.split('/').next().unwrap_or_default());
    let named = |name: &str| ranges.iter().position(|range| range.essence == name);
    named(kind).or_else(|| named(&wide)).or_else(|| named("*/*"))
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

    #[test]
    fn of_several_the_most_wished_for_is_answered_and_of_equals_the_first() {
        let kinds = [("application/json", 'j'), ("image/png", 'p'), ("application/dicom", 'd')];
        for (accept, expected) in [
            ("", Some('j')),
            ("*/*", Some('j')),
            ("image/*", Some('p')),
            ("image/png, application/json", Some('p')),
            ("image/png;q=0.5, application/json", Some('j')),
            ("application/dicom, */*;q=0.1", Some('d')),
            ("application/json;q=0, */*", Some('p')),
            ("application/*;q=0.3, image/jpeg", Some('j')),
            ("text/html", None),
            ("image/png;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(best(&ranges(&headers), &kinds), expected, "{accept}");
        }
    }
}
