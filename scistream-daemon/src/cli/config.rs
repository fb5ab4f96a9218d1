//! The command lines of `s2cs config` and `s2cs policy`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

/// `s2cs config`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the settings as `serve` would, and say what is wrong with them; exits 0 (good) or 1.
    Check(ConfigCheckArgs),
    /// Print a settings file with all settings, their defaults and what they mean.
    Default,
    /// Print the JSON Schema of the settings file.
    Schema,
}

/// `s2cs config check`.
#[derive(ClapArgs, Clone, Debug)]
pub struct ConfigCheckArgs {
    /// The settings file. [env: S2CS_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `s2cs policy`.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say what the rules would decide, and why; exits 0 (granted) or 1 (denied).
    Test(PolicyTestArgs),
}

/// `s2cs policy test`.
#[derive(ClapArgs, Clone, Debug)]
pub struct PolicyTestArgs {
    /// The settings file with the rules. [env: S2CS_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Who would ask, as rules name them: token:alice, group:staff, domain:example.org; repeatable
    /// for one caller with several names.
    #[arg(long = "as", required = true, value_name = "PRINCIPAL")]
    pub callers: Vec<String>,

    /// On which side.
    #[arg(long, value_enum, default_value_t)]
    pub role: RoleName,

    /// Where to; repeatable.
    #[arg(long, value_name = "HOST:PORT")]
    pub target: Vec<String>,

    /// Who would connect, as an address or a network; repeatable.
    #[arg(long, value_name = "NETWORK")]
    pub source: Vec<String>,

    /// How many listeners.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub listeners: u32,

    /// Which rate, in bits per second, such as 10G.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
}

/// A side.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum RoleName {
    /// Beside the application that connects.
    Consumer,
    /// Beside the application that listens.
    #[default]
    Producer,
}
