//! The names of sessions: the uid that clients use, the key of a repeated create, the label.

use std::fmt;
use std::str::FromStr;

use super::error::SessionError;

/// Longest uid and submission id taken, characters. A UUID has 36.
pub const MAX_ID_CHARS: usize = 128;

/// Longest label taken, characters.
pub const MAX_LABEL_CHARS: usize = 128;

/// What a uid may look like, for people.
const ID_RULE: &str = "1 to 128 letters, digits, `-`, `_` and `.`, of which the first is a letter or digit, such as a UUID";

/// The uid of a session, chosen by the caller or by us. It names a session in calls and logs, and
/// never a file.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(String);

/// The key that makes a repeated create answer with the session of the first; the caller's own, so
/// two callers may use the same one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubmissionId(String);

/// What people call a session: one line of text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Label(String);

impl SessionId {
    /// The uid made of 16 random bytes: a UUID of version 4, which nobody can guess.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 0x0f] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = SessionError;

    /// Takes what a caller sent as `uid`.
    fn from_str(text: &str) -> Result<Self, SessionError> {
        checked("uid", text).map(Self)
    }
}

impl FromStr for SubmissionId {
    type Err = SessionError;

    /// Takes what a caller sent as the key of a create.
    fn from_str(text: &str) -> Result<Self, SessionError> {
        checked("idempotency_key", text).map(Self)
    }
}

impl FromStr for Label {
    type Err = SessionError;

    fn from_str(text: &str) -> Result<Self, SessionError> {
        let one_line = !text.is_empty() && !text.chars().any(is_unprintable);
        if one_line && text.chars().count() <= MAX_LABEL_CHARS {
            return Ok(Self(text.to_owned()));
        }
        Err(SessionError::bad_field(
            "label",
            text,
            "1 to 128 printable characters on one line",
        ))
    }
}

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checked(field: &'static str, text: &str) -> Result<String, SessionError> {
    let mut characters = text.bytes();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    if first && rest && text.len() <= MAX_ID_CHARS {
        return Ok(text.to_owned());
    }
    Err(SessionError::bad_field(field, text, ID_RULE))
}

/// Control characters, and those that turn the direction of the text around them.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_of_scripts_are_taken() {
        for text in [
            "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3",
            "a",
            "Run_7.b",
            &"9".repeat(MAX_ID_CHARS),
        ] {
            assert_eq!(text.parse::<SessionId>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn uids_that_could_be_something_else_are_refused() {
        for text in [
            "",
            ".",
            "../../etc/passwd",
            "a/b",
            "-rf",
            "a b",
            "a\n",
            "a\0",
            "é",
            &"9".repeat(MAX_ID_CHARS + 1),
        ] {
            let error = text.parse::<SessionId>().unwrap_err();
            assert!(matches!(error, SessionError::BadField { field: "uid", .. }));
        }
    }

    #[test]
    fn a_uid_of_ours_is_a_uuid_of_version_4() {
        let id = SessionId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let id = SessionId::from_random([0; 16]);
        assert_eq!(id.as_str(), "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn a_label_is_one_printable_line() {
        assert_eq!("Größe 7".parse::<Label>().unwrap().as_str(), "Größe 7");
        for text in ["", "a\nb", "a\u{202e}b", &"x".repeat(MAX_LABEL_CHARS + 1)] {
            assert!(text.parse::<Label>().is_err(), "{text:?}");
        }
    }
}
