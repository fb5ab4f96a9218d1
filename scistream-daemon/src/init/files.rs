//! Files that are whole or not there, and that nobody reads who should not, from their first moment.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::InitError;

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// Its owner.
    Private,
    /// Everyone.
    Public,
}

/// The folder that only its owner may enter.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it, or takes the one that is there and closes it to others.
    pub(super) fn create(path: &Path) -> Result<Self, InitError> {
        let folder = Self(path.to_owned());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
            .map_err(|cause| folder.failed(path, cause))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file beside and moves it into place.
    pub(super) fn write(&self, name: &str, content: &str, mode: Mode) -> Result<(), InitError> {
        let path = self.0.join(name);
        let partial = self.0.join(format!(".{name}.{}", std::process::id()));
        let written = write_new(&partial, content, mode).and_then(|()| fs::rename(&partial, &path));
        if written.is_err() {
            // It may never have been made.
            drop(fs::remove_file(&partial));
        }
        written.map_err(|cause| self.failed(&path, cause))
    }

    fn failed(&self, path: &Path, cause: io::Error) -> InitError {
        InitError::File {
            path: path.to_owned(),
            cause,
        }
    }
}

fn write_new(path: &Path, content: &str, mode: Mode) -> io::Result<()> {
    let bits = match mode {
        Mode::Private => 0o600,
        Mode::Public => 0o644,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(bits)
        .open(path)?;
    // The umask may have taken bits that users need.
    file.set_permissions(Permissions::from_mode(bits))?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
