//! What is true at the moment it is asked for: gauges are read when the metrics are, so that
//! nothing on a request's way keeps them up to date.

use metrics::gauge;

use super::AppState;
use crate::telemetry::of_tenant;

/// Sets the gauges.
pub fn read(state: &AppState) {
    if let Some(registry) = state.registry.load_full() {
        for served in registry.all() {
            let name = served.manifest().name.clone();
            gauge!("medserve_queue_length", "model" => name).set(served.waiting() as f64);
        }
    }
    state.everyone().for_each(of_data);
    process();
}

/// Those of a tenant's data.
fn of_data(state: &AppState) {
    let labels = |name, value: &'static str| of_tenant(&state.tenant, [(name, value.into())]);
    if let Some(people) = state.people.load_full() {
        let usage = people.store.pool_usage();
        let busy = usage.open.saturating_sub(usage.idle);
        gauge!("medserve_database_connections", labels("state", "busy")).set(busy);
        gauge!("medserve_database_connections", labels("state", "idle")).set(usage.idle);
        gauge!("medserve_database_connections_max", of_tenant(&state.tenant, [])).set(usage.max);
    }
    if let Some(cases) = state.cases.load_full() {
        let counts = cases.counts();
        gauge!("medserve_cases", labels("vector", "yes")).set(counts.with_vector as f64);
        gauge!("medserve_cases", labels("vector", "no")).set((counts.cases - counts.with_vector) as f64);
    }
}

/// Memory and descriptors of this process, by the names that Prometheus' own clients use; nothing
/// where the system does not tell.
fn process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    if let Some(kilobytes) = resident.and_then(|text| text.trim().parse::<f64>().ok()) {
        gauge!("process_resident_memory_bytes").set(kilobytes * 1024.0);
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(descriptors.count() as f64);
    }
}
