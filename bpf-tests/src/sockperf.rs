//! A real sockperf as a second opinion on latency: half of the time that a message and its answer
//! take.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Place;
use crate::process::Process;

/// How long the answering side may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// What a run may take beyond the time it sends for.
const END_GRACE: Duration = Duration::from_secs(30);

/// `sockperf server`: answers messages.
#[derive(Debug)]
pub struct Answering {
    _process: Process,
    address: SocketAddr,
}

/// Messages at a rate, each answered.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Bytes of a message.
    pub size: u32,
    /// Messages per second.
    pub rate: u32,
    /// How long to send.
    pub duration: Duration,
}

/// Half round trips, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfRoundTrips {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
}

impl Answering {
    /// Starts at `place` on this address, whose port must be free, and waits until it listens.
    ///
    /// # Errors
    /// When sockperf is not installed or does not listen in time.
    pub fn start<'a>(place: impl Into<Place<'a>>, address: SocketAddr) -> Result<Self> {
        let mut command = place.into().command("sockperf");
        command.args(["server", "--tcp"]).args(destination(address));
        let process = Process::spawn(command)?;
        let ready = |line: &str| line.contains("block on socket").then_some(());
        process.wait_for_line(START_DEADLINE, ready)?;
        Ok(Self {
            _process: process,
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Asking {
    /// Sends from `place` to `address` and reads the result.
    ///
    /// # Errors
    /// When sockperf is not installed, fails, or prints something else.
    pub fn run<'a>(
        &self,
        place: impl Into<Place<'a>>,
        address: SocketAddr,
    ) -> Result<HalfRoundTrips> {
        let Self {
            size,
            rate,
            duration,
        } = self;
        let mut command = place.into().command("sockperf");
        command.args(["under-load", "--tcp", "--reply-every=1"]);
        command.args(destination(address));
        command.args(["-m", &size.to_string(), &format!("--mps={rate}")]);
        command.args(["-t", &duration.as_secs_f64().ceil().to_string()]);
        let mut process = Process::spawn(command)?;
        process.wait_for_success(*duration + END_GRACE)?;
        HalfRoundTrips::from_text(&process.output().text())
    }
}

impl HalfRoundTrips {
    fn from_text(text: &str) -> Result<Self> {
        let percentile = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.contains(&format!("percentile {name} ")));
            let value = line.and_then(|line| line.rsplit('=').next()?.trim().parse::<f64>().ok());
            let value = value.map(|microseconds| microseconds * 1e3);
            value.with_context(|| format!("sockperf printed no percentile {name}: {text}"))
        };
        Ok(Self {
            p50: percentile("50.000")?,
            p99: percentile("99.000")?,
        })
    }
}

fn destination(address: SocketAddr) -> [String; 4] {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    ["-i".to_owned(), ip, "-p".to_owned(), port]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_in_nanoseconds() {
        let text = "sockperf: Summary: Latency is 302.845 usec\n\
             sockperf: ---> percentile 99.000 = 2674.755\n\
             sockperf: ---> percentile 50.000 =   14.351\n";
        let found = HalfRoundTrips::from_text(text).unwrap();
        assert_eq!(
            (found.p50.round(), found.p99.round()),
            (14_351.0, 2_674_755.0)
        );
        assert!(HalfRoundTrips::from_text("sockperf: ERROR").is_err());
    }
}
