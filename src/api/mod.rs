//! All HTTP: one file a resource, thin handlers, one error type.

pub mod accept;
mod access;
pub mod admission;
mod assets;
pub mod audit;
mod body_size;
pub mod cases;
pub mod cds;
pub mod certificates;
pub mod classify;
pub mod console;
pub mod contract;
pub mod decision;
pub mod dicom_web;
mod docs;
pub mod drift;
pub mod embeddings;
pub mod entities;
pub mod error;
mod etag;
pub mod explain;
pub mod extract;
pub mod fhir;
pub mod gauges;
pub mod generate;
pub mod health;
pub mod identity;
pub mod images;
pub mod interactions;
pub mod items;
mod json;
mod limit;
pub mod middleware;
pub mod models;
pub mod notes;
pub mod oip;
pub mod people;
mod query;
pub mod recommendations;
pub mod router;
pub mod segment;
mod signatures;
mod strict;
pub mod tenants;
pub mod tokens;
mod undeclared;
pub mod users;

use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use governor::DefaultKeyedRateLimiter;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::cases::Cases;
use crate::config::Config;
use crate::inference::Registry;
use crate::inference::recommendation::RecommendationService;
use crate::inference::registry::Served;
use crate::store::{AuditKey, AuditRow, AuditWriter, Store};
use crate::telemetry::spans::Spans;
use recommend::{Kind, Neighbor, Recommendation, Recommender, Request};

pub use admission::Admission;
pub use error::Problem;
pub use identity::Identity;

/// What handlers share, behind one pointer: every layer around a route takes a copy for every
/// request, on all cores at a time.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// What there is in it.
pub struct Shared {
    /// Whose data it is; empty for the default tenant.
    pub tenant: String,
    /// In the default tenant's, the states of the others, for what tells how the server is doing.
    pub others: OnceLock<Vec<AppState>>,
    /// The configuration in use.
    pub config: Arc<Config>,
    /// The models; none until they are loaded and warm.
    pub registry: Arc<ArcSwapOption<Registry>>,
    /// People, things and the recommender; none until they are loaded.
    pub people: Arc<ArcSwapOption<People>>,
    /// The cases; none until they are loaded.
    pub cases: Arc<ArcSwapOption<Cases>>,
    /// Who is let in.
    pub identity: Arc<Identity>,
    /// How often each caller may ask; none for as often as it likes.
    pub rate: Option<Arc<DefaultKeyedRateLimiter<String>>>,
    /// How often each address may fail to be let in.
    pub failures: Arc<DefaultKeyedRateLimiter<String>>,
    /// The audit.
    pub audit: Arc<AuditWriter>,
    /// Its key; none until the database is open.
    pub audit_key: ArcSwapOption<AuditKey>,
    /// Which work is let in.
    pub admission: Arc<Admission>,
    /// Renders the metrics; none where another server of this process collects them.
    pub metrics: Option<PrometheusHandle>,
    /// Takes the spans of requests; none where they are not exported.
    pub spans: Option<Spans>,
}

impl AppState {
    /// All of it, to be shared.
    pub fn new(shared: Shared) -> AppState {
        AppState(Arc::new(shared))
    }

    /// This one and, of the default tenant, those of the others. Only what says how the server is doing,
    /// or which models it may serve, asks for it: never what answers with data of people.
    pub fn everyone(&self) -> impl Iterator<Item = &AppState> {
        std::iter::once(self).chain(self.others.get().into_iter().flatten())
    }

    /// The learned recommender of this tenant for items of a kind.
    pub fn recommender(&self, kind: Kind) -> Option<Arc<RecommendationService>> {
        let own = |model: &str| self.config.tenants.owner(model) == self.tenant;
        self.registry.load_full()?.recommender(kind, own)
    }

    /// Whether a model is made for the people and things of the tenant whose it is; of one that was not
    /// loaded yet this is looked at when it is.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn fits(&self, served: &Served) -> Result<(), String> {
        let owner = self.config.tenants.owner(&served.manifest().name);
        let people = self.everyone().find(|state| state.tenant == owner);
        people.and_then(|state| state.people.load_full()).map_or(Ok(()), |people| people.fits(served))
    }

    /// Has the database of the tenant whose a model is keep what its engine reads of it. Where that fails, it
    /// is done when an answer misses it.
    pub async fn keep(&self, served: &Served) {
        let owner = self.config.tenants.owner(&served.manifest().name);
        let people = self.everyone().find(|state| state.tenant == owner);
        if let Some(people) = people.and_then(|state| state.people.load_full()) {
            people.keep(served).await;
        }
    }

    /// Notes in the audit that somebody was refused on a network that is not HTTP: of an address that comes again and again
    /// no more than so many rows, as of requests that are not let in. What names a person always has its row, as long as rows
    /// can be kept.
    pub fn note_refusal(&self, row: AuditRow) {
        let names = !row.people.is_empty() && self.audit.check().is_ok();
        if names || self.failures.check_key(&row.address).is_ok() {
            self.audit.note(row);
        }
    }

    /// The models in service.
    ///
    /// # Errors
    /// 503 while they are being loaded.
    pub fn registry(&self) -> Result<Arc<Registry>, Problem> {
        self.registry
            .load_full()
            .ok_or_else(|| Problem::unavailable("the models are being loaded; try again in a moment"))
    }

    /// The key of the audit.
    ///
    /// # Errors
    /// 503 while the database is being opened.
    pub fn audit_key(&self) -> Result<Arc<AuditKey>, Problem> {
        self.audit_key
            .load_full()
            .ok_or_else(|| Problem::unavailable("the database is being opened; try again in a moment"))
    }

    /// The cases.
    ///
    /// # Errors
    /// 503 while they are being loaded.
    pub fn cases(&self) -> Result<Arc<Cases>, Problem> {
        self.cases
            .load_full()
            .ok_or_else(|| Problem::unavailable("the cases are being loaded; try again in a moment"))
    }

    /// People, things and the recommender.
    ///
    /// # Errors
    /// 503 while they are being loaded.
    pub fn people(&self) -> Result<Arc<People>, Problem> {
        self.people
            .load_full()
            .ok_or_else(|| Problem::unavailable("the interactions are being loaded; try again in a moment"))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// People and things, as kept and as computed with.
pub struct People {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The recommender over it.
    pub recommender: Recommender,
    /// Whether the database answered when it was last asked, which it is all the time.
    pub reachable: AtomicBool,
    /// Whether it took a write when it was last given one, which it is every ten seconds.
    pub writable: AtomicBool,
}

impl People {
    /// Computes on a blocking thread: a large request takes milliseconds of one core, which the
    /// async threads do not have.
    ///
    /// # Errors
    /// As the recommender says.
    pub async fn recommend(
        self: Arc<Self>,
        request: Request,
        learned: Option<Arc<RecommendationService>>,
    ) -> Result<Recommendation, Problem> {
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            let learned = learned.as_ref().map(|service| &service.learned);
            runtime.block_on(self.recommender.recommend_by(&request, learned))
        };
        let answer = tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?;
        Ok(answer?)
    }

    /// Whether a model is made for the people and things that there are.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn fits(&self, served: &Served) -> Result<(), String> {
        match served {
            Served::Recommendation(service) => self.recommender.check(&service.learned),
            _ => Ok(()),
        }
    }

    /// Has the database keep what its engine reads of a model.
    pub async fn keep(&self, served: &Served) {
        let Served::Recommendation(service) = served else { return };
        if let Err(error) = self.recommender.keep(&service.learned).await {
            let model = &service.manifest.name;
            tracing::warn!(%error, model, "the weights of a model could not be written to the database");
        }
    }

    /// The neighbors, on a blocking thread for the same reason.
    ///
    /// # Errors
    /// As the recommender says.
    pub async fn neighbors(self: Arc<Self>, request: Request) -> Result<Vec<Neighbor>, Problem> {
        let runtime = tokio::runtime::Handle::current();
        let work = move || runtime.block_on(self.recommender.neighbors(&request));
        let found = tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?;
        Ok(found?)
    }

    /// Makes a write that has been committed visible to the next read. Where the database fails
    /// just then, the write stands and becomes visible with the next refresh.
    pub async fn written(&self, users: &[String], items: &[String]) {
        if let Err(error) = self.recommender.fresh().written(users, items).await {
            tracing::warn!(%error, "a write is not visible yet");
        }
    }
}

/// When a request must have its answer; put into it when it is taken in.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);
