//! The file in which sessions outlive the process: read once at the start, then replaced as a whole.
//!
//! ```text
//!   FILE.partial ── written, fsync ── rename ──► FILE ── fsync of the folder
//! ```
//!
//! So there is the old state or the new one, whatever ends the process and when. `FILE.lock` keeps a
//! second gateway from the same file: each would take the other's sessions for its own. Who could
//! write the file could send streams elsewhere, so it is used only when nobody else can.

mod record;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::session::SavedSession;
use record::Clocks;
pub use record::RecordError;

/// Larger files hold no sessions of ours: 10,000 with a few targets each take some 10 MB.
const SIZE_MAX: u64 = 256 << 20;

/// Who may read and write the file: its owner.
const MODE: u32 = 0o600;

/// Why a state file is not used; each displays as one sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Its content is not what was written.
    #[error("the state file {} is damaged: {cause}; mend it, or move it away to start without its sessions", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: RecordError,
    },
    /// Others may read or write it, or have it.
    #[error("the state file {} is open to others ({why}): whoever can write it can send streams elsewhere; see that its sessions are right and say `chown {uid} {} && chmod 600 {}`, or move it away to start without them", path.display(), path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode or its owner.
        why: String,
        /// Who should own it.
        uid: u32,
    },
    /// It cannot be read, or its place cannot be used.
    #[error("cannot use the state file {}: {cause}; see that its folder exists and is this user's, or name another file with sessions.state", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// Another gateway has it.
    #[error("the state file {} is in use by another s2cs; give each its own with sessions.state", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version.
    #[error("the state file {} is of version {found}, and this s2cs reads version {known}: start the s2cs that wrote it, or move it away to start without its sessions", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// What we read and write.
        known: u64,
    },
}

/// A state file that is ours as long as this lives.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    partial: PathBuf,
    folder: File,
    /// Locked; the lock goes with the descriptor.
    _lock: File,
}

impl StateFile {
    /// Takes the file, and reads the sessions that it holds: none where there is no file yet.
    ///
    /// # Errors
    /// When it cannot be used, or others could have written it.
    pub fn open(path: &Path) -> Result<(Self, Vec<SavedSession>), StateError> {
        let refused = |cause| StateError::File {
            path: path.to_owned(),
            cause,
        };
        let path = std::path::absolute(path).map_err(refused)?;
        let lock = lock(&path)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let folder = File::open(folder).map_err(refused)?;
        let sessions = match read(&path)? {
            Some(text) => record::parse(&text, Clocks::now()).map_err(|error| match error {
                RecordError::Version { found, known } => StateError::Version {
                    path: path.clone(),
                    found,
                    known,
                },
                cause @ (RecordError::Json(_)
                | RecordError::Session { .. }
                | RecordError::NoFile) => StateError::Damaged {
                    path: path.clone(),
                    cause,
                },
            })?,
            None => Vec::new(),
        };
        let state = Self {
            partial: beside(&path, ".partial"),
            path,
            folder,
            _lock: lock,
        };
        Ok((state, sessions))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what the file holds: afterwards it is there whatever happens. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be written; the file is as it was then.
    pub fn write(&self, sessions: &[SavedSession]) -> Result<(), StateError> {
        let text = record::text(sessions, Clocks::now());
        let replaced = self.replace(&text);
        if replaced.is_err() {
            // It may never have been made.
            drop(fs::remove_file(&self.partial));
        }
        replaced.map_err(|cause| StateError::File {
            path: self.path.clone(),
            cause,
        })
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        // What a killed process left behind goes; a link that somebody put there is not followed.
        match fs::remove_file(&self.partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&self.partial)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        self.folder.sync_all()
    }
}

/// The path with something appended to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// The file itself is replaced at each write, so the lock is on one beside it.
fn lock(path: &Path) -> Result<File, StateError> {
    let refused = |cause| StateError::File {
        path: path.to_owned(),
        cause,
    };
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(beside(path, ".lock"))
        .map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(cause)) => Err(refused(cause)),
    }
}

/// The text of the file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let refused = |cause| StateError::File {
        path: path.to_owned(),
        cause,
    };
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    // A pipe in its place must not hold up the start.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    must_be_ours(path, &file)?;
    let mut text = Vec::new();
    let length = file.take(SIZE_MAX + 1).read_to_end(&mut text);
    if length.map_err(refused)? as u64 > SIZE_MAX {
        return Err(refused(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(text))
}

/// Of the open file, so that nobody can put another in its place in between.
fn must_be_ours(path: &Path, file: &File) -> Result<(), StateError> {
    let metadata = file.metadata().map_err(|cause| StateError::File {
        path: path.to_owned(),
        cause,
    })?;
    if !metadata.is_file() {
        return Err(StateError::Damaged {
            path: path.to_owned(),
            cause: RecordError::NoFile,
        });
    }
    let uid = rustix::process::geteuid().as_raw();
    let mode = metadata.permissions().mode() & 0o7777;
    let why = if mode & 0o077 != 0 {
        format!("mode {mode:04o}")
    } else if metadata.uid() != uid {
        format!("owner {}", metadata.uid())
    } else {
        return Ok(());
    };
    Err(StateError::Exposed {
        path: path.to_owned(),
        why,
        uid,
    })
}

#[cfg(test)]
mod tests;
