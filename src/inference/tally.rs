//! Answers counted in memory until they are written: by model and label, with the sum of their confidences.
//!
//! A request adds to two numbers and touches no lock. What is counted is taken out now and then and written to the
//! database by hour (`store::tallies`), where replicas and restarts meet; the hour is the one of the writing, so an
//! answer may be told half a minute late. The counters outlive their model: what was counted before it was taken
//! out of service is written as well.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Tallied;
use model::Manifest;

/// What a probability is counted in.
pub const MILLIONTHS: f64 = 1e6;

/// The counters of every model that was put into service.
static TALLIES: Mutex<Vec<Arc<Tally>>> = Mutex::new(Vec::new());

/// The counters of one version of a model.
pub struct Tally {
    model: String,
    version: String,
    labels: Vec<String>,
    /// By label, and last those of the answers that were withheld.
    cells: Vec<Cell>,
}

/// Answers, and the sum of their confidences in millionths.
#[derive(Default)]
struct Cell {
    answers: AtomicU64,
    confidence: AtomicU64,
}

/// Counters for the model that `manifest` describes.
pub fn begin(manifest: &Manifest) -> Arc<Tally> {
    let Manifest { name, version, labels, .. } = manifest;
    let cells = (0..=labels.len()).map(|_| Cell::default()).collect();
    let tally =
        Arc::new(Tally { model: name.clone(), version: version.clone(), labels: labels.clone(), cells });
    all().push(tally.clone());
    tally
}

/// Takes out what was counted since the last time, as counts of this hour.
pub fn take(hour: i64) -> Vec<Tallied> {
    let mut all = all();
    let mut taken = Vec::new();
    all.retain(|tally| {
        let before = taken.len();
        tally.take(hour, &mut taken);
        // Nobody else has it: the model is gone, and nothing will be counted any more.
        taken.len() > before || Arc::strong_count(tally) > 1
    });
    taken
}

/// Counts again what was taken and could not be written.
pub fn give_back(rows: &[Tallied]) {
    let all = all();
    for row in rows {
        if let Some(tally) = all.iter().find(|one| one.model == row.model && one.version == row.version) {
            tally.give_back(row);
        }
    }
}

fn all() -> MutexGuard<'static, Vec<Arc<Tally>>> {
    TALLIES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Counts an answer: the place of its label, none where it was withheld, and its highest probability.
    pub fn count(&self, label: Option<usize>, confidence: f32) {
        if let Some(cell) = self.cells.get(label.unwrap_or(self.labels.len())) {
            cell.answers.fetch_add(1, Ordering::Relaxed);
            // Between 0 and 1.
            let millionths = (f64::from(confidence).clamp(0.0, 1.0) * MILLIONTHS).round() as u64;
            cell.confidence.fetch_add(millionths, Ordering::Relaxed);
        }
    }

    fn take(&self, hour: i64, into: &mut Vec<Tallied>) {
        for (at, cell) in self.cells.iter().enumerate() {
            let answers = cell.answers.swap(0, Ordering::Relaxed);
            let confidence = cell.confidence.swap(0, Ordering::Relaxed);
            if answers > 0 || confidence > 0 {
                into.push(Tallied {
                    model: self.model.clone(),
                    version: self.version.clone(),
                    hour,
                    label: self.labels.get(at).cloned().unwrap_or_default(),
                    answers: answers.try_into().unwrap_or(i64::MAX),
                    confidence: confidence.try_into().unwrap_or(i64::MAX),
                });
            }
        }
    }

    fn give_back(&self, row: &Tallied) {
        let at = match row.label.as_str() {
            "" => Some(self.labels.len()),
            label => self.labels.iter().position(|known| known == label),
        };
        let Some(cell) = at.and_then(|at| self.cells.get(at)) else { return };
        cell.answers.fetch_add(row.answers.try_into().unwrap_or(0), Ordering::Relaxed);
        cell.confidence.fetch_add(row.confidence.try_into().unwrap_or(0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once_and_comes_back_where_it_was_not_written() {
        let labels = vec!["no".to_string(), "yes".to_string()];
        let cells = (0..3).map(|_| Cell::default()).collect();
        let tally = Tally { model: "m".into(), version: "1".into(), labels, cells };
        let taken = || {
            let mut rows = Vec::new();
            tally.take(7, &mut rows);
            rows
        };
        tally.count(Some(1), 0.75);
        tally.count(Some(1), 0.5);
        tally.count(None, 0.4);
        let rows = taken();
        let told: Vec<_> = rows.iter().map(|row| (row.label.as_str(), row.answers, row.confidence)).collect();
        assert_eq!(told, [("yes", 2, 1_250_000), ("", 1, 400_000)]);
        assert_eq!((rows[0].hour, taken()), (7, Vec::new()));
        rows.iter().for_each(|row| tally.give_back(row));
        assert_eq!(taken(), rows);
    }
}
