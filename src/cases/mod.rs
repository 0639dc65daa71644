//! Cases that can be found again: the index over what the store keeps, always as fresh as a write needs.
//!
//! The texts and vectors are the store's; the index in memory has what a search reads. It follows in two
//! ways, as the recommender's matrices do: a write through this process names its cases itself and is
//! answered once they have been read anew, and the change feed names those of other processes. Reading
//! and taking over happen under one lock, so an older reading never replaces a younger one.
//!
//! Vectors are made by whichever served model comes first by name ([`Embedder`]). A case that comes
//! without one, or with one of another model, is found by its words at once and by its vector as soon as
//! [`Cases::fill`] has made it. Without a model, words alone count.

mod embedder;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rayon::prelude::*;
use recommend::Cursor;
use text::search::{Filter, Hit, Index, Prepared, Query, Sizes};
use tokio::task::{block_in_place, spawn_blocking};

use crate::store::cases::Case;
use crate::store::{CaseVector, Check, Store, StoreError, StoredCase, Written};

pub use embedder::{Embedder, Made, NoVectors, Space};

/// Cases read from the store at once; a text may be a megabyte.
const BATCH: usize = 256;
/// Cases whose vectors are made at once, between which requests have their turn.
const EMBEDDED: usize = 32;
/// Cases prepared at once while everything is loaded.
const LOADED: usize = 4096;

/// Why a case was not written, or a question not answered.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// The store refused or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model of the vectors is busy or failed.
    #[error(transparent)]
    Vectors(#[from] NoVectors),
    /// The work broke off.
    #[error("the work broke off")]
    Broken,
}

/// What is searched.
#[derive(Default)]
struct Searched {
    index: Index,
    /// The model that the vectors in the index are of.
    space: Option<Space>,
}

/// The cases.
pub struct Cases {
    store: Arc<dyn Store>,
    embedder: Arc<dyn Embedder>,
    searched: Arc<RwLock<Searched>>,
    /// Where the change feed was last read to; held from reading the store until what was read is taken over.
    feeding: tokio::sync::Mutex<Cursor>,
}

impl Cases {
    /// Reads everything.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn load(store: Arc<dyn Store>, embedder: Arc<dyn Embedder>) -> Result<Cases, CasesError> {
        let cases = Cases {
            store,
            embedder,
            searched: Arc::default(),
            feeding: tokio::sync::Mutex::new(Cursor::default()),
        };
        let mut cursor = cases.feeding.lock().await;
        *cursor = cases.read_all().await?;
        drop(cursor);
        Ok(cases)
    }

    /// A new index of everything in the place of the old one; the caller holds `feeding`.
    async fn read_all(&self) -> Result<Cursor, CasesError> {
        let cursor = self.store.case_cursor().await?;
        let space = self.embedder.space();
        let mut index = Index::new();
        let mut batch = Vec::with_capacity(LOADED);
        let mut take = |batch: &mut Vec<StoredCase>| {
            let read = std::mem::take(batch);
            // It takes seconds where there are very many.
            block_in_place(|| {
                let prepared: Vec<Prepared> = read.par_iter().map(|stored| prepare(&stored.case)).collect();
                for (stored, prepared) in read.iter().zip(&prepared) {
                    index.put(prepared, fitting(stored.vector.as_ref(), space.as_ref()));
                }
            });
        };
        self.store
            .scan_cases(&mut |stored| {
                batch.push(stored);
                if batch.len() == LOADED {
                    take(&mut batch);
                }
            })
            .await?;
        take(&mut batch);
        *self.write() = Searched { index, space };
        Ok(cursor)
    }

    /// The case.
    ///
    /// # Errors
    /// There is none; a store that does not answer.
    pub async fn get(&self, case_id: &str) -> Result<Case, CasesError> {
        Ok(self.store.get_case(case_id).await?)
    }

    /// Adds a case or replaces it; with a check, only where what is stored passes it. It is found from
    /// the next question on.
    ///
    /// # Errors
    /// A store or a model that does not answer, a check that does not pass: nothing is written then.
    pub async fn put(&self, case: Case, check: Option<Check<'_, Case>>) -> Result<Written, CasesError> {
        let vector = self.vectors(vec![case.text.clone()]).await?.and_then(|mut vectors| vectors.pop());
        let stored = StoredCase { case, vector };
        let id = &stored.case.case_id;
        let written = match check {
            Some(check) => self.store.replace_case(id, Some(&stored), check).await?,
            None => self.store.put_cases(std::slice::from_ref(&stored)).await?,
        };
        self.written(id).await;
        Ok(written)
    }

    /// Erases a case; with a check, only where what is stored passes it.
    ///
    /// # Errors
    /// There is none; a store that does not answer, a check that does not pass.
    pub async fn delete(&self, case_id: &str, check: Option<Check<'_, Case>>) -> Result<(), CasesError> {
        match check {
            Some(check) => {
                self.store.replace_case(case_id, None, check).await?;
            }
            None => self.store.delete_case(case_id).await?,
        }
        self.written(case_id).await;
        Ok(())
    }

    /// Makes a write that has been committed visible to the next question. Where the database fails just
    /// then, the write stands and becomes visible with the next look at the change feed.
    async fn written(&self, case_id: &str) {
        let _feeding = self.feeding.lock().await;
        if let Err(error) = self.take_over(std::slice::from_ref(&case_id.to_string())).await {
            tracing::warn!(%error, "a write is not visible yet");
        }
    }

    /// Takes over what other processes wrote, and a change of the model.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn refresh(&self) -> Result<(), CasesError> {
        let mut cursor = self.feeding.lock().await;
        let space = self.embedder.space();
        if self.read().space != space {
            let mut searched = self.write();
            searched.index.drop_vectors();
            searched.space = space;
        }
        let changes = self.store.case_changes(&cursor).await?;
        if changes.reload {
            *cursor = self.read_all().await?;
            return Ok(());
        }
        for ids in changes.cases.chunks(BATCH) {
            self.take_over(ids).await?;
        }
        *cursor = changes.cursor;
        Ok(())
    }

    /// Reads these cases and takes them over; the caller holds `feeding`.
    async fn take_over(&self, ids: &[String]) -> Result<(), CasesError> {
        let stored = self.store.read_cases(ids).await?;
        let prepare_all = |stored: &[StoredCase]| stored.par_iter().map(|one| prepare(&one.case)).collect();
        let (stored, prepared): (Vec<StoredCase>, Vec<Prepared>) = match stored.as_slice() {
            // A text of usual length takes less time than handing it on.
            [one] if one.case.text.len() < 1 << 14 => {
                let prepared = vec![prepare(&one.case)];
                (stored, prepared)
            }
            _ => spawn_blocking(move || {
                let prepared = prepare_all(&stored);
                (stored, prepared)
            })
            .await
            .map_err(|_| CasesError::Broken)?,
        };
        let mut searched = self.write();
        let Searched { index, space } = &mut *searched;
        let there: std::collections::HashSet<&str> = prepared.iter().map(Prepared::id).collect();
        ids.iter().filter(|id| !there.contains(id.as_str())).for_each(|id| {
            index.remove(id);
        });
        for (stored, prepared) in stored.iter().zip(&prepared) {
            index.put(prepared, fitting(stored.vector.as_ref(), space.as_ref()));
        }
        Ok(())
    }

    /// Makes vectors for some of the cases that have none, and says whether there are more.
    ///
    /// # Errors
    /// A store or a model that does not answer.
    pub async fn fill(&self) -> Result<bool, CasesError> {
        let ids = {
            let searched = self.read();
            if searched.space.is_none() {
                return Ok(false);
            }
            searched.index.without_vector(EMBEDDED)
        };
        if ids.is_empty() {
            return Ok(false);
        }
        let space = self.space();
        let mut stored = self.store.read_cases(&ids).await?;
        // Another process may have made them, or this one before its model was away for a while.
        stored.retain(|one| fitting(one.vector.as_ref(), space.as_ref()).is_none());
        let texts = stored.iter().map(|one| one.case.text.clone()).collect();
        match self.embedder.embed(texts).await {
            Ok(Some(made)) if Some(&made.space) == space.as_ref() => {
                let vectors = made.of_cases();
                let vector = |(stored, vector)| StoredCase { vector: Some(vector), ..stored };
                let made: Vec<StoredCase> = stored.into_iter().zip(vectors).map(vector).collect();
                self.store.put_case_vectors(&made).await?;
            }
            // The model has changed, which the next look at the feed takes over.
            Ok(_) => return Ok(false),
            Err(NoVectors::Unreadable(index)) if index < stored.len() => {
                // A text that cannot be read is not tried again and again, nor the others with it.
                self.write().index.give_up(&stored[index].case.case_id);
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        }
        let _feeding = self.feeding.lock().await;
        self.take_over(&ids).await?;
        Ok(true)
    }

    /// The vectors of some texts; nothing where there is no model.
    async fn vectors(&self, texts: Vec<String>) -> Result<Option<Vec<CaseVector>>, CasesError> {
        Ok(self.embedder.embed(texts).await?.map(|made| made.of_cases().collect()))
    }

    /// The cases that fit a question best.
    ///
    /// # Errors
    /// A model that is busy or failed.
    pub async fn search(&self, query: String, filter: Filter, limit: usize) -> Result<Vec<Hit>, CasesError> {
        let vector = self.vectors(vec![query.clone()]).await?.and_then(|mut vectors| vectors.pop());
        let searched = self.searched.clone();
        // A search computes for milliseconds on all cores, which the async threads do not have.
        let work = move || {
            let searched = searched.read().unwrap_or_else(PoisonError::into_inner);
            let vector = fitting(vector.as_ref(), searched.space.as_ref());
            searched.index.search(&Query { text: &query, vector, filter: &filter, limit })
        };
        spawn_blocking(work).await.map_err(|_| CasesError::Broken)
    }

    /// Of these names of attributes those that no case has, and all that some have.
    pub fn unknown_names(&self, filter: &Filter) -> Option<(Vec<String>, Vec<String>)> {
        let searched = self.read();
        let unknown: Vec<String> = filter
            .conditions()
            .iter()
            .filter(|(name, _)| !searched.index.has_name(name))
            .map(|(name, _)| name.clone())
            .collect();
        (!unknown.is_empty()).then(|| (unknown, searched.index.names().map(str::to_string).collect()))
    }

    /// Drops from memory some of what was deleted.
    pub async fn tidy(&self) {
        if !self.read().index.is_untidy() {
            return;
        }
        let searched = self.searched.clone();
        let work = move || searched.write().unwrap_or_else(PoisonError::into_inner).index.tidy();
        if spawn_blocking(work).await.is_err() {
            tracing::error!("tidying up the index of cases broke off");
        }
    }

    /// How many there are, and with a vector.
    pub fn counts(&self) -> Sizes {
        self.read().index.counts()
    }

    /// The model whose vectors are searched.
    pub fn space(&self) -> Option<Space> {
        self.read().space.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Searched> {
        self.searched.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Searched> {
        self.searched.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prepare(case: &Case) -> Prepared {
    Prepared::new(&case.case_id, &case.text, &case.attributes)
}

/// The vector, if it is of this model.
fn fitting<'a>(vector: Option<&'a CaseVector>, space: Option<&Space>) -> Option<&'a [f32]> {
    let (vector, space) = vector.zip(space)?;
    let same = vector.model == space.model && vector.version == space.version;
    same.then_some(vector.values.as_slice())
}
