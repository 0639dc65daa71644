//! Whether something of an image was lost where it was compressed: what is made of it says so as well (PS3.3 section C.7.6.1.1.5).

use super::data_set::DataSet;
use super::tags::{self, Tag};

/// What an image says of that, with the value representations.
pub(super) const LOSSINESS: [(Tag, &[u8; 2]); 3] =
    [(tags::LOSSY, b"CS"), (tags::LOSSY_RATIO, b"DS"), (tags::LOSSY_METHOD, b"CS")];

/// The transfer syntaxes of compression by cosine transforms, which always loses something: JPEG baseline, extended, and the
/// retired processes that other processes are hidden in.
const ALWAYS: [&str; 4] =
    ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"];

/// Those that may lose something: near-lossless JPEG-LS, JPEG 2000 and High-Throughput JPEG 2000.
const MAYBE: [&str; 3] = ["1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"];

/// Whether an image that says this of itself, in a file of this transfer syntax, has lost something.
pub(super) fn is_lossy(said: &DataSet, syntax: &str) -> bool {
    match said.get(tags::LOSSY).as_deref() {
        Some("01") => true,
        Some("00") => ALWAYS.contains(&syntax),
        _ => ALWAYS.contains(&syntax) || MAYBE.contains(&syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_lost_something_where_it_or_its_transfer_syntax_says_so() {
        let deflated = "1.2.840.10008.1.2.1.99";
        for (said, syntax, lossy) in [
            ("", "", false),
            ("", deflated, false),
            ("01", deflated, true),
            ("00", deflated, false),
            ("", ALWAYS[0], true),
            ("00", ALWAYS[1], true),
            ("", MAYBE[1], true),
            ("00", MAYBE[1], false),
            ("01", MAYBE[0], true),
            ("", "1.2.840.10008.1.2.4.90", false),
        ] {
            let mut set = DataSet::new();
            if !said.is_empty() {
                set.text(tags::LOSSY, b"CS", said);
            }
            assert_eq!(is_lossy(&set, syntax), lossy, "{said} {syntax}");
        }
    }
}
