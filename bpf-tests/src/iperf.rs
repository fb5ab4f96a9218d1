//! A real iperf3 as traffic: a sink that listens and a load that dials it, directly or through a
//! gateway.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::netns::Place;
use crate::patience::stretched;
use crate::process::Process;
use crate::sys;

/// How long the sink may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// What a load may take beyond the time it sends for: dialling, draining queues, the results.
const END_GRACE: Duration = Duration::from_secs(30);

/// `iperf3 -s`: takes one load after the other.
#[derive(Debug)]
pub struct Sink {
    process: Process,
    address: SocketAddr,
}

/// What to send, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// How long to send.
    pub duration: Duration,
    /// TCP streams side by side.
    pub streams: u32,
    /// From the sink to the one who dials, instead.
    pub reverse: bool,
    /// Bits per second over all streams; `None` is as fast as it goes.
    pub rate: Option<u64>,
    /// Bytes of one write; `None` is iperf3's 128 KiB.
    pub write_size: Option<u32>,
    /// Keeps the one who dials on these CPUs.
    pub cpus: Option<Vec<usize>>,
}

/// A load that is going on.
#[derive(Debug)]
pub struct Running {
    process: Process,
    deadline: Duration,
}

/// What a load came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Throughput {
    /// What arrived, bits per second over the time of the receiver.
    pub bits_per_second: f64,
    /// Bytes that the sender handed to its socket.
    pub bytes_sent: u64,
    /// Bytes that the receiver read.
    pub bytes_received: u64,
    /// Segments sent again; `None` where iperf3 does not tell (reverse, other systems).
    pub retransmits: Option<u64>,
    /// How long it sent, seconds.
    pub seconds: f64,
    /// CPU of the dialling iperf3, percent of one CPU.
    pub dialler_cpu: f64,
    /// CPU of the sink, percent of one CPU.
    pub sink_cpu: f64,
}

impl Default for Load {
    fn default() -> Self {
        let duration = Duration::from_secs(3);
        Self {
            duration,
            streams: 1,
            reverse: false,
            rate: None,
            write_size: None,
            cpus: None,
        }
    }
}

impl Sink {
    /// Starts a sink at `place` on a free port of `address`, and waits until it listens. It
    /// reports what arrives every `interval`: see [`Sink::rate`].
    ///
    /// # Errors
    /// When iperf3 is not installed or does not listen in time.
    pub fn start<'a>(
        place: impl Into<Place<'a>>,
        address: IpAddr,
        interval: Duration,
        cpus: Option<&[usize]>,
    ) -> Result<Self> {
        let place = place.into();
        let address = SocketAddr::new(address, place.free_port(address)?);
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let interval = interval.as_secs_f64().to_string();
        let mut command = place.command("iperf3");
        command.args([
            "-s",
            "-B",
            &host,
            "-p",
            &port,
            "-f",
            "m",
            "-i",
            &interval,
            "--forceflush",
        ]);
        if let Some(cpus) = cpus {
            sys::start_on_cpus(&mut command, cpus);
        }
        let process = Process::spawn(command)?;
        process.wait_for_line(stretched(START_DEADLINE), listens)?;
        Ok(Self { process, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// How many lines it has written: the start for [`Sink::rate`] and [`Sink::wait_until_free`].
    pub fn mark(&self) -> usize {
        self.process.output().lines_from(usize::MAX).1
    }

    /// Waits until it listens again after the load that began at `mark`: between two loads it
    /// listens to nobody.
    ///
    /// # Errors
    /// When it has not come back in time.
    pub fn wait_until_free(&self, mark: usize) -> Result<()> {
        self.process
            .wait_for_line_from(mark, stretched(START_DEADLINE), listens)
    }

    /// What arrived in the latest interval that it reported since `mark`, bits per second.
    pub fn rate(&self, mark: usize) -> Option<f64> {
        let (lines, _) = self.process.output().lines_from(mark);
        let several = lines.iter().any(|line| line.starts_with("[SUM]"));
        let latest = lines.iter().rev();
        let mut totals = latest.filter(|line| !several || line.starts_with("[SUM]"));
        totals.find_map(|line| interval_rate(line))
    }
}

impl Load {
    /// Starts iperf3 at `place` against `address`: the sink's, or a gateway's before it.
    ///
    /// # Errors
    /// When iperf3 cannot be started.
    pub fn start<'a>(&self, place: impl Into<Place<'a>>, address: SocketAddr) -> Result<Running> {
        let process = Process::spawn(self.command(place, address))?;
        Ok(Running {
            process,
            deadline: self.duration + stretched(END_GRACE),
        })
    }

    /// The iperf3 that [`Load::start`] starts.
    pub fn command<'a>(&self, place: impl Into<Place<'a>>, address: SocketAddr) -> Command {
        let Self {
            duration,
            streams,
            reverse,
            rate,
            write_size,
            cpus,
        } = self;
        let mut command = place.into().command("iperf3");
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        command.args(["-c", &host, "-p", &port, "-J", "-P", &streams.to_string()]);
        command.args(["-t", &duration.as_secs_f64().ceil().to_string()]);
        if *reverse {
            command.arg("-R");
        }
        if let Some(rate) = rate {
            command.args(["-b", &(rate / u64::from((*streams).max(1))).to_string()]);
        }
        if let Some(bytes) = write_size {
            command.args(["-l", &bytes.to_string()]);
        }
        if let Some(cpus) = cpus {
            sys::start_on_cpus(&mut command, cpus);
        }
        command
    }

    /// Starts the load and waits for its end.
    ///
    /// # Errors
    /// As [`Load::start`] and [`Running::finish`].
    pub fn run<'a>(&self, place: impl Into<Place<'a>>, address: SocketAddr) -> Result<Throughput> {
        self.start(place, address)?.finish()
    }
}

impl Running {
    /// Whether it ends within this time; waits for that long at most.
    ///
    /// # Errors
    /// What poll(2) answers.
    pub fn ends_within(&self, patience: Duration) -> Result<bool> {
        self.process.ends_within(patience)
    }

    /// Waits for the end and reads the result.
    ///
    /// # Errors
    /// When iperf3 failed, with its own words, or did not end in time.
    pub fn finish(mut self) -> Result<Throughput> {
        let ended = self.process.wait(self.deadline)?;
        let text = self.process.output().text();
        let report: Value = serde_json::from_str(text.trim()).with_context(|| {
            format!(
                "`{}` ended ({ended}) without a JSON report: {text}",
                self.process.line()
            )
        })?;
        if let Some(words) = report.get("error").and_then(Value::as_str) {
            bail!("`{}` failed: {words}", self.process.line());
        }
        Throughput::from_report(&report)
    }
}

impl Throughput {
    fn from_report(report: &Value) -> Result<Self> {
        let number = |path: &str| {
            let value = report.pointer(path).and_then(Value::as_f64);
            value.with_context(|| format!("iperf3's report has no number at {path}"))
        };
        Ok(Self {
            bits_per_second: number("/end/sum_received/bits_per_second")?,
            bytes_sent: number("/end/sum_sent/bytes")? as u64,
            bytes_received: number("/end/sum_received/bytes")? as u64,
            retransmits: report
                .pointer("/end/sum_sent/retransmits")
                .and_then(Value::as_u64),
            seconds: number("/end/sum_sent/seconds")?,
            dialler_cpu: number("/end/cpu_utilization_percent/host_total")?,
            sink_cpu: number("/end/cpu_utilization_percent/remote_total")?,
        })
    }
}

fn listens(line: &str) -> Option<()> {
    line.starts_with("Server listening").then_some(())
}

/// Bits per second of one line of the sink's report, `[  5] 0.00-0.25 sec 1.2 GBytes 812
/// Mbits/sec`; of several streams only the line of their sum.
fn interval_rate(line: &str) -> Option<f64> {
    let mut words = line.split_whitespace().rev();
    words.find(|word| *word == "Mbits/sec")?;
    let megabits: f64 = words.next()?.parse().ok()?;
    Some(megabits * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_sink_gives_its_rate() {
        let line = "[  5]   0.25-0.50   sec   612 MBytes  20547 Mbits/sec                  ";
        assert_eq!(interval_rate(line), Some(20_547e6));
        assert_eq!(
            interval_rate("Accepted connection from 10.71.1.2, port 35112"),
            None
        );
    }

    #[test]
    fn a_report_without_a_figure_is_an_error_that_names_it() {
        let error = Throughput::from_report(&Value::Null)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/end/sum_received/bits_per_second"),
            "{error}"
        );
    }
}
