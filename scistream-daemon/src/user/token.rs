//! Who we are to a gateway: an access token, wherever it is kept.
//!
//! ```text
//!   --token-file FILE           a file that only its owner may read
//!   --scope ID                  what `s2uc login` stored (`store`), refreshed when it is about to end
//!     └──────────────────────── else upstream's `.storage.db` in the working directory (`upstream`)
//!   none of them                the literal that upstream sends when it has none
//! ```

mod file;
mod store;
mod upstream;

use std::fmt;
use std::path::Path;

pub(crate) use store::now;
pub use store::{Entry, Store};

use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::issuer;
use super::output::Output;

/// What a caller without a token sends; gateways that ask for none ignore it.
const NONE: &str = "INVALID_TOKEN";

/// The scope that upstream takes for gateways on this host, and for logging in.
pub const DEFAULT_SCOPE: &str = "c42c0dac-0a52-408e-a04f-5d31bfe0aef8";

/// An access token; never displayed.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(Option<String>);

impl Token {
    /// No token.
    pub const NONE: Self = Self(None);

    /// A token, unless it holds what no header could.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Some(text.to_owned())))
    }

    /// What the metadata carries: the bare token, which old gateways insist on.
    pub fn reveal(&self) -> &str {
        self.0.as_deref().unwrap_or(NONE)
    }

    /// What upstream's line shows in the token's place: the literal when there is none, and never
    /// the token itself unless that was asked for.
    pub fn shown(&self, reveal: bool) -> &str {
        if reveal || self.0.is_none() {
            self.reveal()
        } else {
            "hidden"
        }
    }

    /// Whether there is one.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.shown(false))
    }
}

/// Finds the token for a gateway at `host`.
///
/// # Errors
/// When the file named is no good, or when `scope` was asked for and there is no token for it.
pub async fn find(
    file: Option<&Path>,
    scope: Option<&str>,
    host: &str,
    deadline: Deadline,
    output: &Output,
) -> Result<Token, Failure> {
    if let Some(file) = file {
        return file::read(file);
    }
    let named = scope.filter(|scope| !scope.is_empty());
    // A token is shown only to gateways of its scope: for others than this very host, the user
    // names it.
    let Some(scope) = named.or_else(|| is_this_host(host).then_some(DEFAULT_SCOPE)) else {
        return Ok(Token::NONE);
    };
    match of_scope(scope, deadline, output).await? {
        Some(token) => Ok(token),
        None if named.is_none() => Ok(Token::NONE),
        None => Err(Failure::new(
            Exit::Unauthenticated,
            format!(
                "there is no token for the scope {scope}; get one by `s2uc login --scope {scope}`"
            ),
        )),
    }
}

/// The token kept for a scope, refreshed where that is due.
///
/// # Errors
/// When what is kept cannot be read, or the issuer refuses to renew it.
pub async fn of_scope(
    scope: &str,
    deadline: Deadline,
    output: &Output,
) -> Result<Option<Token>, Failure> {
    let store = Store::open()?;
    if let Some(entry) = store.read()?.remove(scope) {
        let entry = if entry.is_due() {
            renew(&store, scope, entry, deadline, output).await?
        } else {
            entry
        };
        return Ok(Token::new(&entry.access_token));
    }
    upstream::read(Path::new(upstream::FILE), scope)
}

async fn renew(
    store: &Store,
    scope: &str,
    entry: Entry,
    deadline: Deadline,
    output: &Output,
) -> Result<Entry, Failure> {
    let Some(refresh_token) = entry.refresh_token.clone() else {
        if entry.is_over() {
            return Err(Failure::new(
                Exit::Unauthenticated,
                format!(
                    "the token for the scope {scope} has run out; get another by `s2uc login --scope {scope}`"
                ),
            ));
        }
        return Ok(entry);
    };
    match issuer::refresh(&entry, &refresh_token, deadline).await {
        Ok(renewed) => {
            store.put(scope, renewed.clone())?;
            Ok(renewed)
        }
        Err(failure) if entry.is_over() => Err(failure),
        // It serves a little longer: an issuer that is down must not stop what still works.
        Err(failure) => {
            output.note(&format!("warning: the token was not renewed: {failure}"));
            Ok(entry)
        }
    }
}

fn is_this_host(host: &str) -> bool {
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_unless_asked_for() {
        let token = Token::new(" secret\n").unwrap();
        assert_eq!(token.reveal(), "secret");
        assert_eq!(token.shown(false), "hidden");
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        assert_eq!(token.shown(true), "secret");
    }

    #[test]
    fn without_a_token_upstreams_literal_is_sent_and_shown() {
        assert_eq!(Token::NONE.reveal(), "INVALID_TOKEN");
        assert_eq!(Token::NONE.shown(false), "INVALID_TOKEN");
    }

    #[test]
    fn what_no_header_could_carry_is_no_token() {
        for text in ["", "  ", "two words", "a\nb", "\u{e9}"] {
            assert_eq!(Token::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_loopback_is_this_host() {
        assert!(is_this_host("localhost") && is_this_host("127.0.0.1") && is_this_host("::1"));
        assert!(!is_this_host("localhost.example.org") && !is_this_host("10.0.0.1"));
    }
}
