//! Keeping the snapshot true to the store.
//!
//! Two things change it. A poll, every second or less, asks the change feed who changed and reads
//! them anew: that is how writes of other replicas and of plain SQL arrive. And a write through
//! this process names its users itself and is not answered before they have been read anew, so
//! the very next read sees it.
//!
//! Reading a user and taking the reading over happen under one asynchronous lock: an older
//! reading can never overwrite a younger one. Writers that wait for it find, more often than not,
//! that the one before them has read their users too. Requests know nothing of all this; they
//! take the snapshot that is there.
//!
//! Where the feed cannot say all that happened, everything has to be loaded anew. That takes as long
//! as a start, during which the snapshot that is there is kept up all the same, with what the feed
//! does name.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::catalogue::Entry;
use super::context::Person;
use super::data::{Item, Kind, Millis};
use super::latest::Latest;
use super::load::Loader;
use super::snapshot::{KindSnapshot, Snapshot};
use super::source::{Cursor, InteractionRow, Source, SourceError, UserState};
use super::terminology::Terminology;
use super::weights::Weighing;

/// How many users or items are read in one question to the store.
const BATCH: usize = 1_000;

/// The published snapshot and what keeps it fresh.
pub struct Fresh {
    source: Arc<dyn Source>,
    latest: Latest,
    weighing: Weighing,
    /// Whether the matrices are kept in memory, or people and items alone.
    with_interactions: bool,
    current: ArcSwap<Snapshot>,
    /// Held while a new snapshot is put together from the current one. Short, and never across
    /// an await.
    publishing: Mutex<Journals>,
    /// Held from reading the store until what was read is published.
    feeding: futures::lock::Mutex<Cursor>,
    /// Whether the snapshot lacks something that the feed will not name. Changed under `feeding`.
    lacking: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// For a kind that is being merged: whose rows changed since the merge began.
type Journals = [Option<HashSet<String>>; Kind::ALL.len()];

/// Users and items written through this process and not read anew yet, each with the ticket of
/// the write.
#[derive(Default)]
struct Waiting {
    users: BTreeSet<String>,
    items: BTreeSet<String>,
    /// Tickets given out.
    issued: u64,
    /// All writes up to this ticket are published.
    done: u64,
}

/// Names taken from the waiting ones, to be read. If they are not read after all (the store is
/// away, or the client who had them read hung up and its future is dropped), they wait again: the
/// names are not only those of the one who took them.
struct Taken<'a> {
    waiting: &'a Mutex<Waiting>,
    users: Vec<String>,
    items: Vec<String>,
    upto: u64,
    read: bool,
}

impl<'a> Taken<'a> {
    /// All that waits, or `None` if the write with this ticket is published.
    fn from(waiting: &'a Mutex<Waiting>, ticket: u64) -> Option<Self> {
        let mut names = lock(waiting);
        if names.done >= ticket {
            return None;
        }
        let users = std::mem::take(&mut names.users).into_iter().collect();
        let items = std::mem::take(&mut names.items).into_iter().collect();
        Some(Self { waiting, users, items, upto: names.issued, read: false })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(self.waiting);
        if self.read {
            waiting.done = self.upto;
        } else {
            waiting.users.extend(self.users.drain(..));
            waiting.items.extend(self.items.drain(..));
        }
    }
}

/// A lock whose holder panicked still guards sound data: every change is published whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fresh {
    /// Loads everything. With `with_interactions` false, interactions stay in the store.
    pub async fn load(
        source: Arc<dyn Source>,
        weighing: Weighing,
        with_interactions: bool,
        now: Millis,
    ) -> Result<Self, SourceError> {
        let (snapshot, cursor) = scan(source.as_ref(), &weighing, with_interactions, now).await?;
        let fresh = Self {
            latest: Latest::new(source.clone()),
            source,
            weighing,
            with_interactions,
            current: ArcSwap::from_pointee(snapshot),
            publishing: Mutex::default(),
            feeding: futures::lock::Mutex::new(cursor),
            lacking: AtomicBool::new(false),
            waiting: Mutex::default(),
        };
        fresh.refresh(now).await?;
        if fresh.reload_is_due() {
            fresh.reload(now).await?;
        }
        Ok(fresh)
    }

    /// The present snapshot. Never waits.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Asks the change feed what changed and takes it over. Afterwards everything that had
    /// committed before the call is visible, unless a [`reload`](Self::reload) is due. If it fails,
    /// the snapshot stays as it was.
    pub async fn refresh(&self, now: Millis) -> Result<(), SourceError> {
        let mut cursor = self.feeding.lock().await;
        let changes = self.source.changes(&cursor).await?;
        if changes.reload {
            self.lacking.store(true, Ordering::Release);
        }
        // Of what is lacking, not all had committed by then.
        let as_of = (!self.reload_is_due()).then_some(now);
        self.take_over(&changes.users, &changes.items, as_of).await?;
        *cursor = changes.cursor;
        Ok(())
    }

    /// Whether something happened that the feed could not name, so that everything has to be loaded
    /// anew.
    pub fn reload_is_due(&self) -> bool {
        self.lacking.load(Ordering::Acquire)
    }

    /// Makes writes of this process visible: to be awaited after the write has committed and
    /// before it is answered.
    pub async fn written(&self, users: &[String], items: &[String]) -> Result<(), SourceError> {
        let ticket = {
            let mut waiting = lock(&self.waiting);
            waiting.users.extend(users.iter().cloned());
            waiting.items.extend(items.iter().cloned());
            waiting.issued += 1;
            waiting.issued
        };
        let _feeding = self.feeding.lock().await;
        let Some(mut taken) = Taken::from(&self.waiting, ticket) else { return Ok(()) };
        self.take_over(&taken.users, &taken.items, None).await?;
        taken.read = true;
        Ok(())
    }

    /// Sees to it that what the snapshot has of this person is what is stored now: one row is read, and
    /// only where it differs everything of the person.
    ///
    /// # Errors
    /// A store that does not answer: then what the snapshot has may be old.
    pub async fn as_it_is_now(&self, user_id: &str) -> Result<(), SourceError> {
        let stored = self.latest.profile(user_id).await?;
        let snapshot = self.snapshot();
        if snapshot.people.get(user_id).map(|person| &person.profile) == stored.as_ref() {
            return Ok(());
        }
        self.written(&[user_id.to_owned()], &[]).await
    }

    /// Reads these users and items and publishes what was read. The caller holds `feeding`.
    async fn take_over(
        &self,
        users: &[String],
        items: &[String],
        as_of: Option<Millis>,
    ) -> Result<(), SourceError> {
        let read = self.read(&self.snapshot(), users, items).await?;
        let mut journals = lock(&self.publishing);
        let mut snapshot = Snapshot::clone(&self.current.load());
        for (kind, user) in self.apply(&mut snapshot, &read) {
            if let Some(journal) = &mut journals[kind.index()] {
                journal.insert(user);
            }
        }
        if let Some(as_of) = as_of {
            snapshot.as_of = snapshot.as_of.max(as_of);
        }
        self.current.store(Arc::new(snapshot));
        Ok(())
    }

    /// The present state of these users and items, and of the users who have an item that
    /// changed its kind.
    async fn read(
        &self,
        snapshot: &Snapshot,
        users: &[String],
        items: &[String],
    ) -> Result<Read, SourceError> {
        let items: Vec<String> = distinct(items.iter().cloned());
        let mut present = Vec::new();
        for batch in items.chunks(BATCH) {
            present.extend(self.source.items(batch).await?);
        }
        let moved = snapshot.clone().apply_items(&items, &present);
        let users = distinct(users.iter().cloned().chain(moved));
        let mut states = Vec::new();
        for batch in users.chunks(BATCH) {
            states.extend(self.source.users(batch).await?);
        }
        if !self.with_interactions {
            states.iter_mut().for_each(|state| state.interactions.clear());
        }
        Ok(Read { items, present, states })
    }

    fn apply(&self, snapshot: &mut Snapshot, read: &Read) -> Vec<(Kind, String)> {
        snapshot.apply_items(&read.items, &read.present);
        snapshot.apply_users(&read.states, &self.weighing)
    }

    /// Loads everything anew and publishes it. Requests go on from the old snapshot meanwhile, and
    /// writes, of this process and of others, are taken over into it: what commits during the scan
    /// is named from its cursor, and read again at the end. Only that end is under the lock.
    pub async fn reload(&self, now: Millis) -> Result<(), SourceError> {
        let (mut snapshot, from) =
            scan(self.source.as_ref(), &self.weighing, self.with_interactions, now).await?;
        let mut cursor = self.feeding.lock().await;
        let changes = self.source.changes(&from).await?;
        let read = self.read(&snapshot, &changes.users, &changes.items).await?;
        self.apply(&mut snapshot, &read);
        // A merge under way is of data that is no more.
        *lock(&self.publishing) = Journals::default();
        self.current.store(Arc::new(snapshot));
        // The feed may have been reset once more.
        self.lacking.store(changes.reload, Ordering::Release);
        *cursor = changes.cursor;
        Ok(())
    }

    /// Whether a merge would pay, or, if `erasing`, whether it would drop rows of people who are
    /// gone from the layers below.
    pub fn merge_is_due(&self, erasing: bool) -> bool {
        let snapshot = self.snapshot();
        Kind::ALL.into_iter().any(|kind| snapshot.kind(kind).layers.should_merge(erasing))
    }

    /// Merges the layers of the kinds where that is due. This computes for up to seconds and
    /// belongs on a thread of its own; requests and writes go on meanwhile, and what they change
    /// is brought over at the end.
    pub fn merge(&self, erasing: bool) {
        for kind in Kind::ALL {
            let before = {
                let mut journals = lock(&self.publishing);
                let snapshot = self.snapshot();
                if journals[kind.index()].is_some() || !snapshot.kind(kind).layers.should_merge(erasing) {
                    continue;
                }
                journals[kind.index()] = Some(HashSet::new());
                snapshot
            };
            let _closing = Closing { journals: &self.publishing, kind };
            let (mut merged, numbers) = before.kind(kind).merged();
            let mut journals = lock(&self.publishing);
            // No journal: everything was loaded anew in the meantime.
            let Some(changed) = journals[kind.index()].take() else { continue };
            let mut snapshot = Snapshot::clone(&self.current.load());
            merged.catch_up(snapshot.kind(kind), &numbers, changed.iter());
            *snapshot.kind_mut(kind) = merged;
            self.current.store(Arc::new(snapshot));
        }
    }
}

/// Closes a kind's journal should its merge panic: left open, it would grow with every write and
/// keep the kind from being merged ever again.
struct Closing<'a> {
    journals: &'a Mutex<Journals>,
    kind: Kind,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.journals)[self.kind.index()] = None;
        }
    }
}

/// What one reading of the store brought.
struct Read {
    /// The ids of the items that were asked for, and those of them that exist.
    items: Vec<String>,
    present: Vec<Item>,
    states: Vec<UserState>,
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Reads everything. The cursor is taken first, so whatever commits meanwhile is named from it.
async fn scan(
    source: &dyn Source,
    weighing: &Weighing,
    with_interactions: bool,
    now: Millis,
) -> Result<(Snapshot, Cursor), SourceError> {
    let cursor = source.cursor().await?;
    let mut snapshot = Snapshot::default();
    snapshot.as_of = now;
    let mut users = Vec::new();
    source.scan_users(&mut |user| users.push(user)).await?;
    for user in users {
        snapshot.people.set(&user.user_id, Some(Arc::new(Person::new(user.profile))));
    }
    snapshot.terminology = Terminology::shared(&source.terms().await?);
    let mut items = Vec::new();
    source.scan_items(&mut |item| items.push(item)).await?;
    let mut loaders = Kind::ALL.map(|_| Loader::new(weighing.clone()));
    for item in &items {
        loaders[item.kind.index()].add_item(&item.item_id);
    }
    if with_interactions {
        let mut push = |row: InteractionRow<'_>| {
            let loader = &mut loaders[row.kind.index()];
            loader.push(row.user_id, row.item_id, row.event, row.weight, row.time);
        };
        source.scan_interactions(&mut push).await?;
    }
    for (kind, loader) in Kind::ALL.into_iter().zip(loaders) {
        *snapshot.kind_mut(kind) = KindSnapshot { layers: loader.finish(), ..KindSnapshot::default() };
    }
    let terminology = Arc::clone(&snapshot.terminology);
    for item in items {
        let KindSnapshot { layers, catalogue } = snapshot.kind_mut(item.kind);
        let number = layers.items.intern(&item.item_id);
        catalogue.set(number, Some(Arc::new(Entry::new(item, &terminology))));
    }
    Ok((snapshot, cursor))
}
