//! Caxton.
