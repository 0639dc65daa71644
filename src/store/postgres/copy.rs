//! The binary form of Postgres' COPY, both ways.
//!
//! A stream is a header, rows, and a trailer. A row is the number of its fields (16 bits) and
//! for each its length (32 bits, -1 for NULL) and its bytes, all in network order.
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// What is wrong with a stream; it would be a defect of ours or of the server's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("COPY stream: {0}")]
pub(super) struct CopyError(&'static str);

/// Takes a stream in chunks cut anywhere and gives out whole rows.
#[derive(Default)]
pub(super) struct RowReader {
    /// The beginning of something whose end has not come yet.
    rest: Vec<u8>,
    past_header: bool,
    past_trailer: bool,
}

impl RowReader {
    /// Calls `row` with the `N` fields of each row that is complete with this chunk.
    pub fn read<const N: usize>(
        &mut self,
        chunk: &[u8],
        mut row: impl FnMut([&[u8]; N]) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let mut joined = Vec::new();
        let mut bytes = chunk;
        if !self.rest.is_empty() {
            joined.append(&mut self.rest);
            joined.extend_from_slice(chunk);
            bytes = &joined;
        }
        while let Some(used) = self.take(bytes, &mut row)? {
            bytes = &bytes[used..];
        }
        self.rest = bytes.to_vec();
        Ok(())
    }

    /// Whether the trailer has come and nothing was left over.
    pub fn is_complete(&self) -> bool {
        self.past_trailer && self.rest.is_empty()
    }

    /// Takes the header, a row or the trailer off the front and says how many bytes that was, or
    /// `None` if it is not all there.
    fn take<const N: usize>(
        &mut self,
        bytes: &[u8],
        row: &mut impl FnMut([&[u8]; N]) -> Result<(), CopyError>,
    ) -> Result<Option<usize>, CopyError> {
        if self.past_trailer {
            return if bytes.is_empty() { Ok(None) } else { Err(CopyError("bytes after its end")) };
        }
        if !self.past_header {
            // Signature, flags, length of the extension, extension.
            let Some(extension) = bytes.get(15..19) else {
                return Ok(None);
            };
            if !bytes.starts_with(SIGNATURE) {
                return Err(CopyError("no signature"));
            }
            let length = 19 + u32::from_be_bytes(array(extension)) as usize;
            self.past_header = bytes.len() >= length;
            return Ok(self.past_header.then_some(length));
        }
        let Some(count) = bytes.get(..2) else {
            return Ok(None);
        };
        let count = i16::from_be_bytes(array(count));
        if count == -1 {
            self.past_trailer = true;
            return Ok(Some(2));
        }
        if usize::try_from(count) != Ok(N) {
            return Err(CopyError("a row of another width"));
        }
        let mut fields: [&[u8]; N] = [&[]; N];
        let mut at = 2;
        for field in &mut fields {
            let Some(length) = bytes.get(at..at + 4) else {
                return Ok(None);
            };
            let length = usize::try_from(i32::from_be_bytes(array(length)))
                .map_err(|_| CopyError("a NULL where none can be"))?;
            at += 4;
            let Some(value) = bytes.get(at..at + length) else {
                return Ok(None);
            };
            *field = value;
            at += length;
        }
        row(fields)?;
        Ok(Some(at))
    }
}

/// Readings of a field's bytes.
pub(super) mod columns {
    use super::{CopyError, array};

    pub fn text(bytes: &[u8]) -> Result<&str, CopyError> {
        std::str::from_utf8(bytes).map_err(|_| CopyError("text that is not UTF-8"))
    }

    /// `bigint`, or `timestamptz` as microseconds since 2000.
    pub fn bigint(bytes: &[u8]) -> Result<i64, CopyError> {
        if bytes.len() == 8 {
            Ok(i64::from_be_bytes(array(bytes)))
        } else {
            Err(CopyError("a bigint of another width"))
        }
    }

    pub fn real(bytes: &[u8]) -> Result<f32, CopyError> {
        if bytes.len() == 4 {
            Ok(f32::from_be_bytes(array(bytes)))
        } else {
            Err(CopyError("a real of another width"))
        }
    }
}

/// The bytes as an array; the caller has checked the length.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

/// Writes a stream.
pub(super) struct RowWriter {
    bytes: Vec<u8>,
}

impl RowWriter {
    pub fn new() -> Self {
        let mut bytes = SIGNATURE.to_vec();
        // No flags, no extension.
        bytes.extend_from_slice(&[0; 8]);
        Self { bytes }
    }

    /// Begins a row; `fields` calls of [`Self::field`] follow.
    pub fn row(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
    }

    /// One field of the row, in the binary form of its type.
    pub fn field(&mut self, value: &[u8]) {
        // Identifiers and numbers: far below the two gigabytes the format allows.
        let length = value.len() as i32;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// The stream, with its trailer.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut writer = RowWriter::new();
        for (id, number) in [("u1", 7i64), ("", -1), ("ü ß", i64::MAX)] {
            writer.row(2);
            writer.field(id.as_bytes());
            writer.field(&number.to_be_bytes());
        }
        writer.finish()
    }

    #[test]
    fn rows_come_whole_however_the_stream_is_cut() {
        let stream = stream();
        for size in 1..=stream.len() {
            let mut reader = RowReader::default();
            let mut rows = Vec::new();
            for chunk in stream.chunks(size) {
                reader
                    .read(chunk, |[id, number]: [&[u8]; 2]| {
                        rows.push((columns::text(id)?.to_owned(), columns::bigint(number)?));
                        Ok(())
                    })
                    .unwrap();
            }
            assert!(reader.is_complete(), "chunks of {size}");
            let expected = [("u1", 7), ("", -1), ("ü ß", i64::MAX)];
            assert_eq!(rows, expected.map(|(id, number)| (id.to_owned(), number)));
        }
    }

    #[test]
    fn a_stream_cut_off_is_not_complete_and_a_wrong_one_is_an_error() {
        let stream = stream();
        let ignore = |_: [&[u8]; 2]| Ok(());
        let mut reader = RowReader::default();
        reader.read(&stream[..stream.len() - 1], ignore).unwrap();
        assert!(!reader.is_complete());

        let mut reader = RowReader::default();
        let error = reader.read(&stream, |_: [&[u8]; 3]| Ok(())).unwrap_err();
        assert_eq!(error, CopyError("a row of another width"));

        let mut reader = RowReader::default();
        assert!(reader.read(&[b'x'; 40], ignore).is_err());
    }
}
