//! The index over all cases: what is added, replaced and deleted.
//!
//! Everything that a search needs is in memory but the texts. What a case is found by is prepared
//! beforehand ([`Prepared`]), so that whoever holds the index for writing holds it for microseconds. How
//! many cases have a term, and how long cases are, is counted over those that are there: an answer does
//! not depend on what was there before, nor on the order in which cases came.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use hashbrown::HashTable;

use super::analysis;
use super::attributes::{self, Attributes};
use super::ranking::Ranking;
use super::segment::{Entry, ROOM, Segment};

/// A case, prepared to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    id: String,
    attributes: String,
    names: BTreeSet<String>,
    values: BTreeSet<String>,
    terms: BTreeMap<String, u32>,
    length: u32,
    digest: u64,
}

impl Prepared {
    /// Reads a text and its attributes.
    pub fn new(id: &str, text: &str, attributes: &Attributes) -> Prepared {
        let mut terms: HashMap<String, u32> = HashMap::new();
        let mut length = 0;
        let normal = analysis::normal(text);
        analysis::for_each_term(&normal, |term, _| {
            length += 1;
            match terms.get_mut(term) {
                Some(count) => *count += 1,
                None => {
                    terms.insert(term.to_string(), 1);
                }
            }
        });
        let attributes_json = serde_json::to_string(attributes).unwrap_or_default();
        let mut digest = DefaultHasher::new();
        (text, &attributes_json).hash(&mut digest);
        Prepared {
            id: id.to_string(),
            attributes: attributes_json,
            names: attributes.keys().cloned().collect(),
            values: attributes::keys(attributes),
            terms: terms.into_iter().collect(),
            length,
            digest: digest.finish(),
        }
    }

    /// Whose it is.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Numbers of strings, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    of: HashMap<Box<str>, u32>,
    next: u32,
}

impl Numbers {
    pub(super) fn get(&self, text: &str) -> Option<u32> {
        self.of.get(text).copied()
    }

    fn make(&mut self, text: &str) -> u32 {
        if let Some(number) = self.of.get(text) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.of.insert(text.into(), number);
        number
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Cases.
    pub cases: usize,
    /// Those with a vector.
    pub with_vector: usize,
    /// Bytes of memory of the vectors, about.
    pub vector_bytes: usize,
    /// Bytes of memory of all else, about.
    pub other_bytes: usize,
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) segments: Vec<Segment>,
    pub(super) terms: Numbers,
    pub(super) values: Numbers,
    /// How many cases have an attribute of this name.
    names: BTreeMap<String, usize>,
    /// Segment and place of each identifier, in one number.
    places: HashTable<u32>,
    hasher: RandomState,
    pub(super) cases: usize,
    pub(super) total_length: u64,
    with_vector: usize,
    /// Numbers in a vector, once there is one.
    dimensions: Option<usize>,
    pub(super) ranking: Ranking,
}

fn joined(segment: usize, place: usize) -> u32 {
    (segment * ROOM + place) as u32
}

fn parts(joined: u32) -> (usize, usize) {
    (joined as usize / ROOM, joined as usize % ROOM)
}

impl Index {
    /// An empty one.
    pub fn new() -> Index {
        Index::default()
    }

    /// Changes the weights.
    pub fn set_ranking(&mut self, ranking: Ranking) {
        self.ranking = ranking;
    }

    fn find(&self, id: &str) -> Option<(usize, usize)> {
        let hash = self.hasher.hash_one(id);
        let same = |at: &u32| {
            let (segment, place) = parts(*at);
            self.segments[segment].id(place) == id
        };
        self.places.find(hash, same).map(|at| parts(*at))
    }

    /// Whether a case is in it.
    pub fn contains(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Whether a case is in it and has a vector.
    pub fn has_vector(&self, id: &str) -> bool {
        self.find(id).is_some_and(|(segment, place)| self.segments[segment].has_vector(place))
    }

    /// Adds a case, or replaces it, its vector too. One that is there, the same in text and attributes,
    /// stays, and gets the vector if it has none.
    pub fn put(&mut self, case: &Prepared, vector: Option<&[f32]>) {
        if let Some((segment, place)) = self.find(&case.id)
            && self.segments[segment].digest(place) == case.digest
        {
            if let Some(vector) = vector.filter(|_| !self.segments[segment].was_given(place)) {
                self.set_vector(&case.id, vector);
            }
            return;
        }
        self.remove(&case.id);
        let terms: Vec<(u32, u32)> =
            case.terms.iter().map(|(term, count)| (self.terms.make(term), *count)).collect();
        let values: Vec<u32> = case.values.iter().map(|value| self.values.make(value)).collect();
        for name in &case.names {
            *self.names.entry(name.clone()).or_default() += 1;
        }
        let entry = Entry {
            id: &case.id,
            attributes: &case.attributes,
            terms: &terms,
            values: &values,
            length: case.length,
            digest: case.digest,
        };
        // Places rise in a segment, so any one with room will do.
        let segment = match self.segments.iter().rposition(|segment| segment.len() < ROOM) {
            Some(segment) => segment,
            None => {
                self.segments.push(Segment::default());
                self.segments.len() - 1
            }
        };
        let place = self.segments[segment].add(&entry);
        let hash = self.hasher.hash_one(case.id.as_str());
        let (segments, hasher) = (&self.segments, &self.hasher);
        let again = |at: &u32| {
            let (segment, place) = parts(*at);
            hasher.hash_one(segments[segment].id(place))
        };
        self.places.insert_unique(hash, joined(segment, place), again);
        self.cases += 1;
        self.total_length += u64::from(case.length);
        if let Some(vector) = vector {
            self.set_vector(&case.id, vector);
        }
    }

    /// Gives a case its vector, which is made to have length 1. One of another number of dimensions than
    /// the others, or without a direction, is not kept; says whether it was.
    pub fn set_vector(&mut self, id: &str, vector: &[f32]) -> bool {
        let Some((segment, place)) = self.find(id) else { return false };
        self.segments[segment].note_given(place);
        if vector.len() != *self.dimensions.get_or_insert(vector.len()) {
            return false;
        }
        let Some(vector) = unit(vector) else { return false };
        self.with_vector += usize::from(!self.segments[segment].has_vector(place));
        self.segments[segment].set_vector(place, &vector);
        true
    }

    /// Asks for no vector of a case any more.
    pub fn give_up(&mut self, id: &str) {
        if let Some((segment, place)) = self.find(id) {
            self.segments[segment].note_given(place);
        }
    }

    /// Drops all vectors, for those of another model.
    pub fn drop_vectors(&mut self) {
        self.segments.iter_mut().for_each(Segment::drop_vectors);
        (self.with_vector, self.dimensions) = (0, None);
    }

    /// Removes a case; says whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        let segments = &self.segments;
        let same = |at: &u32| {
            let (segment, place) = parts(*at);
            segments[segment].id(place) == id
        };
        let Ok(entry) = self.places.find_entry(hash, same) else { return false };
        let (segment, place) = parts(entry.remove().0);
        let segment = &mut self.segments[segment];
        self.cases -= 1;
        self.total_length -= u64::from(segment.length(place));
        self.with_vector -= usize::from(segment.has_vector(place));
        let attributes: Attributes = serde_json::from_str(segment.attributes(place)).unwrap_or_default();
        for name in attributes.keys() {
            if let Some(count) = self.names.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.names.remove(name);
                }
            }
        }
        segment.delete(place);
        // Marked cases cost every search a look.
        if segment.dead_count() > ROOM / 4 {
            self.tidy();
        }
        true
    }

    /// Whether what was deleted is still in memory somewhere.
    pub fn is_untidy(&self) -> bool {
        self.segments.iter().any(|segment| segment.dead_count() > 0)
    }

    /// Makes the segment with the most deleted cases anew without them. Takes up to some tenths of a second.
    pub fn tidy(&mut self) {
        let worst = (0..self.segments.len()).max_by_key(|segment| self.segments[*segment].dead_count());
        let Some(worst) = worst.filter(|worst| self.segments[*worst].dead_count() > 0) else { return };
        let new = self.segments[worst].without_dead();
        self.places.retain(|at| parts(*at).0 != worst);
        self.segments[worst] = new;
        for place in 0..self.segments[worst].len() {
            let hash = self.hasher.hash_one(self.segments[worst].id(place));
            let (segments, hasher) = (&self.segments, &self.hasher);
            let again = |at: &u32| {
                let (segment, place) = parts(*at);
                hasher.hash_one(segments[segment].id(place))
            };
            self.places.insert_unique(hash, joined(worst, place), again);
        }
        if !self.is_untidy() {
            self.forget_unused();
        }
    }

    /// Forgets terms and values that no case has: they may be words of what was erased.
    fn forget_unused(&mut self) {
        let (mut terms, mut values) =
            (vec![false; self.terms.next as usize], vec![false; self.values.next as usize]);
        for segment in &self.segments {
            segment.terms.for_each(|term, _| terms[term as usize] = true);
            segment.values.for_each(|value, _| values[value as usize] = true);
        }
        self.terms.of.retain(|_, number| terms[*number as usize]);
        self.values.of.retain(|_, number| values[*number as usize]);
    }

    /// Numbers in a vector, once there is one.
    pub fn dimensions(&self) -> Option<usize> {
        self.dimensions
    }

    /// Names of attributes that cases have, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether a case has an attribute of this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// How much there is. Walks over everything.
    pub fn sizes(&self) -> Sizes {
        let bytes: Vec<(usize, usize)> = self.segments.iter().map(Segment::bytes).collect();
        let dictionary: usize =
            self.terms.of.keys().chain(self.values.of.keys()).map(|text| 40 + text.len()).sum();
        Sizes {
            vector_bytes: bytes.iter().map(|(vectors, _)| vectors).sum(),
            other_bytes: bytes.iter().map(|(_, rest)| rest).sum::<usize>() + dictionary + 8 * self.cases,
            ..self.counts()
        }
    }

    /// How many cases there are, without the memory.
    pub fn counts(&self) -> Sizes {
        Sizes { cases: self.cases, with_vector: self.with_vector, ..Sizes::default() }
    }

    /// Identifiers of cases that were given no vector yet, at most `limit`.
    pub fn without_vector(&self, limit: usize) -> Vec<String> {
        if self.with_vector == self.cases {
            return Vec::new();
        }
        let places = self.segments.iter().flat_map(|segment| {
            let left = |place: &usize| segment.lives(*place) && !segment.was_given(*place);
            (0..segment.len()).filter(left).map(|place| segment.id(place).to_string())
        });
        places.take(limit).collect()
    }
}

/// The vector with length 1; nothing for one that has no direction.
pub(super) fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let fits = length.is_finite() && length > 0.0;
    fits.then(|| vector.iter().map(|value| (f64::from(*value) / length) as f32).collect())
}
