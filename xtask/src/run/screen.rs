//! The line that a person watches: one that updates on a terminal, one per measurement elsewhere.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use bpf_tests::cleanup;

use super::cpu::CpuUse;
use super::summary::path_name;

/// Cells of the bar.
const BAR: usize = 12;
/// Back to the first column, and clear the line.
const REWRITE: &str = "\r\x1b[K";

/// Standard output, as what it is.
pub(super) struct Screen {
    terminal: bool,
    rounds: u32,
    /// The highest rate seen: the full bar.
    best: Cell<f64>,
}

/// What goes on at this moment.
pub(super) struct Live {
    pub(super) round: u32,
    pub(super) path: &'static str,
    /// The plane that moves the bytes, where the gateway chooses.
    pub(super) plane: Option<&'static str>,
    pub(super) bits_per_second: f64,
    pub(super) cpu: CpuUse,
    /// Whether there is a gateway whose CPU can be told.
    pub(super) relayed: bool,
}

impl Screen {
    /// Takes standard output; a signal then leaves it on a line of its own.
    pub(super) fn new(rounds: u32) -> Result<Self> {
        let terminal = io::stdout().is_terminal();
        cleanup::on_ending_signal(move || {
            let start = if terminal { REWRITE } else { "" };
            println!("{start}  stopped: namespaces removed, nothing left running");
        })?;
        Ok(Self {
            terminal,
            rounds,
            best: Cell::new(0.0),
        })
    }

    /// Prints a paragraph.
    pub(super) fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Shows what goes on, on a terminal.
    pub(super) fn show(&self, live: &Live) {
        if self.terminal {
            self.best.set(self.best.get().max(live.bits_per_second));
            print!("{REWRITE}{}", self.live_line(live));
            flush();
        }
    }

    /// Says what goes on where there is nothing to watch.
    pub(super) fn announce(&self, words: &str) {
        if self.terminal {
            print!("{REWRITE}  {words}");
            flush();
        }
    }

    /// Notes what a measurement came to, where nobody watched it.
    pub(super) fn note(&self, round: u32, path: &str, bits_per_second: f64) {
        if !self.terminal {
            let rate = bits_per_second / 1e9;
            println!(
                "  round {round}/{}  {path:<8}  {rate:6.2} Gb/s",
                self.rounds
            );
        }
    }

    /// Ends the live line, or the list of measurements.
    pub(super) fn clear(&self) {
        if self.terminal {
            print!("{REWRITE}");
            flush();
        } else {
            println!();
        }
    }

    fn live_line(&self, live: &Live) -> String {
        let Live {
            round,
            path,
            plane,
            bits_per_second,
            cpu,
            relayed,
        } = live;
        let path = path_name(path, *plane);
        let filled = (bits_per_second / self.best.get().max(1.0) * BAR as f64).round() as usize;
        let bar = format!("{:.<BAR$}", "#".repeat(filled.min(BAR)));
        let rate = bits_per_second / 1e9;
        let process = if *relayed {
            format!("{:3.0} %", cpu.process * 100.0)
        } else {
            "  -  ".to_owned()
        };
        let machine = cpu.machine * 100.0;
        format!(
            "  {round}/{} {path:<14} {rate:5.1} Gb/s [{bar}] CPU: s2cs {process}, machine {machine:3.0} %",
            self.rounds
        )
    }
}

fn flush() {
    // A terminal that is gone cannot be told so.
    drop(io::stdout().flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_line_fits_a_terminal_of_eighty_columns() {
        let screen = Screen {
            terminal: true,
            rounds: 3,
            best: Cell::new(27e9),
        };
        let cpu = CpuUse {
            process: 1.97,
            machine: 1.0,
        };
        let live = Live {
            round: 3,
            path: "auto",
            plane: Some("sockmap"),
            bits_per_second: 127.4e9,
            cpu,
            relayed: true,
        };
        let line = screen.live_line(&live);
        assert!(line.len() < 80, "{} columns: {line}", line.len());
        assert!(
            line.contains("auto: sockmap") && line.contains("127.4 Gb/s"),
            "{line}"
        );
    }
}
