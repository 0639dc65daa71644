//! (room vision)
