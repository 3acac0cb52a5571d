//! Builds guest components from source inside build scripts.
