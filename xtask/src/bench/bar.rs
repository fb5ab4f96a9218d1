//! How far a run is: a bar with the time left on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Characters of the bar.
const WIDTH: usize = 24;

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// The bar of one run.
#[derive(Debug)]
pub(super) struct Bar {
    started: Instant,
    all: Duration,
    done: Duration,
    terminal: bool,
    last_line: Option<Instant>,
}

impl Bar {
    /// Begins: the run should take about `all`.
    pub(super) fn begin(all: Duration) -> Self {
        Self {
            started: Instant::now(),
            all,
            done: Duration::ZERO,
            terminal: stderr().is_terminal(),
            last_line: None,
        }
    }

    /// Something that should have taken `nominal` is done; `next` says what comes now.
    pub(super) fn advance(&mut self, nominal: Duration, next: &str) {
        self.done += nominal;
        self.show(next);
    }

    /// Shows what is going on.
    pub(super) fn show(&mut self, now: &str) {
        let text = bar(
            self.share(),
            left(self.started.elapsed(), self.done, self.all),
            now,
        );
        if self.terminal {
            // Cursor to the start, rest of the line cleared. Nobody is told when stderr is gone.
            drop(write!(stderr(), "\r{text}\x1b[K"));
            return;
        }
        if self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
        {
            self.last_line = Some(Instant::now());
            eprintln!("{text}");
        }
    }

    /// Says something that stays, above the bar.
    pub(super) fn say(&self, text: &str) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
        eprintln!("{text}");
    }

    fn share(&self) -> f64 {
        self.done.as_secs_f64() / self.all.as_secs_f64().max(1e-9)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn bar(share: f64, left: Duration, now: &str) -> String {
    let full = (share.clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
    format!(
        "[{}{}] {:>3.0} %, {} left: {now}",
        "#".repeat(full),
        "-".repeat(WIDTH - full),
        share.clamp(0.0, 1.0) * 100.0,
        minutes(left)
    )
}

/// The nominal times tell how the parts relate; how long they really take is seen.
fn left(elapsed: Duration, done: Duration, all: Duration) -> Duration {
    let rest = all.saturating_sub(done);
    if done.is_zero() {
        return rest;
    }
    rest.mul_f64(elapsed.as_secs_f64() / done.as_secs_f64())
}

/// `89 s`, `2 min`.
pub(super) fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 90 {
        return format!("{seconds} s");
    }
    format!("{} min", (seconds + 30) / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace_seen() {
        let s = Duration::from_secs;
        assert_eq!(left(s(0), s(0), s(100)), s(100));
        assert_eq!(left(s(20), s(10), s(100)), s(180));
        assert_eq!(left(s(20), s(120), s(100)), s(0));
    }

    #[test]
    fn a_bar_is_always_as_wide_as_it_is() {
        for share in [0.0, 0.5, 1.0, 3.0] {
            let text = bar(share, Duration::from_secs(100), "x");
            assert_eq!(
                text.chars().take_while(|c| *c != ' ').count(),
                WIDTH + 2,
                "{text}"
            );
        }
    }
}
