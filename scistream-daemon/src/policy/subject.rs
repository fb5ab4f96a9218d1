//! A caller, once it is known who that is.

/// Who calls: what an authenticator found out, and what rules are matched against.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Subject {
    /// The one name that owns sessions, such as `urn:globus:auth:identity:…`, `token:alice` or
    /// `cert:alice`. Prefixes keep the authenticators' names apart.
    pub id: String,
    /// All names of the caller, `id` among them.
    pub identities: Vec<String>,
    /// Its groups, such as `urn:globus:groups:id:…` or `staff`.
    pub groups: Vec<String>,
    /// What people call it, for logs: a user name or an e-mail address.
    pub name: Option<String>,
    /// The domains that vouch for it: what follows the `@` of its verified user names.
    pub domains: Vec<String>,
}

impl Subject {
    /// The caller where nobody is asked who they are.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// A caller with one name.
    pub fn named(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            identities: vec![id.clone()],
            id,
            groups: Vec::new(),
            name: None,
            domains: Vec::new(),
        }
    }

    /// The caller where nobody is asked who they are.
    pub fn anonymous() -> Self {
        Self::named(Self::ANONYMOUS)
    }

    /// Adds a verified user name of the form `user@domain`: one more identity, its domain, and the
    /// name for logs if there is none yet.
    pub fn add_username(&mut self, username: &str) {
        if let Some((_, domain)) = username.rsplit_once('@')
            && !domain.is_empty()
        {
            self.domains.push(domain.to_ascii_lowercase());
        }
        self.name.get_or_insert_with(|| username.to_owned());
    }
}
