//! What happens to every request: an id, a log line, a deadline, and problems in one shape.

pub mod deadline;
pub mod observe;
pub mod request_id;
