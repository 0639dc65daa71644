//! All that is opened for one tenant: its database, its recommender, its cases, its audit, and what is
//! kept up behind them. Of the default tenant the same as of any other.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{audit, upkeep};
use crate::api::{AppState, People, drift};
use crate::cases::Cases;
use crate::config::{Config, RecommenderEngine};
use crate::store::{self, AuditKey, Store, StoreError, StoreOptions, demo, tenant};
use crate::syslog;
use recommend::clock;
use recommend::{Recommender, Settings, Source};

/// Longest time that the last rows of the audit, and then the database, may take at the end.
const LAST_ROWS: Duration = Duration::from_secs(12);
const CLOSE: Duration = Duration::from_secs(3);

/// Time between two looks for a database that is away at the start.
const AGAIN: Duration = Duration::from_secs(1);

/// What one tenant has.
pub struct Site {
    state: AppState,
    /// Its people and things.
    pub people: Arc<People>,
    cases: Arc<Cases>,
    key: Arc<AuditKey>,
}

/// A site that is served: what goes on beside its requests.
pub struct Served {
    site: Site,
    upkeep: JoinSet<()>,
    auditing: JoinHandle<()>,
}

impl Site {
    /// Opens and loads it.
    ///
    /// # Errors
    /// A database that does not answer; an audit that is not in order where answers wait for it.
    pub async fn open(state: AppState, recommendations: Settings) -> Result<Site> {
        let people = Arc::new(open(&state.config, &state.tenant, recommendations).await?);
        let embedder = Arc::new(state.registry.clone());
        let cases = Cases::load(people.store.clone(), embedder).await.context("loading the cases")?;
        let key = audit::open(&state.config, &state.tenant, people.store.as_ref()).await?;
        Ok(Site { state, people, cases: Arc::new(cases), key })
    }

    /// Whose it is.
    pub fn tenant(&self) -> &str {
        &self.state.tenant
    }

    /// Has its requests answered from now on.
    pub fn serve(self) -> Served {
        let Site { state, people, cases, key } = &self;
        state.audit_key.store(Some(key.clone()));
        state.people.store(Some(people.clone()));
        state.cases.store(Some(cases.clone()));
        let (tenant, refresh) = (state.tenant.clone(), state.config.refresh);
        let mut running = JoinSet::new();
        running.spawn(upkeep::keep_cases(cases.clone(), refresh));
        running.spawn(upkeep::fill_cases(cases.clone()));
        running.spawn(upkeep::keep_fresh(people.clone(), tenant, refresh));
        running.spawn(upkeep::keep_up(state.clone(), people.clone(), key.clone()));
        running.spawn(upkeep::tick(people.clone()));
        if let Some(target) = state.config.audit_syslog.clone() {
            running.spawn(syslog::stream(target, people.clone(), state.tenant.clone(), rand::random()));
        }
        let (audit, store, of) = (state.audit.clone(), people.store.clone(), key.clone());
        let auditing = tokio::spawn(async move { audit.run(store.as_ref(), &of).await });
        Served { site: self, upkeep: running, auditing }
    }
}

impl Served {
    /// Ends what goes on and writes the last rows of its audit: what was answered is on record also
    /// where the end is in a hurry.
    pub async fn end(&mut self) {
        self.upkeep.abort_all();
        let Site { state, key, .. } = &self.site;
        state.audit.close();
        if timeout(LAST_ROWS, &mut self.auditing).await.is_err() {
            state.audit.give_up(Some(key));
        }
        // Models are everybody's, and so are the counts of their answers: they are kept once.
        if state.tenant.is_empty() {
            let counted = timeout(CLOSE, drift::keep(self.site.people.store.as_ref())).await;
            if !matches!(counted, Ok(Ok(()))) {
                tracing::warn!("the last counts of answers were not written");
            }
        }
    }

    /// Closes its database.
    pub async fn close(self) {
        if timeout(CLOSE, self.site.people.store.close()).await.is_err() {
            tracing::warn!("the database did not answer at the end");
        }
    }
}

/// Connects the tenant's store, fills it for a demonstration, and loads the recommender.
async fn open(config: &Config, tenant: &str, mut settings: Settings) -> Result<People> {
    let options = StoreOptions { max_connections: config.database_connections, ..StoreOptions::default() };
    let now = clock::now();
    let url = tenant::address(&config.database_url, tenant)?;
    let store = connect(&url, &options).await.context("opening the database")?;
    if config.demo && tenant.is_empty() {
        fill(store.as_ref()).await?;
    }
    if let Some(oldest) = settings.weighing.oldest_reference(now) {
        settings.weighing.reference_time =
            store.reference_time(now, oldest).await.context("asking what ages are counted from")?;
    }
    let source: Arc<dyn Source> = store.clone();
    let recommender = match config.recommender {
        RecommenderEngine::Memory => Recommender::in_memory(source, settings, now).await,
        RecommenderEngine::Database => {
            let evidence =
                store.evidence(&settings.weighing).await.context("preparing the database's engine")?;
            Recommender::in_database(source, evidence, settings, now).await
        }
    };
    let recommender = recommender.context("loading people, things and interactions")?;
    Ok(People { store, recommender, reachable: AtomicBool::new(true), writable: AtomicBool::new(true) })
}

/// Connects the store. A database that is away, as after a power cut that ended both, is waited for: what needs none is answered
/// meanwhile.
async fn connect(url: &str, options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    let mut told = false;
    loop {
        match store::connect(url, options).await {
            Err(error) if error.is_away() => {
                if !std::mem::replace(&mut told, true) {
                    let (database, cause) =
                        (store::shown(url), std::error::Error::source(&error).map(ToString::to_string));
                    tracing::error!(database, cause, "the database is away: the start waits for it");
                }
                tokio::time::sleep(AGAIN).await;
            }
            connected => {
                if told && connected.is_ok() {
                    tracing::info!("the database is there, and the start goes on");
                }
                return connected;
            }
        }
    }
}

/// Fills an empty database with the invented region.
async fn fill(store: &dyn Store) -> Result<()> {
    match demo::load(store, demo::SEED, clock::now()).await.context("filling the database")? {
        Some(_) => tracing::info!("the database was empty and now holds an invented region"),
        None => tracing::info!("the database is not empty and stays as it is"),
    }
    Ok(())
}
