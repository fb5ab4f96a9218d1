//! Tokens that our own `s2uc login` got: one file below XDG's state folder, readable by its owner
//! alone, and replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::user::failure::{Exit, Failure};

/// A token is renewed when it has less than this left: a command must not outlive it.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// What is kept for one scope.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What gateways are shown.
    pub access_token: String,
    /// What gets another access token, where the issuer gave one.
    pub refresh_token: Option<String>,
    /// When the access token ends, in seconds since 1970.
    pub expires_at: u64,
    /// Who we are to the issuer.
    pub client_id: String,
    /// Certificates to believe the issuer by; the system's authorities without.
    pub issuer_ca: Option<PathBuf>,
    /// Where tokens are got.
    pub token_endpoint: String,
    /// Where tokens are given back.
    pub revocation_endpoint: Option<String>,
}

impl Entry {
    /// Whether the token should be renewed before it is used.
    pub fn is_due(&self) -> bool {
        self.left() < RENEW_BEFORE
    }

    /// Whether the token has ended.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// How long the token still serves.
    pub fn left(&self) -> Duration {
        Duration::from_secs(self.expires_at).saturating_sub(now())
    }
}

/// Since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The file, whether it exists yet or not.
#[derive(Debug)]
pub struct Store {
    file: PathBuf,
}

impl Store {
    /// The user's: `$XDG_STATE_HOME/scistream/tokens.json`, `~/.local/state/…` by default.
    ///
    /// # Errors
    /// When there is neither that variable nor a home.
    pub fn open() -> Result<Self, Failure> {
        let absolute = |name| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        let state = state.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "there is no place for tokens: set HOME or XDG_STATE_HOME",
            )
        })?;
        Ok(Self {
            file: state.join("scistream/tokens.json"),
        })
    }

    /// All entries, by scope.
    ///
    /// # Errors
    /// When the file is there but cannot be understood.
    pub fn read(&self) -> Result<BTreeMap<String, Entry>, Failure> {
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(self.unusable(&error.to_string())),
        };
        // The parser's own words could hold a part of a token.
        serde_json::from_str(&text)
            .map_err(|_malformed| self.unusable("it is damaged; remove it and log in again"))
    }

    /// Keeps `entry` for `scope`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&self, scope: &str, entry: Entry) -> Result<(), Failure> {
        let mut entries = self.read()?;
        entries.insert(scope.to_owned(), entry);
        self.replace(&entries)
            .map_err(|error| self.unusable(&error.to_string()))
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When the file is there but cannot be removed.
    pub fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.unusable(&error.to_string()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn replace(&self, entries: &BTreeMap<String, Entry>) -> io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // Written beside and moved into place: a reader sees the old or the new, never a half.
        let partial = self
            .file
            .with_extension(format!("{}.partial", std::process::id()));
        let mut file = private(&partial)?;
        let written = serde_json::to_vec_pretty(entries)
            .map_err(io::Error::other)
            .and_then(|text| file.write_all(&text))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&partial, &self.file));
        if written.is_err() {
            drop(fs::remove_file(&partial));
        }
        written
    }

    fn unusable(&self, why: &str) -> Failure {
        let file = self.file.display();
        Failure::new(
            Exit::Failed,
            format!("cannot use the tokens in {file}: {why}"),
        )
    }
}

/// A new file that only its owner may read, from its first moment on.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name = format!("s2uc-store-{}", crate::user::uid::fresh().unwrap());
            Self(std::env::temp_dir().join(name))
        }

        fn store(&self) -> Store {
            Store {
                file: self.0.join("scistream/tokens.json"),
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn entry(token: &str, expires_at: u64) -> Entry {
        Entry {
            access_token: token.to_owned(),
            refresh_token: None,
            expires_at,
            client_id: "us".to_owned(),
            issuer_ca: None,
            token_endpoint: "https://issuer.example/token".to_owned(),
            revocation_endpoint: None,
        }
    }

    #[test]
    fn what_is_kept_is_found_again_and_only_the_owner_may_read_it() {
        let folder = Folder::new();
        let store = folder.store();
        assert!(store.read().unwrap().is_empty());
        store.put("one", entry("first", 1)).unwrap();
        store.put("two", entry("second", 2)).unwrap();
        let entries = store.read().unwrap();
        assert_eq!(entries["one"].access_token, "first");
        assert_eq!(entries["two"].access_token, "second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.file), 0o600);
        assert_eq!(mode(store.file.parent().unwrap()), 0o700);
        store.remove().unwrap();
        store.remove().unwrap();
        assert!(store.read().unwrap().is_empty());
    }

    #[test]
    fn a_damaged_file_is_reported_without_its_content() {
        let folder = Folder::new();
        let store = folder.store();
        store.put("one", entry("first", 1)).unwrap();
        fs::write(&store.file, "{\"secret").unwrap();
        let failure = store.read().err().unwrap().to_string();
        assert!(
            failure.contains("damaged") && !failure.contains("secret"),
            "{failure}"
        );
    }

    #[test]
    fn a_token_is_due_before_it_is_over() {
        let soon = entry("x", now().as_secs() + 30);
        assert!(soon.is_due() && !soon.is_over());
        let later = entry("x", now().as_secs() + 3_600);
        assert!(!later.is_due());
        assert!(entry("x", 1).is_over());
    }
}
