//! Why a command failed: one sentence for people, one exit code for programs.

use std::error::Error;
use std::fmt;

use tonic::{Code, Status};

use crate::errors::InFull;

/// The exit codes of `s2uc` and `appctrl`, beside 0 for success.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Anything that has no code of its own.
    Failed = 1,
    /// The command line makes no sense; the parser exits with the same.
    Usage = 2,
    /// The gateway does not accept the token, or wants one.
    Unauthenticated = 3,
    /// The gateway knows who asks, and says no.
    Denied = 4,
    /// The gateway or the token issuer cannot be reached, or is on its way out.
    Unreachable = 5,
    /// It took too long.
    TimedOut = 6,
    /// The gateway has no port, bandwidth or quota left.
    NoResources = 7,
    /// The gateway has no such session.
    NotFound = 8,
    /// The gateway has a session of that uid already.
    Exists = 9,
    /// The gateway refuses a value.
    BadRequest = 10,
    /// The gateway does not offer what was asked for.
    Unsupported = 11,
    /// Stopped by Ctrl-C; what was made is released.
    Interrupted = 130,
}

/// Why a command failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    exit: Exit,
    sentence: String,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name that `--json` gives the failure.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Usage => "USAGE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Denied => "PERMISSION_DENIED",
            Self::Unreachable => "UNAVAILABLE",
            Self::TimedOut => "DEADLINE_EXCEEDED",
            Self::NoResources => "RESOURCE_EXHAUSTED",
            Self::NotFound => "NOT_FOUND",
            Self::Exists => "ALREADY_EXISTS",
            Self::BadRequest => "INVALID_ARGUMENT",
            Self::Unsupported => "UNIMPLEMENTED",
            Self::Interrupted => "CANCELLED",
        }
    }

    /// What a gRPC status means to a caller. Gateways of the reference say UNKNOWN for everything
    /// but a bad token, so that their words have to tell.
    fn of_status(status: &Status) -> Self {
        match status.code() {
            Code::Ok | Code::Aborted | Code::DataLoss | Code::Internal => Self::Failed,
            Code::Unknown => Self::of_words(status.message()),
            Code::Cancelled | Code::DeadlineExceeded => Self::TimedOut,
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => Self::BadRequest,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::Exists,
            Code::PermissionDenied => Self::Denied,
            Code::ResourceExhausted => Self::NoResources,
            Code::Unimplemented => Self::Unsupported,
            Code::Unavailable => Self::Unreachable,
            Code::Unauthenticated => Self::Unauthenticated,
        }
    }

    fn of_words(words: &str) -> Self {
        let words = words.to_ascii_lowercase();
        if words.contains("entry not found") {
            Self::NotFound
        } else if words.contains("already found") {
            Self::Exists
        } else if words.contains("hello not received") {
            Self::TimedOut
        } else {
            Self::Failed
        }
    }
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self {
            exit,
            sentence: sentence.into(),
        }
    }

    /// What `gateway` answered to `call`.
    pub fn of_status(gateway: &dyn fmt::Display, call: &str, status: &Status) -> Self {
        // What has a cause here was not said by the gateway: the connection has failed.
        if let Some(cause) = status.source() {
            let cause = InFull(cause);
            let sentence = format!(
                "{call} failed: the connection to the gateway {gateway} broke ({cause}); see whether it \
                 is a control address, and whether it wants TLS"
            );
            return Self::new(Exit::Unreachable, sentence);
        }
        let exit = Exit::of_status(status);
        let said = printable(status.message());
        let (said, advice) = if said.is_empty() {
            ("without a word".to_owned(), advice(exit, false))
        } else {
            (format!("\"{said}\""), advice(exit, true))
        };
        let code = status.code();
        Self::new(
            exit,
            format!("{call} failed at the gateway {gateway}: {code:?}, {said}{advice}"),
        )
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The same failure with more said.
    pub fn and(mut self, more: &str) -> Self {
        self.sentence.push_str("; ");
        self.sentence.push_str(more);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for Failure {}

/// What to do about it, where the sentence of a gateway cannot know.
fn advice(exit: Exit, has_spoken: bool) -> &'static str {
    match exit {
        Exit::Unauthenticated => {
            "; give a token by --token-file, or get one by `s2uc login --scope ID` and name it by --scope ID"
        }
        Exit::Unreachable if !has_spoken => "; see whether the gateway runs, and try again",
        Exit::Unsupported => "; the gateway is older than this command, see its documentation",
        Exit::BadRequest
        | Exit::Denied
        | Exit::Exists
        | Exit::Failed
        | Exit::Interrupted
        | Exit::NoResources
        | Exit::NotFound
        | Exit::TimedOut
        | Exit::Unreachable
        | Exit::Usage => "",
    }
}

/// What somebody else wrote, safe for a terminal: no control characters, and no marks that turn
/// the direction of the text around.
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if c.is_control() || turns(c) { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_an_exit_code_of_its_kind() {
        let of = |code, words: &str| Exit::of_status(&Status::new(code, words));
        assert_eq!(of(Code::Unauthenticated, ""), Exit::Unauthenticated);
        assert_eq!(of(Code::ResourceExhausted, ""), Exit::NoResources);
        assert_eq!(of(Code::Unavailable, ""), Exit::Unreachable);
        let old = "Exception calling application: ";
        let words = format!("{old}hello request invalid, entry not found for uid 'x'");
        assert_eq!(of(Code::Unknown, &words), Exit::NotFound);
        let words = format!("{old}Entry already found for uid");
        assert_eq!(of(Code::Unknown, &words), Exit::Exists);
        assert_eq!(of(Code::Unknown, "whatever"), Exit::Failed);
    }

    #[test]
    fn a_gateways_words_cannot_drive_the_terminal() {
        let status = Status::internal("a\u{1b}[2Jb\nc\u{202e}d");
        let failure = Failure::of_status(&"h:1", "req", &status);
        assert_eq!(
            failure.to_string(),
            "req failed at the gateway h:1: Internal, \"a [2Jb c d\""
        );
    }

    #[test]
    fn a_gateway_that_says_what_is_missing_is_not_said_to_be_away() {
        let spoken = Failure::of_status(&"h:1", "req", &Status::unavailable("no such target"));
        assert!(!spoken.to_string().contains("runs"), "{spoken}");
        let silent = Failure::of_status(&"h:1", "req", &Status::unavailable(""));
        assert!(
            silent.to_string().contains("whether the gateway runs"),
            "{silent}"
        );
    }

    #[test]
    fn a_token_that_is_refused_comes_with_the_way_to_another() {
        let failure = Failure::of_status(&"h:1", "req", &Status::unauthenticated("no"));
        assert!(failure.to_string().contains("s2uc login"), "{failure}");
        assert_eq!(failure.exit().code(), 3);
    }
}
