//! The two public contracts, as they are in this binary.

/// `caxton:agent`.
pub const AGENT: &str = include_str!("../../wit/agent/agent.wit");

/// `caxton:policy`.
pub const POLICY: &str = include_str!("../../wit/policy/policy.wit");
