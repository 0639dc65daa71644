//! All HTTP: one file a resource, thin handlers, one error type.

pub mod error;
pub mod extract;
pub mod health;
pub mod images;
pub mod middleware;
pub mod models;
pub mod router;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::Config;
use crate::inference::Registry;

pub use error::Problem;

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    /// The configuration in use.
    pub config: Arc<Config>,
    /// The models; none until they are loaded and warm.
    pub registry: Arc<ArcSwapOption<Registry>>,
    /// Renders the metrics; none where another server of this process collects them.
    pub metrics: Option<PrometheusHandle>,
}

impl AppState {
    /// The models in service.
    ///
    /// # Errors
    /// 503 while they are being loaded.
    pub fn registry(&self) -> Result<Arc<Registry>, Problem> {
        self.registry
            .load_full()
            .ok_or_else(|| Problem::unavailable("the models are being loaded; try again in a moment"))
    }
}

/// When a request must have its answer; put into every request by the deadline middleware.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);
