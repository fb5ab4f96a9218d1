//! The command line of `s2cs serve`: upstream's flags with upstream's spelling, and what they set.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::LogArgs;

/// `s2cs serve`. Flags are taken with underscores or dashes; truth values as `--ssl False`.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct ServeArgs {
    /// The settings file; `s2cs config default` prints one. [env: S2CS_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The address on which the control port and the sessions' listeners are bound; :: for IPv6 and
    /// IPv4. [default: 0.0.0.0]
    #[arg(long, value_name = "ADDRESS")]
    pub listener_ip: Option<String>,

    /// The control port. [default: 5000]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,

    /// The ports for sessions' listeners; 0 for any free ones. [default: 5100-5200]
    #[arg(long, value_name = "RANGE")]
    pub port_range: Option<String>,

    /// How bytes move: auto, sockmap, splice or copy. Upstream's names (Haproxy,
    /// StunnelSubprocess, …) are taken for auto: the gateway relays by itself. [default: auto]
    #[arg(long = "type", value_name = "NAME")]
    pub plane: Option<DataMover>,

    /// Log more: what happens to each session and connection.
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    pub verbose: Option<bool>,

    /// This gateway's client id at the token issuer; users name it as their --scope.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,

    /// The secret of the client id: Globus Auth is asked about callers' tokens. Others on this host
    /// can read command lines: better use `client_secret_file` in the settings.
    #[arg(long, value_name = "SECRET")]
    pub client_secret: Option<String>,

    /// The certificate chain of the control port, PEM. [default: server.crt]
    #[arg(long, value_name = "FILE")]
    pub server_crt: Option<String>,

    /// Its private key, PEM; others must not be able to read it. [default: server.key]
    #[arg(long, value_name = "FILE")]
    pub server_key: Option<String>,

    /// TLS on the control port; `--ssl False` for none. [default: True]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    pub ssl: Option<bool>,

    /// The host that callers are told to connect to, behind a NAT or in a container; by default the
    /// address that is bound, or that they called.
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,

    /// Ports that callers are told instead of those that are bound, such as
    /// 5100-5110=30510-30520; repeatable.
    #[arg(long, value_name = "RANGE=RANGE")]
    pub port_map: Vec<String>,

    /// How to log, to standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `--type` may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DataMover {
    /// One of our planes, by its name.
    Plane(&'static str),
    /// One of upstream's data servers: there is none of them here.
    Upstreams,
}

const PLANES: [&str; 4] = ["auto", "copy", "sockmap", "splice"];

const UPSTREAMS: [&str; 6] = [
    "S2DS",
    "Haproxy",
    "Nginx",
    "Stunnel",
    "HaproxySubprocess",
    "StunnelSubprocess",
];

impl std::str::FromStr for DataMover {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is = |name: &&&str| name.eq_ignore_ascii_case(text);
        if let Some(plane) = PLANES.iter().find(is) {
            return Ok(Self::Plane(plane));
        }
        if UPSTREAMS.iter().any(|name| is(&name)) {
            return Ok(Self::Upstreams);
        }
        Err(format!(
            "expected {}, or one of upstream's {}",
            PLANES.join(", "),
            UPSTREAMS.join(", ")
        ))
    }
}

/// A truth value as Python writes it, or anyone else.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("expected True or False".to_owned()),
    }
}

/// The command line with the flags' underscores as dashes, which is how they are declared. Values
/// stay as they are, and so does everything after `--`.
pub fn with_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut is_over = false;
    let arguments = arguments.into_iter().map(|argument| {
        let Some(text) = argument.to_str().filter(|_| !is_over) else {
            return argument;
        };
        is_over = text == "--";
        if !text.starts_with("--") {
            return argument;
        }
        let (flag, value) = text
            .split_once('=')
            .map_or((text, None), |(flag, value)| (flag, Some(value)));
        let flag = flag.replace('_', "-");
        match value {
            Some(value) => format!("{flag}={value}").into(),
            None => flag.into(),
        }
    });
    arguments.collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Args;
    use crate::config::Settings;

    fn serve(line: &str) -> Result<ServeArgs, clap::Error> {
        let words = line.split_whitespace().map(OsString::from);
        Args::try_parse_from(with_dashes(words)).map(|args| args.serve)
    }

    #[test]
    fn upstreams_flags_are_taken_in_either_spelling() {
        for line in [
            "s2cs --listener_ip 0.0.0.0 --port 5000 --port_range 5100-5200 --type StunnelSubprocess --verbose --client_id c --client_secret s --server_crt a.crt --server_key a.key --ssl False",
            "s2cs --listener-ip=0.0.0.0 --port=5000 --port-range=5100-5200 --type=stunnelsubprocess -v --client-id=c --client-secret=s --server-crt=a.crt --server-key=a.key --ssl=false",
        ] {
            let args = serve(line).unwrap();
            assert_eq!(args.listener_ip.as_deref(), Some("0.0.0.0"));
            assert_eq!(args.port.as_deref(), Some("5000"));
            assert_eq!(args.port_range.as_deref(), Some("5100-5200"));
            assert_eq!(args.plane, Some(DataMover::Upstreams));
            assert_eq!(args.verbose, Some(true));
            assert_eq!(args.client_secret.as_deref(), Some("s"));
            assert_eq!(args.server_crt.as_deref(), Some("a.crt"));
            assert_eq!(args.ssl, Some(false));
        }
        assert_eq!(serve("s2cs").unwrap().ssl, None);
        assert_eq!(serve("s2cs --ssl").unwrap().ssl, Some(true));
        assert_eq!(
            serve("s2cs --verbose False --type splice").unwrap().plane,
            Some(DataMover::Plane("splice"))
        );
    }

    #[test]
    fn the_defaults_that_are_told_are_the_settings_own() {
        let help = Args::command().render_long_help().to_string();
        let settings = Settings::default();
        for default in [
            settings.control.listener_ip.to_string(),
            settings.control.port.to_string(),
            settings.sessions.port_range.to_string(),
            settings.control.server_crt.display().to_string(),
            settings.control.server_key.display().to_string(),
            format!("{:?}", settings.data.plane).to_lowercase(),
        ] {
            assert!(help.contains(&format!("[default: {default}]")), "{default}");
        }
    }

    #[test]
    fn an_unknown_data_server_is_refused_and_no_mock() {
        let error = serve("s2cs --type Mock").unwrap_err().to_string();
        assert!(
            error.contains("expected auto, copy, sockmap, splice"),
            "{error}"
        );
        assert!(serve("s2cs --ssl maybe").is_err());
        assert!(serve("s2cs --listner_ip ::").is_err());
    }

    #[test]
    fn values_keep_their_underscores() {
        let words = ["s2cs", "--server_crt=a_b", "c_d", "--", "--e_f"].map(OsString::from);
        assert_eq!(
            with_dashes(words),
            ["s2cs", "--server-crt=a_b", "c_d", "--", "--e_f"].map(OsString::from)
        );
    }
}
