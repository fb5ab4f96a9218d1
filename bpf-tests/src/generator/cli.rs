//! The command line of `traffic`, both ways: read by the program, written by those who start it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;

use super::receive::Receiving;
use super::{Load, Pace, Profile, Protocol, Receive, check_streams, send};

/// Begins the line in which a receiver says where it listens.
pub(super) const LISTENING: &str = "listening on ";

/// Streams of messages, timed from when each was due and checked byte by byte.
#[derive(Debug, Parser)]
#[command(name = "traffic", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Takes one run; ends with JSON on stdout and a summary on stderr
    Receive(ReceiveArguments),
    /// Sends one run; ends with JSON on stdout
    Send(SendArguments),
}

#[derive(Debug, clap::Args)]
struct ReceiveArguments {
    /// Where to listen; port 0 is a free one, told on stderr
    #[arg(long)]
    listen: SocketAddr,
    /// How messages travel
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    protocol: Protocol,
    /// How many streams will come
    #[arg(long, default_value_t = 1)]
    streams: u16,
    /// Seconds of the beginning that figures leave out
    #[arg(long, default_value = "0", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds without anything after which the run fails
    #[arg(long, default_value = "30", value_parser = seconds)]
    patience: Duration,
}

#[derive(Debug, clap::Args)]
struct SendArguments {
    /// The receiver, or a gateway before it
    #[arg(long)]
    to: SocketAddr,
    /// A load with a name; the options below change it
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Bytes of a message, such as 512 or 4M
    #[arg(long, value_parser = amount)]
    size: Option<u64>,
    /// Bits per second of all streams together, such as 2.5G
    #[arg(long, value_parser = amount, group = "pace")]
    rate: Option<u64>,
    /// Messages as fast as the sockets take them
    #[arg(long, group = "pace")]
    flat_out: bool,
    /// Messages at once on every stream, every `--every` seconds
    #[arg(long, group = "pace", requires = "every")]
    burst: Option<u32>,
    /// Seconds from one burst to the next
    #[arg(long, requires = "burst", value_parser = seconds)]
    every: Option<Duration>,
    /// Streams side by side
    #[arg(long)]
    streams: Option<u16>,
    /// How long messages are due
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// How messages travel
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// Payload of a full datagram, bytes
    #[arg(long)]
    datagram: Option<u16>,
    /// Seconds that one step may take before the run fails
    #[arg(long, value_parser = seconds)]
    patience: Option<Duration>,
    /// Names the run and seeds its bytes
    #[arg(long)]
    run: Option<u64>,
}

/// Does what the command line says.
///
/// # Errors
/// When the options make no sense, nobody is at the other end, or a byte is wrong.
pub fn run(arguments: Arguments) -> Result<()> {
    let json = match arguments.command {
        Command::Receive(arguments) => {
            check_streams(arguments.streams)?;
            let receiving = Receiving::bind(arguments.options())?;
            eprintln!("{LISTENING}{}", receiving.address()?);
            let report = receiving.run()?;
            eprint!("{report}");
            serde_json::to_string(&report)
        }
        Command::Send(arguments) => {
            let load = arguments.load();
            load.check()?;
            serde_json::to_string(&send::run(&load, arguments.to)?)
        }
    };
    let json = json.context("writing JSON")?;
    writeln!(std::io::stdout(), "{json}").context("writing to stdout")
}

impl ReceiveArguments {
    fn options(&self) -> Receive {
        let Self {
            listen,
            protocol,
            streams,
            warm_up,
            patience,
        } = *self;
        Receive {
            listen,
            protocol,
            streams,
            warm_up,
            patience,
        }
    }
}

impl SendArguments {
    fn load(&self) -> Load {
        let usual = self.profile.map_or_else(Load::default, Profile::load);
        // Sizes beyond 32 bits are beyond the limit, which the check names.
        let size = self
            .size
            .map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        let pace = match (self.rate, self.flat_out, self.burst, self.every) {
            (Some(bits_per_second), ..) => Pace::Rate { bits_per_second },
            (None, true, ..) => Pace::FlatOut,
            (None, false, Some(messages), Some(every)) => Pace::Bursts { messages, every },
            (None, false, ..) => usual.pace,
        };
        Load {
            protocol: self.protocol.unwrap_or(usual.protocol),
            streams: self.streams.unwrap_or(usual.streams),
            message_size: size.unwrap_or(usual.message_size),
            pace,
            duration: self.seconds.unwrap_or(usual.duration),
            datagram: self.datagram.unwrap_or(usual.datagram),
            patience: self.patience.unwrap_or(usual.patience),
            run: self.run.unwrap_or_else(|| u64::from(std::process::id())),
        }
    }
}

impl Receive {
    /// The arguments of `traffic` that mean this.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Self {
            listen,
            protocol,
            streams,
            warm_up,
            patience,
        } = self;
        [
            "receive".to_owned(),
            format!("--listen={listen}"),
            format!("--protocol={protocol}"),
            format!("--streams={streams}"),
            format!("--warm-up={}", warm_up.as_secs_f64()),
            format!("--patience={}", patience.as_secs_f64()),
        ]
        .to_vec()
    }
}

impl Load {
    /// The arguments of `traffic` that mean this.
    pub(super) fn arguments(&self, to: SocketAddr) -> Vec<String> {
        let Self {
            protocol,
            streams,
            message_size,
            pace,
            duration,
            datagram,
            patience,
            run,
        } = self;
        let mut arguments = vec![
            "send".to_owned(),
            format!("--to={to}"),
            format!("--protocol={protocol}"),
            format!("--streams={streams}"),
            format!("--size={message_size}"),
            format!("--seconds={}", duration.as_secs_f64()),
            format!("--datagram={datagram}"),
            format!("--patience={}", patience.as_secs_f64()),
            format!("--run={run}"),
        ];
        match pace {
            Pace::FlatOut => arguments.push("--flat-out".to_owned()),
            Pace::Rate { bits_per_second } => arguments.push(format!("--rate={bits_per_second}")),
            Pace::Bursts { messages, every } => arguments.extend([
                format!("--burst={messages}"),
                format!("--every={}", every.as_secs_f64()),
            ]),
        }
        arguments
    }
}

/// Reads `512`, `16k`, `2.5G`: decimal multiples.
fn amount(text: &str) -> Result<u64> {
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        Some(_) | None => (text, 1.0),
    };
    let Ok(number) = number.parse::<f64>() else {
        bail!("write a number such as 512, 16k or 2.5G");
    };
    let amount = number * factor;
    ensure!(
        (0.0..1e15).contains(&amount),
        "write a number from 0 to 1000000G"
    );
    Ok(amount.round() as u64)
}

/// Reads seconds, such as `0.5`.
fn seconds(text: &str) -> Result<Duration> {
    let Ok(number) = text.parse::<f64>() else {
        bail!("write a number of seconds such as 0.5");
    };
    // More than a day is a slip.
    ensure!(
        (0.0..=86_400.0).contains(&number),
        "write seconds from 0 to 86400"
    );
    Ok(Duration::from_secs_f64(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: impl IntoIterator<Item = String>) -> Command {
        let name = ["traffic".to_owned()];
        let parsed = Arguments::try_parse_from(name.into_iter().chain(arguments));
        parsed.unwrap().command
    }

    #[test]
    fn a_load_is_read_as_it_is_written() {
        let to = "[fd71:2::2]:5000".parse().unwrap();
        let every = Duration::from_millis(250);
        let paces = [
            Pace::FlatOut,
            Pace::Rate {
                bits_per_second: 123_456_789,
            },
            Pace::Bursts { messages: 3, every },
        ];
        for pace in paces {
            let load = Load {
                protocol: Protocol::Udp,
                streams: 32,
                message_size: 4 << 20,
                pace,
                duration: Duration::from_millis(1_500),
                datagram: 8_900,
                patience: Duration::from_secs(7),
                run: u64::MAX,
            };
            match parse(load.arguments(to)) {
                Command::Send(arguments) => {
                    assert_eq!((arguments.load(), arguments.to), (load, to));
                }
                Command::Receive(_) => panic!("a load is sent"),
            }
        }
    }

    #[test]
    fn what_is_received_is_read_as_it_is_written() {
        let options = Receive {
            streams: 17,
            protocol: Protocol::Udp,
            warm_up: Duration::from_millis(100),
            ..Receive::new("10.71.2.2:0".parse().unwrap())
        };
        match parse(options.arguments()) {
            Command::Receive(arguments) => assert_eq!(arguments.options(), options),
            Command::Send(_) => panic!("it is received"),
        }
    }

    #[test]
    fn an_option_changes_a_profile() {
        let words = "send --to=10.0.0.1:1 --profile=deleria --rate=2.5G --streams=4";
        let Command::Send(arguments) = parse(words.split(' ').map(str::to_owned)) else {
            panic!("send");
        };
        let load = arguments.load();
        let pace = Pace::Rate {
            bits_per_second: 2_500_000_000,
        };
        assert_eq!(
            (load.message_size, load.pace, load.streams),
            (16 << 10, pace, 4)
        );
    }

    #[test]
    fn amounts_and_seconds_that_make_no_sense_are_refused() {
        assert_eq!(amount("16k").unwrap(), 16_000);
        for bad in ["", "k", "-1", "1T", "NaN", "inf", "1e99G"] {
            assert!(amount(bad).is_err(), "{bad}");
        }
        for bad in ["", "-1", "NaN", "inf", "1e9"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loads_that_cannot_be_sent_are_refused_with_a_reason() {
        let bad = [
            (
                Load {
                    streams: 0,
                    ..Load::default()
                },
                "1 to 128 streams",
            ),
            (
                Load {
                    streams: 129,
                    ..Load::default()
                },
                "1 to 128 streams",
            ),
            (
                Load {
                    message_size: 63,
                    ..Load::default()
                },
                "64 to",
            ),
            (
                Load {
                    message_size: u32::MAX,
                    ..Load::default()
                },
                "64 to",
            ),
            (
                Load {
                    datagram: 64,
                    ..Load::default()
                },
                "no room",
            ),
            (
                Load {
                    duration: Duration::ZERO,
                    ..Load::default()
                },
                "no time",
            ),
            (
                Load {
                    pace: Pace::Rate { bits_per_second: 0 },
                    ..Load::default()
                },
                "ever due",
            ),
        ];
        for (load, words) in bad {
            let error = load.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
