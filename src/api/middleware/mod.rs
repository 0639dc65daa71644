//! What happens to every request: a place in a trace, an id, a log line, a deadline, problems in
//! one shape, and an answer that its client gets to read.

pub mod deadline;
pub mod lingering;
pub mod observe;
pub mod request_id;
pub mod trace_context;
