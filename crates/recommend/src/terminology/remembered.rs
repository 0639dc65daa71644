//! What texts were found to mean, kept for the next time: a hospital's records say the same few thousand things again and
//! again, and reading one takes as long as a whole request else does. A meaning depends on nothing but the terms, so it
//! is as right the next time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;

use super::{Field, Meaning};

/// Most texts of a list that are kept, and the bytes of the longest: what nobody writes twice is not worth the memory.
const MOST: usize = 4096;
const LONGEST: usize = 200;

/// What texts mean.
type Meanings = HashMap<Box<str>, Arc<Meaning>, RandomState>;

/// The meanings of texts, by the list in which they stand.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    lists: [RwLock<Meanings>; 3],
}

impl Remembered {
    /// What the text means, read where it has not been read before.
    pub(super) fn or_read(&self, field: Field, text: &str, read: impl FnOnce() -> Meaning) -> Meaning {
        if text.len() > LONGEST {
            return read();
        }
        let list = &self.lists[field as usize];
        let known = list.read().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(known) = known {
            return Meaning::clone(&known);
        }
        let meaning = read();
        let mut list = list.write().unwrap_or_else(PoisonError::into_inner);
        // To begin anew costs a few readings; to find what was used least, a bookkeeping of each.
        if list.len() >= MOST {
            list.clear();
        }
        list.insert(text.into(), Arc::new(meaning.clone()));
        meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminology::Terminology;

    #[test]
    fn a_text_means_the_same_the_next_time_in_each_list_and_however_many_there_are() {
        let terminology = Terminology::default();
        let texts =
            ["penicillin", "ACE inhibitors", "type 2 diabetes", "zorblax", "amoxicillin / clavulanate"];
        for field in [Field::Allergy, Field::Medication, Field::Condition] {
            for text in texts {
                let first = terminology.understand(field, text);
                assert_eq!(first, Terminology::default().understand(field, text));
                assert_eq!(first, terminology.understand(field, text));
            }
        }
        let remembered = Remembered::default();
        for number in 0..2 * MOST + 1 {
            let meaning = || Meaning { known: number % 2 == 0, ..Meaning::default() };
            let read = remembered.or_read(Field::Allergy, &number.to_string(), meaning);
            assert_eq!(read.known, number % 2 == 0);
        }
        assert!(remembered.lists[0].read().unwrap().len() <= MOST);
        let long = "x".repeat(LONGEST + 1);
        remembered.or_read(Field::Condition, &long, Meaning::default);
        assert!(remembered.lists[2].read().unwrap().is_empty());
    }
}
