//! Tokens that a file lists by their digests. The file is read again when it has changed, so that a
//! token can be taken away without a restart.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::digest::TokenDigest;
use super::secret_file::{SecretFileError, read_secret};
use crate::policy::Subject;

/// How often the file is looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why a token file is not used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// A line is none of a token file.
    #[error("{} line {line}: expected `NAME SHA256 [GROUP,…]`, with SHA256 as `printf %s TOKEN | sha256sum` prints it", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// It cannot be read, or everyone can.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
}

/// The tokens of a file.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    subjects: Arc<Subjects>,
    version: Option<Version>,
    looked: Instant,
}

type Subjects = HashMap<TokenDigest, Subject>;

/// What changes when a file does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Version {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl TokenFile {
    /// Reads the file.
    pub(super) fn open(path: &Path) -> Result<Self, TokenFileError> {
        let version = Version::of(path);
        let subjects = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            state: RwLock::new(State {
                subjects: Arc::new(subjects),
                version,
                looked: Instant::now(),
            }),
        })
    }

    /// Whose token this is.
    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Subject> {
        self.subjects().get(digest).cloned()
    }

    fn subjects(&self) -> Arc<Subjects> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < LOOK_INTERVAL {
            return Arc::clone(&state.subjects);
        }
        drop(state);
        self.look_again()
    }

    /// Reads the file if it has changed. One that cannot be used lets nobody in: whoever changed it
    /// may have meant to take a token away.
    fn look_again(&self) -> Arc<Subjects> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.looked = Instant::now();
        let version = Version::of(&self.path);
        if version != state.version {
            state.version = version;
            let subjects = read(&self.path).unwrap_or_else(|error| {
                tracing::error!("{error}; no token is accepted until this is mended");
                HashMap::new()
            });
            tracing::info!(tokens = subjects.len(), "token file read again");
            state.subjects = Arc::new(subjects);
        }
        Arc::clone(&state.subjects)
    }
}

fn read(path: &Path) -> Result<Subjects, TokenFileError> {
    parse(&read_secret(path)?).map_err(|line| TokenFileError::Line {
        path: path.to_owned(),
        line,
    })
}

/// The tokens, or the number of the first line that is wrong.
fn parse(text: &str) -> Result<Subjects, usize> {
    let mut subjects = HashMap::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.split_once('#').map_or(line, |(line, _comment)| line);
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let digest = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or(number)?;
        let mut subject = Subject::named(format!("token:{name}"));
        if let Some(groups) = words.next() {
            subject.groups = groups.split(',').map(str::to_owned).collect();
        }
        // The same token twice would let one pass for the other.
        let is_twice = subjects.insert(digest, subject).is_some();
        if is_twice || words.next().is_some() || name.chars().any(char::is_control) {
            return Err(number);
        }
    }
    Ok(subjects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_tokens_and_groups() {
        let digest = TokenDigest::of("secret");
        let text = format!("# tokens\n\nalice {digest} staff,admins # hers\n");
        let subjects = parse(&text).unwrap();
        let alice = &subjects[&digest];
        assert_eq!(alice.id, "token:alice");
        assert_eq!(alice.groups, ["staff", "admins"]);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let digest = TokenDigest::of("secret");
        for (text, line) in [
            ("alice".to_owned(), 1),
            ("\nalice secret".to_owned(), 2),
            (format!("alice {digest} staff more"), 1),
            (format!("alice {digest}\nbob {digest}"), 2),
            (format!("alice {}", "é".repeat(32)), 1),
        ] {
            assert_eq!(parse(&text).unwrap_err(), line, "{text}");
        }
    }
}
