//! The only part of Caxton that knows wasmtime: agents and policies as components.
