//! What is stored of people now, read for all who ask at the same time in one question.
//!
//! Before a drug is recommended to somebody, what is known of them is read anew. Under load most of that is the way to the
//! database and back, which costs the same for many as for one: so while a question is on its way, those who come meanwhile wait, and
//! are asked for together as soon as it is back, with those who are about to ask. Nobody gets an answer to a question that was sent
//! before they asked. Whoever comes alone waits for nobody.

use std::collections::HashMap;
use std::future::poll_fn;
use std::mem::{replace, take};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::channel::oneshot::{self, Sender};
use futures::future::{Either, select};

use super::data::Profile;
use super::fresh::lock;
use super::source::{Source, SourceError};

/// How often others are let go first.
const ROUNDS: usize = 4;

/// A person somebody asks about, and where the answer goes.
type Asked = (String, Sender<Result<Option<Profile>, SourceError>>);

/// Reads people as they are stored now.
pub struct Latest {
    source: Arc<dyn Source>,
    asked: Mutex<Vec<Asked>>,
    /// Held by the one who asks the store.
    asking: futures::lock::Mutex<()>,
}

impl Latest {
    /// Of this store.
    pub fn new(source: Arc<dyn Source>) -> Latest {
        Latest { source, asked: Mutex::default(), asking: futures::lock::Mutex::default() }
    }

    /// What is known of this person now, nothing where there is none.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn profile(&self, user_id: &str) -> Result<Option<Profile>, SourceError> {
        let mut answer = self.ask(user_id);
        loop {
            match select(&mut answer, self.asking.lock()).await {
                Either::Left((Ok(answer), _)) => return answer,
                // Whoever asked for all was dropped on the way, as when a client hangs up.
                Either::Left((Err(oneshot::Canceled), _)) => answer = self.ask(user_id),
                Either::Right((_turn, _)) => {
                    self.gather().await;
                    self.read().await;
                }
            }
        }
    }

    fn ask(&self, user_id: &str) -> oneshot::Receiver<Result<Option<Profile>, SourceError>> {
        let (told, answer) = oneshot::channel();
        lock(&self.asked).push((user_id.to_owned(), told));
        answer
    }

    /// Lets what is ready run first, a few times at most, for as long as others ask meanwhile.
    async fn gather(&self) {
        let mut known = 0;
        for _ in 0..ROUNDS {
            stand_back().await;
            let asked = lock(&self.asked).len();
            if asked <= known {
                return;
            }
            known = asked;
        }
    }

    /// Asks the store about all who wait, and tells them.
    async fn read(&self) {
        let asked = take(&mut *lock(&self.asked));
        let (ids, waiting): (Vec<String>, Vec<_>) =
            asked.into_iter().filter(|(_, told)| !told.is_canceled()).unzip();
        if ids.is_empty() {
            return;
        }
        let read = self.source.profiles(&ids).await;
        let read: Result<HashMap<String, Profile>, _> = read.map(|found| found.into_iter().collect());
        for (id, told) in ids.iter().zip(waiting) {
            // Who has gone away is told nothing.
            let _ = told.send(match &read {
                Ok(found) => Ok(found.get(id).cloned()),
                Err(error) => Err(error.clone()),
            });
        }
    }
}

/// Goes behind what is ready to run: among it are others who are about to ask.
async fn stand_back() {
    let mut stood_back = false;
    poll_fn(|context| match replace(&mut stood_back, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fake_store::FakeStore;
    use crate::tests::numbers::polled;
    use futures::future::join_all;

    fn born(year: i32) -> Profile {
        Profile { birth_year: Some(year), ..Profile::default() }
    }

    fn stored() -> (Arc<FakeStore>, Latest) {
        let store = Arc::new(FakeStore::default());
        store.tables().put_user("a", born(1950));
        store.tables().put_user("b", born(1960));
        (store.clone(), Latest::new(store))
    }

    #[tokio::test]
    async fn who_comes_while_a_question_is_on_its_way_is_asked_for_with_the_others() {
        let (store, latest) = stored();
        let open = store.tables().close_gate();
        let mut first = Box::pin(latest.profile("a"));
        assert!(polled(&mut first).is_none(), "its question is on its way");
        // What is written now is in the answers to all who ask from now on.
        store.tables().put_user("b", born(1970));
        let others = ["b", "b", "nobody", "a"];
        let mut others = Box::pin(join_all(others.map(|id| latest.profile(id))));
        assert!(polled(&mut others).is_none());
        store.tables().put_user("b", born(1980));
        open.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Some(born(1950)));
        let others: Vec<_> = others.await.into_iter().map(Result::unwrap).collect();
        assert_eq!(others, [Some(born(1980)), Some(born(1980)), None, Some(born(1950))]);
        assert_eq!(store.tables().questions, 2);
    }

    #[tokio::test]
    async fn who_is_about_to_ask_is_asked_for_with_the_first() {
        let (store, latest) = stored();
        let answers = join_all(["a", "b", "a", "nobody"].map(|id| latest.profile(id))).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [Some(born(1950)), Some(born(1960)), Some(born(1950)), None]);
        assert_eq!(store.tables().questions, 1);
    }

    #[tokio::test]
    async fn nobody_waits_for_one_that_has_gone() {
        let (store, latest) = stored();
        let open = store.tables().close_gate();
        let mut first = Box::pin(latest.profile("a"));
        assert!(polled(&mut first).is_none());
        let mut second = Box::pin(latest.profile("b"));
        assert!(polled(&mut second).is_none());
        drop(first);
        assert_eq!(second.await.unwrap(), Some(born(1960)));
        // The one who asks for all goes, and with it the question of another that it took along.
        drop(open);
        let open = store.tables().close_gate();
        let mut first = Box::pin(latest.profile("a"));
        let mut second = Box::pin(latest.profile("b"));
        assert!(polled(&mut first).is_none());
        assert!(polled(&mut second).is_none());
        drop((first, open));
        assert_eq!(polled(&mut second).expect("nobody is in its way").unwrap(), Some(born(1960)));
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_told_to_all_and_asked_anew_by_the_next() {
        let (store, latest) = stored();
        store.tables().down = true;
        for answer in join_all(["a", "b"].map(|id| latest.profile(id))).await {
            assert!(matches!(answer, Err(SourceError::Unavailable(_))), "{answer:?}");
        }
        store.tables().down = false;
        assert_eq!(latest.profile("a").await.unwrap(), Some(born(1950)));
    }
}
