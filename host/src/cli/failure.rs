//! How a command ends when it does not end well: the exit code, and what is wrong, where, and what to do.

use std::io;

/// A command's end other than success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host answered, and the answer is no. Exit code 1.
    #[error("{0}")]
    No(String),
    /// The answer is no, and the output says so already. Exit code 1.
    #[error("the answer is no")]
    Told,
    /// The command line or a configuration is wrong. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// No host could be reached. Exit code 3.
    #[error("{0}")]
    Unreachable(String),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            // A reader that has seen enough, like `head`, is no failure of ours.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::No(_) | Self::Told | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }

    /// Whether there is something to tell about it.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Told) || self.exit_code() == 0
    }
}
