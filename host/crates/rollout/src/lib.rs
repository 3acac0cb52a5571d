//! The pure core of Caxton: what becomes of a version, decided without clock or IO.
