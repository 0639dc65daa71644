//! (room train)
