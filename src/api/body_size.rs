//! How large a body each route takes, and how much memory it stands for.
//!
//! Pictures may be as large as is configured. JSON is read into many small pieces, which take some
//! times the memory of their text: so a route of JSON takes no more than its largest sensible request,
//! and each byte counts for several where all bodies that arrive share one budget.

/// Bytes of memory that a byte of JSON stands for.
const JSON: usize = 8;

/// Bytes of memory that a value in a record stands for: an empty resource is three bytes of text and becomes an entry with
/// all that can be in one.
const VALUE: usize = 160;

const MIB: usize = 1 << 20;

/// The size of a route's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodySize {
    /// Most bytes.
    pub most: usize,
    /// Bytes of memory that each stands for.
    pub weight: usize,
    /// Bytes of memory that each value of JSON stands for, where that comes to more.
    pub value: usize,
}

impl BodySize {
    /// Of the route with this path, as the router knows it; `configured` is the most for any.
    pub fn of(path: &str, configured: usize) -> BodySize {
        let json = |most: usize| BodySize { most: most.min(configured), weight: JSON, value: 0 };
        match path {
            "/v1/images/generate" => json(MIB),
            _ if path.starts_with("/v1/images/") || path.starts_with("/dicom-web/") => {
                BodySize { most: configured, weight: 1, value: 0 }
            }
            _ if path.ends_with("/infer") => json(configured),
            // At most 256 records, of which each may have a long note.
            _ if path.starts_with("/v1/notes/") || path == "/v1/embeddings" => json(8 * MIB),
            // At most 10,000 rows.
            "/v1/interactions" => json(8 * MIB),
            _ if path.starts_with("/fhir/") || path.starts_with("/cds-services/") => {
                BodySize { value: VALUE, ..json(16 * MIB) }
            }
            _ => json(2 * MIB),
        }
    }

    /// Bytes of memory that a piece of a body stands for. Commas within text count as well, which is little beside the text.
    pub fn memory(self, piece: &[u8]) -> usize {
        let values = match self.value {
            0 => 0,
            _ => piece.iter().filter(|byte| matches!(byte, b',' | b'{' | b'[')).count(),
        };
        piece.len().saturating_mul(self.weight).max(values.saturating_mul(self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_smaller_than_a_picture_and_nothing_larger_than_is_configured() {
        assert_eq!(BodySize::of("/v1/images/classify", 64 * MIB).most, 64 * MIB);
        assert_eq!(BodySize::of("/v1/users/{user_id}", 64 * MIB).most, 2 * MIB);
        assert_eq!(BodySize::of("/v1/users/{user_id}", 100).most, 100);
    }

    #[test]
    fn a_record_of_nothing_but_entries_stands_for_more_than_its_text() {
        let size = BodySize::of("/fhir/R4", 64 * MIB);
        assert_eq!(size.memory(b"{},{},"), 4 * VALUE);
        let text = b"a text without a value in it";
        assert_eq!(size.memory(text), text.len() * JSON);
        assert_eq!(BodySize::of("/v1/interactions", 64 * MIB).memory(b"{},{},"), 6 * JSON);
    }
}
