//! What is held out, and what is left to compute from.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::data::Interaction;
use crate::layers::{Layers, Row};
use crate::load::Loader;
use crate::matrix::RowView;
use crate::weights::Weighing;

/// What is held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Split {
    /// One item, drawn by the seed, of everyone who has at least two, from one at a time.
    LeaveOneOut,
    /// This share of the items (rounded, at least one, never all) of everyone who has at least
    /// two, drawn by the seed, from all at once.
    Ratio(f64),
    /// The same share, but of each user's items those that came last: an item's time is that of
    /// its latest interaction, of equal times the later id counts as later.
    Time(f64),
}

impl std::str::FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |prefix: &str| {
            let share = text.strip_prefix(prefix)?.parse::<f64>().ok()?;
            (share > 0.0 && share < 1.0).then_some(share)
        };
        if text == "leave-one-out" {
            Ok(Split::LeaveOneOut)
        } else if let Some(share) = share("ratio:") {
            Ok(Split::Ratio(share))
        } else if let Some(share) = share("time:") {
            Ok(Split::Time(share))
        } else {
            Err(format!(
                "unknown split {text:?}; the splits are leave-one-out, ratio:R and time:R, R between 0 and 1"
            ))
        }
    }
}

/// A user and what is held out.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Whose.
    pub user_id: String,
    /// The number in the matrix; none where nothing of the user is known.
    pub user: Option<u32>,
    /// Numbers of the items; `u32::MAX` for one that nobody is known to have, which counts as
    /// missed by whatever is measured.
    pub items: Vec<u32>,
    /// Their identifiers.
    pub item_ids: Vec<String>,
    /// What is left of the user's row.
    pub own: Row,
}

/// Interactions parted in two.
#[derive(Debug)]
pub struct Partition {
    /// What may be computed from. With `leave-one-out` it holds everything.
    pub known: Layers,
    /// What is looked for, in order of the users' ids (draw by draw, where there are several).
    pub held_out: Vec<HeldOut>,
    /// Whether `known` holds what is held out.
    pub leave_one_out: bool,
}

/// An item's id and all that happened between one user and it.
type Happened<'a> = (&'a str, Vec<&'a Interaction>);

/// Each user's items with all that happened with them, users and items in order of their ids.
fn by_user(events: &[Interaction]) -> Vec<(&str, Vec<Happened<'_>>)> {
    let mut sorted: Vec<&Interaction> = events.iter().collect();
    sorted.sort_by(|a, b| (&a.user_id, &a.item_id).cmp(&(&b.user_id, &b.item_id)));
    let users = sorted.chunk_by(|a, b| a.user_id == b.user_id).map(|events| {
        let items = events.chunk_by(|a, b| a.item_id == b.item_id);
        let items = items.map(|events| (events[0].item_id.as_str(), events.to_vec()));
        (events[0].user_id.as_str(), items.collect())
    });
    users.collect()
}

impl Partition {
    /// Holds out of these interactions as `split` says.
    pub fn new(events: &[Interaction], split: Split, seed: u64, weighing: &Weighing) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut loader = Loader::new(weighing.clone());
        let mut held: Vec<(&str, Vec<&str>)> = Vec::new();
        for (user, mut items) in by_user(events) {
            let out = match split {
                _ if items.len() < 2 => 0,
                Split::LeaveOneOut => 1,
                Split::Ratio(share) | Split::Time(share) => {
                    ((share * items.len() as f64).round() as usize).clamp(1, items.len() - 1)
                }
            };
            match split {
                Split::Time(_) => {
                    let latest = |(_, events): &Happened<'_>| events.iter().map(|event| event.time).max();
                    items.sort_by(|a, b| latest(b).cmp(&latest(a)).then_with(|| b.0.cmp(a.0)));
                }
                _ => items.shuffle(&mut rng),
            }
            let (held_out, kept) = items.split_at(out);
            let known = if split == Split::LeaveOneOut { &items } else { kept };
            for event in known.iter().flat_map(|(_, events)| events) {
                loader.push(user, &event.item_id, &event.event, event.weight, event.time);
            }
            if out > 0 {
                held.push((user, held_out.iter().map(|&(item, _)| item).collect()));
            }
        }
        Self::of(loader.finish(), held, split == Split::LeaveOneOut)
    }

    /// Holds out as `split` says, but from one person at a time: `known` holds everything, as with
    /// `leave-one-out`, so that nothing else is missing while somebody is asked about. That is done
    /// `draws` times over, each with a seed of its own, and whoever has two items is there as often.
    pub fn one_at_a_time(
        events: &[Interaction],
        split: Split,
        draws: u64,
        seed: u64,
        weighing: &Weighing,
    ) -> Self {
        let known = Self::new(events, Split::LeaveOneOut, seed, weighing).known;
        let drawn: Vec<HeldOut> = (0..draws)
            .flat_map(|draw| Self::new(events, split, seed.wrapping_add(draw), weighing).held_out)
            .collect();
        let held = drawn.iter().map(|case| {
            (case.user_id.as_str(), case.item_ids.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let held = held.collect();
        Self::of(known, held, true)
    }

    /// The split of somebody else: computed from `known`, looked for is `test`. A pair of `test`
    /// that is in `known` as well is not looked for, as nobody is recommended what they have.
    pub fn given(known: &[Interaction], test: &[Interaction], weighing: &Weighing) -> Self {
        let mut loader = Loader::new(weighing.clone());
        for event in known {
            loader.push(&event.user_id, &event.item_id, &event.event, event.weight, event.time);
        }
        let layers = loader.finish();
        let held = by_user(test).into_iter().filter_map(|(user, items)| {
            let row = layers.users.get(user).map_or(RowView::EMPTY, |user| layers.row(user));
            let has = |item: &str| layers.items.get(item).is_some_and(|item| row.items.contains(&item));
            let items: Vec<&str> =
                items.into_iter().map(|(item, _)| item).filter(|item| !has(item)).collect();
            (!items.is_empty()).then_some((user, items))
        });
        let held = held.collect();
        Self::of(layers, held, false)
    }

    fn of(known: Layers, held: Vec<(&str, Vec<&str>)>, leave_one_out: bool) -> Self {
        let held_out = held.into_iter().map(|(user_id, items)| {
            let user = known.users.get(user_id);
            let item_ids = items.iter().map(|&item| item.to_owned()).collect();
            let items: Vec<u32> =
                items.iter().map(|item| known.items.get(item).unwrap_or(u32::MAX)).collect();
            let row = user.map_or(RowView::EMPTY, |user| known.row(user));
            let (own, weights) = row.iter().filter(|(item, _)| !items.contains(item)).unzip();
            HeldOut { user_id: user_id.to_owned(), user, items, item_ids, own: Row::new(own, weights) }
        });
        let held_out = held_out.collect();
        Self { known, held_out, leave_one_out }
    }
}
