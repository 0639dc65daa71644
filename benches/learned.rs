//! How long a learned answer takes, whole: the sums over somebody's history, the ten best of what may be shown, their
//! reasons. Beside it what neighbors take for the same people.
//!
//! `cargo bench --bench learned` invents interactions as the other benches do (seeded), of the size of MovieLens-1M and
//! of MovieLens-25M, and weights: how long adding them up takes does not depend on their values. A package knows all
//! items, each with as many weights as `train recommender` keeps, or only the most frequent, as it does by default
//! beyond 20,000: then neighbors rank the others. Each case prints one JSON line.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use recommend::{
    Changes, Cursor, InteractionRow, Item, ItemWeights, Kind, Learned, Profile, Recommender, Request,
    Settings, Source, SourceError, Strategy, Term, User, UserState,
};

mod invented;

use invented::{generate, name};

type Error = Box<dyn std::error::Error>;

/// What `train recommender` keeps of an item's weights.
const WEIGHTS_AN_ITEM: usize = 1000;
/// People who are asked about.
const ASKED: u32 = 300;
/// Each request is made so often in a row and the fastest counts: what else the machine does is not measured.
const REPEATS: usize = 7;

fn main() -> Result<(), Error> {
    measure(Invented { users: 6_040, items: 3_706, interactions: 850_000 }, &[3_706])?;
    measure(Invented { users: 162_000, items: 59_000, interactions: 25_800_000 }, &[59_000, 20_000])
}

/// The times by packages that know so many items, the most frequent.
fn measure(size: Invented, packages: &[u32]) -> Result<(), Error> {
    let loaded = Recommender::in_memory(Arc::new(size), Settings::default(), 0).now_or_never();
    let recommender = loaded.ok_or("loading waits for nothing")??;
    for &known in packages {
        let weights = weights(known)?;
        let package = Learned::new("bench".to_owned(), "1".to_owned(), Kind::Advice, weights);
        let ask = |user: u32, package: Option<&Learned>| -> Result<f64, Error> {
            let request = Request::new(name(user), Kind::Advice, 0);
            let start = Instant::now();
            let answer = recommender.recommend_by(black_box(&request), package).now_or_never();
            let answer = black_box(answer.ok_or("answering waits for nothing")??);
            let micros = start.elapsed().as_secs_f64() * 1e6;
            let expected = if package.is_some() { Strategy::Learned } else { Strategy::Neighbors };
            match answer.strategy == expected {
                true => Ok(micros),
                false => Err(format!("{:?} answered", answer.strategy).into()),
            }
        };
        let (mut learned, mut neighbors) = (Vec::new(), Vec::new());
        for number in 0..ASKED {
            let user = (u64::from(number) * u64::from(size.users) / u64::from(ASKED)) as u32;
            for (times, package) in [(&mut learned, Some(&package)), (&mut neighbors, None)] {
                let asked: Result<Vec<f64>, Error> = (0..REPEATS).map(|_| ask(user, package)).collect();
                times.push(asked?.into_iter().fold(f64::INFINITY, f64::min));
            }
        }
        println!(
            "{}",
            serde_json::json!({
                "users": size.users,
                "items": size.items,
                "interactions": size.interactions,
                "items_of_the_package": known,
                "weights": package.weights().weight_count(),
                "learned_us": percentiles(learned),
                "neighbors_us": percentiles(neighbors),
            })
        );
    }
    Ok(())
}

fn percentiles(mut values: Vec<f64>) -> serde_json::Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    serde_json::json!({"p50": at(0.5), "p90": at(0.9), "p99": at(0.99)})
}

/// Weights between so many items, each with as many others, drawn evenly.
fn weights(items: u32) -> Result<ItemWeights, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let share = (WEIGHTS_AN_ITEM as f64 / f64::from(items)).min(1.0);
    let (mut starts, mut targets, mut values) = (vec![0], Vec::new(), Vec::new());
    for from in 0..items {
        for to in (0..items).filter(|&to| to != from) {
            if rng.random_bool(share) {
                targets.push(to);
                values.push(rng.random_range(-0.2f32..1.0));
            }
        }
        starts.push(targets.len());
    }
    let names = (0..items).map(|item| name(item).into()).collect();
    Ok(ItemWeights::new(names, vec![0.0; items as usize], starts, targets, values)?)
}

/// A store of what is invented anew at each reading, and in which nothing changes.
#[derive(Clone, Copy)]
struct Invented {
    users: u32,
    items: u32,
    interactions: u64,
}

impl Source for Invented {
    fn cursor(&self) -> BoxFuture<'_, Result<Cursor, SourceError>> {
        Box::pin(ready(Ok(Cursor::default())))
    }

    fn scan_users<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(User) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        (0..self.users).for_each(|user| visit(User { user_id: name(user), profile: Profile::default() }));
        Box::pin(ready(Ok(())))
    }

    fn terms(&self) -> BoxFuture<'_, Result<Vec<Term>, SourceError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn scan_items<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(Item) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        (0..self.items).for_each(|item| {
            visit(Item {
                item_id: name(item),
                kind: Kind::Advice,
                name: name(item),
                attributes: serde_json::Map::new(),
                latitude: None,
                longitude: None,
                hidden: false,
                repeatable: false,
                contraindications: Default::default(),
            });
        });
        Box::pin(ready(Ok(())))
    }

    fn scan_interactions<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(InteractionRow<'_>) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        let Ok(()) = generate(self.users, self.items, self.interactions, |user, item, weight| {
            let (user_id, item_id) = (&*name(user), &*name(item));
            visit(InteractionRow { kind: Kind::Advice, user_id, item_id, event: "rating", weight, time: 0 });
            Ok::<(), std::convert::Infallible>(())
        });
        Box::pin(ready(Ok(())))
    }

    fn changes<'a>(&'a self, _: &'a Cursor) -> BoxFuture<'a, Result<Changes, SourceError>> {
        Box::pin(ready(Ok(Changes::default())))
    }

    fn users<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<Vec<UserState>, SourceError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn items<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<Vec<Item>, SourceError>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}
