//! A store that is a few maps: a [`Source`] with a change feed, and an [`Evidence`] that computes
//! by brute force, each definition written out a second time and independently of the matrix.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt};

use crate::data::{Interaction, Item, Kind, Profile, User};
use crate::source::*;
use crate::terminology::Term;

#[derive(Default)]
pub struct Tables {
    pub users: BTreeMap<String, Profile>,
    pub items: BTreeMap<String, Item>,
    pub interactions: Vec<Interaction>,
    pub terms: Vec<Term>,
    /// Who changed: (is it an item, id).
    log: Vec<(bool, String)>,
    /// Cursors below this are too old.
    forgotten: usize,
    pub down: bool,
    /// How often users were asked for.
    pub questions: usize,
    /// The next reading of users waits for this.
    gate: Option<oneshot::Receiver<()>>,
}

impl Tables {
    pub fn put_user(&mut self, user_id: &str, profile: Profile) {
        self.users.insert(user_id.to_owned(), profile);
        self.log.push((false, user_id.to_owned()));
    }

    pub fn put_item(&mut self, item: Item) {
        self.log.push((true, item.item_id.clone()));
        self.items.insert(item.item_id.clone(), item);
    }

    pub fn add(&mut self, user_id: &str, item_id: &str, weight: f32) {
        let time = self.interactions.len() as i64;
        self.interactions.push(Interaction {
            user_id: user_id.to_owned(),
            item_id: item_id.to_owned(),
            event: "use".to_owned(),
            weight,
            time,
        });
        self.log.push((false, user_id.to_owned()));
    }

    pub fn delete_user(&mut self, user_id: &str) {
        self.users.remove(user_id);
        self.interactions.retain(|i| i.user_id != user_id);
        self.log.push((false, user_id.to_owned()));
    }

    pub fn delete_item(&mut self, item_id: &str) {
        self.items.remove(item_id);
        self.log.push((true, item_id.to_owned()));
        let gone = self.interactions.iter().filter(|i| i.item_id == item_id);
        let users: Vec<String> = gone.map(|i| i.user_id.clone()).collect();
        self.log.extend(users.into_iter().map(|user| (false, user)));
        self.interactions.retain(|i| i.item_id != item_id);
    }

    /// As after a `TRUNCATE`, or when the feed was cleared of old entries.
    pub fn forget_the_feed(&mut self) {
        self.log.push((false, String::new()));
        self.forgotten = self.log.len();
    }

    /// Holds up the next reading of users until what is returned is sent to or dropped.
    pub fn close_gate(&mut self) -> oneshot::Sender<()> {
        let (open, gate) = oneshot::channel();
        self.gate = Some(gate);
        open
    }

    /// Rows of the kind: user to item to weight, in order of the ids.
    fn rows(&self, kind: Kind) -> BTreeMap<&str, BTreeMap<&str, f64>> {
        let mut rows: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
        for i in &self.interactions {
            if self.items[&i.item_id].kind == kind {
                let row = rows.entry(&i.user_id).or_default();
                *row.entry(&i.item_id).or_default() += f64::from(i.weight);
            }
        }
        rows
    }
}

#[derive(Default)]
pub struct FakeStore(Mutex<Tables>);

impl FakeStore {
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }

    async fn pass_gate(&self) {
        let gate = self.tables().gate.take();
        if let Some(gate) = gate {
            let _ = gate.await;
        }
    }

    fn up(&self) -> Result<MutexGuard<'_, Tables>, SourceError> {
        let tables = self.tables();
        if tables.down { Err(SourceError::Unavailable("it is down".into())) } else { Ok(tables) }
    }
}

pub fn item(item_id: &str, kind: Kind) -> Item {
    Item {
        item_id: item_id.to_owned(),
        kind,
        name: format!("the {item_id}"),
        attributes: serde_json::Map::new(),
        latitude: None,
        longitude: None,
        hidden: false,
        repeatable: false,
        contraindications: Default::default(),
    }
}

/// A future that is ready, of a computation without waiting.
fn ready<'a, T: Send + 'a>(
    compute: impl FnOnce() -> Result<T, SourceError> + Send + 'a,
) -> BoxFuture<'a, Result<T, SourceError>> {
    async move { compute() }.boxed()
}

impl Source for FakeStore {
    fn cursor(&self) -> BoxFuture<'_, Result<Cursor, SourceError>> {
        ready(|| Ok(Cursor(self.up()?.log.len().to_string())))
    }

    fn scan_users<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(User) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        async move {
            self.pass_gate().await;
            for (user_id, profile) in &self.up()?.users {
                visit(User { user_id: user_id.clone(), profile: profile.clone() });
            }
            Ok(())
        }
        .boxed()
    }

    fn terms(&self) -> BoxFuture<'_, Result<Vec<Term>, SourceError>> {
        ready(|| Ok(self.up()?.terms.clone()))
    }

    fn scan_items<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(Item) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        ready(move || {
            self.up()?.items.values().cloned().for_each(visit);
            Ok(())
        })
    }

    fn scan_interactions<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(InteractionRow<'_>) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        ready(move || {
            let tables = self.up()?;
            for i in &tables.interactions {
                visit(InteractionRow {
                    kind: tables.items[&i.item_id].kind,
                    user_id: &i.user_id,
                    item_id: &i.item_id,
                    event: &i.event,
                    weight: i.weight,
                    time: i.time,
                });
            }
            Ok(())
        })
    }

    fn changes<'a>(&'a self, since: &'a Cursor) -> BoxFuture<'a, Result<Changes, SourceError>> {
        ready(|| {
            let tables = self.up()?;
            let from: usize = since.0.parse().unwrap();
            let mut changes = Changes { cursor: Cursor(tables.log.len().to_string()), ..Changes::default() };
            changes.reload = from < tables.forgotten;
            for (is_item, id) in &tables.log[from..] {
                let names = if *is_item { &mut changes.items } else { &mut changes.users };
                names.push(id.clone());
            }
            Ok(changes)
        })
    }

    fn users<'a>(&'a self, user_ids: &'a [String]) -> BoxFuture<'a, Result<Vec<UserState>, SourceError>> {
        async move {
            self.tables().questions += 1;
            self.pass_gate().await;
            let tables = self.up()?;
            let state = |user_id: &String| {
                let own = tables.interactions.iter().filter(|i| i.user_id == *user_id);
                UserState {
                    user_id: user_id.clone(),
                    profile: tables.users.get(user_id).cloned(),
                    interactions: own.map(|i| (tables.items[&i.item_id].kind, i.clone())).collect(),
                }
            };
            Ok(user_ids.iter().map(state).collect())
        }
        .boxed()
    }

    fn items<'a>(&'a self, item_ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Item>, SourceError>> {
        ready(|| {
            let tables = self.up()?;
            Ok(item_ids.iter().filter_map(|id| tables.items.get(id).cloned()).collect())
        })
    }
}

impl Evidence for FakeStore {
    fn find<'a>(
        &'a self,
        kind: Kind,
        user_id: &'a str,
        similarity: Similarity,
        count: usize,
    ) -> BoxFuture<'a, Result<Found, SourceError>> {
        async move {
            let own: Vec<Owned> = {
                let tables = self.up()?;
                let own = tables.rows(kind).remove(user_id).unwrap_or_default();
                own.into_iter().map(|(id, w)| Owned { item_id: id.into(), weight: w as f32 }).collect()
            };
            let neighbors = self.neighbors(kind, user_id, similarity, count).await?;
            let scored = self.scores(kind, &own, &neighbors).await?;
            Ok(Found { own, neighbors, scored })
        }
        .boxed()
    }

    fn neighbors<'a>(
        &'a self,
        kind: Kind,
        user_id: &'a str,
        similarity: Similarity,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Neighbor>, SourceError>> {
        ready(move || {
            let tables = self.up()?;
            let rows = tables.rows(kind);
            let Some(own) = rows.get(user_id) else { return Ok(Vec::new()) };
            let m = tables.items.values().filter(|item| item.kind == kind).count() as f64;
            let dot = |a: &BTreeMap<&str, f64>, b: &BTreeMap<&str, f64>| -> f64 {
                a.iter().filter_map(|(item, w)| Some(w * b.get(item)?)).sum()
            };
            let mut found = Vec::new();
            for (id, row) in rows.iter().filter(|(id, _)| **id != user_id) {
                let (xy, xx, yy) = (dot(own, row), dot(own, own), dot(row, row));
                let (sx, sy): (f64, f64) = (own.values().sum(), row.values().sum());
                let value = match similarity {
                    Similarity::Cosine => xy / (xx.sqrt() * yy.sqrt()),
                    Similarity::Pearson => {
                        (m * xy - sx * sy) / ((m * xx - sx * sx) * (m * yy - sy * sy)).sqrt()
                    }
                    Similarity::Euclidean => 1.0 / (1.0 + (xx + yy - 2.0 * xy).max(0.0).sqrt()),
                };
                if xy != 0.0 && value.is_finite() && value >= MIN_SIMILARITY {
                    found.push(Neighbor { user_id: (*id).to_owned(), similarity: value });
                }
            }
            found.sort_by(|a, b| {
                b.similarity.total_cmp(&a.similarity).then_with(|| a.user_id.cmp(&b.user_id))
            });
            found.truncate(count);
            Ok(found)
        })
    }

    fn scores<'a>(
        &'a self,
        kind: Kind,
        own: &'a [Owned],
        neighbors: &'a [Neighbor],
    ) -> BoxFuture<'a, Result<Vec<ScoredItem>, SourceError>> {
        ready(move || {
            let tables = self.up()?;
            let rows = tables.rows(kind);
            let mut scores: BTreeMap<&str, ScoredItem> = BTreeMap::new();
            for (place, neighbor) in neighbors.iter().enumerate() {
                for (&item_id, &weight) in rows.get(neighbor.user_id.as_str()).into_iter().flatten() {
                    let scored = scores.entry(item_id).or_insert_with(|| ScoredItem {
                        item_id: item_id.to_owned(),
                        score: 0.0,
                        supporters: Vec::new(),
                        weights: Vec::new(),
                    });
                    scored.score += neighbor.similarity * weight;
                    scored.supporters.push(place as u32);
                    if own.iter().any(|owned| owned.item_id == item_id) {
                        scored.weights.push(weight as f32);
                    }
                }
            }
            Ok(scores.into_values().collect())
        })
    }

    fn popular(&self, kind: Kind, count: usize) -> BoxFuture<'_, Result<Vec<PopularItem>, SourceError>> {
        ready(move || {
            let tables = self.up()?;
            let mut users: BTreeMap<&str, u32> = BTreeMap::new();
            for item in tables.rows(kind).values().flat_map(|row| row.keys()) {
                *users.entry(item).or_default() += 1;
            }
            let mut popular: Vec<_> = users.into_iter().collect();
            popular.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            popular.truncate(count);
            let popular = popular.into_iter();
            Ok(popular.map(|(id, users)| PopularItem { item_id: id.to_owned(), users }).collect())
        })
    }

    fn with_history<'a>(
        &'a self,
        kind: Kind,
        user_ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, SourceError>> {
        ready(move || {
            let tables = self.up()?;
            let rows = tables.rows(kind);
            let has = |id: &&String| rows.contains_key(id.as_str());
            Ok(user_ids.iter().filter(has).cloned().collect())
        })
    }
}
