//! How a command ends: one line for people and one exit code for programs.

use std::fmt;
use std::process::ExitCode;

/// Why a command did not succeed, as an exit code (the README lists them; the numbers follow `sysexits.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// What was asked for failed: an instance that did not succeed, a file that is wrong.
    Failed,
    /// The registry served nothing in time.
    Unreachable,
    /// The fencing token is stale.
    StaleToken,
    /// A file cannot be read or written.
    Io,
    /// The registry was lost, and the configuration says to stop.
    RegistryLost,
    /// The configuration is wrong.
    Configuration,
}

impl Code {
    /// The number that the process exits with.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Unreachable => 69,
            Self::StaleToken => 73,
            Self::Io => 74,
            Self::RegistryLost => 75,
            Self::Configuration => 78,
        }
    }
}

/// A command that did not succeed: the code, and what to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    /// A failure with this code; `message` is what a person reads, usually one line.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The configuration is wrong.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(Code::Configuration, message)
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// As the process reports it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code.number())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<registry_api::Error> for Failure {
    fn from(error: registry_api::Error) -> Self {
        use registry_api::ErrorKind;
        let code = match error.kind() {
            ErrorKind::Configuration => Code::Configuration,
            ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::Closed => Code::Unreachable,
            _ => Code::Failed,
        };
        Self::new(code, error.to_string())
    }
}
