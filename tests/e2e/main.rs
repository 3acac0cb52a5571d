//! End to end: the real binary, real components, real sockets.
