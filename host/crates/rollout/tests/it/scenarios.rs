//! What the core decides in the situations that people will meet, as tables.
