//! For each term, in which cases of a segment it stands, and how often.
//!
//! While a segment grows, each term has a list of its own. A full segment never gets another case: its
//! lists are laid one behind another, without room to grow, and found by binary search.

use std::collections::HashMap;

/// One case of a list: its place in the segment, and how often it has the term (255 for 255 and more). Three
/// bytes, in the order of the places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting([u8; 3]);

impl Posting {
    /// A case that has the term so often.
    pub fn new(place: u16, count: u32) -> Posting {
        let [low, high] = place.to_le_bytes();
        Posting([low, high, count.min(255) as u8])
    }

    /// Its place in the segment.
    pub fn place(self) -> u16 {
        u16::from_le_bytes([self.0[0], self.0[1]])
    }

    /// How often it has the term.
    pub fn count(self) -> f32 {
        f32::from(self.0[2])
    }
}

/// The lists of a segment.
#[derive(Debug, Clone)]
pub enum Lists {
    /// It grows.
    Open(HashMap<u32, Vec<Posting>>),
    /// It is full.
    Sealed {
        /// In rising order.
        terms: Vec<u32>,
        /// Where the list of each ends.
        ends: Vec<u32>,
        /// All lists, one behind another.
        postings: Vec<Posting>,
    },
}

impl Default for Lists {
    fn default() -> Lists {
        Lists::Open(HashMap::new())
    }
}

impl Lists {
    /// Adds a case, which stands behind all that were added before. A full segment takes none.
    pub fn add(&mut self, term: u32, posting: Posting) {
        if let Lists::Open(lists) = self {
            lists.entry(term).or_default().push(posting);
        }
    }

    /// The list of a term; empty where no case has it.
    pub fn get(&self, term: u32) -> &[Posting] {
        match self {
            Lists::Open(lists) => lists.get(&term).map_or(&[], Vec::as_slice),
            Lists::Sealed { terms, ends, postings } => match terms.binary_search(&term) {
                Ok(at) => {
                    let start = at.checked_sub(1).map_or(0, |before| ends[before] as usize);
                    &postings[start..ends[at] as usize]
                }
                Err(_) => &[],
            },
        }
    }

    /// How often a case has a term; nothing where it does not.
    pub fn count(&self, term: u32, place: u16) -> Option<f32> {
        let list = self.get(term);
        let at = list.binary_search_by_key(&place, |posting| posting.place()).ok()?;
        Some(list[at].count())
    }

    /// Hands over every list, in any order.
    pub fn for_each(&self, mut visit: impl FnMut(u32, &[Posting])) {
        match self {
            Lists::Open(lists) => lists.iter().for_each(|(term, list)| visit(*term, list)),
            Lists::Sealed { terms, ends, postings } => {
                let mut start = 0;
                for (term, end) in terms.iter().zip(ends) {
                    visit(*term, &postings[start..*end as usize]);
                    start = *end as usize;
                }
            }
        }
    }

    /// Lays the lists one behind another.
    pub fn seal(&mut self) {
        let Lists::Open(lists) = self else { return };
        let mut all: Vec<(u32, Vec<Posting>)> = std::mem::take(lists).into_iter().collect();
        all.sort_unstable_by_key(|(term, _)| *term);
        let total = all.iter().map(|(_, list)| list.len()).sum();
        let (mut terms, mut ends) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        let mut postings = Vec::with_capacity(total);
        for (term, list) in all {
            terms.push(term);
            postings.extend(list);
            ends.push(postings.len() as u32);
        }
        *self = Lists::Sealed { terms, ends, postings };
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        match self {
            Lists::Open(lists) => lists.values().map(|list| 40 + 3 * list.capacity()).sum(),
            Lists::Sealed { terms, ends, postings } => 4 * terms.len() + 4 * ends.len() + 3 * postings.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_segment_says_what_an_open_one_says() {
        let mut lists = Lists::default();
        for (term, place, count) in [(7, 0, 1), (2, 0, 300), (7, 9, 2), (7, 65_535, 4), (1, 3, 1)] {
            lists.add(term, Posting::new(place, count));
        }
        let open = lists.clone();
        lists.seal();
        for term in 0..9 {
            assert_eq!(open.get(term), lists.get(term), "{term}");
        }
        assert_eq!(lists.count(7, 65_535), Some(4.0));
        assert_eq!((lists.count(7, 10), lists.count(2, 0), lists.count(3, 0)), (None, Some(255.0), None));
        let mut seen = Vec::new();
        lists.for_each(|term, list| seen.push((term, list.len())));
        assert_eq!(seen, [(1, 1), (2, 1), (7, 3)]);
        lists.seal();
        assert_eq!(lists.get(7).len(), 3);
    }
}
