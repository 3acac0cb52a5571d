//! Why some bytes are not taken as a policy, and why settings are not taken for one.

use std::time::Duration;

use caxton_rollout::{Fault, FaultKind};
use serde::Serialize;

use super::store::PolicyLimits;

/// The engine for policies could not be made: this platform lacks something that Caxton needs.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare the engine for policies: {0}")]
pub struct EngineError(pub(super) String);

/// Some bytes were not taken as a policy.
#[derive(Debug, thiserror::Error)]
#[error("policy {policy} is refused: {reason}")]
pub struct PolicyRefusal {
    /// The name that the policy would have had.
    pub policy: String,
    /// Why, and what to do.
    pub reason: RefusalReason,
}

/// Why, in the order in which it is looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// Too many bytes.
    #[error(
        "the file has {size} bytes, at most {limit} are read; build it with optimisation and without debug information"
    )]
    TooLarge {
        /// Bytes there are.
        size: usize,
        /// Bytes there may be.
        limit: usize,
    },
    /// Something else than WebAssembly.
    #[error("the file is not WebAssembly in binary form: it does not begin with \\0asm")]
    NotWebAssembly,
    /// A core module, not a component.
    #[error(
        "the file is a core module and a policy is a component; build for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Cut short, damaged, or using what the engine for policies does not have.
    #[error(
        "the component is not valid: {0}; if the file was just copied, was it copied whole? (threads and the async ABI are not available to policies)"
    )]
    Invalid(String),
    /// An agent in the wrong directory.
    #[error(
        "the component is an agent and exports nothing of caxton:policy; agents belong into the agents directory"
    )]
    Agent,
    /// An export is missing.
    #[error(
        "the component does not export {0} of caxton:policy@0.1.0; build it for the world strategy-policy or rollback-policy"
    )]
    NoExport(&'static str),
    /// Both `strategy` and `rollback` are exported.
    #[error(
        "the component exports both strategy and rollback; a policy is one of the two: build two components"
    )]
    BothKinds,
    /// The contract in a version that this host does not speak.
    #[error(
        "the component exports caxton:policy/{interface}@{found} and this host speaks caxton:policy@0.1.x; build it against the WIT that `caxton wit policy` prints"
    )]
    Version {
        /// Which interface.
        interface: &'static str,
        /// In which version; empty for none.
        found: String,
    },
    /// An import that policies do not get.
    #[error(
        "the component imports {0}, which policies do not get: they decide from their arguments. There is caxton:policy/log@0.1.0, and WASI 0.2's io, cli, clocks, random, filesystem and sockets without anything behind them"
    )]
    Import(String),
    /// The compiler does not take it.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// An import or export has the right name and another signature.
    #[error("the component does not fit caxton:policy@0.1.0: {0}")]
    Signature(String),
    /// It does not say what it is.
    #[error("asked to describe itself, the policy failed: {0}")]
    Describe(Fault),
    /// What it gives as the schema of its settings is none.
    #[error("the schema of its settings cannot be used: {0}")]
    Schema(String),
    /// It takes too long to compile that schema.
    #[error(
        "the schema of its settings cannot be used: compiling it takes longer than {0:?}; make it simpler, or give this host less to do"
    )]
    SchemaOutOfTime(Duration),
}

/// Where the validation of a policy stopped, in the order in which things are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The file is read whole.
    Read,
    /// It is not empty and not too large.
    Size,
    /// It is a component, and valid.
    Component,
    /// It exports one kind of policy, in a version of the contract that this host speaks.
    Contract,
    /// It imports nothing that policies do not get.
    Imports,
    /// It compiles and fits the contract's signatures.
    Compile,
    /// It says what it is.
    Describe,
    /// The schema of its settings is one.
    Schema,
    /// It takes the settings in its own file.
    Settings,
    /// It decides about a made-up reload without a fault.
    Trial,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Size => "size",
            Self::Component => "component",
            Self::Contract => "contract",
            Self::Imports => "imports",
            Self::Compile => "compile",
            Self::Describe => "describe",
            Self::Schema => "schema",
            Self::Settings => "settings",
            Self::Trial => "trial",
        })
    }
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Size,
        Self::Component,
        Self::Contract,
        Self::Imports,
        Self::Compile,
        Self::Describe,
        Self::Schema,
        Self::Settings,
        Self::Trial,
    ];
}

impl RefusalReason {
    /// Where the validation stopped.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Empty | Self::TooLarge { .. } => Stage::Size,
            Self::NotWebAssembly | Self::CoreModule | Self::Invalid(_) => Stage::Component,
            Self::Agent | Self::NoExport(_) | Self::BothKinds | Self::Version { .. } => {
                Stage::Contract
            }
            Self::Import(_) => Stage::Imports,
            Self::Compile(_) | Self::Signature(_) => Stage::Compile,
            Self::Describe(_) => Stage::Describe,
            Self::Schema(_) | Self::SchemaOutOfTime(_) => Stage::Schema,
        }
    }

    /// Whether it is no more than that time ran out, which may be the host's doing: the same bytes may be taken the next time.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        match self {
            Self::Describe(fault) => fault.kind == FaultKind::OutOfTime,
            Self::SchemaOutOfTime(_) => true,
            _ => false,
        }
    }
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingsProblem {
    /// Where, as a JSON pointer; empty for the settings as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Settings were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// They are wrong.
    #[error("settings of policy {policy}: {}", list(.problems))]
    Refused {
        /// The policy's name.
        policy: String,
        /// At least one.
        problems: Vec<SettingsProblem>,
    },
    /// It was not found out whether they are: the policy failed to say so, or time ran out.
    #[error("checking its settings failed: {0}")]
    Fault(Fault),
}

impl SettingsError {
    /// The same as a fault, for a policy that was to decide with these settings.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        match self {
            Self::Refused { policy, problems } => Fault {
                policy: policy.clone(),
                kind: FaultKind::Settings,
                message: format!("its settings are refused: {}", list(problems)),
            },
            Self::Fault(fault) => fault.clone(),
        }
    }

    /// Whether it is no more than that time ran out, which may be the host's doing: the same settings may be taken the next
    /// time.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.kind == FaultKind::OutOfTime)
    }
}

fn list(problems: &[SettingsProblem]) -> String {
    problems
        .iter()
        .map(|problem| match problem.path.as_str() {
            "" => problem.message.clone(),
            path => format!("{path}: {}", problem.message),
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// The fault that a failed call is.
///
/// `memory_refused` tells whether the guest had asked for more memory than there is, `last_words` what it last wrote to stderr.
pub(super) fn fault(
    policy: &str,
    error: &wasmtime::Error,
    memory_refused: bool,
    limits: &PolicyLimits,
    last_words: &str,
) -> Fault {
    let trap = error.downcast_ref::<wasmtime::Trap>();
    let (kind, message) = if trap == Some(&wasmtime::Trap::OutOfFuel) {
        let message = format!(
            "it used up its {} units of fuel and had not answered",
            limits.fuel
        );
        (FaultKind::OutOfFuel, message)
    } else if memory_refused {
        let limit = limits.memory / (1024 * 1024);
        let message = format!("it asked for more than its {limit} MiB of memory and then failed");
        (FaultKind::OutOfMemory, message)
    } else if let Some(wasmtime_wasi::I32Exit(status)) = error.downcast_ref() {
        let message = format!("it exited with status {status} instead of answering");
        (FaultKind::Trap, message)
    } else {
        (
            FaultKind::Trap,
            format!("it trapped: {}", error.root_cause()),
        )
    };
    with_last_words(policy, kind, message, last_words)
}

/// The fault of a call that reached its deadline.
pub(super) fn out_of_time(policy: &str, limits: &PolicyLimits, last_words: &str) -> Fault {
    let message = format!("it had not answered after {:?}", limits.deadline);
    with_last_words(policy, FaultKind::OutOfTime, message, last_words)
}

fn with_last_words(policy: &str, kind: FaultKind, message: String, last_words: &str) -> Fault {
    let message = match last_words {
        "" => message,
        words => format!("{message}; it wrote to stderr:\n{words}"),
    };
    Fault {
        policy: policy.to_owned(),
        kind,
        message,
    }
}
