//! A folder of a test's own, removed with its guard, or by [`crate::cleanup`] when a signal ends us.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::cleanup;

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A folder that exists as long as this value; only its owner may enter it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A folder among the system's temporary ones.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// A folder in `parent`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn within(parent: &Path) -> Result<Self> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}-{serial}", cleanup::own_identity()?));
        // Made under the lock: a signal finds it either not begun or noted.
        let mut registry = cleanup::Registry::lock()?;
        registry.note_folder(&path);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        drop(registry);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it that only its owner may read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;

        let path = self.0.join(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600);
        file.open(&path)
            .and_then(|mut file| file.write_all(content))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = cleanup::remove_folder(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
