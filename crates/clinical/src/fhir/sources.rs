//! Where resources were read that were put together, so that an error says in which file to look and not in which entry.

use super::bundle::{Bundle, FhirError};

/// The files of resources one a line that make a collection.
#[derive(Debug, Default)]
pub struct Sources {
    /// The number of entries up to the end of each, and its name.
    ends: Vec<(usize, String)>,
}

impl Sources {
    /// Puts the resources of a file behind those that are there.
    pub fn append(&mut self, all: &mut Bundle, lines: Bundle, name: String) {
        all.append(lines);
        self.ends.push((all.entries.len(), name));
    }

    /// What is wrong with one of them, and in which file and line.
    pub fn in_words(&self, all: &Bundle, error: &FhirError) -> String {
        let place = error.entry.and_then(|entry| {
            let (_, name) = self.ends.get(self.ends.partition_point(|(end, _)| *end <= entry))?;
            Some(format!("{name}: line {}", all.entries.get(entry)?.line?))
        });
        match place {
            Some(place) if error.path.is_empty() => format!("{place}: {}", error.detail),
            Some(place) => format!("{place}, {}: {}", error.path, error.detail),
            None => error.to_string(),
        }
    }
}
