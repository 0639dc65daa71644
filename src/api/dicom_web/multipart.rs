//! `multipart/related` (RFC 2387), read from a body that is there as a whole, and the boundaries of one that is sent.

use bytes::Bytes;
use memchr::memmem;

/// Parameters of a content type.
fn parameter(content_type: &str, name: &str) -> Option<String> {
    let mut rest = content_type.split_once(';')?.1;
    loop {
        let (own, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"')?;
                (value, after.split_once(';').map_or("", |(_, after)| after))
            }
            None => after.split_once(';').map_or((after, ""), |(value, after)| (value, after)),
        };
        if own.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_string());
        }
        rest = after;
    }
}

/// A part: its content type, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its content type, where it says one.
    pub content_type: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
}

/// The parts of a body of this content type, at most `most`.
///
/// # Errors
/// What is wrong with it.
pub fn parts(content_type: &str, body: &Bytes, most: usize) -> Result<Vec<Part>, String> {
    let boundary = parameter(content_type, "boundary").filter(|text| (1..=70).contains(&text.len()));
    let boundary = boundary.ok_or("the content type has no boundary of 1 to 70 letters")?;
    let marker = format!("--{boundary}");
    let delimiter = format!("\r\n{marker}");
    // The first may stand at the very beginning, with nothing before it.
    let mut at = match body.starts_with(marker.as_bytes()) {
        true => marker.len(),
        false => {
            let found = memmem::find(body, delimiter.as_bytes());
            found.ok_or("the body does not have the boundary that the content type names")? + delimiter.len()
        }
    };
    let finder = memmem::Finder::new(delimiter.as_bytes());
    let mut all = Vec::new();
    loop {
        if body[at..].starts_with(b"--") {
            return Ok(all);
        }
        let line = memmem::find(&body[at..], b"\r\n").ok_or("the body ends within a part")?;
        if !body[at..at + line].iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err("a boundary has something behind it".to_string());
        }
        let start = at + line + 2;
        let length = finder.find(&body[start - 2..]).ok_or("the body ends within a part")?;
        // An empty part has its boundary in the place of its head.
        let end = start - 2 + length;
        let part = body.slice(start.min(end)..end);
        if all.len() == most {
            return Err(format!("the body has more than {most} parts"));
        }
        all.push(part_of(&part)?);
        at = end + delimiter.len();
    }
}

fn part_of(part: &Bytes) -> Result<Part, String> {
    let (head, start) = match part.starts_with(b"\r\n") {
        true => (&part[..0], 2),
        false => {
            let end = memmem::find(part, b"\r\n\r\n").ok_or("a part has no empty line behind its head")?;
            (&part[..end], end + 4)
        }
    };
    let head = String::from_utf8_lossy(head);
    let named = head.lines().filter_map(|line| line.split_once(':'));
    let kind = named.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("content-type"));
    let content_type = kind.map(|(_, value)| value.trim().to_string());
    Ok(Part { content_type, bytes: part.slice(start..) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/related; type=\"application/dicom\"; boundary=\"a b\"";

    fn of(kind: &str, body: &'static [u8]) -> Result<Vec<Part>, String> {
        parts(kind, &Bytes::from_static(body), 2)
    }

    #[test]
    fn parts_are_what_lies_between_the_boundaries() {
        let body =
            b"--a b\r\nContent-Type: application/dicom\r\n\r\nDI\r\n--CM\r\n--a b \r\n\r\nx\r\n--a b--\r\n";
        let parts = of(KIND, body).unwrap();
        assert_eq!(parts[0].content_type.as_deref(), Some("application/dicom"));
        assert_eq!((&parts[0].bytes[..], &parts[1].bytes[..]), (&b"DI\r\n--CM"[..], &b"x"[..]));
        let before = b"ignored\r\n--a b\r\n\r\nx\r\n--a b--";
        assert_eq!(of(KIND, before).unwrap()[0].bytes, "x");
        assert_eq!(of("multipart/related;boundary=q", b"--q--").unwrap(), []);
    }

    #[test]
    fn a_body_that_is_not_whole_is_told_so() {
        for (kind, body, words) in [
            ("multipart/related", &b"--q--"[..], "no boundary"),
            ("multipart/related; boundary=other", b"--q--", "does not have the boundary"),
            ("multipart/related; boundary=q", b"--q\r\n\r\nx", "ends within a part"),
            ("multipart/related; boundary=q", b"--q", "ends within a part"),
            ("multipart/related; boundary=q", b"--q\r\n\r\n--q--", "no empty line"),
            ("multipart/related; boundary=q", b"--qx\r\n\r\n\r\n--q--", "something behind it"),
            (
                "multipart/related; boundary=q",
                b"--q\r\n\r\n\r\n--q\r\n\r\n\r\n--q\r\n\r\n\r\n--q--",
                "more than 2 parts",
            ),
        ] {
            let error = of(kind, body).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
