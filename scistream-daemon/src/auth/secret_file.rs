//! Files with secrets: read only when nobody else can.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Larger files hold no secret of ours.
const SIZE_MAX: u64 = 4 << 20;

/// Why a file with a secret is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Everybody may read it.
    #[error("{} may be {what} by everyone (mode {mode:04o}); run `chmod o= {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// What everyone may do.
        what: &'static str,
        /// Its mode.
        mode: u32,
    },
    /// It cannot be read.
    #[error("cannot read {}: {cause}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
}

/// Reads a file that holds a secret. Its owner and group may read it, everyone else may not.
///
/// # Errors
/// When others may read or write it, or it cannot be read.
pub fn read_secret(path: &Path) -> Result<String, SecretFileError> {
    let refused = |cause| SecretFileError::Read {
        path: path.to_owned(),
        cause,
    };
    let file = File::open(path).map_err(refused)?;
    // Of the open file, so that nobody can put another in its place in between.
    let metadata = file.metadata().map_err(refused)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & 0o007 != 0 {
        let what = if mode & 0o002 != 0 { "written" } else { "read" };
        return Err(SecretFileError::Exposed {
            path: path.to_owned(),
            what,
            mode,
        });
    }
    let mut text = String::new();
    let length = file
        .take(SIZE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(refused)?;
    if length as u64 > SIZE_MAX {
        return Err(refused(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    Ok(text)
}
