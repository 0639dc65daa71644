//! (room recommend)
