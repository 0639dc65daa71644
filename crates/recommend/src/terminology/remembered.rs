//! What texts were found to mean, kept for the next time: a hospital's records say the same few thousand things again and
//! again, and reading one takes as long as a whole request else does. A meaning depends on nothing but the terms, so it
//! is as right the next time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;

use super::{Field, Meaning};

/// Most texts of a list that are kept, and the bytes of the longest: a record that is taken in asks for each of its texts
/// several times.
const MOST: usize = 4096;
const LONGEST: usize = 600;

/// What is known of texts.
type Known<T> = HashMap<Box<str>, T, RandomState>;

/// The meanings of texts, and the known words that are very like them, by the list in which they stand.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    lists: [RwLock<Known<Arc<Meaning>>>; 3],
    near: [RwLock<Known<Option<Arc<str>>>>; 3],
}

impl Remembered {
    /// What the text means, read where it has not been read before.
    pub(super) fn or_read(&self, field: Field, text: &str, read: impl FnOnce() -> Meaning) -> Meaning {
        let known: Arc<Meaning> = kept(&self.lists[field as usize], text, || Arc::new(read()));
        Meaning::clone(&known)
    }

    /// The known word that is very like this one, looked for where it has not been before.
    pub(super) fn or_look(
        &self,
        field: Field,
        text: &str,
        look: impl FnOnce() -> Option<Arc<str>>,
    ) -> Option<Arc<str>> {
        kept(&self.near[field as usize], text, look)
    }
}

fn kept<T: Clone>(list: &RwLock<Known<T>>, text: &str, find: impl FnOnce() -> T) -> T {
    if text.len() > LONGEST {
        return find();
    }
    let known = list.read().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
    if let Some(known) = known {
        return known;
    }
    let found = find();
    let mut list = list.write().unwrap_or_else(PoisonError::into_inner);
    // To begin anew costs a few readings; to find what was used least, a bookkeeping of each.
    if list.len() >= MOST {
        list.clear();
    }
    list.insert(text.into(), found.clone());
    found
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
