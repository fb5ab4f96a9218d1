//! What a command needs to reach gateways, as options: addresses, trust, token, time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::deadline::Deadline;
use super::failure::Failure;
use super::output::Output;
use super::remote::Remote;
use super::token;
use super::transport::Security;
use super::trust::{self, Identity, Roots};
use crate::cli::HostPort;

/// What every command that talks to gateways takes.
#[derive(Args, Clone, Debug)]
pub struct Access {
    /// Certificates to believe, PEM: an authority's or the gateway's own. The default is server.crt
    /// in the working directory where there is one, else the system's authorities.
    #[arg(long = "ca", visible_aliases = ["server_cert", "server-cert"], value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Our own certificate, PEM, for gateways that ask for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The key of --cert, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// No TLS: whoever is on the way reads the token and may change everything.
    #[arg(long, conflicts_with_all = ["ca", "cert"])]
    pub plaintext: bool,

    /// The token to show, in a file that only its owner may read.
    #[arg(long = "token-file", visible_alias = "token_file", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// The scope whose token is shown: the id of the gateway at the issuer. For a gateway on this
    /// host upstream's default is taken, for others no token is sent without it.
    #[arg(long, value_name = "ID")]
    pub scope: Option<String>,
}

impl Access {
    /// Connects to `host` as these options say.
    ///
    /// # Errors
    /// When the token, the trust or the connection cannot be had.
    pub async fn open(
        &self,
        host: &HostPort,
        deadline: Deadline,
        output: &Output,
    ) -> Result<Remote, Failure> {
        let file = self.token_file.as_deref();
        let scope = self.scope.as_deref();
        let token = token::find(file, scope, host.host(), deadline, output).await?;
        Remote::open(host, &self.security()?, token, deadline).await
    }

    /// The same options on a command line, for a command that is to be copied.
    pub fn as_options(&self) -> String {
        let file = |name: &str, file: &Option<PathBuf>| {
            let file = file
                .as_ref()
                .map(|file| format!(" {name} {}", file.display()));
            file.unwrap_or_default()
        };
        let plaintext = if self.plaintext { " --plaintext" } else { "" };
        let scope = self.scope.as_ref().map(|scope| format!(" --scope {scope}"));
        [
            file("--ca", &self.ca),
            file("--cert", &self.cert),
            file("--key", &self.key),
            file("--token-file", &self.token_file),
            scope.unwrap_or_default(),
            plaintext.to_owned(),
        ]
        .concat()
    }

    fn security(&self) -> Result<Security, Failure> {
        if self.plaintext {
            return Ok(Security::Plaintext);
        }
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        let identity = identity.map(|(certificate, key)| Identity { certificate, key });
        let roots = self.ca.as_deref().map_or(Roots::Gateways, Roots::File);
        let settings = trust::settings(roots, identity, b"h2")?;
        Ok(Security::Tls(Arc::new(settings)))
    }
}

/// One gateway, for the commands that speak with one.
#[derive(Args, Clone, Debug)]
pub struct One {
    /// The gateway's control address.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:5000")]
    pub s2cs: HostPort,

    /// How to reach it.
    #[command(flatten)]
    pub access: Access,

    /// How long the command may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::cli::time)]
    pub timeout: Duration,
}

impl One {
    /// Connects to the gateway.
    ///
    /// # Errors
    /// As [`Access::open`].
    pub async fn open(&self, output: &Output) -> Result<(Remote, Deadline), Failure> {
        let deadline = Deadline::after(self.timeout);
        let remote = self.access.open(&self.s2cs, deadline, output).await?;
        Ok((remote, deadline))
    }
}
