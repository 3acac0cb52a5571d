//! What can be said against a reload before anything of it runs. The first thing that is wrong is told.

use crate::{AgentName, Digest, Strategy};

/// The largest component that is taken.
pub const MAX_COMPONENT_BYTES: u64 = 100 * 1024 * 1024;

/// A reload as it is asked for, as far as that can be judged without the component itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "plain facts, each with its name; nothing is decided by their combination"
)]
pub struct HotReloadRequest {
    /// The agent.
    pub agent: AgentName,
    /// Bytes of the component.
    pub size: u64,
    /// Of the version that serves, component and configuration; none on a first deployment.
    pub from: Option<(Digest, Digest)>,
    /// Of the version that is to come in.
    pub to: (Digest, Digest),
    /// How it is to come in.
    pub strategy: Strategy,
    /// The share of traffic-splitting that is not progressive; none where it goes in stages.
    pub split: Option<u8>,
    /// `[limits] isolation`: each version runs in instances of its own.
    pub isolation: bool,
    /// `[rollback] enabled`.
    pub rollback: bool,
    /// The component keeps state, and `[reload] preserve_state` says that it moves.
    pub stateful: bool,
    /// There is something to copy: requests over HTTP, or handler messages with `mirror.requests = "all"`.
    pub has_copies: bool,
}

/// What is wrong with a reload that is asked for: where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// There is nothing in it.
    #[error("agent {agent}: {agent}.wasm is empty: write a component there")]
    Empty {
        /// Whose.
        agent: AgentName,
    },
    /// It is larger than is taken.
    #[error(
        "agent {agent}: {agent}.wasm has {size} bytes, and at most {} are taken: strip debug sections, or leave data out of it",
        MAX_COMPONENT_BYTES
    )]
    TooLarge {
        /// Whose.
        agent: AgentName,
        /// Its bytes.
        size: u64,
    },
    /// It serves already.
    #[error(
        "agent {agent}: the version that serves has the same component and configuration: change one of them"
    )]
    SameVersion {
        /// Whose.
        agent: AgentName,
    },
    /// Two versions would share what they run in.
    #[error(
        "agent {agent}: [reload] strategy = {strategy} runs two versions at once and needs [limits] isolation = true; \
         or set strategy to \"graceful\" or \"immediate\"",
        strategy = quoted(*strategy)
    )]
    NotIsolated {
        /// Whose.
        agent: AgentName,
        /// The strategy.
        strategy: Strategy,
    },
    /// A share that is none.
    #[error(
        "agent {agent}: [reload] split = {split} splits nothing: write 1 to 99; for all traffic at once set strategy to \
         \"graceful\""
    )]
    NoSplit {
        /// Whose.
        agent: AgentName,
        /// Per cent.
        split: u8,
    },
    /// Nobody would judge the version that has some of the traffic.
    #[error(
        "agent {agent}: [reload] strategy = {strategy} lets policies decide how far a version comes in, and [rollback] enabled \
         = false leaves it without any: enable it, or set strategy to \"graceful\" or \"immediate\"",
        strategy = quoted(*strategy)
    )]
    NoRollback {
        /// Whose.
        agent: AgentName,
        /// The strategy.
        strategy: Strategy,
    },
    /// State cannot be in two places.
    #[error(
        "agent {agent}: [reload] strategy = \"traffic-splitting\" would give its state to two versions at once: set strategy to \
         \"graceful\" or \"parallel\", or preserve_state = false to run it without its state"
    )]
    SplitsState {
        /// Whose.
        agent: AgentName,
    },
    /// Nothing would reach the version that listens.
    #[error(
        "agent {agent}: [reload] strategy = \"parallel\" has nothing to copy: set mirror.requests = \"all\" if messages may be \
         handled twice, or strategy to \"graceful\""
    )]
    NothingToMirror {
        /// Whose.
        agent: AgentName,
    },
}

fn quoted(strategy: Strategy) -> String {
    format!("{:?}", strategy.name())
}

impl HotReloadRequest {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// The first that applies, in the order in which the errors are declared.
    pub fn validate(&self) -> Result<(), ValidationError> {
        let agent = self.agent.clone();
        let strategy = self.strategy;
        if self.size == 0 {
            return Err(ValidationError::Empty { agent });
        }
        if self.size > MAX_COMPONENT_BYTES {
            let size = self.size;
            return Err(ValidationError::TooLarge { agent, size });
        }
        if self.from == Some(self.to) {
            return Err(ValidationError::SameVersion { agent });
        }
        if strategy.is_multi_version() && !self.isolation {
            return Err(ValidationError::NotIsolated { agent, strategy });
        }
        let splits = strategy == Strategy::TrafficSplitting;
        if let Some(split) = self.split.filter(|_| splits)
            && !(1..=99).contains(&split)
        {
            return Err(ValidationError::NoSplit { agent, split });
        }
        if strategy.is_multi_version() && !self.rollback {
            return Err(ValidationError::NoRollback { agent, strategy });
        }
        if splits && self.stateful {
            return Err(ValidationError::SplitsState { agent });
        }
        if strategy == Strategy::Parallel && !self.has_copies {
            return Err(ValidationError::NothingToMirror { agent });
        }
        Ok(())
    }
}

impl Strategy {
    /// Whether two versions get requests, or copies of them, at once.
    #[must_use]
    pub fn is_multi_version(self) -> bool {
        matches!(self, Self::Parallel | Self::TrafficSplitting)
    }

    /// As configurations write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::Immediate => "immediate",
            Self::Parallel => "parallel",
            Self::TrafficSplitting => "traffic-splitting",
        }
    }
}
