//! A token in a file of its own, such as `s2cs init` leaves or a batch system hands out.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Token;
use crate::user::failure::{Exit, Failure};

/// Tokens of every known issuer fit in a hundredth of this.
const LENGTH_MAX: u64 = 64 * 1024;

/// The token in `file`: its first line. A file that others may read is refused, as ssh refuses
/// such keys; pipes (`--token-file <(…)`) have no others.
pub(super) fn read(file: &Path) -> Result<Token, Failure> {
    let path = file.display();
    let refuse = |why: String| {
        Failure::new(
            Exit::Usage,
            format!("cannot use the token in {path}: {why}"),
        )
    };
    let opened = File::open(file).map_err(|error| refuse(error.to_string()))?;
    let about = opened
        .metadata()
        .map_err(|error| refuse(error.to_string()))?;
    if about.is_file() && about.permissions().mode() & 0o077 != 0 {
        return Err(refuse(format!(
            "others may read it; run `chmod 600 {path}`"
        )));
    }
    let mut text = String::new();
    opened
        .take(LENGTH_MAX)
        .read_to_string(&mut text)
        .map_err(|error| refuse(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    Token::new(line).ok_or_else(|| refuse("its first line is no token".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn with(text: &str, mode: u32) -> Self {
            let name = format!("s2uc-token-{}", crate::user::uid::fresh().unwrap());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            drop(fs::remove_file(&self.0));
        }
    }

    #[test]
    fn the_first_line_is_the_token() {
        let file = Temporary::with("secret\nmore\n", 0o600);
        assert_eq!(read(&file.0).unwrap().reveal(), "secret");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        let file = Temporary::with("secret\n", 0o640);
        let failure = read(&file.0).unwrap_err().to_string();
        assert!(failure.contains("chmod 600"), "{failure}");
        assert!(!failure.contains("secret"), "{failure}");
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let file = Temporary::with("\n", 0o600);
        assert_eq!(read(&file.0).unwrap_err().exit(), Exit::Usage);
    }
}
