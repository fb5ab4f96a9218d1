//! The one table from refusals to what callers are told: a gRPC code, draft-scistream-protocol-02's
//! code, a sentence, and whatever lets a program act on it.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::convert::{self, Names};
use crate::auth::AuthError;
use crate::policy::Denial;
use crate::session::SessionError;

/// In whose name the draft's codes are given.
const DOMAIN: &str = "scistream.org";

/// The hint for what others may end at any moment.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Who calls is not known.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The policy does not grant it.
    #[error("the policy does not allow this: {0}; ask the gateway's operator")]
    Denied(#[from] Denial),
    /// A watcher read too slowly.
    #[error(
        "{0} events were lost because they were not read in time; watch again, and list what is there"
    )]
    EventsLost(u64),
    /// Only admins may.
    #[error("only an admin may drain the gateway")]
    NotAdmin,
    /// It is not possible for this session, or at this moment.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A watcher's gateway stops.
    #[error("the gateway is stopping; watch another one, or this one later")]
    Stopping,
}

/// What a refusal is in both languages, and when to try again.
struct Row {
    code: Code,
    draft: &'static str,
    retry: Option<Duration>,
}

impl Row {
    const fn of(code: Code, draft: &'static str) -> Self {
        Self {
            code,
            draft,
            retry: None,
        }
    }

    const fn retry(mut self, after: Option<Duration>) -> Self {
        self.retry = after;
        self
    }
}

impl Refusal {
    fn row(&self) -> Row {
        let later = Some(RETRY_LATER);
        match self {
            Self::Auth(AuthError::Invalid { .. } | AuthError::Missing { .. }) => {
                Row::of(Code::Unauthenticated, "AUTH_ERROR")
            }
            Self::Auth(AuthError::Unavailable { .. }) | Self::Stopping => {
                Row::of(Code::Unavailable, "UNAVAILABLE").retry(later)
            }
            Self::Denied(_) | Self::NotAdmin => Row::of(Code::PermissionDenied, "AUTH_ERROR"),
            Self::EventsLost(_) => Row::of(Code::DataLoss, "SERVER_ERR"),
            Self::Session(error) => session_row(error),
        }
    }

    /// The same, with a refused field under the name that it has in the caller's message.
    pub(super) fn in_words_of(self, names: Names) -> Self {
        match self {
            Self::Session(error) => Self::Session(convert::in_words_of(error, names)),
            Self::Auth(_)
            | Self::Denied(_)
            | Self::EventsLost(_)
            | Self::NotAdmin
            | Self::Stopping => self,
        }
    }

    /// The name of its gRPC code in the audit log.
    pub(super) fn code(&self) -> &'static str {
        code_name(self.row().code)
    }

    /// What the caller is told.
    pub(super) fn to_status(&self) -> Status {
        let Row { code, draft, retry } = self.row();
        let message = self.to_string();
        let mut details = ErrorDetails::new();
        details.set_error_info(draft, DOMAIN, HashMap::new());
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        if let Self::Session(SessionError::BadField { field, .. }) = self {
            details.add_bad_request_violation(*field, message.clone());
        }
        Status::with_error_details(code, message, details)
    }
}

fn session_row(error: &SessionError) -> Row {
    match error {
        SessionError::BadField { .. } => Row::of(Code::InvalidArgument, "BAD_FORMAT"),
        SessionError::Ended { .. } => Row::of(Code::Aborted, "SERVER_ERR"),
        SessionError::Exhausted { retry_after, .. } => {
            let retry = retry_after.or(Some(RETRY_LATER));
            Row::of(Code::ResourceExhausted, "NO_RESOURCE").retry(retry)
        }
        SessionError::Exists { .. } => Row::of(Code::AlreadyExists, "INVALID_UID"),
        SessionError::HelloTimeout { .. } => Row::of(Code::DeadlineExceeded, "TIMEOUT"),
        SessionError::NotOwner { .. } => Row::of(Code::PermissionDenied, "AUTH_ERROR"),
        SessionError::Unavailable(_) => {
            Row::of(Code::Unavailable, "UNAVAILABLE").retry(Some(RETRY_LATER))
        }
        SessionError::Unknown { .. } => Row::of(Code::NotFound, "INVALID_UID"),
    }
}

/// A code as gRPC's documents write it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Resource, SessionId};

    #[test]
    fn every_refusal_has_its_code_in_both_languages() {
        let id: SessionId = "a".parse().unwrap();
        let missing = AuthError::Missing {
            client_id: "c".into(),
        };
        let waited = Duration::from_secs(180);
        let exhausted = SessionError::Exhausted {
            what: Resource::Ports,
            wanted: 5,
            left: 0,
            retry_after: None,
        };
        for (refusal, code, draft) in [
            (Refusal::Auth(missing), Code::Unauthenticated, "AUTH_ERROR"),
            (
                Refusal::Denied(Denial::NotForCaller),
                Code::PermissionDenied,
                "AUTH_ERROR",
            ),
            (
                SessionError::bad_field("uid", "", "x").into(),
                Code::InvalidArgument,
                "BAD_FORMAT",
            ),
            (
                SessionError::Unknown { id: id.clone() }.into(),
                Code::NotFound,
                "INVALID_UID",
            ),
            (
                SessionError::Exists { id: id.clone() }.into(),
                Code::AlreadyExists,
                "INVALID_UID",
            ),
            (
                SessionError::NotOwner { id: id.clone() }.into(),
                Code::PermissionDenied,
                "AUTH_ERROR",
            ),
            (
                SessionError::HelloTimeout { id, waited }.into(),
                Code::DeadlineExceeded,
                "TIMEOUT",
            ),
            (exhausted.into(), Code::ResourceExhausted, "NO_RESOURCE"),
        ] {
            let status = refusal.to_status();
            assert_eq!(status.code(), code, "{refusal}");
            assert_eq!(status.message(), refusal.to_string());
            let details = status.get_error_details();
            assert_eq!(details.error_info().unwrap().reason, draft);
            let is_temporary = code == Code::ResourceExhausted;
            assert_eq!(details.retry_info().is_some(), is_temporary, "{refusal}");
            assert_eq!(
                details.bad_request().is_some(),
                code == Code::InvalidArgument
            );
        }
    }
}
