//! What happens to every request: a place in a trace, an id, a log line, the question who asks, a
//! place among the work in flight, a row of the audit, a deadline, problems in one shape, and an
//! answer that its client gets to read.

pub mod audit;
pub mod deadline;
pub mod headers;
pub mod host;
pub mod identity;
pub mod intake;
pub mod lingering;
pub mod observe;
pub mod request_id;
pub mod trace_context;
