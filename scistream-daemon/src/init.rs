//! `s2cs init`: everything a gateway needs to be tried, in one go.
//!
//! ```text
//!   DIR/           0700
//!     ca.crt       what users believe (`s2uc --ca`)            0644
//!     ca.key       signs certificates of further gateways       0600
//!     server.crt   this gateway's, with all names of this host  0644
//!     server.key                                                0600
//!     token        shown by users (`s2uc --token-file`)         0600
//!     tokens       its digest, which the gateway compares with  0600
//!     s2cs.toml    the settings (`s2cs --config`)               0600
//! ```
//!
//! Run again it changes nothing; it overwrites only when told so.

mod certificates;
mod files;
mod names;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use certificates::Certificates;
use files::{Folder, Mode};

/// Bytes of a token: as many as a key has.
const TOKEN_LENGTH: usize = 32;

/// What the token's bearer is called in rules and in the audit log.
const OWNER: &str = "owner";

/// `s2cs init`.
#[derive(clap::Args, Clone, Debug)]
pub struct InitArgs {
    /// Where to put the files. The default is /etc/scistream for root, and scistream in the user's
    /// configuration folder for others.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// A further name or address by which users reach this gateway; repeatable. Those of this host
    /// are found by themselves.
    #[arg(long = "name", value_name = "HOST")]
    pub names: Vec<String>,

    /// The control port.
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    pub port: u16,

    /// Make everything anew: old certificates are not believed and old tokens not taken from then on.
    #[arg(long)]
    pub force: bool,

    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
}

/// Why a gateway could not be set up; each displays as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A certificate could not be made.
    #[error("cannot make certificates: {0}; see whether the names are host names or addresses")]
    Certificates(#[from] rcgen::Error),
    /// Some files are there, and some not.
    #[error("{} holds {present} but not {absent}; finish by hand, or make all anew with --force", dir.display())]
    Half {
        /// The folder.
        dir: PathBuf,
        /// What is there.
        present: String,
        /// What is not.
        absent: String,
    },
    /// The certificate that is there does not serve.
    #[error("{} {why}; make all anew with --force", path.display())]
    Stale {
        /// The certificate.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no place for the files.
    #[error("there is no place for the files: give --dir, or set HOME")]
    NoPlace,
    /// No random bytes.
    #[error("the kernel gives no random bytes; see getrandom(2)")]
    Randomness,
    /// A file could not be written or read.
    #[error("cannot use {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
}

/// The files, in the order in which they are made.
const FILES: [&str; 7] = [
    "ca.crt",
    "ca.key",
    "server.crt",
    "server.key",
    "token",
    "tokens",
    "s2cs.toml",
];

/// Runs `s2cs init`.
///
/// # Errors
/// What kept it from being done; files that were there are as they were.
pub fn init(args: &InitArgs) -> Result<(), InitError> {
    let dir = args.dir.clone().map_or_else(default_dir, Ok)?;
    let dir = std::path::absolute(&dir).map_err(|cause| InitError::File {
        path: dir.clone(),
        cause,
    })?;
    let names = names::of_this_host(&args.names);
    let (present, absent): (Vec<&str>, Vec<&str>) =
        FILES.into_iter().partition(|name| dir.join(name).exists());
    let made = if args.force || present.is_empty() {
        write_all(&Folder::create(&dir)?, &names, args.port)?;
        true
    } else if absent.is_empty() {
        certificates::check(&dir.join("server.crt"), &args.names)?;
        false
    } else {
        return Err(InitError::Half {
            dir,
            present: present.join(", "),
            absent: absent.join(", "),
        });
    };
    report(&Report {
        dir: &dir,
        names: &names,
        port: args.port,
        made,
        json: args.json,
    });
    Ok(())
}

fn default_dir() -> Result<PathBuf, InitError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/etc/scistream"));
    }
    let absolute = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let config =
        absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|it| it.join(".config")));
    config
        .map(|config| config.join("scistream"))
        .ok_or(InitError::NoPlace)
}

fn write_all(folder: &Folder, names: &[String], port: u16) -> Result<(), InitError> {
    let Certificates {
        ca_certificate,
        ca_key,
        certificate,
        key,
    } = Certificates::make(names)?;
    let token = fresh_token()?;
    let line = format!(
        "{OWNER} {}\n",
        hex(digest(&SHA256, token.as_bytes()).as_ref())
    );
    let contents = [
        (ca_certificate, Mode::Public),
        (ca_key, Mode::Private),
        (certificate, Mode::Public),
        (key, Mode::Private),
        (format!("{token}\n"), Mode::Private),
        (line, Mode::Private),
        (settings(folder.path(), port), Mode::Private),
    ];
    for (name, (content, mode)) in FILES.iter().zip(contents) {
        folder.write(name, &content, mode)?;
    }
    Ok(())
}

fn fresh_token() -> Result<String, InitError> {
    let mut bytes = [0; TOKEN_LENGTH];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_unspecified| InitError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The settings, with absolute paths: the gateway may be started from anywhere.
fn settings(dir: &Path, port: u16) -> String {
    let path = |name: &str| toml::Value::String(dir.join(name).display().to_string()).to_string();
    format!(
        "# Made by `s2cs init`. `s2cs config default` prints all settings, `s2cs config check` checks these.\n\
         \n\
         [control]\n\
         listener_ip = \"0.0.0.0\"\n\
         port = {port}\n\
         server_crt = {}\n\
         server_key = {}\n\
         \n\
         # With these lines sessions survive a restart of the gateway.\n\
         #[sessions]\n\
         #state = {}\n\
         \n\
         [auth.tokens]\n\
         file = {}\n\
         \n\
         [[rules]]\n\
         name = \"whoever has the token\"\n\
         who = [\"token:{OWNER}\"]\n\
         roles = [\"admin\", \"consumer\", \"producer\"]\n\
         # Where sessions may send to; anywhere while this is not set.\n\
         #targets = [\"10.0.0.0/8:1-65535\"]\n",
        path("server.crt"),
        path("server.key"),
        path("sessions.json"),
        path("tokens"),
    )
}

struct Report<'a> {
    dir: &'a Path,
    names: &'a [String],
    port: u16,
    made: bool,
    json: bool,
}

fn report(report: &Report<'_>) {
    let Report {
        dir,
        names,
        port,
        made,
        json,
    } = *report;
    let file = |name: &str| dir.join(name).display().to_string();
    // The host's own name comes first; what it is dialled by must be in the certificate.
    let name = names.first().map_or("localhost", String::as_str);
    let gateway = format!("s2cs serve --config {}", file("s2cs.toml"));
    let user = format!(
        "s2uc list --s2cs {name}:{port} --ca {} --token-file {}",
        file("ca.crt"),
        file("token")
    );
    let text = if json {
        json!({
            "dir": dir.display().to_string(),
            "changed": made,
            "names": names,
            "commands": { "gateway": gateway, "user": user },
        })
        .to_string()
    } else {
        let what = if made {
            format!("{} is set up for {}", dir.display(), names.join(", "))
        } else {
            format!("{} was set up before; nothing was changed", dir.display())
        };
        format!(
            "{what}\n\n\
             Start the gateway:   {gateway}\n\
             Talk to it:          {user}\n\n\
             Hand ca.crt and token to users by a way that nobody else reads."
        )
    };
    // A reader that has gone away is no failure: the files are there.
    drop(writeln!(io::stdout().lock(), "{text}"));
}

#[cfg(test)]
mod tests;
