//! (room inference)
