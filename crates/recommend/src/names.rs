//! Numbers for identifiers. A matrix holds 32-bit numbers where the world has strings; this is
//! the table between them.
//!
//! The names known when a matrix was built are sorted, so that for those the order of the
//! numbers is the order of the identifiers, and the table needs no hash beside it. Names that
//! came later follow in order of arrival until the next rebuild. [`Names::compare`] hides the
//! seam: answers depend on identifiers, never on when they arrived.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// An immutable-by-sharing table of names: a clone is two reference counts, and a clone that
/// learns new names leaves the original as it was.
#[derive(Debug, Clone, Default)]
pub struct Names {
    sorted: Arc<Vec<Box<str>>>,
    later: Arc<Later>,
}

#[derive(Debug, Clone, Default)]
struct Later {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Names {
    /// A table of these names. They must be sorted and distinct.
    pub fn from_sorted(sorted: Vec<Box<str>>) -> Self {
        debug_assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]));
        Self { sorted: Arc::new(sorted), later: Arc::default() }
    }

    pub fn len(&self) -> usize {
        self.sorted.len() + self.later.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many names came after the last rebuild.
    pub fn later_len(&self) -> usize {
        self.later.names.len()
    }

    pub fn get(&self, name: &str) -> Option<u32> {
        match self.sorted.binary_search_by(|probe| probe.as_ref().cmp(name)) {
            Ok(number) => Some(number as u32),
            Err(_) => self.later.numbers.get(name).copied(),
        }
    }

    /// The name of a number this table gave out.
    pub fn name(&self, number: u32) -> &str {
        let number = number as usize;
        match self.sorted.get(number) {
            Some(name) => name,
            None => &self.later.names[number - self.sorted.len()],
        }
    }

    /// Whether the other table is this one: then both give the same numbers, and know no more
    /// than each other.
    pub fn is_same(&self, other: &Names) -> bool {
        Arc::ptr_eq(&self.sorted, &other.sorted) && Arc::ptr_eq(&self.later, &other.later)
    }

    /// The number of a name, new if the name is.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(number) = self.get(name) {
            return number;
        }
        let number = self.len() as u32;
        let name: Arc<str> = name.into();
        let later = Arc::make_mut(&mut self.later);
        later.names.push(Arc::clone(&name));
        later.numbers.insert(name, number);
        number
    }

    /// The order of two numbers' identifiers, in bytes of UTF-8.
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        let sorted = self.sorted.len() as u32;
        if a < sorted && b < sorted { a.cmp(&b) } else { self.name(a).cmp(self.name(b)) }
    }

    /// A sorted table of the names that `keep` keeps, and for each old number the new one
    /// ([`GONE`] where it was not kept).
    pub fn rebuilt(&self, mut keep: impl FnMut(u32) -> bool) -> (Names, Vec<u32>) {
        let mut kept: Vec<u32> = (0..self.len() as u32).filter(|&number| keep(number)).collect();
        kept.sort_by(|&a, &b| self.compare(a, b));
        let mut renumbered = vec![GONE; self.len()];
        for (new, &old) in kept.iter().enumerate() {
            renumbered[old as usize] = new as u32;
        }
        let sorted = kept.into_iter().map(|old| self.name(old).into()).collect();
        (Names::from_sorted(sorted), renumbered)
    }
}

/// The new number of a name that a rebuild left out.
pub const GONE: u32 = u32::MAX;

/// Gives out numbers during a load, where names come in any order and tens of millions of times.
#[derive(Debug, Default)]
pub struct Interner {
    numbers: HashMap<Box<str>, u32>,
    /// The last name asked for and its number: a scan in order of items or of users asks for the
    /// same one again and again.
    last: String,
    last_number: u32,
}

impl Interner {
    pub fn intern(&mut self, name: &str) -> u32 {
        if self.last == name && !self.numbers.is_empty() {
            return self.last_number;
        }
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None => {
                let number = self.numbers.len() as u32;
                self.numbers.insert(name.into(), number);
                number
            }
        };
        self.last.clear();
        self.last.push_str(name);
        self.last_number = number;
        number
    }

    /// The sorted table, and for each number given out the final one.
    pub fn finish(self) -> (Names, Vec<u32>) {
        let mut pairs: Vec<(Box<str>, u32)> = self.numbers.into_iter().collect();
        pairs.sort_unstable();
        let mut renumbered = vec![GONE; pairs.len()];
        for (new, (_, old)) in pairs.iter().enumerate() {
            renumbered[*old as usize] = new as u32;
        }
        (Names::from_sorted(pairs.into_iter().map(|(name, _)| name).collect()), renumbered)
    }
}
