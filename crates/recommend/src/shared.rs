//! Two collections whose copies share what did not change. A snapshot holds every profile and
//! every item; a write must not copy them all.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const CHUNK: usize = 64;
const SHARDS: usize = 512;

/// Values by number, in chunks: setting one copies its chunk and the list of chunks.
#[derive(Debug, Clone)]
pub struct ByNumber<T> {
    chunks: Vec<Arc<[Option<Arc<T>>; CHUNK]>>,
}

impl<T> Default for ByNumber<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> ByNumber<T> {
    pub fn get(&self, number: u32) -> Option<&Arc<T>> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?[number % CHUNK].as_ref()
    }

    pub fn set(&mut self, number: u32, value: Option<Arc<T>>) {
        let number = number as usize;
        while self.chunks.len() <= number / CHUNK {
            self.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        Arc::make_mut(&mut self.chunks[number / CHUNK])[number % CHUNK] = value;
    }

    /// All values, in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<T>)> {
        let slots = self.chunks.iter().flat_map(|chunk| chunk.iter());
        slots.enumerate().filter_map(|(number, value)| Some((number as u32, value.as_ref()?)))
    }
}

type Shard<T> = HashMap<Box<str>, Arc<T>>;

/// Values by name, in shards: setting one copies its shard and the list of shards.
#[derive(Debug, Clone)]
pub struct ByName<T> {
    shards: Vec<Arc<Shard<T>>>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Arc::default()).collect() }
    }
}

impl<T> ByName<T> {
    fn shard(name: &str) -> usize {
        // The map within hashes with keys of its own, so this choice does not crowd its buckets.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish() as usize % SHARDS
    }

    pub fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.shards[Self::shard(name)].get(name)
    }

    pub fn set(&mut self, name: &str, value: Option<Arc<T>>) {
        let shard = &mut self.shards[Self::shard(name)];
        match value {
            Some(value) => {
                Arc::make_mut(shard).insert(name.into(), value);
            }
            None if shard.contains_key(name) => {
                Arc::make_mut(shard).remove(name);
            }
            None => {}
        }
    }

    /// All values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<T>)> {
        let entries = self.shards.iter().flat_map(|shard| shard.iter());
        entries.map(|(name, value)| (name.as_ref(), value))
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_what_the_original_learns_later() {
        let mut numbers = ByNumber::default();
        numbers.set(70, Some(Arc::new("seventy")));
        let copy = numbers.clone();
        numbers.set(70, None);
        numbers.set(3, Some(Arc::new("three")));
        assert_eq!(copy.get(70).map(|v| **v), Some("seventy"));
        assert!(copy.get(3).is_none() && numbers.get(70).is_none());
        assert_eq!(numbers.iter().map(|(n, v)| (n, **v)).collect::<Vec<_>>(), [(3, "three")]);

        let mut names = ByName::default();
        names.set("a/b c", Some(Arc::new(1)));
        let copy = names.clone();
        names.set("a/b c", None);
        assert_eq!((copy.len(), names.len()), (1, 0));
    }
}
