//! Tokens that upstream's `s2uc login` left: globus_sdk's SQLite file, only ever read.
//!
//! Table `token_storage(namespace, resource_server, token_data_json)`; the resource server is the
//! scope's id, the namespace is `DEFAULT`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::Deserialize;

use super::Token;
use crate::user::failure::{Exit, Failure};

/// Where upstream keeps it: in the working directory.
pub(super) const FILE: &str = ".storage.db";

const QUERY: &str = "SELECT token_data_json FROM token_storage \
                     WHERE namespace = 'DEFAULT' AND resource_server = ?1";

#[derive(Deserialize)]
struct Data {
    access_token: String,
}

/// The token for a scope; none when there is no file, or none for that scope in it.
pub(super) fn read(file: &Path, scope: &str) -> Result<Option<Token>, Failure> {
    if !file.is_file() {
        return Ok(None);
    }
    let data = query(file, scope).map_err(|error| unreadable(file, &error.to_string()))?;
    let Some(data) = data else { return Ok(None) };
    // The parser's own words could hold a part of what it parsed.
    let data: Data = serde_json::from_str(&data)
        .map_err(|_malformed| unreadable(file, "it is not as globus_sdk writes it"))?;
    Ok(Token::new(&data.access_token))
}

fn query(file: &Path, scope: &str) -> rusqlite::Result<Option<String>> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .query_row(QUERY, [scope], |row| row.get(0))
        .optional()
}

fn unreadable(file: &Path, why: &str) -> Failure {
    let file = file.display();
    Failure::new(
        Exit::Usage,
        format!(
            "cannot read the tokens in {file}: {why}; log in anew with `s2uc login`, or give --token-file"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A file as globus_sdk's adapter makes it.
    struct Storage(PathBuf);

    impl Storage {
        fn new(rows: &[(&str, &str, &str)]) -> Self {
            let name = format!("s2uc-storage-{}.db", crate::user::uid::fresh().unwrap());
            let path = std::env::temp_dir().join(name);
            let connection = Connection::open(&path).unwrap();
            connection
                .execute_batch(
                    "CREATE TABLE token_storage (namespace VARCHAR NOT NULL, resource_server VARCHAR \
                     NOT NULL, token_data_json VARCHAR NOT NULL, PRIMARY KEY (namespace, resource_server))",
                )
                .unwrap();
            for (namespace, server, data) in rows {
                connection
                    .execute(
                        "INSERT INTO token_storage VALUES (?1, ?2, ?3)",
                        [namespace, server, data],
                    )
                    .unwrap();
            }
            Self(path)
        }
    }

    impl Drop for Storage {
        fn drop(&mut self) {
            drop(fs::remove_file(&self.0));
        }
    }

    #[test]
    fn the_token_of_the_scope_is_found() {
        let data =
            r#"{"scope":"x","access_token":"right","refresh_token":null,"expires_at_seconds":1}"#;
        let storage = Storage::new(&[
            ("DEFAULT", "scope", data),
            ("DEFAULT", "other", r#"{"access_token":"wrong"}"#),
            ("work", "third", data),
        ]);
        assert_eq!(read(&storage.0, "scope").unwrap(), Token::new("right"));
        assert_eq!(read(&storage.0, "third").unwrap(), None);
        assert_eq!(read(Path::new("no-such-file.db"), "scope").unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_named_and_its_tokens_are_not() {
        let storage = Storage::new(&[("DEFAULT", "scope", r#"{"access_token":secret}"#)]);
        let failure = read(&storage.0, "scope").unwrap_err().to_string();
        assert!(
            failure.contains("s2uc-storage-") && !failure.contains("secret"),
            "{failure}"
        );

        fs::write(&storage.0, "this is not a database, whatever its name says").unwrap();
        let failure = read(&storage.0, "scope").unwrap_err().to_string();
        assert!(failure.contains("cannot read the tokens"), "{failure}");
    }
}
