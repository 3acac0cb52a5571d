//! The test guests as components, built from source.
