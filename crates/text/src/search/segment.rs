//! A piece of the index: up to [`ROOM`] cases with their lists and vectors.
//!
//! Cases are only ever added behind the others, so that lists stay in order; one that is deleted or
//! replaced is marked and skipped. A segment is small enough that the scores of all its cases lie in a
//! processor's cache, and that making it anew without the marked ones takes a moment. Segments are
//! searched side by side.

use nn::coded_rows::CodedRows;

use super::lists::{Lists, Posting};

/// Most cases of a segment.
pub const ROOM: usize = 1 << 15;

/// A case as the index takes it in.
#[derive(Debug, Clone, Default)]
pub struct Entry<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its attributes as a JSON object.
    pub attributes: &'a str,
    /// Its terms by their numbers, each with how often it has it.
    pub terms: &'a [(u32, u32)],
    /// Its attributes' values by their numbers.
    pub values: &'a [u32],
    /// Number of its terms, repeats included.
    pub length: u32,
    /// A digest of all that is read of it.
    pub digest: u64,
}

/// Up to [`ROOM`] cases.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// Of each case: length of the identifier (two bytes), identifier, attributes.
    records: Vec<Box<[u8]>>,
    lengths: Vec<u32>,
    digests: Vec<u64>,
    /// A bit for each case that is deleted.
    dead: Vec<u64>,
    dead_count: usize,
    pub(super) terms: Lists,
    pub(super) values: Lists,
    /// One row a case, once the first has a vector.
    vectors: Option<CodedRows>,
    /// A bit for each case that has a vector.
    with_vector: Vec<u64>,
    /// A bit for each case that was given a vector, were it one that says nothing.
    given: Vec<u64>,
}

impl Segment {
    /// Number of cases, deleted ones included.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of deleted cases.
    pub fn dead_count(&self) -> usize {
        self.dead_count
    }

    /// Whether the case at this place is there.
    pub fn lives(&self, place: usize) -> bool {
        !bit(&self.dead, place)
    }

    /// The identifier of a case.
    pub fn id(&self, place: usize) -> &str {
        let record = &self.records[place];
        let end = 2 + usize::from(u16::from_le_bytes([record[0], record[1]]));
        // It was made from text.
        std::str::from_utf8(&record[2..end]).unwrap_or_default()
    }

    /// The attributes of a case as a JSON object.
    pub fn attributes(&self, place: usize) -> &str {
        let record = &self.records[place];
        let start = 2 + usize::from(u16::from_le_bytes([record[0], record[1]]));
        std::str::from_utf8(&record[start..]).unwrap_or_default()
    }

    /// Number of terms of a case, repeats included.
    pub fn length(&self, place: usize) -> u32 {
        self.lengths[place]
    }

    /// A digest of all that was read of a case.
    pub fn digest(&self, place: usize) -> u64 {
        self.digests[place]
    }

    /// Adds a case and says where. The caller sees to it that there is room.
    pub fn add(&mut self, entry: &Entry) -> usize {
        let place = self.records.len();
        let mut record = Vec::with_capacity(2 + entry.id.len() + entry.attributes.len());
        record.extend(u16::try_from(entry.id.len()).unwrap_or(u16::MAX).to_le_bytes());
        record.extend(entry.id.as_bytes());
        record.extend(entry.attributes.as_bytes());
        self.records.push(record.into_boxed_slice());
        self.lengths.push(entry.length);
        self.digests.push(entry.digest);
        let words = self.records.len().div_ceil(64);
        self.dead.resize(words, 0);
        self.with_vector.resize(words, 0);
        self.given.resize(words, 0);
        for (term, count) in entry.terms {
            self.terms.add(*term, Posting::new(place as u16, *count));
        }
        for value in entry.values {
            self.values.add(*value, Posting::new(place as u16, 1));
        }
        if let Some(vectors) = &mut self.vectors {
            vectors.grow(place + 1);
        }
        if self.records.len() == ROOM {
            self.seal();
        }
        place
    }

    /// Gives back the room to grow.
    fn seal(&mut self) {
        self.terms.seal();
        self.values.seal();
        self.records.shrink_to_fit();
        self.lengths.shrink_to_fit();
        self.digests.shrink_to_fit();
        if let Some(vectors) = &mut self.vectors {
            vectors.shrink();
        }
    }

    /// Marks a case as deleted.
    pub fn delete(&mut self, place: usize) {
        if self.lives(place) {
            set(&mut self.dead, place);
            self.dead_count += 1;
        }
    }

    /// Gives a case its vector, of length 1.
    pub fn set_vector(&mut self, place: usize, vector: &[f32]) {
        let rows = self.records.len();
        let vectors = self.vectors.get_or_insert_with(|| CodedRows::new(vector.len()));
        vectors.grow(rows);
        vectors.set(place, vector);
        set(&mut self.with_vector, place);
        if rows == ROOM {
            vectors.shrink();
        }
    }

    /// Notes that a case was given a vector, be it one that says nothing.
    pub fn note_given(&mut self, place: usize) {
        set(&mut self.given, place);
    }

    /// Whether a case was given a vector.
    pub fn was_given(&self, place: usize) -> bool {
        bit(&self.given, place)
    }

    /// Whether a case has a vector.
    pub fn has_vector(&self, place: usize) -> bool {
        bit(&self.with_vector, place)
    }

    /// The vectors, if any case has one.
    pub fn vectors(&self) -> Option<&CodedRows> {
        self.vectors.as_ref()
    }

    /// Drops all vectors.
    pub fn drop_vectors(&mut self) {
        self.vectors = None;
        self.with_vector.fill(0);
        self.given.fill(0);
    }

    /// How many living cases a term's list names.
    pub fn living(&self, list: &[Posting]) -> usize {
        match self.dead_count {
            0 => list.len(),
            _ => list.iter().filter(|posting| self.lives(usize::from(posting.place()))).count(),
        }
    }

    /// The same without the deleted cases.
    pub fn without_dead(&self) -> Segment {
        let mut new = Segment::default();
        // Of each case its new place.
        let mut places = vec![None; self.len()];
        let mut vectors = self.vectors.as_ref().map(|vectors| CodedRows::new(vectors.columns()));
        for place in (0..self.len()).filter(|place| self.lives(*place)) {
            let to = new.records.len();
            places[place] = Some(to as u16);
            new.records.push(self.records[place].clone());
            new.lengths.push(self.lengths[place]);
            new.digests.push(self.digests[place]);
            let words = new.records.len().div_ceil(64);
            new.with_vector.resize(words, 0);
            new.given.resize(words, 0);
            if self.was_given(place) {
                set(&mut new.given, to);
            }
            if let (Some(old), Some(new_rows)) = (&self.vectors, &mut vectors) {
                new_rows.grow(to + 1);
                if self.has_vector(place) {
                    new_rows.copy(to, old, place);
                    set(&mut new.with_vector, to);
                }
            }
        }
        new.dead = vec![0; new.records.len().div_ceil(64)];
        new.vectors = vectors;
        for (old, new) in [(&self.terms, &mut new.terms), (&self.values, &mut new.values)] {
            old.for_each(|term, list| {
                for posting in list {
                    if let Some(place) = places[usize::from(posting.place())] {
                        new.add(term, Posting::new(place, posting.count() as u32));
                    }
                }
            });
        }
        new
    }

    /// Bytes of memory, about: of the vectors, and of all else.
    pub fn bytes(&self) -> (usize, usize) {
        let records: usize = self.records.iter().map(|record| 16 + record.len()).sum();
        let rest = records + 12 * self.lengths.len() + self.terms.bytes() + self.values.bytes();
        (self.vectors.as_ref().map_or(0, CodedRows::bytes), rest)
    }
}

/// Whether a bit is set; none is beyond the end.
pub(super) fn bit(bits: &[u64], place: usize) -> bool {
    bits.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
}

/// Sets a bit, which is there.
pub(super) fn set(bits: &mut [u64], place: usize) {
    bits[place / 64] |= 1 << (place % 64);
}
