//! What a request computes over invented interactions, by the recommender's own functions.

use recommend::{Best, Layers, Loader, Rows, Search, Similarity, implicit, search};

use super::invented::name;

const NEIGHBORS: usize = 100;
const ITEMS: usize = 10;

/// Takes an interaction in.
pub fn push(loader: &mut Loader, user: u32, item: u32, weight: f32) {
    loader.push(&name(user), &name(item), "rating", weight, 0);
}

/// Numbers with their similarities or scores, best first.
pub type Ranked = Vec<(u32, f64)>;

/// The neighbors and the items.
pub fn request(layers: &Layers, user: u32) -> (Ranked, Ranked) {
    let wanted = Search {
        similarity: Similarity::Cosine,
        rows: Rows::Raw,
        count: NEIGHBORS,
        item_total: layers.items.len(),
    };
    let own = layers.row(user);
    let neighbors = search(layers, own, Some(user), &wanted);
    let mut best = Best::new(ITEMS, |a, b| layers.items.compare(a, b));
    for candidate in implicit(layers, &neighbors) {
        if candidate.score >= best.worst() && own.items.binary_search(&candidate.item).is_err() {
            best.offer(candidate.item, candidate.score);
        }
    }
    (neighbors, best.into_sorted())
}
