//! The access log: one line per connection at its end, and the ledger's verdict on it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cli::LogFormat;
use crate::dataplane::{DirectionReport, Totals, Transferred};
use crate::listener::{AcceptedFrom, Refusal};

/// Writes the line of each connection, and keeps the sums of those closed.
#[derive(Debug)]
pub struct ConnectionLog {
    format: LogFormat,
    /// To upstream, and to downstream.
    closed: [ClosedBytes; 2],
    mismatches: AtomicU64,
}

/// What connections that are closed moved one way.
#[derive(Debug, Default)]
struct ClosedBytes {
    redirected: AtomicU64,
    spliced: AtomicU64,
    copied: AtomicU64,
}

impl ClosedBytes {
    fn add(&self, moved: Totals) {
        for (sum, bytes) in [
            (&self.redirected, moved.redirected),
            (&self.spliced, moved.spliced),
            (&self.copied, moved.copied),
        ] {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            redirected: self.redirected.load(Ordering::Relaxed),
            spliced: self.spliced.load(Ordering::Relaxed),
            copied: self.copied.load(Ordering::Relaxed),
        }
    }
}

impl ConnectionLog {
    /// A log whose lines suit `format`: all figures as fields for machines, a summary for people.
    pub fn new(format: LogFormat) -> Self {
        Self {
            format,
            closed: Default::default(),
            mismatches: AtomicU64::new(0),
        }
    }

    /// Bytes moved by connections that are closed: (to upstream, to downstream).
    pub fn closed_bytes(&self) -> (u64, u64) {
        let [to_upstream, to_downstream] = self.closed_by().map(Totals::moved);
        (to_upstream, to_downstream)
    }

    /// The same, by what moved them.
    pub fn closed_by(&self) -> [Totals; 2] {
        let [to_upstream, to_downstream] = &self.closed;
        [to_upstream.totals(), to_downstream.totals()]
    }

    /// Directions of closed connections whose ledger did not balance.
    pub fn mismatches(&self) -> u64 {
        self.mismatches.load(Ordering::Relaxed)
    }

    /// A connection that was relayed has ended.
    pub fn closed(
        &self,
        from: AcceptedFrom,
        upstream: SocketAddr,
        transferred: &Transferred,
        duration: Duration,
    ) {
        let Transferred {
            to_upstream,
            to_downstream,
            end,
        } = transferred;
        for (sums, report) in self.closed.iter().zip([to_upstream, to_downstream]) {
            sums.add(report.moved_by());
        }
        match self.format {
            LogFormat::Json => log_closed_in_full(from, upstream, transferred, duration),
            LogFormat::Text => tracing::info!(
                downstream = %from.downstream,
                upstream = %upstream,
                listen = %from.listen,
                reason = end.as_str(),
                duration = %Seconds(duration),
                to_upstream = %Summary(to_upstream),
                to_downstream = %Summary(to_downstream),
                "connection closed"
            ),
        }
        for (direction, report) in [
            ("to_upstream", to_upstream),
            ("to_downstream", to_downstream),
        ] {
            if !report.balances() {
                self.mismatches.fetch_add(1, Ordering::Relaxed);
                log_mismatch(from, upstream, direction, report);
            }
        }
    }

    /// A connection that found no target was reset.
    pub fn refused(&self, from: AcceptedFrom, refusal: &Refusal) {
        tracing::info!(
            downstream = %from.downstream,
            listen = %from.listen,
            reason = refusal.reason.as_str(),
            error = %refusal,
            "connection refused"
        );
    }
}

fn log_closed_in_full(
    from: AcceptedFrom,
    upstream: SocketAddr,
    transferred: &Transferred,
    duration: Duration,
) {
    let Transferred {
        to_upstream: up,
        to_downstream: down,
        end,
    } = transferred;
    tracing::info!(
        downstream = %from.downstream,
        upstream = %upstream,
        listen = %from.listen,
        reason = end.as_str(),
        duration_ms = duration.as_secs_f64() * 1e3,
        to_upstream_bytes = up.moved(),
        to_upstream_received = up.received,
        to_upstream_accepted = up.accepted,
        to_upstream_redirected = up.redirected,
        to_upstream_spliced = up.spliced,
        to_upstream_copied = up.copied,
        to_upstream_plane = up.plane.as_str(),
        to_upstream_kernel_share = kernel_share(up),
        to_upstream_flips = up.flips,
        to_downstream_bytes = down.moved(),
        to_downstream_received = down.received,
        to_downstream_accepted = down.accepted,
        to_downstream_redirected = down.redirected,
        to_downstream_spliced = down.spliced,
        to_downstream_copied = down.copied,
        to_downstream_plane = down.plane.as_str(),
        to_downstream_kernel_share = kernel_share(down),
        to_downstream_flips = down.flips,
        "connection closed"
    );
}

fn log_mismatch(
    from: AcceptedFrom,
    upstream: SocketAddr,
    direction: &'static str,
    report: &DirectionReport,
) {
    let DirectionReport {
        plane,
        received,
        redirected,
        spliced,
        copied,
        accepted,
        flips,
        finished,
    } = *report;
    tracing::error!(
        downstream = %from.downstream,
        upstream = %upstream,
        listen = %from.listen,
        direction,
        plane = plane.as_str(),
        received,
        moved = report.moved(),
        accepted,
        redirected,
        spliced,
        copied,
        flips,
        finished,
        "ledger mismatch"
    );
}

/// The share of the bytes that the kernel moved by itself, 0 to 1.
fn kernel_share(report: &DirectionReport) -> f64 {
    if report.moved() == 0 {
        return 0.0;
    }
    report.redirected as f64 / report.moved() as f64
}

/// One direction in a few words: `1.05 GB sockmap 98.2 % in kernel, 3 flips`.
struct Summary<'a>(&'a DirectionReport);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        write!(f, "\"{} {}", Bytes(report.moved()), report.plane)?;
        if report.redirected > 0 {
            write!(f, " {:.1} % in kernel", 100.0 * kernel_share(report))?;
        }
        if report.flips > 0 {
            write!(f, ", {} flips", report.flips)?;
        }
        f.write_str("\"")
    }
}

/// A number of bytes with three digits and a decimal unit.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let (unit, divisor) = match bytes {
            0..1_000 => return write!(f, "{bytes} B"),
            1_000..1_000_000 => ("kB", 1e3),
            1_000_000..1_000_000_000 => ("MB", 1e6),
            1_000_000_000.. => ("GB", 1e9),
        };
        write!(f, "{:.2} {unit}", bytes as f64 / divisor)
    }
}

/// A duration in seconds with milliseconds.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::{EndReason, Plane};

    #[test]
    fn a_summary_says_bytes_plane_share_and_flips() {
        let mut report = DirectionReport::new(Plane::Sockmap);
        assert_eq!(Summary(&report).to_string(), "\"0 B sockmap\"");
        report.redirected = 1_500_000;
        report.copied = 500_000;
        report.flips = 3;
        let summary = Summary(&report).to_string();
        assert_eq!(summary, "\"2.00 MB sockmap 75.0 % in kernel, 3 flips\"");
    }

    #[test]
    fn sums_are_kept_by_what_moved_them_and_a_ledger_that_does_not_balance_is_counted() {
        let log = ConnectionLog::new(LogFormat::Json);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let from = AcceptedFrom {
            downstream: address,
            listen: address,
        };
        let mut transferred = Transferred::nothing(Plane::Splice, EndReason::Finished);
        transferred.to_upstream.received = 30;
        transferred.to_upstream.spliced = 10;
        transferred.to_upstream.redirected = 20;
        log.closed(from, address, &transferred, Duration::ZERO);
        assert_eq!((log.closed_bytes(), log.mismatches()), ((30, 0), 0));
        transferred.to_downstream.copied = 5;
        log.closed(from, address, &transferred, Duration::ZERO);
        assert_eq!(log.mismatches(), 1, "more was moved than was received");
        let [up, down] = log.closed_by();
        assert_eq!((up.redirected, up.spliced, up.copied), (40, 20, 0));
        assert_eq!((down.moved(), down.copied), (5, 5));
    }

    #[test]
    fn the_share_of_nothing_is_nothing() {
        assert_eq!(kernel_share(&DirectionReport::new(Plane::Copy)), 0.0);
    }

    #[test]
    fn bytes_keep_three_digits() {
        for (bytes, text) in [
            (999, "999 B"),
            (1_234, "1.23 kB"),
            (2_147_483_648, "2.15 GB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
