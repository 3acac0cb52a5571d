//! The simulator: thousands of reloads with faults, from a seed.
